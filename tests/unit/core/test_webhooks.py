"""Rules of webhooks: signatures that others verify, retries, and refused addresses."""

import base64
import importlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from sfu_wrapper.core.webhooks import (
    RETRY_AFTER_S,
    Target,
    decode_secret,
    is_accepted,
    is_public,
    new_secret,
    parse_target,
    request_body,
    retry_after_s,
    signed_headers,
)

OLD, NEW = new_secret(b"o" * 24), new_secret(b"n" * 32)
standard = importlib.import_module("standardwebhooks")  # brings no types of its own
BODY = request_body("recording.ready", 1_590_392_548_633, b'{"uuid":"a","segment":1}')


def now_s() -> int:
    return int(datetime.now(UTC).timestamp())


def test_a_body_has_type_time_and_data() -> None:
    assert json.loads(BODY) == {
        "type": "recording.ready",
        "timestamp": "2020-05-25T07:42:28.633Z",
        "data": {"uuid": "a", "segment": 1},
    }


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_a_delivery_is_verified_with_either_of_two_secrets(secret: str) -> None:
    headers = signed_headers((NEW, OLD), "msg_1", now_s(), BODY)

    assert standard.Webhook(secret).verify(BODY.decode(), headers) == json.loads(BODY)


def test_the_signature_is_that_of_the_standard_library_of_others() -> None:
    at = datetime.now(UTC)
    headers = signed_headers((OLD,), "msg_1", int(at.timestamp()), BODY)

    assert headers["webhook-signature"] == standard.Webhook(OLD).sign("msg_1", at, BODY.decode())


@pytest.mark.parametrize(
    ("header", "value"),
    [("webhook-id", "msg_2"), ("webhook-timestamp", str(now_s() + 1))],
    ids=["id", "time"],  # names that do not depend on the time, in all test processes
)
def test_another_id_or_time_is_refused_by_the_receiver(header: str, value: str) -> None:
    headers = signed_headers((OLD,), "msg_1", now_s(), BODY) | {header: value}

    with pytest.raises(standard.WebhookVerificationError):
        standard.Webhook(OLD).verify(BODY.decode(), headers)


def test_a_repeat_after_days_is_refused_by_the_receiver() -> None:
    old_s = int((datetime.now(UTC) - timedelta(days=2)).timestamp())

    with pytest.raises(standard.WebhookVerificationError):
        standard.Webhook(OLD).verify(BODY.decode(), signed_headers((OLD,), "m", old_s, BODY))


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        base64.b64encode(b"k" * 24).decode(),
        new_secret(b"k" * 23),
        new_secret(b"k" * 65),
        "whsec_not base64",
    ],
)
def test_a_weak_or_damaged_secret_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="must be whsec_"):
        decode_secret(secret)


def test_ten_attempts_are_made_over_three_days() -> None:
    pauses = [retry_after_s(attempts) for attempts in range(1, 11)]

    assert pauses == [*RETRY_AFTER_S, None]
    assert pauses[:3] == [5, 300, 1800]
    assert timedelta(days=3) < timedelta(seconds=sum(RETRY_AFTER_S)) < timedelta(days=4)


@pytest.mark.parametrize(
    ("status", "accepted"),
    [(199, False), (200, True), (204, True), (299, True), (300, False), (410, False), (500, False)],
)
def test_only_2xx_is_delivered(status: int, accepted: bool) -> None:
    assert is_accepted(status) is accepted


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://a.example", Target(False, "a.example", 80, "a.example", "/")),
        (
            "https://a.example:8443/x?y=1",
            Target(True, "a.example", 8443, "a.example:8443", "/x?y=1"),
        ),
        ("https://[2001:db8::1]/x", Target(True, "2001:db8::1", 443, "[2001:db8::1]", "/x")),
    ],
)
def test_an_address_is_taken_apart(url: str, target: Target) -> None:
    assert parse_target(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://a.example/",
        "file:///etc/hosts",
        "https://",
        "https://user@a.example/",
        "https://user:password@a.example/",
        "https://a.example/#part",
        "https://a.example/a b",
        "https://a.example:port/",
        "https://a.example/\r\nx: y",
        "https://ä.example/",
        "https://a.example/" + "x" * 2048,
    ],
)
def test_an_address_of_another_form_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_target(url)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"],
)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104  # refused, not bound
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "127.9.9.9",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff::1",
        "fc00::1",
        "fd00::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "a name",
    ],
)
def test_any_other_address_is_not_public(address: str) -> None:
    assert not is_public(address)

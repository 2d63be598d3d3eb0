"""The key set of an identity provider: which keys count, and when it is fetched."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.gateway.auth import TokenAuthenticator
from sfu_wrapper.gateway.keyset import MAX_KEYS, MAX_LISTED, MAX_TRIED, KeySet, read_key_set
from sfu_wrapper.model.errors import Refused, Unavailable
from tests.helpers.clocks import NOW_S, StandingClock
from tests.helpers.provider import PrivateKey, jwk, key_set, signed

ALL = ("RS256", "ES256", "EdDSA")
WEAK = rsa.generate_private_key(65537, 1024)  # noqa: S505  # that is the point
RSA_KEY = rsa.generate_private_key(65537, 2048)
OLD, NEW, OTHER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
ED_KEY = ed25519.Ed25519PrivateKey.generate()
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("keys", "kty", "crv", "kid", "n", "e", "x", "y", "d", "k", "alg")),
            inner | st.sampled_from(("RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "RS256")),
        )
    ),
)


class Source:
    """A key set that is somewhere; ``asked`` so often so far."""

    def __init__(self, answer: bytes | Unavailable) -> None:
        self.answer = answer
        self.asked = 0
        self._news = asyncio.Condition()

    async def fetch(self) -> bytes:
        async with self._news:
            self.asked += 1
            self._news.notify_all()
        if isinstance(self.answer, Unavailable):
            raise self.answer
        return self.answer

    async def was_asked(self, times: int) -> None:
        """Wait until it was asked so often, and what came has been taken."""
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: self.asked >= times)
        for _ in range(3):
            await asyncio.sleep(0)


class Kept:
    """A key set that is kept fresh, and its authenticator."""

    def __init__(self, source: Source, again_s: float) -> None:
        self.there: list[bool] = []
        self.keys = KeySet(
            source, ALL, self.there.append, again_s=again_s, backoff=Backoff(0.001, 1)
        )
        self.checks = TokenAuthenticator(self.keys, StandingClock())

    def believes(self, token: str) -> bool:
        try:
            self.checks.identify(token)
        except Refused:
            return False
        return True


@asynccontextmanager
async def kept(source: Source, again_s: float = 3600) -> AsyncIterator[Kept]:
    found = Kept(source, again_s)
    running = asyncio.create_task(found.checks.run())
    try:
        await found.checks.settled()
        yield found
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def good(key: PrivateKey = OLD, algorithm: str = "ES256", kid: str | None = "old") -> str:
    return signed(key, algorithm, kid, exp=NOW_S + 60)


@pytest.mark.parametrize(
    ("key", "algorithm"), [(RSA_KEY, "RS256"), (OLD, "ES256"), (ED_KEY, "EdDSA")]
)
async def test_each_kind_of_key_of_a_set(key: PrivateKey, algorithm: str) -> None:
    async with kept(Source(key_set(rsa=RSA_KEY, ec=OLD, ed=ED_KEY))) as believer:
        for kid in (algorithm[:2].lower().replace("rs", "rsa").replace("es", "ec"), None):
            assert believer.believes(good(key, algorithm, kid))


async def test_a_token_is_checked_with_the_key_that_it_names_and_no_other() -> None:
    async with kept(Source(key_set(old=OLD, new=NEW))) as believer:
        assert believer.believes(good(NEW, kid="new"))
        assert not believer.believes(good(NEW, kid="old"))
        assert not believer.believes(good(OTHER, kid="new"))
        assert not believer.believes(good(OTHER, kid=None))


async def test_nothing_is_fetched_from_where_a_token_says() -> None:
    source = Source(key_set(old=OLD))
    async with kept(source) as believer:
        away = {"jku": "https://evil.example/keys", "x5u": "https://evil.example/x"}
        mine = jwk(OTHER, "mine")
        forged = signed(OTHER, "ES256", "mine", exp=NOW_S + 60, jwk=mine, **away)

        assert not believer.believes(forged)
        assert believer.believes(signed(OLD, "ES256", "old", exp=NOW_S + 60, **away))
    assert source.asked == 1


@pytest.mark.parametrize(
    "odd",
    [
        jwk(OTHER, "odd", use="enc"),
        jwk(OTHER, "odd", alg="ES384"),
        jwk(OTHER, "odd", alg="none"),
        jwk(WEAK, "odd"),
        jwk(RSA_KEY, "odd", alg="RS512"),
        jwk(ec.generate_private_key(ec.SECP384R1()), "odd"),
        jwk(ed448.Ed448PrivateKey.generate(), "odd"),
        {"kty": "oct", "kid": "odd", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
        {"kty": "oct", "kid": "odd", "alg": "RS256", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
        json.loads(jwt.algorithms.ECAlgorithm.to_jwk(OTHER)) | {"kid": "odd"},  # with its secret
        {"kty": "RSA", "kid": "odd", "n": "!", "e": "!"},
        {"kty": "EC", "kid": "odd"},
        {"kty": "OKP", "kid": "odd", "crv": "Ed25519"},
        {"kid": "odd"},
        "odd",
    ],
)
def test_what_is_no_public_key_for_an_accepted_signature_is_passed_over(odd: object) -> None:
    body = json.dumps({"keys": [odd, jwk(OLD, "old")]}).encode()

    assert [kid for kid, _ in read_key_set(body, ALL)] == ["old"]


def test_keys_for_signatures_that_are_not_accepted_are_passed_over() -> None:
    body = key_set(rsa=RSA_KEY, ec=OLD, ed=ED_KEY)

    assert [kid for kid, _ in read_key_set(body, ("EdDSA",))] == ["ed"]
    with pytest.raises(Unavailable, match="no key for a signature"):
        read_key_set(key_set(ec=OLD), ("RS256",))


def test_a_set_without_end_is_cut_off() -> None:
    body = json.dumps({"keys": [jwk(OLD, f"key-{n}") for n in range(MAX_KEYS + 1)]}).encode()

    assert len(read_key_set(body, ALL)) == MAX_KEYS


@pytest.mark.parametrize(
    "body",
    [
        b"", b"no json", b"\xff", b"[]", b"5", b"{}", b'{"keys": []}', b'{"keys": 5}',
        b'{"keys": {"a": 1}}', b'{"keys": ["a", 5, null]}', b"[" * 100_000,
        b'{"keys": ' + b"9" * 5000 + b"}", b'{"keys": [{"kty": ["RSA"]}]}',
    ],
)  # fmt: skip
def test_what_is_no_key_set(body: bytes) -> None:
    with pytest.raises(Unavailable):
        read_key_set(body, ALL)


@given(JSON_VALUES)
def test_whatever_is_listed_beside_a_good_key_hides_it_not(value: object) -> None:
    good = jwk(OLD, "the good one")
    for listed in ([value, good], [good, value]):
        kids = [kid for kid, _ in read_key_set(json.dumps({"keys": listed}).encode(), ALL)]

        assert kids.count("the good one") == 1


@given(JSON_VALUES)
def test_an_answer_of_any_shape_has_keys_or_is_unavailable(value: object) -> None:
    for body in (value, {"keys": value}, {"keys": [value]}):
        try:
            keys = read_key_set(json.dumps(body).encode(), ALL)
        except Unavailable:
            continue
        assert keys  # no shape without a key counts as a key set


async def test_a_key_that_nobody_knows_has_the_set_fetched_again() -> None:
    source = Source(key_set(old=OLD))
    async with kept(source, again_s=0) as believer:
        source.answer = key_set(new=NEW)
        assert not believer.believes(good(NEW, kid="new"))
        await source.was_asked(2)

        assert believer.believes(good(NEW, kid="new"))
        assert not believer.believes(good())  # it was taken back


async def test_one_unknown_key_has_the_set_fetched_once_more_and_logged_no_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    source = Source(key_set(old=OLD))
    async with kept(source, again_s=0) as believer:
        assert not believer.believes(good(NEW, kid="new"))
        await source.was_asked(2)
        for _ in range(50):
            await asyncio.sleep(0)

        assert source.asked == 2
    assert len(caplog.records) == 1  # the same keys as before are no news


async def test_however_many_keys_nobody_knows_it_is_fetched_no_sooner() -> None:
    source = Source(key_set(old=OLD))
    async with kept(source) as believer:
        for number in range(100):
            assert not believer.believes(good(OTHER, kid=f"mine-{number}"))
        await asyncio.sleep(0.05)

        assert source.asked == 1
        assert believer.believes(good())


async def test_what_is_no_token_has_nothing_fetched() -> None:
    source = Source(key_set(old=OLD))
    async with kept(source, again_s=0) as believer:
        for text in ("", "a.b.c", "é", good(kid="old")[:-3] + "AAA", "x" * 9000):
            assert not believer.believes(text)
        await asyncio.sleep(0.05)

    assert source.asked == 1


async def test_the_last_good_keys_count_while_the_set_cannot_be_had(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    source = Source(key_set(old=OLD))
    async with kept(source, again_s=0) as believer:
        answers: list[bytes | Unavailable] = [Unavailable("away"), b"<html>", b'{"keys": []}']
        for number, answer in enumerate(answers, 2):
            source.answer = answer
            believer.believes(good(NEW, kid=f"new-{number}"))
            await source.was_asked(number)
            assert believer.believes(good())
            assert believer.there[-1] is False
        source.answer = key_set(old=OLD)
        await source.was_asked(5)
        assert believer.there[-1] is True

    said = [record.message for record in caplog.records]
    assert said == ["auth.keysRead", "auth.jwksUnavailable", "auth.keysRead"]  # once, however long


async def test_without_any_key_nobody_is_believed() -> None:
    async with kept(Source(Unavailable("away"))) as believer:
        assert not believer.believes(good())
        assert not believer.believes(good(kid=None))
        assert believer.there == [False]


async def test_nobody_waits_for_ever_for_the_first_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfu_wrapper.gateway.keyset.FIRST_S", 0.01)
    never = KeySet(Source(b""), ALL, lambda _: None)  # and nobody runs it

    await never.settled()


@pytest.mark.parametrize(("failed", "pause_s"), [(0, 300), (1, 1), (2, 2), (3, 4), (99, 60)])
async def test_a_set_that_is_away_is_asked_for_less_and_less_often(
    failed: int, pause_s: float
) -> None:
    keys = KeySet(Source(b""), ALL, lambda _: None)
    found_s = keys._pause_s()
    for _ in range(failed):
        await keys._refresh()
        found_s = keys._pause_s()

    assert found_s == pause_s


async def test_a_set_that_was_away_twice_starts_over_each_time() -> None:
    source = Source(b"")
    keys = KeySet(source, ALL, lambda _: None)
    for _ in range(5):
        await keys._refresh()
        keys._pause_s()
    source.answer = key_set(old=OLD)
    await keys._refresh()
    assert keys._pause_s() == 300
    source.answer = b""
    await keys._refresh()

    assert keys._pause_s() == 1


async def test_a_token_is_tried_with_few_keys_of_its_own_kind() -> None:
    many = {f"key-{number}": OLD for number in range(20)}
    async with kept(Source(key_set(**many, rsa=RSA_KEY))) as believer:
        nameless = believer.keys.candidates(good(kid=None))
        of_another_kind = believer.keys.candidates(good(RSA_KEY, "RS256", kid=None))

        assert len(nameless) == MAX_TRIED
        assert len(of_another_kind) == 1
        assert not believer.keys.candidates(good(RSA_KEY, "RS256", kid="key-1"))


def test_of_a_long_key_set_only_the_beginning_is_looked_at() -> None:
    listed = [{"kty": "?"}] * MAX_LISTED + [jwk(OLD, "late")]
    with pytest.raises(Unavailable):
        read_key_set(json.dumps({"keys": listed}).encode(), ALL)

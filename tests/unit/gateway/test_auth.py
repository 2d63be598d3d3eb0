import base64
import json
import logging

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.gateway.auth import FixedKey, TokenAuthenticator, public_key, secret_key
from sfu_wrapper.model.errors import Misconfigured, Refused
from sfu_wrapper.model.identity import Role
from tests.helpers.clocks import NOW_S, StandingClock
from tests.helpers.gatewayfakes import SECRET, authenticator, token

ALL = ("RS256", "ES256", "EdDSA")
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)
CLAIMS = {"sub": "alice", "domain": "example", "roles": ["user"], "exp": NOW_S + 60}


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: PrivateKey) -> str:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()


def b64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def refused(text: str, checks: TokenAuthenticator | None = None) -> str:
    with pytest.raises(Refused) as info:
        (checks or authenticator(StandingClock())).identify(text)
    assert info.value.code == "UNAUTHENTICATED"
    # Shorter texts may be a part of the fixed words of an error.
    assert len(text) < 12 or text not in str(vars(info.value))
    return info.value.detail


def test_a_good_token_says_who_it_is() -> None:
    identity = authenticator(StandingClock()).identify(token(roles=["service", "elf"]))

    assert (identity.user, identity.domain) == ("alice", "example")
    assert identity.roles == {Role.SERVICE}
    assert identity.expires_ms == (NOW_S + 3600) * 1000


def test_a_token_is_good_until_the_moment_it_expires() -> None:
    clock = StandingClock()
    checks = authenticator(clock)
    text = token(exp=NOW_S + 10)
    clock.pass_s(9.999)

    assert checks.identify(text).user == "alice"
    clock.pass_s(0.001)
    assert "expired" in refused(text, checks)


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": None}, "not valid here"),
        ({"sub": None}, "not valid here"),
        ({"domain": None}, "not valid here"),
        ({"sub": "a b"}, "sub"),
        ({"sub": 5}, "not valid here"),
        ({"domain": "../x"}, "domain"),
        ({"roles": "service"}, "roles"),
        ({"exp": "tomorrow"}, "exp"),
        ({"exp": float("nan")}, "exp"),
        ({"exp": 1e300}, "exp"),
        ({"exp": NOW_S}, "expired"),
        ({"nbf": NOW_S + 1}, "not valid yet"),
        ({"nbf": "now"}, "not valid yet"),
        ({"nbf": float("nan")}, "not valid yet"),
    ],
)
def test_a_wrong_claim(claims: dict[str, object], why: str) -> None:
    assert why in refused(token(**claims))


def test_a_token_that_has_become_valid() -> None:
    assert authenticator(StandingClock()).identify(token(nbf=NOW_S)).user == "alice"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "a.b.c",
        jwt.encode(CLAIMS, "another secret of more than thirty-two bytes", "HS256"),
        jwt.encode(CLAIMS, SECRET + "x" * 64, "HS512"),
        f"{b64({'alg': 'none', 'typ': 'JWT'})}.{b64(CLAIMS)}.",
        f"{b64({'alg': 'NONE'})}.{b64(CLAIMS)}.",
        token()[:-2],
        token() + "=" * 9000,
        "[" * 8000,
        base64.urlsafe_b64encode(b"[" * 4000).decode() + ".e30.x",
        "é.è.ê",
    ],
)
def test_what_is_no_token_of_ours(text: str) -> None:
    assert refused(text) == "the token is not valid here"


@given(st.text() | st.lists(st.binary(max_size=40), max_size=4).map(
    lambda parts: ".".join(base64.urlsafe_b64encode(part).decode() for part in parts)
))  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    assert refused(text) == "the token is not valid here"


@pytest.mark.parametrize(
    ("key", "algorithm"), [(RSA_KEY, "RS256"), (EC_KEY, "ES256"), (ED_KEY, "EdDSA")]
)
def test_each_kind_of_public_key(key: PrivateKey, algorithm: str) -> None:
    checks = TokenAuthenticator(FixedKey(public_key(public_pem(key), ALL)), StandingClock())

    assert checks.identify(jwt.encode(CLAIMS, private_pem(key), algorithm)).user == "alice"
    refused(token(), checks)


def test_a_token_signed_with_the_public_key_as_a_secret_is_refused() -> None:
    checks = TokenAuthenticator(FixedKey(public_key(public_pem(RSA_KEY), ALL)), StandingClock())
    head = b64({"alg": "HS256", "typ": "JWT"}) + "." + b64(CLAIMS)
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = algorithm.sign(head.encode(), public_pem(RSA_KEY))
    forged = head + "." + base64.urlsafe_b64encode(signature).rstrip(b"=").decode()

    assert refused(forged, checks) == "the token is not valid here"


def test_a_key_that_the_header_brings_along_counts_for_nothing() -> None:
    checks = TokenAuthenticator(FixedKey(public_key(public_pem(EC_KEY), ALL)), StandingClock())
    other = ec.generate_private_key(ec.SECP256R1())
    headers = {"kid": "../../dev/null", "jku": "https://evil.example/keys"}

    refused(jwt.encode(CLAIMS, private_pem(other), "ES256", headers), checks)
    assert checks.identify(jwt.encode(CLAIMS, private_pem(EC_KEY), "ES256", headers)).user


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({"aud": "recorder", "iss": "us"}, True),
        ({"aud": ["x", "recorder"], "iss": "us"}, True),
        ({"aud": "other", "iss": "us"}, False),
        ({"aud": "recorder", "iss": "them"}, False),
        ({"iss": "us"}, False),
        ({"aud": "recorder"}, False),
    ],
)
def test_audience_and_issuer_where_they_are_configured(
    claims: dict[str, object], good: bool
) -> None:
    checks = TokenAuthenticator(
        FixedKey(secret_key(SECRET, ["HS256"])), StandingClock(), audience="recorder", issuer="us"
    )

    if good:
        assert checks.identify(token(**claims)).user == "alice"
    else:
        refused(token(**claims), checks)


def test_audience_and_issuer_are_not_looked_at_where_they_are_not() -> None:
    assert authenticator(StandingClock()).identify(token(aud="x", iss="y")).user == "alice"


def test_a_key_that_does_not_fit_the_accepted_signatures_is_a_wrong_configuration() -> None:
    with pytest.raises(Misconfigured, match="HS256"):
        secret_key(SECRET, ["RS256"])
    with pytest.raises(Misconfigured, match="ES256"):
        public_key(public_pem(EC_KEY), ["RS256", "EdDSA"])


@pytest.mark.parametrize(
    ("pem", "says"),
    [
        (b"nonsense", "holds no public key"),
        (private_pem(EC_KEY).encode(), "holds no public key"),
        (public_pem(ec.generate_private_key(ec.SECP384R1())), "must hold an RSA"),
        (public_pem(ed448.Ed448PrivateKey.generate()), "must hold an RSA"),
    ],
)
def test_a_file_with_another_key_is_a_wrong_configuration(pem: bytes, says: str) -> None:
    with pytest.raises(Misconfigured, match=f"publicKeyFile {says}"):
        public_key(pem, ALL)


def test_no_token_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    checks = authenticator(StandingClock())
    checks.identify(token())
    refused(token(exp=NOW_S - 1), checks)

    assert token().split(".")[1] not in caplog.text


def test_the_header_of_a_token_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(*_: object, **__: object) -> None:
        raise AssertionError("it was decoded")

    padded = jwt.encode(
        {"sub": "alice", "domain": "example", "exp": NOW_S + 60},
        SECRET,
        "HS256",
        headers={"x": "y" * 2000},
    )
    checks = authenticator(StandingClock())
    monkeypatch.setattr(jwt, "decode", decoded)

    for text in (padded, "x" * 3000 + ".y.z", "x" * 8193):
        with pytest.raises(Refused):
            checks.identify(text)

"""Verification of tokens, and the decision on WebSocket handshakes (protocol.md, "Connecting").

``TokenAuthenticator`` turns a token into an identity, or raises Refused. The configuration fixes
the keys and their signature algorithms; the header of a token can only choose one of the keys that
are loaded already (``keyset``). Verification fetches nothing, and tokens are never logged or
repeated in an error. ``check_handshake`` decides by path, origin and token, before any message.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Protocol, cast

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from websockets.datastructures import Headers

from sfu_wrapper.gateway.settings import GatewaySettings
from sfu_wrapper.model.errors import Code, Malformed, Misconfigured, Refused
from sfu_wrapper.model.identity import Identity, Role
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.wire.claims import REQUIRED, read_claims
from sfu_wrapper.wire.validation import MAX_TOKEN, MAX_TOKEN_HEADER

_MIN_RSA_BITS = 2048  # RFC 7518, section 3.3

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class Authenticator(Protocol):
    """Verification of tokens."""

    def identify(self, token: str) -> Identity:
        """Return the bearer of a token. Raises Refused: UNAUTHENTICATED, for any fault of it."""
        ...


def bearer(values: Sequence[str], authenticator: Authenticator) -> Identity | None:
    """Return the identity in the ``Authorization`` headers of a request; None: no header.

    Raises:
        Refused: UNAUTHENTICATED: several headers, another scheme, or a token that is not valid.
    """
    if not values:
        return None
    scheme, _, token = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer":
        return authenticator.identify("")  # no token: the same error as for a wrong one
    return authenticator.identify(token.strip())


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """Key with the signature algorithms that it may verify."""

    material: bytes | PublicKey
    algorithms: tuple[str, ...]


class KeySource(Protocol):
    """Source of the keys that verify tokens."""

    def candidates(self, token: str) -> Sequence[VerifyingKey]:
        """Return the loaded keys that may have signed the token; at most a few."""
        ...

    async def settled(self) -> None:
        """Wait until the first attempt to load keys is over."""
        ...

    async def run(self) -> None:
        """Keep the keys fresh until cancelled, if they can change."""
        ...


@dataclass(frozen=True, slots=True)
class FixedKey:
    """Single key for all tokens; a key id in their header is ignored."""

    key: VerifyingKey

    def candidates(self, token: str) -> Sequence[VerifyingKey]:
        """Return the single key."""
        return (self.key,)

    async def settled(self) -> None:
        """Return at once: the key is loaded."""

    async def run(self) -> None:
        """Return at once: the key never changes."""


def secret_key(secret: str, algorithms: Collection[str]) -> VerifyingKey:
    """Return the shared secret of HS256 tokens. Raises Misconfigured: HS256 is not accepted."""
    if "HS256" not in algorithms:
        raise Misconfigured("auth.secret goes with the algorithm HS256, which is not accepted")
    return VerifyingKey(secret.encode(), ("HS256",))


def public_key(pem: bytes, algorithms: Collection[str]) -> VerifyingKey:
    """Return the public key of RS256, ES256 or EdDSA tokens.

    Raises:
        Misconfigured: another kind of key, or its signature is not among ``algorithms``.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise Misconfigured("auth.publicKeyFile holds no public key in PEM format") from exc
    algorithm = fitting_algorithm(key)
    if algorithm is None:
        raise Misconfigured(
            "auth.publicKeyFile must hold an RSA (2048 bits or more), a P-256 or an Ed25519 key"
        )
    if algorithm not in algorithms:
        raise Misconfigured(f"auth.publicKeyFile holds a key for {algorithm}, not accepted")
    return VerifyingKey(cast("PublicKey", key), (algorithm,))


def fitting_algorithm(key: object) -> str | None:
    """The signature that a public key verifies; None where we use no such key."""
    match key:
        case RSAPublicKey() if key.key_size >= _MIN_RSA_BITS:
            return "RS256"
        case EllipticCurvePublicKey(curve=SECP256R1()):
            return "ES256"
        case Ed25519PublicKey():
            return "EdDSA"
    return None


class TokenAuthenticator:
    """Authenticator of JWTs.

    Args:
        keys: source of the keys.
        clock: time to which ``exp`` and ``nbf`` are compared.
        audience: required value of ``aud``; None: not checked.
        issuer: required value of ``iss``; None: not checked.
    """

    def __init__(
        self,
        keys: KeySource,
        clock: Clock,
        *,
        audience: str | None = None,
        issuer: str | None = None,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._audience = audience
        self._issuer = issuer

    async def settled(self) -> None:
        """Wait until the first attempt to load keys is over."""
        await self._keys.settled()

    async def run(self) -> None:
        """Keep the keys fresh until cancelled, if they can change."""
        await self._keys.run()

    def identify(self, token: str) -> Identity:
        """Return the bearer of a token.

        Raises:
            Refused: UNAUTHENTICATED: a wrong signature or claim, expired, not valid yet.
        """
        payload = self._verified(token)
        try:
            identity = read_claims(payload).identity()
        except Malformed as exc:
            raise _unauthenticated(exc.detail) from None
        now_ms = self._clock.now().wall_ms
        if identity.expires_ms is not None and identity.expires_ms <= now_ms:
            raise _unauthenticated("the token has expired")
        not_before = payload.get("nbf", 0)
        if not isinstance(not_before, int | float) or not not_before * 1000 <= now_ms:
            raise _unauthenticated("the token is not valid yet")
        return identity

    def _verified(self, token: str) -> dict[str, object]:
        if len(token) <= MAX_TOKEN and token[: MAX_TOKEN_HEADER + 1].find(".") > 0:
            for key in self._keys.candidates(token):
                payload = self._decode(token, key)
                if payload is not None:
                    return payload
        raise _unauthenticated("the token is not valid here")

    def _decode(self, token: str, key: VerifyingKey) -> dict[str, object] | None:
        """Return the payload if signature, audience and issuer are right; times are not checked."""
        try:
            payload: dict[str, object] = jwt.decode(
                token,
                key.material,
                algorithms=list(key.algorithms),
                audience=self._audience,
                issuer=self._issuer,
                options={
                    "require": [*REQUIRED, *self._required()],
                    "verify_aud": self._audience is not None,
                    "verify_iss": self._issuer is not None,
                    "verify_exp": False,  # against our clock, after this
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return None
        return payload

    def _required(self) -> tuple[str, ...]:
        wanted = (("aud", self._audience), ("iss", self._issuer))
        return tuple(claim for claim, value in wanted if value is not None)


def _unauthenticated(detail: str) -> Refused:
    return Refused(Code.UNAUTHENTICATED, detail)


class Path(StrEnum):
    """Path of a WebSocket."""

    CLIENT = "/client"
    GATEWAY = "/gateway"
    MEDIA = "/media"


@dataclass(frozen=True, slots=True)
class Admitted:
    """Accepted handshake. identity: None if the client has to authenticate by a message."""

    path: Path
    identity: Identity | None

    @property
    def is_vital(self) -> bool:
        """Return True for a gateway or the room service, without which no call works."""
        if self.identity is None:
            return False
        return self.path is Path.GATEWAY or self.identity.is_service


@dataclass(frozen=True, slots=True)
class Rejected:
    """Rejected handshake. reason: explanation for the developer of the client."""

    status: HTTPStatus
    reason: str


def check_handshake(
    target: str, headers: Headers, settings: GatewaySettings, authenticator: Authenticator
) -> Admitted | Rejected:
    """Decide about one handshake. target: the request target, with its query if it has one."""
    try:
        path = Path(target.partition("?")[0])
    except ValueError:
        return Rejected(HTTPStatus.NOT_FOUND, "connect to /client or /gateway")
    if not _origin_allowed(headers, settings):
        return Rejected(HTTPStatus.FORBIDDEN, "this origin may not connect")
    try:
        identity = bearer(headers.get_all("Authorization"), authenticator)
    except Refused as exc:
        return Rejected(HTTPStatus.UNAUTHORIZED, exc.detail)
    if path is not Path.GATEWAY:
        return Admitted(path, identity)
    if identity is None:
        return Rejected(HTTPStatus.UNAUTHORIZED, "a gateway must bring its token in the handshake")
    if Role.GATEWAY not in identity.roles:
        return Rejected(HTTPStatus.FORBIDDEN, 'the token lacks the role "gateway"')
    return Admitted(path, identity)


def _origin_allowed(headers: Headers, settings: GatewaySettings) -> bool:
    """Return False for a wrong origin; programs send none, and browsers always send one."""
    origins = headers.get_all("Origin")
    return not settings.allowed_origins or settings.allowed_origins.issuperset(origins)

"""Claims of access tokens: names, types, and signing (protocol.md).

The gateway verifies signature and times; ``read_claims`` then checks the verified payload.
"""

from collections.abc import Mapping
from typing import Annotated

import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import DomainId, Identity, Role, UserId
from sfu_wrapper.wire.validation import MAX_CLAIMED, at_most, first_error

REQUIRED = ("sub", "domain", "exp")

_Id = Annotated[str, Field(pattern=r"\A[A-Za-z0-9._@+:-]{1,128}\z")]

_LAST_SECOND = 253_402_300_799  # of the year 9999: the latest time that ISO 8601 can write
_NumericDate = Annotated[int | float, Field(ge=0, le=_LAST_SECOND)]


class Claims(BaseModel):
    """Claims of one token. Further claims belong to other services and are ignored.

    Attributes:
        sub: user id, or the name of the service.
        domain: domain of the bearer.
        exp: expiry in epoch seconds; a fraction is allowed (RFC 7519, NumericDate).
        roles: granted roles; unknown roles grant nothing. Default: the role of a user.
        domains: domains for which a gateway vouches; None: its own only.
        iat: time of issue in epoch seconds.
        aud: audience, or a list of them.
        iss: issuer.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", allow_inf_nan=False)

    sub: _Id
    domain: _Id
    exp: _NumericDate
    roles: Annotated[list[str], Field(fail_fast=True), at_most(MAX_CLAIMED)] = [Role.USER]
    domains: Annotated[list[_Id], Field(fail_fast=True), at_most(MAX_CLAIMED)] | None = None
    iat: _NumericDate | None = None
    aud: str | Annotated[list[str], Field(fail_fast=True), at_most(MAX_CLAIMED)] | None = None
    iss: str | None = None

    def identity(self) -> Identity:
        """Return the identity of the bearer."""
        known = frozenset(role for role in Role if role in self.roles)
        vouches = None if self.domains is None else frozenset(map(DomainId, self.domains))
        expires_ms = int(self.exp * 1000)
        return Identity(DomainId(self.domain), UserId(self.sub), known, expires_ms, vouches)


def read_claims(payload: Mapping[str, object]) -> Claims:
    """Return the claims of a payload whose signature and times are verified.

    Raises:
        Malformed: a claim is missing or has the wrong type; ``path`` names the first one.
    """
    try:
        return Claims.model_validate(dict(payload))
    except ValidationError as exc:
        path, _ = first_error(exc)
        raise Malformed(f"the token's claim {path} is missing or wrong", path=path) from None


def peek_claims(token: str) -> Claims:
    """Return the claims of a token of our own, without a look at its signature.

    Raises:
        Malformed: it is no token, or a claim is missing or wrong.
    """
    try:
        payload = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError as exc:
        raise Malformed(f"not a token: {exc}") from None
    return read_claims(payload)


def encode(claims: Claims, key: str | bytes, algorithm: str) -> str:
    """Sign a token.

    Args:
        claims: the claims to sign.
        key: the shared secret, or a private key as PEM.
        algorithm: JWS algorithm, such as ``HS256``.

    Raises:
        jwt.PyJWTError, ValueError, TypeError: the key does not fit the algorithm.
    """
    return jwt.encode(claims.model_dump(exclude_none=True), key, algorithm)

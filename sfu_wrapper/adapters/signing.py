"""Signatures with Ed25519 (RFC 8037): heads of audit chains, and evidence.

A signature is a JWS in its compact form; ``wire.evidence`` has the JSON form of the same. The key
id is the thumbprint of the public key (RFC 7638), so that a reader knows which of its keys to use.
PyJWT, which verifies the tokens, makes and checks the signatures. It names the algorithm EdDSA.
"""

import base64
import hashlib
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from jwt.api_jws import PyJWS
from jwt.exceptions import PyJWTError

from sfu_wrapper.model.errors import Malformed, Misconfigured
from sfu_wrapper.wire.strict_json import canonical

_ALGORITHM: Final = "EdDSA"
_MAX_KEY_BYTES: Final = 65_536
_MAKE: Final = "openssl genpkey -algorithm ed25519 -out FILE"


class Ed25519Signer:
    """Signs with a private key (``ports.recordings.Signer``).

    Args:
        key: the private key.

    Attributes:
        key_id: thumbprint of its public key.
    """

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._jws = PyJWS([_ALGORITHM])
        self.key_id = thumbprint(key.public_key())

    def sign(self, payload: bytes, type_: str) -> str:
        """See ``Signer``."""
        headers = {"kid": self.key_id, "typ": type_}
        return self._jws.encode(payload, self._key, algorithm=_ALGORITHM, headers=headers)

    @property
    def verifier(self) -> "Ed25519Verifier":
        """Verifier of these signatures."""
        return Ed25519Verifier(self._key.public_key())

    @property
    def public_pem(self) -> bytes:
        """Public key, which verifies the signatures, as PEM."""
        public = self._key.public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Ed25519Verifier:
    """Verifies signatures with a public key."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        self._jws = PyJWS([_ALGORITHM])

    def payload(self, signed: str) -> bytes:
        """Return what was signed, in the compact form.

        Raises:
            Malformed: not a JWS, or not signed with this key.
        """
        try:
            payload = self._jws.decode(signed, self._key, algorithms=[_ALGORITHM])
        except PyJWTError as error:
            raise Malformed(f"the signature does not verify with this key: {error}") from error
        assert isinstance(payload, bytes)  # noqa: S101  # not detached
        return payload


def unverified_payload(signed: str) -> bytes:
    """Return what was signed, without a look at the signature. Raises Malformed."""
    parts = signed.split(".")
    if len(parts) != 3:  # header, payload, signature
        raise Malformed("not a JWS in its compact form")
    try:
        return base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), b"-_", validate=True)
    except ValueError as error:
        raise Malformed(f"not a JWS in its compact form: {error}") from error


def load_signer(file: Path, key: str = "audit.keyFile") -> Ed25519Signer:
    """Read a private key. Raises Misconfigured, naming the configuration key."""
    try:
        private = load_pem_private_key(_read(file, key), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Misconfigured(f"{key} = {file}: not a private key in PEM: {error}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise Misconfigured(f"{key} = {file}: not an Ed25519 key; make one: {_MAKE}")
    return Ed25519Signer(private)


def load_verifier(file: Path, key: str = "--key") -> Ed25519Verifier:
    """Read a public key, or the public part of a private one. Raises Misconfigured."""
    pem = _read(file, key)
    try:
        if b"PRIVATE KEY" in pem:
            return load_signer(file, key).verifier
        public = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Misconfigured(f"{key} = {file}: not a public key in PEM: {error}") from error
    if not isinstance(public, Ed25519PublicKey):
        raise Misconfigured(f"{key} = {file}: not an Ed25519 key")
    return Ed25519Verifier(public)


def thumbprint(key: Ed25519PublicKey) -> str:
    """Return the thumbprint of a public key (RFC 7638)."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    members = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(raw)}
    return _base64url(hashlib.sha256(canonical(members)).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _read(file: Path, key: str) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise Misconfigured(f"{key} = {file}: cannot be read: {error.strerror}") from error

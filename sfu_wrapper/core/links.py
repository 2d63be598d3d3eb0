"""Signed links: addresses of one file that work without a token until they expire. Pure.

A link carries the id of its key, its expiry and a signature: HMAC-SHA256 over recording, file name,
expiry and key id. The first key signs, every key verifies: a new key is put in front of the old
one, and links of the old one end once that is removed. Source: recording-index.md, "Links".
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.model.recording import RecordingKey

MAX_SECONDS: Final = 86_400
SHORTEST_SECRET: Final = 32  # characters
_VERSION: Final = "sfu-wrapper-link-1"
_ID_DIGITS: Final = 8


@dataclass(frozen=True, slots=True)
class LinkKey:
    """Secret that signs links, with the public id that links name."""

    id: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """Content of a link.

    Attributes:
        recording: address of the recording.
        name: public name of the file.
        expires_s: epoch s; it works before that time.
        key: id of the key that signed it.
        signature: base64url without padding.
    """

    recording: RecordingKey
    name: str
    expires_s: int
    key: str
    signature: str


def link_key(secret: str) -> LinkKey:
    """Return the key of a secret; its id is a digest, so that rotation needs no further name."""
    digest = hashlib.sha256(f"{_VERSION} key id\0{secret}".encode()).hexdigest()
    return LinkKey(digest[:_ID_DIGITS], secret.encode())


def signed_link(keys: Sequence[LinkKey], key: RecordingKey, name: str, expires_s: int) -> Link:
    """Return a link that the first key signs."""
    return Link(key, name, expires_s, keys[0].id, _signature(keys[0], key, name, expires_s))


def is_genuine(keys: Sequence[LinkKey], link: Link) -> bool:
    """Return True if one of the keys signed the link. The comparison takes constant time."""
    return any(
        key.id == link.key
        and hmac.compare_digest(
            _signature(key, link.recording, link.name, link.expires_s).encode(),
            link.signature.encode(),
        )
        for key in keys
    )


def _signature(key: LinkKey, recording: RecordingKey, name: str, expires_s: int) -> str:
    fields = (_VERSION, key.id, str(expires_s), recording.uuid, str(recording.segment), name)
    signed = "".join(f"{len(field)}:{field}" for field in fields)  # none runs into the next
    digest = hmac.digest(key.secret, signed.encode(errors="surrogateescape"), "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode()

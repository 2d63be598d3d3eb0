"""Rules of webhooks: signatures, retries, and which addresses may be requested.

The form is that of Standard Webhooks (webhooks.md, "Requests", "Deliveries", "Addresses").
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

RETRY_AFTER_S: Final = (
    5,
    5 * 60,
    30 * 60,
    2 * 3600,
    5 * 3600,
    10 * 3600,
    14 * 3600,
    20 * 3600,
    24 * 3600,
)
GONE: Final = 410
SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # not a secret
SECRET_BYTES: Final = range(24, 65)
MAX_URL_LENGTH: Final = 2048
_PORTS: Final = {"http": 80, "https": 443}

Address = IPv4Address | IPv6Address


class EventType(StrEnum):
    """Type of an event (webhooks.md, "Types")."""

    STARTED = "recording.started"
    STOPPED = "recording.stopped"
    READY = "recording.ready"
    FAILED = "recording.failed"
    DELETED = "recording.deleted"
    MISSED = "recording.missed"
    ENDED = "room.ended"


def retry_after_s(attempts: int) -> int | None:
    """Return the time in s until the next attempt after so many; None: give up."""
    return RETRY_AFTER_S[attempts - 1] if attempts <= len(RETRY_AFTER_S) else None


def is_accepted(status: int) -> bool:
    """Return True for a status that counts as delivered."""
    return 200 <= status <= 299


def new_secret(random: bytes) -> str:
    """Return a secret made of random bytes."""
    return SECRET_PREFIX + base64.b64encode(random).decode()


def decode_secret(secret: str) -> bytes:
    """Return the key of a secret.

    Raises:
        ValueError: not ``whsec_`` and the Base64 of 24 to 64 bytes.
    """
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("must be whsec_ and Base64") from error
    if not secret.startswith(SECRET_PREFIX) or len(key) not in SECRET_BYTES:
        raise ValueError("must be whsec_ and the Base64 of 24 to 64 bytes")
    return key


def signature(secrets: Iterable[str], id_: str, timestamp_s: int, body: bytes) -> str:
    """Return the header ``webhook-signature``, with one signature for each secret."""
    content = f"{id_}.{timestamp_s}.".encode() + body
    return " ".join(
        "v1,"
        + base64.b64encode(hmac.digest(decode_secret(secret), content, hashlib.sha256)).decode()
        for secret in secrets
    )


def signed_headers(
    secrets: Iterable[str], id_: str, timestamp_s: int, body: bytes
) -> dict[str, str]:
    """Return the headers of an attempt.

    Args:
        secrets: ``whsec_…``, all of which sign.
        id_: id of the delivery.
        timestamp_s: epoch s of the attempt.
        body: body of the request.
    """
    return {
        "content-type": "application/json",
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": signature(secrets, id_, timestamp_s, body),
    }


def request_body(type_: str, at_ms: int, data: bytes) -> bytes:
    """Return the body of a request; the same for each attempt.

    Args:
        type_: type of the event.
        at_ms: epoch ms of the event.
        data: UTF-8 JSON object.
    """
    at = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    head = json.dumps({"type": type_, "timestamp": at.replace("+00:00", "Z")})
    return head[:-1].encode() + b', "data": ' + data + b"}"


@dataclass(frozen=True, slots=True)
class Target:
    """Address of an endpoint, taken apart.

    Attributes:
        tls: True for https.
        host: name or address to resolve, without brackets.
        port: port.
        authority: value of the header ``Host``.
        path: path and query.
    """

    tls: bool
    host: str
    port: int
    authority: str
    path: str


def parse_target(url: str) -> Target:
    """Take the address of an endpoint apart.

    Raises:
        ValueError: not an http or https address, or one with user, password or fragment.
    """
    if len(url) > MAX_URL_LENGTH or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"must be an address of at most {MAX_URL_LENGTH} ASCII characters")
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("must be http://<host>/… or https://<host>/…")
    if "@" in parts.netloc or "#" in url:
        raise ValueError("must have no user, password or fragment")
    port = _PORTS[parts.scheme] if parts.port is None else parts.port
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme == "https", parts.hostname, port, parts.netloc, path)


_GLOBAL_6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_REFUSED_6 = tuple(
    IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")  # special, documentation,
    # and 6to4, whose addresses lead to any IPv4 address
)
_REFUSED_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)


def is_public(address: str) -> bool:
    """Return True if an address is one of the public Internet.

    Private, loopback, link-local, shared (CGNAT), unique local, multicast, reserved and
    documentation addresses are not, and neither is one that holds such an IPv4 address. Anything
    that is no address is not public.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return _is_public(found)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_4)
    if address.ipv4_mapped is not None:
        return _is_public(address.ipv4_mapped)
    if address in _NAT64:
        return _is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _GLOBAL_6 and not any(address in network for network in _REFUSED_6)

"""Frames between the controller and a gateway with many clients (protocol.md, "Gateway frames").

Reads and writes frames; the message inside a ``message`` frame is parsed by ``wire.envelope``.
The second part is the side of the gateway, for clients that share a connection.
"""

import re
from dataclasses import dataclass
from typing import Any, Final, TypedDict, TypeGuard

from sfu_wrapper.model.errors import Code, Malformed
from sfu_wrapper.model.identity import DomainId, Identity, UserId
from sfu_wrapper.wire.strict_json import Ambiguous, dump, iso, parse_strict
from sfu_wrapper.wire.validation import MAX_ROLES

_SOCKET_ID = re.compile(r"[\x20-\x7e]{1,128}")
_MESSAGE = re.compile(
    r'\{\s{0,8}"type"\s{0,8}:\s{0,8}"message"\s{0,8},\s{0,8}"socketId"\s{0,8}:\s{0,8}'
    r'"([\x20\x21\x23-\x5b\x5d-\x7e]{1,128})"\s{0,8},\s{0,8}"data"\s{0,8}:\s{0,8}"'
)
_NAME = re.compile(r"[A-Za-z0-9._@+:-]{1,128}")


@dataclass(frozen=True, slots=True)
class Vouched:
    """Identity of a client as stated by the gateway; ``roles`` are requested, not granted."""

    user: UserId
    domain: DomainId
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Connect:
    """A client has connected; without ``user`` it has to authenticate itself."""

    socket_id: str
    user: Vouched | None


@dataclass(frozen=True, slots=True)
class Carry:
    """A message of a client, as JSON text."""

    socket_id: str
    data: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """A client has disconnected."""

    socket_id: str


@dataclass(frozen=True, slots=True)
class Renew:
    """The gateway renews its own token."""

    token: str


Frame = Connect | Carry | Disconnect | Renew


class UnreadableFrame(Malformed):
    """A frame that could not be read; ``socket_id`` is set if at least that was readable."""

    def __init__(self, detail: str, socket_id: str | None = None) -> None:
        super().__init__(detail)
        self.socket_id = socket_id


def peek_message(text: str) -> str | None:
    """Return the socketId of a ``message`` frame that has it first, without parsing; else None."""
    found = _MESSAGE.match(text)
    return found[1] if found else None


def parse_frame(text: str | bytes) -> Frame:
    """Read one frame of a gateway. Raises UnreadableFrame."""
    try:
        frame = parse_strict(text)
    except Ambiguous as exc:
        raise UnreadableFrame(exc.detail, _socket_id(exc.value)) from exc
    except Malformed as exc:
        raise UnreadableFrame(exc.detail) from exc
    match frame:
        case {"type": "authenticate", "token": str(token)}:
            return Renew(token)
        case {"type": "authenticate"}:
            raise UnreadableFrame("token must be a text", _socket_id(frame))
    socket_id = _socket_id(frame)
    if socket_id is None:
        raise UnreadableFrame("socketId must be 1 to 128 printable ASCII characters")
    match frame:
        case {"type": "message", "data": str(data)}:
            return Carry(socket_id, data)
        case {"type": "connect", "user": user}:
            return Connect(socket_id, _vouched(user, socket_id))
        case {"type": "connect"}:
            return Connect(socket_id, None)
        case {"type": "disconnect"}:
            return Disconnect(socket_id)
        case {"type": "message"}:
            raise UnreadableFrame("data must be a message as JSON text", socket_id)
    raise UnreadableFrame("type must be connect, message, disconnect or authenticate", socket_id)


def _vouched(user: object, socket_id: str) -> Vouched:
    match user:
        case {"id": str(name), "domain": str(domain), **rest} if _NAME.fullmatch(
            name
        ) and _NAME.fullmatch(domain):
            roles = rest.get("roles", [])
            if _are_roles(roles):
                return Vouched(UserId(name), DomainId(domain), tuple(roles))
            detail = f"user.roles must be a list of at most {MAX_ROLES} texts"
            raise UnreadableFrame(detail, socket_id)
    raise UnreadableFrame("user must have an id and a domain", socket_id)


def _are_roles(roles: object) -> TypeGuard[list[str]]:
    if not isinstance(roles, list) or len(roles) > MAX_ROLES:
        return False
    return all(isinstance(role, str) for role in roles)


def _socket_id(frame: object) -> str | None:
    match frame:
        case {"socketId": str(socket_id)} if _SOCKET_ID.fullmatch(socket_id):
            return socket_id
    return None


def message_frame(socket_id: str, message: bytes) -> bytes:
    """Return a frame with one message (UTF-8 JSON) for one client."""
    return dump({"type": "message", "socketId": socket_id, "data": message.decode()})


def close_frame(socket_id: str, code: int, reason: str) -> bytes:
    """Return a frame that ends a client, with a WebSocket close code."""
    return dump({"type": "close", "socketId": socket_id, "code": code, "reason": reason})


def authenticated_frame(identity: Identity) -> bytes:
    """Return a frame that confirms the new token of a gateway."""
    bearer = {"user": identity.user, "domain": identity.domain}
    until = None if identity.expires_ms is None else iso(identity.expires_ms)
    return dump({"type": "authenticated", **bearer, "expiresAt": until})


def error_frame(message: str, socket_id: str | None, code: Code = Code.BAD_REQUEST) -> bytes:
    """Return a frame that refuses a frame which could not be read or handled."""
    error = {"type": "error", "code": code, "message": message}
    return dump(error if socket_id is None else error | {"socketId": socket_id})


@dataclass(frozen=True, slots=True)
class Closing:
    """The controller ends a client, with a WebSocket close code."""

    socket_id: str
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Fault:
    """The controller refuses a frame; without ``socket_id`` it is about the gateway itself."""

    code: str
    message: str
    socket_id: str | None


def connect_frame(socket_id: str, user: Vouched) -> str:
    """Return a frame that connects a client for which the gateway vouches."""
    identity = {"id": user.user, "domain": user.domain, "roles": list(user.roles)}
    return dump({"type": "connect", "socketId": socket_id, "user": identity}).decode()


def disconnect_frame(socket_id: str) -> str:
    """Return a frame that disconnects a client."""
    return dump({"type": "disconnect", "socketId": socket_id}).decode()


def renewal_frame(token: str) -> str:
    """Return a frame with another token of the gateway."""
    return dump({"type": "authenticate", "token": token}).decode()


def read_at_gateway(text: str | bytes) -> Carry | Closing | Fault | None:
    """Read a frame of the controller; None for types that need no action. Raises Malformed."""
    match parse_strict(text):
        case {"type": "message", "socketId": str(socket_id), "data": str(data)}:
            return Carry(socket_id, data)
        case {"type": "close", "socketId": str(socket_id), "code": int(code), **rest}:
            return Closing(socket_id, code, str(rest.get("reason", "")))
        case {"type": "error", "code": str(error), "message": str(message), **rest}:
            about = rest.get("socketId")
            return Fault(error, message, about if isinstance(about, str) else None)
        case {"type": str(kind)} if kind not in ("message", "close", "error"):
            return None
    raise Malformed("not a frame of the controller")


Json = dict[str, Any]
_TEXT: Final[Json] = {"type": "string"}
_SOCKET_ID_SCHEMA: Final[Json] = {"type": "string", "pattern": r"^[\x20-\x7e]{1,128}$"}
_DATA: Final[Json] = {"type": "string", "contentMediaType": "application/json"}
_USER: Final[Json] = {
    "type": "object",
    "required": ["id", "domain"],
    "properties": {
        "id": _TEXT,
        "domain": _TEXT,
        "roles": {"type": "array", "items": _TEXT, "maxItems": 64},
    },
}


class FrameSchema(TypedDict):
    """A frame of a gateway: who sends it, what it is for, its fields and which must be there."""

    sent: bool
    summary: str
    fields: Json
    required: list[str]


FRAMES: Final[dict[str, FrameSchema]] = {
    "connect": {
        "sent": False,
        "summary": "A client has connected; without user it has to authenticate itself.",
        "fields": {"socketId": _SOCKET_ID_SCHEMA, "user": _USER},
        "required": ["socketId"],
    },
    "message": {
        "sent": False,
        "summary": "A message of a client, as JSON text; also to a client.",
        "fields": {"socketId": _SOCKET_ID_SCHEMA, "data": _DATA},
        "required": ["socketId", "data"],
    },
    "disconnect": {
        "sent": False,
        "summary": "A client has disconnected.",
        "fields": {"socketId": _SOCKET_ID_SCHEMA},
        "required": ["socketId"],
    },
    "authenticate": {
        "sent": False,
        "summary": "Another token of the same gateway.",
        "fields": {"token": _TEXT},
        "required": ["token"],
    },
    "authenticated": {
        "sent": True,
        "summary": "That token counts from now on.",
        "fields": {
            "user": _TEXT,
            "domain": _TEXT,
            "expiresAt": {"type": ["string", "null"], "format": "date-time"},
        },
        "required": ["user", "domain", "expiresAt"],
    },
    "close": {
        "sent": True,
        "summary": "A client is ended, with a WebSocket close code.",
        "fields": {"socketId": _SOCKET_ID_SCHEMA, "code": {"type": "integer"}, "reason": _TEXT},
        "required": ["socketId", "code", "reason"],
    },
    "error": {
        "sent": True,
        "summary": "A frame could not be read; without socketId it is about the gateway itself.",
        "fields": {"code": _TEXT, "message": _TEXT, "socketId": _SOCKET_ID_SCHEMA},
        "required": ["code", "message"],
    },
}
"""The frames, for asyncapi.md."""

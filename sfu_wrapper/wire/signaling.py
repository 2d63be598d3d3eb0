"""The messages of the WebSocket protocol (protocol.md, "Messages" and "Endpoints").

Decides what a readable request is: its envelope, its endpoint, the types of its payload. Whether
the requester may ask it, and whether its fields go together, is for the rooms to decide.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

from sfu_wrapper.model.errors import Code, RecordingError
from sfu_wrapper.model.room import Kind, Origin
from sfu_wrapper.wire.strictjson import Ambiguous, canonical, dump, parse_strict

_MAX_ECHO = 256  # characters of an id or endpoint that an error repeats to its sender
_REQUEST_ID = re.compile(r"[\x20-\x7e]{1,128}")


NAME_PATTERN = r"\A[A-Za-z0-9._@+:-]{1,128}\z"
_FILE_NAME = r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,63}\z"

# What a person is told where the library's own words would not help.
_SAID = {
    "missing": "is missing",
    "tuple_type": "must be a list",
    "model_type": "must be an object",
    "extra_forbidden": "is not known here",
    "null": "may be left out, but not be null",
    NAME_PATTERN: "must be 1 to 128 characters of A-Z a-z 0-9 . _ @ + : -",
    _FILE_NAME: "must be 1 to 64 characters of A-Z a-z 0-9 . _ -, the first none of . and -",
}


def _given(value: object) -> object:
    if value is None:
        raise PydanticCustomError("null", "null")
    return value


_T = TypeVar("_T")
_Model = TypeVar("_Model", bound=BaseModel)
_Maybe = Annotated[_T | None, BeforeValidator(_given)]
_Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
_FileName = Annotated[str, StringConstraints(pattern=_FILE_NAME)]
_Cursor = Annotated[str, StringConstraints(min_length=1, max_length=256)]
_Names = Annotated[tuple[_Name, ...], Field(strict=False)]  # JSON has lists only
_Kind = Annotated[Kind, Field(strict=False)]  # by its wire name
_Origin = Annotated[Origin, Field(strict=False)]
Topic = Literal["rooms", "recordings"]
ROOMS: Topic = "rooms"
RECORDINGS: Topic = "recordings"
_Topics = Annotated[tuple[Topic, ...], Field(strict=False, min_length=1)]


class _Payload(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", alias_generator=to_camel)


class MediaFlags(_Payload):
    """What a participant publishes; what is left out it does not."""

    audio: bool = False
    video: bool = False
    screen: bool = False


class Authenticate(_Payload):
    """Who this connection is from now on."""

    token: Annotated[str, StringConstraints(min_length=1)]


class CreateRoom(_Payload):
    """A new room. ``owner`` and ``domain`` are for the room service."""

    id: _Maybe[_Name] = None
    uuid: _Maybe[_FileName] = None
    kind: _Kind = Kind.DIRECT
    owner: _Maybe[_Name] = None
    domain: _Maybe[_Name] = None
    record: _Maybe[bool] = None
    origin: _Origin = Origin.INTERNAL
    confbridge_id: _Maybe[_FileName] = None
    invited: _Maybe[_Names] = None


class _InRoom(_Payload):
    """``room`` left out: the one that the requester is in."""

    room: _Maybe[_Name] = None


class InviteToRoom(_InRoom):
    """More users who may join."""

    users: _Names


class JoinRoom(_Payload):
    """The requester joins, or the room service lets ``user`` join."""

    room: _Name
    user: _Maybe[_Name] = None
    media: _Maybe[MediaFlags] = None


class UpdateMedia(_InRoom):
    """All that the participant publishes from now on."""

    user: _Maybe[_Name] = None
    media: MediaFlags


class LeaveRoom(_InRoom):
    """The requester leaves, or the room service takes ``user`` out."""

    user: _Maybe[_Name] = None


class EndRoom(_InRoom):
    """The call is over for everybody."""


class StartRoomRecording(_InRoom):
    """The next segment, please."""


class StopRoomRecording(_InRoom):
    """No further recording, please."""


class GetRoom(_InRoom):
    """All about one room."""


class ListRooms(_Payload):
    """A page of rooms; ``after`` is the ``next`` of the page before."""

    limit: _Maybe[Annotated[int, Field(ge=1, le=1000)]] = None
    after: _Maybe[_Cursor] = None
    state: _Maybe[Literal["waiting", "established", "ended"]] = None


class Watch(_Payload):
    """The present state of the topics, then every change."""

    topics: _Topics


class Unwatch(_Payload):
    """No more changes of these topics, or of any."""

    topics: _Maybe[_Topics] = None


class Ping(_Payload):
    """Is anybody there?"""


Payload = (
    Authenticate
    | CreateRoom
    | InviteToRoom
    | JoinRoom
    | UpdateMedia
    | LeaveRoom
    | EndRoom
    | StartRoomRecording
    | StopRoomRecording
    | GetRoom
    | ListRooms
    | Watch
    | Unwatch
    | Ping
)

_ENDPOINTS: dict[str, type[Payload]] = {
    "authenticate": Authenticate,
    "createRoom": CreateRoom,
    "inviteToRoom": InviteToRoom,
    "joinRoom": JoinRoom,
    "updateMedia": UpdateMedia,
    "leaveRoom": LeaveRoom,
    "endRoom": EndRoom,
    "startRoomRecording": StartRoomRecording,
    "stopRoomRecording": StopRoomRecording,
    "getRoom": GetRoom,
    "listRooms": ListRooms,
    "watch": Watch,
    "unwatch": Unwatch,
    "ping": Ping,
}


@dataclass(frozen=True, slots=True)
class Request:
    """One readable request.

    digest: of the payload as it was sent, whatever the order of its keys; tells a repeat from
        another request under the same id.
    """

    endpoint: str
    id: str
    payload: Payload
    digest: bytes


class Unanswerable(RecordingError):
    """A message that is no request, with what can be said about it to its sender.

    code: BAD_REQUEST or UNKNOWN_ENDPOINT.
    endpoint, id: as sent, None where they could not be read.
    path (in ``context``): the first wrong field, counted from the request itself, such as
        ``payload.media.audio`` or ``id``.
    """

    def __init__(
        self, code: Code, detail: str, path: str, endpoint: str | None, request_id: str | None
    ) -> None:
        super().__init__(detail, **({"path": path} if path else {}))
        self.code = code
        self.endpoint = endpoint
        self.id = request_id


@dataclass(frozen=True, slots=True)
class Envelope:
    """A request whose payload has not been looked at. frame: all of it, for errors to echo."""

    endpoint: str
    id: str
    payload: dict[str, object]
    frame: object


def parse_request(message: str | bytes) -> Request:
    """Read one message of a client.

    Raises:
        NotJson: it is no JSON; over a socket of its own, the client is to be closed with 1007.
        Unanswerable: it is no request; to be answered with an error.
    """
    envelope = open_envelope(message)
    payload = read_payload(_ENDPOINTS, envelope)
    return Request(envelope.endpoint, envelope.id, payload, _digest(envelope.payload))


def open_envelope(message: str | bytes) -> Envelope:
    """Read what is around a payload. Raises NotJson, Unanswerable."""
    try:
        frame = parse_strict(message)
    except Ambiguous as exc:
        raise _bad_request(exc.detail, "", exc.value) from exc
    if not isinstance(frame, dict) or frame.get("type") != "request":
        raise _bad_request("a message of type request is expected", "type", frame)
    match frame.get("payload"):
        case {"endpoint": str(endpoint), "id": str(request_id), "payload": dict(payload)}:
            if not _REQUEST_ID.fullmatch(request_id):
                detail = "id must be 1 to 128 printable ASCII characters"
                raise _bad_request(detail, "id", frame)
            return Envelope(endpoint, request_id, payload, frame)
        case inner:
            path = _first_wrong(inner)
            raise _bad_request(f"{path} is missing or of a wrong type", path, frame)


def read_payload(endpoints: Mapping[str, type[_Model]], envelope: Envelope) -> _Model:
    """Read what is inside, as its endpoint wants it. Raises Unanswerable."""
    model = endpoints.get(envelope.endpoint)
    if model is None:
        raise Unanswerable(
            Code.UNKNOWN_ENDPOINT, "there is no such endpoint", "endpoint", *_echo(envelope.frame)
        )
    try:
        return model.model_validate(envelope.payload)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        path = ".".join(("payload", *map(str, first["loc"])))
        raise _bad_request(f"{path} {_explain(first)}", path, envelope.frame) from None


def _explain(error: ErrorDetails) -> str:
    pattern = error.get("ctx", {}).get("pattern")
    return _SAID.get(pattern or error["type"]) or f"is wrong: {error['msg']}"


def _digest(payload: dict[str, object]) -> bytes:
    return hashlib.blake2b(canonical(payload), digest_size=16).digest()


def _first_wrong(inner: object) -> str:
    """The first field of a request object that has not the type it must have."""
    if not isinstance(inner, dict):
        return "payload"
    kinds = (("endpoint", str), ("id", str), ("payload", dict))
    return next(field for field, kind in kinds if not isinstance(inner.get(field), kind))


def _bad_request(detail: str, path: str, frame: object) -> Unanswerable:
    return Unanswerable(Code.BAD_REQUEST, detail, path, *_echo(frame))


def _echo(frame: object) -> tuple[str | None, str | None]:
    """Endpoint and id as far as they can be read and repeated."""
    match frame:
        case {"payload": dict(inner)}:
            return _repeatable(inner.get("endpoint")), _repeatable(inner.get("id"))
    return None, None


def _repeatable(value: object) -> str | None:
    if not isinstance(value, str) or len(value) > _MAX_ECHO:
        return None
    return value if value.isprintable() else None


def ok_response(endpoint: str, request_id: str, payload: Mapping[str, object]) -> bytes:
    """Write the answer to a request that was carried out."""
    body = {"endpoint": endpoint, "id": request_id, "status": "ok", "payload": payload}
    return dump({"type": "response", "payload": body})


def error_response(
    endpoint: str | None,
    request_id: str | None,
    code: str,
    message: str,
    details: Mapping[str, object],
) -> bytes:
    """Write the answer to a request that was not; None for what could not be read of it."""
    error = {"code": code, "message": message, "details": details}
    body = {"endpoint": endpoint, "id": request_id, "status": "error", "error": error}
    return dump({"type": "response", "payload": body})


def event(name: str, payload: Mapping[str, object]) -> bytes:
    """Write an event to clients."""
    return dump({"type": "event", "payload": {"event": name, "payload": payload}})

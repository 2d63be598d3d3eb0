"""The endpoints of the WebSocket protocol and their payloads (protocol.md, "Endpoints").

Decides what a readable payload is. The envelope around it is read by ``wire.envelope``. Whether
the requester may ask it, and whether its fields go together, is for the rooms to decide.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from sfu_wrapper.model.room import Kind, Origin
from sfu_wrapper.wire.envelope import (
    AUTHENTICATE,
    FILE_NAME_PATTERN,
    NAME_PATTERN,
    Envelope,
    model_of,
    open_envelope,
    read_payload,
)
from sfu_wrapper.wire.strict_json import canonical, dump
from sfu_wrapper.wire.validation import MAX_ITEMS, MAX_TOPICS, at_most


def _given(value: object) -> object:
    if value is None:
        raise PydanticCustomError("null", "null")
    return value


_T = TypeVar("_T")
_Maybe = Annotated[_T | None, BeforeValidator(_given)]
_Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
_FileName = Annotated[str, StringConstraints(pattern=FILE_NAME_PATTERN)]
_Cursor = Annotated[str, StringConstraints(min_length=1, max_length=256)]
_Names = Annotated[  # not strict: JSON has lists only
    tuple[_Name, ...], Field(strict=False, fail_fast=True), at_most(MAX_ITEMS)
]
_Kind = Annotated[Kind, Field(strict=False)]  # by its wire name
_Origin = Annotated[Origin, Field(strict=False)]
Topic = Literal["rooms", "recordings"]
ROOMS: Topic = "rooms"
RECORDINGS: Topic = "recordings"
_Topics = Annotated[
    tuple[Topic, ...], Field(strict=False, fail_fast=True, min_length=1), at_most(MAX_TOPICS)
]


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
    """``room`` left out: the one that the requester is in.

    domain: of the room; left out: the requester's own.
    """

    room: _Maybe[_Name] = None
    domain: _Maybe[_Name] = None


class InviteToRoom(_InRoom):
    """More users who may join."""

    users: _Names


class JoinRoom(_Payload):
    """The requester joins, or the room service lets ``user`` join."""

    room: _Name
    domain: _Maybe[_Name] = None
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
    AUTHENTICATE: Authenticate,
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


def parse_request(message: str) -> Request:
    """Read one message of a client.

    Raises:
        NotJson: it is no JSON; over a socket of its own, the client is to be closed with 1007.
        Unanswerable: it is no request; to be answered with an error.
    """
    return read_request(open_envelope(message))


def require_endpoint(envelope: Envelope) -> None:
    """Refuse an endpoint that is not served here. Raises Unanswerable: UNKNOWN_ENDPOINT."""
    model_of(_ENDPOINTS, envelope)


def read_request(envelope: Envelope) -> Request:
    """Read the payload of a request. Raises Unanswerable."""
    payload = read_payload(model_of(_ENDPOINTS, envelope), envelope)
    return Request(envelope.endpoint, envelope.id, payload, _digest(envelope.payload))


def _digest(payload: dict[str, object]) -> bytes:
    return hashlib.blake2b(canonical(payload), digest_size=16).digest()


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


def is_event(message: bytes) -> bool:
    """Return True for what ``event`` has written, False for a response."""
    return message.startswith(b'{"type":"event",')

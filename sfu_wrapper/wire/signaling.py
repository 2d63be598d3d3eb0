"""The endpoints of the WebSocket protocol and their payloads (protocol.md, "Endpoints").

Enters: a message whose envelope ``wire.envelope`` has read. Leaves: a typed payload, or
Unanswerable with the first wrong field; and for a payload that changes a room, the event that the
room applies (``event_of``). The rooms check permissions and the combination of fields.
"""

import hashlib
from collections.abc import Callable, Mapping
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

from sfu_wrapper.core.events import (
    EndRequested,
    Event,
    InviteRequested,
    JoinRequested,
    LeaveRequested,
    MediaRequested,
    Requester,
    StartRequested,
    StopRequested,
)
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import Kind, Origin, OwnerPermissions, UserId, UserKey
from sfu_wrapper.model.media import Media
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.model.trace import TraceContext
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
    """The media that a participant publishes; absent fields mean false."""

    audio: bool = False
    video: bool = False
    screen: bool = False


class Authenticate(_Payload):
    """Authenticate this connection with a token."""

    token: Annotated[str, StringConstraints(min_length=1)]


class CreateRoom(_Payload):
    """Create a room. Only the room service may set ``owner`` and ``domain``."""

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
    """Base of payloads about one room.

    Attributes:
        room: room id; default: the room that the requester is in.
        domain: domain of the room; default: the requester's own.
    """

    room: _Maybe[_Name] = None
    domain: _Maybe[_Name] = None


class InviteToRoom(_InRoom):
    """Add users who may join."""

    users: _Names


class JoinRoom(_Payload):
    """Join a room; the room service joins on behalf of ``user``.

    ``check``: join nobody, answer if it would be possible.
    """

    room: _Name
    domain: _Maybe[_Name] = None
    user: _Maybe[_Name] = None
    media: _Maybe[MediaFlags] = None
    check: bool = False


class UpdateMedia(_InRoom):
    """Replace the set of media that the participant publishes."""

    user: _Maybe[_Name] = None
    media: MediaFlags


class LeaveRoom(_InRoom):
    """Leave a room; the room service removes ``user``."""

    user: _Maybe[_Name] = None


class EndRoom(_InRoom):
    """End the call for all participants."""


class StartRoomRecording(_InRoom):
    """Start the next segment."""


class StopRoomRecording(_InRoom):
    """Stop recording; with ``resumeAfterSeconds``, pause it."""

    resume_after_seconds: _Maybe[Annotated[int, Field(ge=1, le=3600)]] = None


class GetRoom(_InRoom):
    """Get the state of one room."""


class ListRooms(_Payload):
    """List rooms; ``after`` is the ``next`` of the previous page."""

    limit: _Maybe[Annotated[int, Field(ge=1, le=1000)]] = None
    after: _Maybe[_Cursor] = None
    state: _Maybe[Literal["waiting", "established", "ended"]] = None


class Watch(_Payload):
    """Get the current state of the topics, then an event for each change."""

    topics: _Topics


class Unwatch(_Payload):
    """End the events about these topics; default: all topics."""

    topics: _Maybe[_Topics] = None


class Ping(_Payload):
    """Check that the controller responds."""


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

ENDPOINTS: dict[str, type[Payload]] = {
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
    """A valid request.

    Attributes:
        endpoint: its name.
        id: request id, the key of idempotency together with the sender.
        payload: the validated payload.
        digest: hash of the payload as sent, independent of the order of its keys; distinguishes a
            repeat from another request with the same id.
        trace: trace context of the sender; None: it sent none, or an invalid one.
    """

    endpoint: str
    id: str
    payload: Payload
    digest: bytes
    trace: TraceContext | None = None


def parse_request(message: str) -> Request:
    """Read one message of a client.

    Raises:
        NotJson: the message is not JSON; the caller closes a client's own socket with 1007.
        Unanswerable: not a valid request; the caller sends the error response.
    """
    return read_request(open_envelope(message))


def require_endpoint(envelope: Envelope) -> None:
    """Require a known endpoint. Raises Unanswerable: UNKNOWN_ENDPOINT."""
    model_of(ENDPOINTS, envelope)


def read_request(envelope: Envelope) -> Request:
    """Validate the payload of a request. Raises Unanswerable."""
    payload = read_payload(model_of(ENDPOINTS, envelope), envelope)
    return Request(
        envelope.endpoint, envelope.id, payload, _digest(envelope.payload), envelope.trace
    )


def _digest(payload: dict[str, object]) -> bytes:
    return hashlib.blake2b(canonical(payload), digest_size=16).digest()


def joins_itself(payload: Payload, by: Requester) -> bool:
    """Return True for a joinRoom by which the requester itself joins."""
    return isinstance(payload, JoinRoom) and payload.user in (None, by.key.user)


def event_of(
    payload: Payload,
    ref: str,
    by: Requester,
    permissions: Callable[[Room], OwnerPermissions],
) -> Callable[[Room, Instant], Event]:
    """Return a function that builds the event of a request, called when the room applies it.

    Args:
        payload: payload of the request.
        ref: reference of the request, for its answer.
        by: the requester.
        permissions: returns the stored permissions of the room's owner, at that moment.

    Raises:
        Refused: UNKNOWN_ENDPOINT: the request changes no room.
    """
    match payload:
        case JoinRoom(user=user, media=media):
            return lambda room, at: JoinRequested(
                at, ref, by, _user(room, by, user), _media(media), permissions(room)
            )
        case UpdateMedia(user=user, media=flags):
            return lambda room, at: MediaRequested(
                at, ref, by, _user(room, by, user), Media(flags.audio, flags.video, flags.screen)
            )
        case InviteToRoom(users=users):
            invited = tuple(UserId(each) for each in users)
            return lambda _, at: InviteRequested(at, ref, by, invited)
        case LeaveRoom(user=user):
            return lambda room, at: LeaveRequested(at, ref, by, _user(room, by, user))
        case EndRoom():
            return lambda _, at: EndRequested(at, ref, by)
        case StartRoomRecording():
            return lambda room, at: StartRequested(at, ref, by, permissions(room))
        case StopRoomRecording(resume_after_seconds=pause_s):
            pause_ms = None if pause_s is None else 1000 * pause_s
            return lambda _, at: StopRequested(at, ref, by, pause_ms)
        case _:
            raise Refused(Code.UNKNOWN_ENDPOINT, "this endpoint is not served here")


def _user(room: Room, by: Requester, named: str | None) -> UserKey:
    """Return the user that the request is about: the requester, or a user of its domain."""
    if named is None:
        return by.key
    return UserKey(room.domain if by.service else by.key.domain, UserId(named))


def _media(flags: MediaFlags | None) -> Media | None:
    return None if flags is None else Media(flags.audio, flags.video, flags.screen)


def ok_response(endpoint: str, request_id: str, payload: Mapping[str, object]) -> bytes:
    """Return the response to a request that succeeded."""
    body = {"endpoint": endpoint, "id": request_id, "status": "ok", "payload": payload}
    return dump({"type": "response", "payload": body})


def error_response(
    endpoint: str | None,
    request_id: str | None,
    code: str,
    message: str,
    details: Mapping[str, object],
) -> bytes:
    """Return the response to a request that failed; None for fields that could not be read."""
    error = {"code": code, "message": message, "details": details}
    body = {"endpoint": endpoint, "id": request_id, "status": "error", "error": error}
    return dump({"type": "response", "payload": body})


def event(name: str, payload: Mapping[str, object]) -> bytes:
    """Return an event for clients."""
    return dump({"type": "event", "payload": {"event": name, "payload": payload}})


def is_event(message: bytes) -> bool:
    """Return True for a message that ``event`` made, False for a response."""
    return message.startswith(b'{"type":"event",')

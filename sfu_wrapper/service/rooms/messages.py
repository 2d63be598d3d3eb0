"""Conversion between the wire and the core: requests to events, answers and announcements to bytes.

Also the conversion of announcements and rooms between the core and the store.
"""

import logging
import uuid
from collections.abc import Callable

from sfu_wrapper.core.effects import Announcement, Answer, Refusal
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
from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Code, RecordingError, Refused
from sfu_wrapper.model.identity import Identity, OwnerPermissions, Role, RoomUuid, UserId, UserKey
from sfu_wrapper.model.media import Media
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.ports.store import OutboxRow, RoomRow, Store
from sfu_wrapper.service.rooms.idempotency import RequestRef
from sfu_wrapper.wire.answers import answer_payload
from sfu_wrapper.wire.recording_info import encode_announcement
from sfu_wrapper.wire.room_state import StoredRoom
from sfu_wrapper.wire.signaling import (
    EndRoom,
    InviteToRoom,
    JoinRoom,
    LeaveRoom,
    MediaFlags,
    Payload,
    Request,
    StartRoomRecording,
    StopRoomRecording,
    UpdateMedia,
    error_response,
    ok_response,
)

Build = Callable[[Room, Instant], Event]


def requester(identity: Identity) -> Requester:
    """Return the requester of an identity, as the core expects it."""
    return Requester(identity.key, identity.is_service, Role.DOMAIN_ADMIN in identity.roles)


def joins_itself(payload: Payload, by: Requester) -> bool:
    """Return True for a joinRoom by which the requester itself joins."""
    return isinstance(payload, JoinRoom) and payload.user in (None, by.key.user)


def event_of(
    payload: Payload,
    ref: str,
    by: Requester,
    permissions: Callable[[Room], OwnerPermissions],
) -> Build:
    """Return a function that builds the event of a request, called when the actor applies it.

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


log = logging.getLogger(__name__)


def encode_answer(ref: RequestRef, answer: Answer, policy: PolicySettings) -> bytes:
    """Return the response to a request."""
    if isinstance(answer, Refusal):
        details = dict(answer.context)
        return error_response(ref.endpoint, ref.id, answer.code, answer.detail, details)
    return ok_response(ref.endpoint, ref.id, answer_payload(answer, policy))


def encode_error(request: Request, error: RecordingError) -> bytes:
    """Return the response to a request that was refused before it reached a room."""
    return error_response(request.endpoint, request.id, error.code, error.detail, error.context)


def internal_error(ref: RequestRef | Request) -> bytes:
    """Return the response after a bug of ours; it holds only an incident id, which is logged."""
    incident = uuid.uuid4().hex
    log.error("request.internalError", extra={"incident": incident, "endpoint": ref.endpoint})
    message = "something went wrong on our side"
    details = {"incident": incident}
    return error_response(ref.endpoint, ref.id, Code.INTERNAL, message, details)


def outbox_row(room: RoomUuid, announcement: Announcement, now_ms: int) -> OutboxRow:
    """Return the outbox row of an announcement, stored with the state."""
    announced = encode_announcement(announcement)
    return OutboxRow(
        room=room,
        routing_key=announced.routing_key,
        message_id=announced.message_id,
        correlation_id=announced.correlation_id,
        body=announced.body,
        created_ms=now_ms,
        mandatory=announced.mandatory,
    )


def stored_room(store: Store, row: RoomRow) -> StoredRoom:
    """Return the whole of a room as it is stored. Raises Unavailable: it cannot be read."""
    return StoredRoom(row.state, {part.name: part.state for part in store.parts(row.uuid)})

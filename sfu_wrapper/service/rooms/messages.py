"""Messages about rooms as bytes: answers to requests, announcements to the broker.

Also the conversion of announcements and rooms between the core and the store.
"""

import logging
import uuid

from sfu_wrapper.core.effects import Announcement, Answer, Refusal, RoomEnded
from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Code, RecordingError
from sfu_wrapper.model.segment import SegmentInfo
from sfu_wrapper.model.trace import TraceContext
from sfu_wrapper.ports.store import OutboxRow, RoomRow, RoomRows
from sfu_wrapper.service.rooms.idempotency import RequestRef
from sfu_wrapper.wire.answers import answer_payload
from sfu_wrapper.wire.recording_info import encode_announcement
from sfu_wrapper.wire.room_state import StoredRoom
from sfu_wrapper.wire.signaling import Request, error_response, ok_response

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


def outbox_row(room: Room, announcement: Announcement, now_ms: int) -> OutboxRow:
    """Return the outbox row of an announcement, stored with the state."""
    announced = encode_announcement(announcement)
    return OutboxRow(
        room=room.uuid,
        routing_key=announced.routing_key,
        message_id=announced.message_id,
        correlation_id=announced.correlation_id,
        body=announced.body,
        created_ms=now_ms,
        mandatory=announced.mandatory,
        trace=_trace_of(room, announcement),
    )


def _trace_of(room: Room, announcement: Announcement) -> TraceContext | None:
    """Return the trace context of the segment that an announcement is about."""
    match announcement:
        case RoomEnded():
            return None
        case SegmentInfo(segment=number):
            segment = None if number is None else room.segments.get(number)
            return None if segment is None else segment.trace
        case _:
            return announcement.segment.trace


def stored_room(store: RoomRows, row: RoomRow) -> StoredRoom:
    """Return the whole of a room as it is stored. Raises Unavailable: it cannot be read."""
    return StoredRoom(row.state, {part.name: part.state for part in store.parts(row.uuid)})

"""What the controller publishes: routing key, message id and body (events.md)."""

from dataclasses import dataclass
from typing import assert_never

from sfu_wrapper.core.effects import (
    Announcement,
    RecordingFailed,
    RecordingStarted,
    RecordingStopped,
    RoomEnded,
)
from sfu_wrapper.model.segment import SegmentInfo
from sfu_wrapper.wire.answers import note_payload
from sfu_wrapper.wire.recording_info import encode_event
from sfu_wrapper.wire.strict_json import dump

RECORDING_INFO = "recordingInfo"


@dataclass(frozen=True, slots=True)
class Announced:
    """One message to be published. mandatory: somebody must be there to take it."""

    routing_key: str
    message_id: str
    correlation_id: str
    body: bytes
    mandatory: bool


def encode_announcement(announcement: Announcement) -> Announced:
    """The message that says so; its id is the same whenever it is said again."""
    match announcement:
        case SegmentInfo(room=room, uuid=uuid, segment=segment):
            message_id = f"{uuid}:{segment}"
            return Announced(RECORDING_INFO, message_id, room, encode_event(announcement), True)
        case RoomEnded(uuid=uuid):
            return _note(announcement, f"{uuid}:roomEnded")
        case RecordingStarted() | RecordingStopped() | RecordingFailed():
            name, _ = note_payload(announcement)
            return _note(announcement, f"{announcement.uuid}:{announcement.segment.number}:{name}")
    assert_never(announcement)


def _note(
    note: RecordingStarted | RecordingStopped | RecordingFailed | RoomEnded, message_id: str
) -> Announced:
    """Clients and the broker are told the same; the broker also which room it was, ever."""
    name, payload = note_payload(note)
    return Announced(name, message_id, note.room, dump({"uuid": note.uuid} | payload), False)

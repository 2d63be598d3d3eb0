"""Events about recordings and rooms for webhooks, and the ``data`` of their deliveries.

``data`` of a recording is the object that ``GET /recordings`` lists, as of the event: without
participants, progress and expiry. That of a room names it, its owner, and why it ended. The
deliveries of one recording, or of one room, stay in order (``subject``).

Source: webhooks.md, "Types".
"""

from typing import Final

from sfu_wrapper.core.effects import Announcement, RoomEnded
from sfu_wrapper.core.room import Room
from sfu_wrapper.core.segment_report import facts_of
from sfu_wrapper.model.recording import Recording, RecordingEvent, RecordingState
from sfu_wrapper.wire.recording_rest import recording_json
from sfu_wrapper.wire.strict_json import dump, iso

ROOM_ENDED: Final = "room.ended"
_TYPES: Final[dict[RecordingState, str | None]] = {
    RecordingState.RECORDING: "recording.started",
    RecordingState.QUEUED: "recording.stopped",
    RecordingState.PROCESSING: None,
    RecordingState.READY: "recording.ready",
    RecordingState.FAILED: "recording.failed",
    RecordingState.DELETED: "recording.deleted",
}


def recording_event(recording: Recording, at_ms: int) -> RecordingEvent | None:
    """Return the event of a recording that has just reached its state; None: nobody is told.

    Args:
        recording: the recording.
        at_ms: epoch ms.
    """
    type_ = _TYPES[recording.state]
    if type_ is None:
        return None
    data = dump(recording_json(recording, None, None, listed=True))
    return RecordingEvent(type_, recording.facts.domain, str(recording.key), at_ms, data)


def announced_event(room: Room, announcement: Announcement, at_ms: int) -> RecordingEvent | None:
    """Return the event that an announcement of a room causes; None: none.

    Args:
        room: the room after the step.
        announcement: announcement of the step.
        at_ms: epoch ms.
    """
    if isinstance(announcement, RoomEnded):
        return _room_ended(room, announcement, at_ms)
    facts = facts_of(room, announcement)
    if facts is None:
        return None
    running = facts.stopped_ms is None
    state = RecordingState.RECORDING if running else RecordingState.QUEUED
    return recording_event(Recording(facts, state), at_ms)


def _room_ended(room: Room, ended: RoomEnded, at_ms: int) -> RecordingEvent:
    data = {
        "room": room.id,
        "uuid": room.uuid,
        "domain": room.domain,
        "owner": room.owner,
        "kind": room.kind,
        "origin": room.origin,
        "endedAt": iso(ended.at_ms),
        "reason": ended.reason,
        "segments": len(room.segments),
    }
    return RecordingEvent(ROOM_ENDED, room.domain, str(room.uuid), at_ms, dump(data))

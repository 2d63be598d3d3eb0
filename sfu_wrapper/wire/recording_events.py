"""Events about recordings and rooms for webhooks, and the ``data`` of their deliveries.

``data`` of a recording is the object that ``GET /recordings`` lists, as of the event: without
participants, progress and expiry. That of a room names it, its owner, and why it ended. The
deliveries of one recording, or of one room, stay in order (``subject``).

Source: webhooks.md, "Types".
"""

from collections.abc import Iterator
from typing import Final

from sfu_wrapper.core.effects import Announcement, RoomEnded
from sfu_wrapper.core.missed import media_misses, missed
from sfu_wrapper.core.room import Room
from sfu_wrapper.core.segment_report import facts_of
from sfu_wrapper.model.recording import Recording, RecordingEvent, RecordingState
from sfu_wrapper.wire.recording_rest import (
    missed_call_json,
    missed_recording_json,
    recording_json,
)
from sfu_wrapper.wire.strict_json import dump, iso

MISSED: Final = "recording.missed"
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


def missed_media_event(recording: Recording, at_ms: int) -> RecordingEvent | None:
    """Return the event of a recording whose result lacks media, or failed; None: it does not.

    Args:
        recording: a recording that has just got its result.
        at_ms: epoch ms.
    """
    misses = tuple(media_misses([recording]))
    if not misses:
        return None
    data = missed_recording_json(recording, misses)
    return RecordingEvent(MISSED, recording.facts.domain, str(recording.key), at_ms, dump(data))


def announced_events(
    room: Room, announcement: Announcement, at_ms: int
) -> Iterator[RecordingEvent]:
    """Yield the events that an announcement of a room causes.

    Args:
        room: the room after the step.
        announcement: announcement of the step.
        at_ms: epoch ms.
    """
    if isinstance(announcement, RoomEnded):
        yield _room_ended(room, announcement, at_ms)
        call = missed(room, (), at_ms)
        if call is not None:
            data = dump(missed_call_json(call))
            yield RecordingEvent(MISSED, room.domain, str(room.uuid), at_ms, data)
        return
    facts = facts_of(room, announcement)
    if facts is not None:
        running = facts.stopped_ms is None
        state = RecordingState.RECORDING if running else RecordingState.QUEUED
        found = (recording_event(Recording(facts, state), at_ms),)
        yield from (event for event in found if event is not None)


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

"""Ends of a recording that no one requests: longest segment, longest recording, absent owner.

Theory of operation
    * In: ``note_absence`` at the end of each step; ``enforce`` when time has passed; ``resume``
      after a restart of the controller.
    * Out: a stopped segment, and one notice when a recording goes on without its owner.
    * Next: after the longest segment ``segments`` starts the next one at once; after the other
      limits recording is not wanted any more.

Rule: an absence lasts from the first moment at which a segment runs without the owner in the room,
over the change to the next segment, until the owner joins or nothing is to be recorded. Its
deadline is that of the absence, not of a segment.

Source: policy.md, "Who may stop", "Limits and pauses".
"""

from collections.abc import Iterator
from dataclasses import replace

from sfu_wrapper.core.effects import RecordingUnattended
from sfu_wrapper.core.intent import Absence
from sfu_wrapper.core.lifecycle import Phase
from sfu_wrapper.core.room import Room
from sfu_wrapper.core.segments import limit_length, stop
from sfu_wrapper.core.transition import Transition
from sfu_wrapper.model.identity import StopReason
from sfu_wrapper.model.segment import Instant


def note_absence(turn: Transition) -> None:
    """Store when a recording begins or ceases to run without its owner; notify once."""
    room = turn.room
    if room.absence is None and room.capture is not Phase.RECORDING:
        return
    present = room.participants.get(room.owner_key) is not None
    if room.absence is not None:
        if present or _nothing_to_record(room):
            turn.room = replace(room, absence=None)
    elif not present:
        turn.room = replace(room, absence=Absence(turn.at, _stop_by_ms(turn, turn.at)))
        note = RecordingUnattended(room.id, room.segments[-1].number, turn.at.wall_ms)
        for user in dict.fromkeys((room.owner_key, room.creator)):
            if user is not None:
                turn.notify(note, only=user)


def deadlines(room: Room) -> Iterator[int]:
    """Yield the monotonic times at which a limit may stop the recording."""
    segment = room.open_segment
    if segment is not None and segment.ends_by_ms is not None and room.capture is Phase.RECORDING:
        yield segment.ends_by_ms
    if room.absence is not None and room.absence.stop_by_ms is not None and _can_end(room):
        yield room.absence.stop_by_ms


def enforce(turn: Transition) -> None:
    """Stop what has reached a limit."""
    room = turn.room
    absence = room.absence
    if absence is not None and passed(turn, absence.stop_by_ms) and _can_end(room):
        turn.room = replace(room, wanted=None)
        if room.capture is Phase.RECORDING:
            stop(turn, StopReason.UNATTENDED)
        return
    segment = room.open_segment
    if segment is None or room.capture is not Phase.RECORDING:
        return
    if passed(turn, segment.ends_by_ms):
        began = segment.started or segment.requested_at
        end = turn.rules.limits.end_of_segment(began.mono_ms, room.recorded_ms)
        reason = StopReason.MAX_LENGTH if end is None else end[1]
        if reason is StopReason.MAX_ROOM:
            turn.room = replace(room, wanted=None)
        stop(turn, reason)


def resume(turn: Transition) -> None:
    """Compute the deadlines again, with the limits of this process; the times go on."""
    room = turn.room
    recorded_ms = sum(each.duration_ms or 0 for each in room.segments if each.announced)
    turn.room = replace(room, recorded_ms=recorded_ms)
    if room.absence is not None:
        since = rebased(turn, room.absence.since)
        absence = Absence(since, _stop_by_ms(turn, since))
        turn.room = replace(turn.room, absence=absence)
    segment = turn.room.open_segment
    if segment is not None and room.capture is Phase.RECORDING:
        limit_length(turn, segment)


def rebased(turn: Transition, moment: Instant) -> Instant:
    """Return the instant on the monotonic clock of this process, by means of the wall clock."""
    elapsed_ms = max(0, turn.at.wall_ms - moment.wall_ms)
    return replace(moment, mono_ms=turn.at.mono_ms - elapsed_ms)


def _nothing_to_record(room: Room) -> bool:
    """Return True while no segment is open and none is to follow, or not before a pause ends."""
    return room.capture is Phase.IDLE and (room.wanted is None or room.paused)


def _can_end(room: Room) -> bool:
    """Return True in the phases in which the recording can be ended at once."""
    return room.capture in (Phase.RECORDING, Phase.IDLE)


def _stop_by_ms(turn: Transition, since: Instant) -> int | None:
    limit_ms = turn.rules.limits.unattended_ms
    return since.mono_ms + limit_ms if limit_ms else None


def passed(turn: Transition, due_ms: int | None) -> bool:
    """Return True if the monotonic deadline has passed."""
    return due_ms is not None and due_ms <= turn.at.mono_ms

"""Captures of a segment: effects of the facts that the media plane reports.

Theory of operation
    * In: ``on_fact`` with one fact about one capture, or ``PlaneBack``; ``not_answered`` from
      ``timers``. The state after a fact is that of ``lifecycle.CAPTURE_ARROWS``.
    * Out: the new state and files of the capture, and a request to stop it where it writes although
      no segment needs it.
    * Next: ``on_fact`` calls ``derive_phase``, which decides on the segment; then it notifies the
      clients of missing media, and reports a failed segment whose files are closed by now.

Rules
    1. A fact is never refused: a late start is followed by a stop, a repeated fact changes nothing.
    2. Every capture ends CLOSED, after a failure too, since a late start may still open files.
    3. Files that appear late are reported once, with the segment that they belong to.
"""

from dataclasses import replace
from heapq import nlargest
from typing import Final, assert_never

from sfu_wrapper.core.effects import RecordingChanged
from sfu_wrapper.core.lifecycle import CaptureState, Phase, advance
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureFact,
    CaptureFailed,
    CaptureLost,
    CaptureStarted,
    CaptureStopped,
    PlaneBack,
)
from sfu_wrapper.core.room import Capture, Segment
from sfu_wrapper.core.segments import announce_when_closed, back_off_ms, derive_phase, stop_capture
from sfu_wrapper.core.transition import Transition
from sfu_wrapper.model.media import Medium, RawFile, Stream
from sfu_wrapper.model.segment import Instant

LOST = "the media plane stopped writing while it recorded"
TOO_MANY_FILES = "more files than one event carries"
MAX_FILES: Final = 2_000
"""Files of one medium in a segment; a client that publishes in a loop makes one each time."""


def on_fact(turn: Transition, fact: CaptureFact | PlaneBack) -> None:
    """Apply one fact to the room."""
    if isinstance(fact, PlaneBack):
        _retry_now(turn, fact.medium)
        return
    segment = turn.room.segments.get(fact.capture.segment)
    capture = segment.capture(fact.capture.medium) if segment is not None else None
    if segment is None or capture is None:
        return
    before = segment
    segment = _counted(turn, segment, capture, fact)
    match fact:
        case CaptureStarted():
            _started(turn, segment, capture, fact)
        case CaptureFailed(message=message):
            _failed(turn, segment, replace(capture, message=message))
        case CaptureChanged(files=files):
            _changed(turn, segment, _with_files(capture, files))
        case CaptureStopped(stopped_ms=stopped_ms, files=files):
            _stopped(turn, segment, _with_files(capture, _until_the_end(files, stopped_ms)))
        case CaptureLost(message=message):
            _lost(turn, segment, replace(_sealed(capture, fact), message=message))
        case _:
            assert_never(fact)
    derive_phase(turn)
    _notify_missing(turn, before)
    reported = turn.room.segments[segment.number - 1]
    if reported.outcome is not None:
        announce_when_closed(turn, reported)


def _notify_missing(turn: Transition, before: Segment) -> None:
    """Notify the audience if a running segment has lost or regained a capture."""
    after = turn.room.open_segment
    goes_on = after is not None and after.number == before.number and before.ran
    if after is None or not goes_on or turn.room.capture is not Phase.RECORDING:
        return
    if set(after.not_running) != set(before.not_running):
        turn.notify(RecordingChanged(turn.room.id, after.number, after.not_running))


def not_answered(turn: Transition, segment: Segment, capture: Capture) -> None:
    """Mark a capture as failed whose start was not answered; it may still be carried out."""
    state = advance(capture.state, "due")
    message = "no answer in time"
    _put_failed(turn, segment, replace(capture, state=state, unanswered=True, message=message))


def _started(turn: Transition, segment: Segment, capture: Capture, fact: CaptureStarted) -> None:
    known = replace(_with_files(capture, fact.files), state=advance(capture.state, "started"))
    if known.state is CaptureState.STOPPING:  # close the files that were opened meanwhile
        stop_capture(turn, segment, known)
        return
    running = replace(known, due_ms=None, failures=0, unanswered=False, message=None)
    started = segment.started or _began(turn, segment, fact.started_ms)
    turn.put_capture(replace(segment, started=started), running)


def _began(turn: Transition, segment: Segment, written_ms: int) -> Instant:
    """Return the begin of a segment whose first capture is confirmed: now.

    After a restart before that confirmation, the begin is that of the files. Otherwise the event
    would place them so late that the recording service assumed a wrong clock.
    """
    if not segment.resumed:
        return turn.at
    wall_ms = min(max(written_ms, segment.requested_at.wall_ms), turn.at.wall_ms)
    return Instant(wall_ms, turn.at.mono_ms - (turn.at.wall_ms - wall_ms))


def _changed(turn: Transition, segment: Segment, capture: Capture) -> None:
    after = replace(capture, state=advance(capture.state, "changed"))
    if after.state is not capture.state:  # a closed capture still writes
        stop_capture(turn, segment, after)
    else:
        turn.put_capture(segment, after)


def _failed(turn: Transition, segment: Segment, capture: Capture) -> None:
    after = replace(capture, state=advance(capture.state, "failed"))
    if after.state is CaptureState.FAILED:
        _put_failed(turn, segment, replace(after, unanswered=False))
    elif after.state is not capture.state:
        _put_closed(turn, segment, after)


def _stopped(turn: Transition, segment: Segment, capture: Capture) -> None:
    after = replace(capture, state=advance(capture.state, "stopped"))
    if after.state is CaptureState.FAILED:  # the controller requested no stop: handle it as a loss
        _lost(turn, segment, replace(capture, message="the capture stopped by itself"))
    else:
        _put_closed(turn, segment, after)


def _lost(turn: Transition, segment: Segment, capture: Capture) -> None:
    after = replace(capture, state=advance(capture.state, "lost"))
    wrote = capture.holds_media or capture.state is CaptureState.RUNNING
    if segment.outcome is None and wrote:
        segment = replace(segment, incomplete=segment.incomplete or LOST)
    if after.state is CaptureState.FAILED:
        _put_failed(turn, segment, replace(after, unanswered=False))
    else:
        _put_closed(turn, segment, after)


def _put_failed(turn: Transition, segment: Segment, capture: Capture) -> None:
    """Store a capture that has failed, with the deadline of its next attempt."""
    failures = capture.failures + 1
    due_ms = turn.at.mono_ms + back_off_ms(failures)
    turn.put_capture(segment, replace(capture, failures=failures, due_ms=due_ms))


def _put_closed(turn: Transition, segment: Segment, capture: Capture) -> None:
    """Store a capture that is closed, without files if its segment was announced already."""
    closed = replace(capture, due_ms=None)
    if segment.announced:
        closed = replace(closed, files=())
    turn.put_capture(segment, closed)


def _counted(turn: Transition, segment: Segment, capture: Capture, fact: CaptureFact) -> Segment:
    """Mark a segment as incomplete if it has more files than are stored."""
    if isinstance(fact, CaptureFailed) or segment.announced or segment.incomplete is not None:
        return segment
    if len(_known(capture, fact.files)) <= MAX_FILES:
        return segment
    turn.warn("recording.filesLeftOut")
    return replace(segment, incomplete=TOO_MANY_FILES)


def _known(capture: Capture, files: tuple[RawFile, ...]) -> dict[str, RawFile]:
    """Return all files by name; a later report of a file replaces the earlier one."""
    return {file.filename: file for file in (*capture.files, *files)}


def _with_files(capture: Capture, files: tuple[RawFile, ...]) -> Capture:
    """Return the capture with these files; beyond the limit drop the shortest closed."""
    known = tuple(_known(capture, files).values())
    if len(known) > MAX_FILES:
        kept = nlargest(MAX_FILES, range(len(known)), key=lambda number: _worth(known[number]))
        known = tuple(known[number] for number in sorted(kept))
    return replace(capture, files=known)


def _until_the_end(files: tuple[RawFile, ...], stopped_ms: int) -> tuple[RawFile, ...]:
    """Return the files with those tracks open that were published when the capture stopped.

    They end with the segment, which ends a moment later: when its last capture has stopped.
    """
    return tuple(
        replace(file, stopped_ms=None)
        if file.stopped_ms == stopped_ms and file.stream is not Stream.AUDIO
        else file
        for file in files
    )


def _worth(file: RawFile) -> tuple[bool, bool, int]:
    length_ms = 0 if file.stopped_ms is None else file.stopped_ms - file.started_ms
    return file.holds_media, file.stopped_ms is None, length_ms


def _sealed(capture: Capture, fact: CaptureLost) -> Capture:
    """Return a lost capture with its files; open ones end at the last known write."""
    written_ms = fact.stopped_ms or None  # 0: the plane does not know
    known = _with_files(capture, fact.files)
    files = tuple(
        replace(file, stopped_ms=written_ms) if file.stopped_ms is None else file
        for file in known.files
    )
    return replace(known, files=files, written_ms=written_ms)


def _retry_now(turn: Transition, medium: Medium) -> None:
    """Make all back-offs of this medium due now: the media plane answers again."""
    room = turn.room
    for segment in room.segments.marked_values():
        capture = segment.capture(medium)
        if capture is not None and capture.state in (CaptureState.FAILED, CaptureState.STOPPING):
            turn.put_capture(segment, replace(capture, due_ms=turn.at.mono_ms))
    if room.wanted is not None and room.capture is Phase.IDLE and not room.paused:
        turn.room = replace(turn.room, wanted=replace(room.wanted, due_ms=turn.at.mono_ms))

"""What a fact of the media plane does to the captures of a segment.

A late, repeated or surprising fact is taken for what it is: whatever still writes without being
wanted is asked to stop, whatever turns up is reported once, the rest is ignored.
"""

from dataclasses import replace
from heapq import nlargest
from typing import Final, assert_never

from sfu_wrapper.core.effects import RecordingChanged
from sfu_wrapper.core.lifecycle import Phase
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureFact,
    CaptureFailed,
    CaptureLost,
    CaptureStarted,
    CaptureStopped,
    PlaneBack,
)
from sfu_wrapper.core.room import Capture, CaptureState, Segment
from sfu_wrapper.core.segments import announce_when_closed, back_off_ms, derive_phase, stop_capture
from sfu_wrapper.core.transition import Transition
from sfu_wrapper.model.media import Medium, RawFile
from sfu_wrapper.model.segment import Instant

WRITING = (CaptureState.ASKED, CaptureState.RUNNING, CaptureState.FAILED)
LOST = "the media plane stopped writing while it recorded"
TOO_MANY_FILES = "more files than one event carries"
MAX_FILES: Final = 2_000
"""Of one medium in a segment; someone who publishes in a loop makes one each time."""


def on_fact(turn: Transition, fact: CaptureFact | PlaneBack) -> None:
    """Apply one fact to the room."""
    if isinstance(fact, PlaneBack):
        _retry_now(turn, fact.medium)
        return
    segment = turn.room.segment(fact.capture.segment)
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
        case CaptureStopped(files=files):
            _stopped(turn, segment, _with_files(capture, files))
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
    """Notify everybody where a segment that goes on has lost a capture, or has it again."""
    after = turn.room.open_segment
    goes_on = after is not None and after.number == before.number and before.ran
    if after is None or not goes_on or turn.room.capture is not Phase.RECORDING:
        return
    if set(after.not_running) != set(before.not_running):
        turn.notify(RecordingChanged(turn.room.id, after.number, after.not_running))


def not_answered(turn: Transition, segment: Segment, capture: Capture) -> None:
    """A start was not answered in time; it may yet be carried out."""
    message = "no answer in time"
    _put_failed(turn, segment, replace(capture, unanswered=True, message=message))


def _started(turn: Transition, segment: Segment, capture: Capture, fact: CaptureStarted) -> None:
    known = _with_files(capture, fact.files)
    if segment.outcome is not None or turn.room.capture is Phase.STOPPING:
        # Given up or being stopped since: whatever was opened is to be closed.
        stop_capture(turn, segment, known)
        return
    running = replace(
        known, state=CaptureState.RUNNING, due_ms=None, failures=0, unanswered=False, message=None
    )
    started = segment.started or _began(turn, segment, fact.started_ms)
    turn.put_capture(replace(segment, started=started), running)


def _began(turn: Transition, segment: Segment, written_ms: int) -> Instant:
    """When a segment began whose first capture runs: now, when that is confirmed.

    Where an earlier controller died before it was, it began when its files did: a film that is
    told to begin with a much later segment would be taken for one of a clock that is off.
    """
    if not segment.resumed:
        return turn.at
    wall_ms = min(max(written_ms, segment.requested_at.wall_ms), turn.at.wall_ms)
    return Instant(wall_ms, turn.at.mono_ms - (turn.at.wall_ms - wall_ms))


def _changed(turn: Transition, segment: Segment, capture: Capture) -> None:
    if capture.state is CaptureState.CLOSED:  # it writes, unwanted
        stop_capture(turn, segment, capture)
    else:
        turn.put_capture(segment, capture)


def _failed(turn: Transition, segment: Segment, capture: Capture) -> None:
    if segment.outcome is None and capture.state in (CaptureState.ASKED, CaptureState.FAILED):
        _put_failed(turn, segment, replace(capture, unanswered=False))
    elif capture.state is CaptureState.STOPPING:
        _closed(turn, segment, capture)


def _stopped(turn: Transition, segment: Segment, capture: Capture) -> None:
    if segment.outcome is None and capture.state in WRITING:
        # Nobody asked: as good as lost.
        _lost(turn, segment, replace(capture, message="the capture stopped by itself"))
        return
    _closed(turn, segment, capture)


def _lost(turn: Transition, segment: Segment, capture: Capture) -> None:
    if segment.outcome is None:
        if capture.holds_media or capture.state is CaptureState.RUNNING:
            segment = replace(segment, incomplete=segment.incomplete or LOST)
        if capture.state in WRITING:
            _put_failed(turn, segment, replace(capture, unanswered=False))
            return
    _closed(turn, segment, capture)


def _put_failed(turn: Transition, segment: Segment, capture: Capture) -> None:
    failures = capture.failures + 1
    due_ms = turn.at.mono_ms + back_off_ms(failures)
    failed = replace(capture, state=CaptureState.FAILED, failures=failures, due_ms=due_ms)
    turn.put_capture(segment, failed)


def _closed(turn: Transition, segment: Segment, capture: Capture) -> None:
    closed = replace(capture, state=CaptureState.CLOSED, due_ms=None)
    if segment.announced:
        closed = replace(closed, files=())
    turn.put_capture(segment, closed)


def _counted(turn: Transition, segment: Segment, capture: Capture, fact: CaptureFact) -> Segment:
    """Mark a segment that has more files than are kept of it."""
    if isinstance(fact, CaptureFailed) or segment.announced or segment.incomplete is not None:
        return segment
    if len(_known(capture, fact.files)) <= MAX_FILES:
        return segment
    turn.warn("recording.filesLeftOut")
    return replace(segment, incomplete=TOO_MANY_FILES)


def _known(capture: Capture, files: tuple[RawFile, ...]) -> dict[str, RawFile]:
    """Later news of a file replaces earlier; files of an earlier attempt stay."""
    return {file.filename: file for file in (*capture.files, *files)}


def _with_files(capture: Capture, files: tuple[RawFile, ...]) -> Capture:
    """Note the files; of too many the shortest that are closed are left out."""
    known = tuple(_known(capture, files).values())
    if len(known) > MAX_FILES:
        kept = nlargest(MAX_FILES, range(len(known)), key=lambda number: _worth(known[number]))
        known = tuple(known[number] for number in sorted(kept))
    return replace(capture, files=known)


def _worth(file: RawFile) -> tuple[bool, bool, int]:
    length_ms = 0 if file.stopped_ms is None else file.stopped_ms - file.started_ms
    return file.holds_media, file.stopped_ms is None, length_ms


def _sealed(capture: Capture, fact: CaptureLost) -> Capture:
    """With what was found of it; a file that nobody closed ends where the writing did."""
    written_ms = fact.stopped_ms or None  # 0: the plane does not know
    known = _with_files(capture, fact.files)
    files = tuple(
        replace(file, stopped_ms=written_ms) if file.stopped_ms is None else file
        for file in known.files
    )
    return replace(known, files=files, written_ms=written_ms)


def _retry_now(turn: Transition, medium: Medium) -> None:
    """The plane is back: no need to wait out the back-off."""
    room = turn.room
    for segment in room.segments.marked_values():
        capture = segment.capture(medium)
        if capture is not None and capture.state in (CaptureState.FAILED, CaptureState.STOPPING):
            turn.put_capture(segment, replace(capture, due_ms=turn.at.mono_ms))
    if room.wanted is not None and room.capture is Phase.IDLE:
        turn.room = replace(turn.room, wanted=replace(room.wanted, due_ms=turn.at.mono_ms))

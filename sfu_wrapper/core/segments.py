"""Life of a segment: start, confirmation, stop, close, and the start of the next one.

Theory of operation
    * In: ``begin`` and ``stop`` from requests, timers and the end of the room; ``derive_phase``
      after each change of a capture, which ``captures`` and ``timers`` make.
    * Out: requests to the media plane, replies to the pending requests, events to clients, and the
      ``SegmentInfo`` for the recording service.
    * Next: ``derive_phase`` looks at the captures of the open segment. One that runs confirms the
      start. If none runs any more the segment fails or stops. If none is stopping any more the
      segment is closed, and the next one starts if a request or ``Room.wanted`` asks for it.

Rules
    1. A number is used once, in the order of starts; at most one segment is open.
    2. A segment in which media may have been written yields exactly one ``SegmentInfo``.
    3. Every pending request is answered, at the latest when its segment is decided.

Source: policy.md, "Segments" and "What happens when things go wrong".
"""

from dataclasses import replace

from sfu_wrapper.core.effects import (
    RecordingFailed,
    RecordingStarted,
    RecordingStopped,
    Refusal,
    Started,
    Stopped,
)
from sfu_wrapper.core.lifecycle import CaptureState, Life, Phase, advance
from sfu_wrapper.core.media_plane import CloseMediaRoom, StartCapture, StopCapture
from sfu_wrapper.core.people import PresenceIntervals
from sfu_wrapper.core.quotas import Quotas, segment_spacing_ms, segment_wait_ms
from sfu_wrapper.core.room import (
    Capture,
    Outcome,
    PendingKind,
    PendingRequest,
    RecordingIntent,
    Room,
    Segment,
)
from sfu_wrapper.core.segment_report import presences_of, segment_info
from sfu_wrapper.core.sync import Timeline
from sfu_wrapper.core.transition import Transition
from sfu_wrapper.model.errors import Code
from sfu_wrapper.model.identity import RecordingType, SegmentNo, StopReason, UserId
from sfu_wrapper.model.media import Medium
from sfu_wrapper.model.segment import Instant

STOP_GIVEN_UP_MS = 30_000  # policy.md: longest wait for the confirmation of a stop
BACK_OFF_MS = (1_000, 2_000, 5_000, 15_000, 30_000)
FAILURES_TO_ALARM = 3
GIVEN_UP = "the recording was given up before the media plane confirmed it"

_NEVER_RAN = {
    False: (Code.ROOM_ENDED, "the call ended before anything was recorded"),
    True: (Code.OVERLOADED, "the controller restarts; try again"),
}

MEDIA_OF = {
    RecordingType.ALL: (Medium.VIDEO, Medium.AUDIO),
    RecordingType.VIDEO: (Medium.VIDEO,),
    RecordingType.AUDIO: (Medium.AUDIO,),
    RecordingType.NONE: (),
}


def back_off_ms(failures: int) -> int:
    """Return the pause after so many consecutive failures (at least one), in ms."""
    return BACK_OFF_MS[min(failures, len(BACK_OFF_MS)) - 1]


def begin(turn: Transition, by: UserId | None, recorded: RecordingType) -> None:
    """Open the next segment and request its captures from the media plane."""
    room = turn.room
    due_ms = turn.at.mono_ms + turn.rules.media_timeout_ms
    segment = Segment(
        number=SegmentNo(len(room.segments) + 1),
        by=by,
        type=recorded,
        requested_at=turn.at,
        captures=tuple(
            Capture(medium, CaptureState.REQUESTED, due_ms=due_ms) for medium in MEDIA_OF[recorded]
        ),
        entries=room.entries,
    )
    turn.room = replace(room, capture=advance(room.capture, "start"))
    turn.put_segment(segment)
    tracks = room.tracks
    for capture in segment.captures:
        ref = room.ref(segment, capture.medium)
        turn.request(StartCapture(ref, room.confbridge_id, tracks))


def start_wanted(turn: Transition) -> None:
    """Start the next segment automatically, if one is wanted and due."""
    wanted = turn.room.wanted
    if wanted is None or wanted.due_ms is None or not turn.room.may_start:
        return
    if wanted.due_ms > turn.at.mono_ms:
        return
    spacing_ms = _quota_spacing_ms(turn)
    if spacing_ms > 0:
        due_ms = turn.at.mono_ms + spacing_ms
        turn.room = replace(turn.room, wanted=replace(wanted, due_ms=due_ms))
        return
    turn.room = replace(turn.room, wanted=replace(wanted, due_ms=None))
    begin(turn, None, wanted.type)


def quota_wait_ms(room: Room, quotas: Quotas, at: Instant) -> int:
    """Return the ms until the quota allows a requested segment; 0: now."""
    limit = quotas.segments_per_minute
    earlier = room.segment(SegmentNo(len(room.segments) + 1 - limit)) if limit else None
    asked_ms = None if earlier is None else earlier.requested_at.wall_ms
    return segment_wait_ms(limit, asked_ms, at.wall_ms)


def _quota_spacing_ms(turn: Transition) -> int:
    room, quotas = turn.room, turn.rules.quotas
    wait_ms = quota_wait_ms(room, quotas, turn.at)
    last_ms = room.segments[-1].requested_at.wall_ms if room.segments else 0
    return segment_spacing_ms(quotas.segments_per_minute, wait_ms, last_ms, turn.at.wall_ms)


def request_start(turn: Transition, segment: Segment, medium: Medium) -> None:
    """Request the start of one capture, with the tracks that are published now."""
    room = turn.room
    turn.request(StartCapture(room.ref(segment, medium), room.confbridge_id, room.tracks))


def request_stop(turn: Transition, segment: Segment, medium: Medium) -> None:
    """Request the stop of one capture."""
    turn.request(StopCapture(turn.room.ref(segment, medium)))


def derive_phase(turn: Transition) -> None:
    """Advance the phase of the room if the captures of the open segment decide it."""
    segment = turn.room.open_segment
    if segment is None or turn.room.undecided:
        return
    match turn.room.capture:
        case Phase.STARTING if segment.any_capture(CaptureState.RUNNING):
            _confirm(turn, segment)
        case Phase.STARTING:
            fail(turn, segment, Code.MEDIA_FAILED, _messages(segment))
        case Phase.RECORDING if not segment.any_capture(CaptureState.RUNNING):
            _lose(turn, segment)
        case Phase.RECORDING if segment.resumed:
            turn.put_segment(replace(segment, resumed=False))
        case Phase.STOPPING if not segment.any_capture(CaptureState.STOPPING):
            close(turn, segment)
        case _:
            pass


def stop(turn: Transition, reason: StopReason, by: UserId | None = None) -> None:
    """Stop the open segment: request the stop of every capture that may still write."""
    room = turn.room
    turn.room = replace(room, capture=advance(room.capture, "stop"))
    segment = turn.put_segment(
        replace(
            room.segments[-1],
            reason=reason,
            stopped_by=by,
            missing=room.segments[-1].not_running if room.capture is Phase.RECORDING else (),
            stop_by_ms=turn.at.mono_ms + STOP_GIVEN_UP_MS,
        )
    )
    release(turn, segment)
    _start_stop_deadlines(turn)
    derive_phase(turn)


def release(turn: Transition, segment: Segment) -> Segment:
    """Close the captures that cannot be writing, and request the stop of the others."""
    for capture in segment.captures:
        if capture.state is CaptureState.FAILED and not capture.unanswered:
            done = replace(capture, state=advance(capture.state, "release"), due_ms=None)
            segment = turn.put_capture(segment, done)
        else:
            segment = stop_capture(turn, segment, capture)
    return segment


def stop_capture(turn: Transition, segment: Segment, capture: Capture) -> Segment:
    """Request the stop of a capture; ``timers`` repeats the request until it is confirmed."""
    due_ms = turn.at.mono_ms + turn.rules.media_timeout_ms
    state = advance(capture.state, "stop")
    segment = turn.put_capture(segment, replace(capture, state=state, due_ms=due_ms, failures=0))
    request_stop(turn, segment, capture.medium)
    return segment


def close(turn: Transition, segment: Segment) -> None:
    """Close a segment whose files are closed, or whose stop was not confirmed in time."""
    if not segment.ran and not segment.holds_media:
        code, message = _NEVER_RAN[segment.reason is StopReason.RESTART]
        fail(turn, segment, code, message)
        return
    if not segment.ran or segment.cut_short:
        segment = replace(segment, missing=segment.never_written)
    turn.room = replace(turn.room, capture=advance(turn.room.capture, "stopped"))
    segment = turn.put_segment(_stamped(turn, replace(segment, outcome=Outcome.STOPPED)))
    announce_segment(turn, segment)
    for waiting in _take_stops(turn):
        turn.reply(waiting.ref, Stopped(turn.room.id, segment))
    note = RecordingStopped(turn.room.id, turn.room.uuid, segment)
    turn.notify(note)
    turn.announce(note)
    _next(turn)


def fail(turn: Transition, segment: Segment, code: Code, message: str) -> None:
    """Fail a segment that never ran; its number is not used again."""
    room = turn.room
    trigger = "failed" if room.capture is Phase.STARTING else "stopped"
    turn.room = replace(room, capture=advance(room.capture, trigger))
    presences = PresenceIntervals(presences_of(room, segment))
    segment = turn.put_segment(
        replace(segment, outcome=Outcome.FAILED, missing=(), stop_by_ms=None, presences=presences)
    )
    if trigger == "failed":
        segment = release(turn, segment)
    announce_when_closed(turn, segment)
    if trigger == "failed":  # in a stop, pending starts mean the next segment
        for waiting in _take(turn, PendingKind.START):
            context = (("room", room.id), ("segment", segment.number))
            turn.reply(waiting.ref, Refusal(code, message, context))
    for waiting in _take_stops(turn):
        turn.reply(waiting.ref, Refusal(Code.NOT_RECORDING, "the recording could not be started"))
    _count_failure(turn)
    final = turn.room.wanted is None
    note = RecordingFailed(room.id, room.uuid, segment, code, message, final)
    turn.notify(note)
    turn.announce(note)
    _next(turn)


def announce_when_closed(turn: Transition, segment: Segment) -> None:
    """Report a failed segment that has files after all, once all of them are closed."""
    if segment.announced or not segment.holds_media:
        return
    if not segment.any_capture(CaptureState.STOPPING):
        announce_late_segment(turn, segment)
    elif segment.stop_by_ms is None:
        turn.put_segment(replace(segment, stop_by_ms=turn.at.mono_ms + STOP_GIVEN_UP_MS))


def announce_late_segment(turn: Transition, segment: Segment) -> None:
    """Report the known files of a segment that failed although media was written."""
    late = replace(segment, incomplete=GIVEN_UP, missing=segment.never_written)
    announce_segment(turn, _stamped(turn, late))


def announce_segment(turn: Transition, segment: Segment) -> None:
    """Put the ``SegmentInfo`` into the outbox, and drop files and presences from the segment."""
    turn.announce(segment_info(turn.room, segment, turn.at))
    slim = tuple(replace(capture, files=()) for capture in segment.captures)
    turn.put_segment(replace(segment, announced=True, captures=slim, presences=PresenceIntervals()))


def _confirm(turn: Transition, segment: Segment) -> None:
    room = turn.room
    turn.room = replace(room, capture=advance(room.capture, "started"))
    segment = turn.put_segment(replace(segment, ran=True, resumed=False))
    starts = _take(turn, PendingKind.START)
    for waiting in starts:
        turn.reply(waiting.ref, Started(room.id, segment))
    if starts or room.wanted is not None:
        turn.room = replace(turn.room, wanted=RecordingIntent(segment.type))
    note = RecordingStarted(room.id, room.uuid, segment)
    turn.notify(note)
    turn.announce(note)
    stops = [waiting for waiting in turn.room.waiting if waiting.want is PendingKind.STOP]
    if stops:
        turn.room = replace(turn.room, wanted=None)
        stop(turn, StopReason.REQUESTED, stops[0].by)


def _lose(turn: Transition, segment: Segment) -> None:
    """Stop a segment whose captures have all failed; some may still be running."""
    stop(turn, StopReason.RESTART if segment.resumed else StopReason.FAILED)


def _stamped(turn: Transition, segment: Segment) -> Segment:
    """Return the segment with its times: begin by the wall clock, length by the monotonic one."""
    started = segment.started or _first_written(segment, turn.at)
    line = Timeline(started, turn.at)
    stopped_ms = line.end_ms
    if segment.cut_short or segment.lost:
        stopped_ms = _last_written(segment, line)
    idle_ms = max(0, line.end_ms - stopped_ms)  # since the last write
    duration_ms = max(0, turn.at.mono_ms - started.mono_ms - idle_ms)
    if stopped_ms < started.wall_ms:  # the clock was set back meanwhile
        stopped_ms = started.wall_ms + duration_ms
    return replace(
        segment,
        started=started,
        stopped_ms=stopped_ms,
        duration_ms=duration_ms,
        stop_by_ms=None,
    )


def _first_written(segment: Segment, now: Instant) -> Instant:
    line = Timeline(segment.requested_at, now)
    first_ms = line.place(min(file.started_ms for file in segment.media_files))
    after_ms = max(0, first_ms - segment.requested_at.wall_ms)
    return Instant(first_ms, segment.requested_at.mono_ms + after_ms)


def _last_written(segment: Segment, line: Timeline) -> int:
    """Return the time of the last known write; now if a file is open or no time is known."""
    lost = [each.written_ms for each in segment.captures if each.written_ms is not None]
    closed = [
        line.end_ms if file.stopped_ms is None else line.place(file.stopped_ms)
        for file in segment.media_files
    ]
    return max([*map(line.place, lost), *closed], default=line.end_ms)


def _take(turn: Transition, want: PendingKind) -> list[PendingRequest]:
    """Remove the pending requests of this kind from the room, and return them."""
    taken = [waiting for waiting in turn.room.waiting if waiting.want is want]
    kept = tuple(waiting for waiting in turn.room.waiting if waiting.want is not want)
    turn.room = replace(turn.room, waiting=kept)
    return taken


def _take_stops(turn: Transition) -> list[PendingRequest]:
    """Remove and return the stops of the open segment: those before any pending start."""
    waiting = turn.room.waiting
    starts = [index for index, each in enumerate(waiting) if each.want is PendingKind.START]
    upto = min(starts, default=len(waiting))
    turn.room = replace(turn.room, waiting=waiting[upto:])
    return list(waiting[:upto])


def _start_stop_deadlines(turn: Transition) -> None:
    """Set the deadlines of the pending stops: the media plane has the request from now on."""
    due_ms = turn.at.mono_ms + turn.rules.media_timeout_ms
    waiting = tuple(
        replace(each, due_ms=due_ms) if each.want is PendingKind.STOP else each
        for each in turn.room.waiting
    )
    turn.room = replace(turn.room, waiting=waiting)


def _count_failure(turn: Transition) -> None:
    wanted = turn.room.wanted
    if wanted is None:
        return
    failures = wanted.failures + 1
    due_ms = turn.at.mono_ms + back_off_ms(failures)
    turn.room = replace(turn.room, wanted=replace(wanted, failures=failures, due_ms=due_ms))
    if failures == FAILURES_TO_ALARM:
        turn.warn("recording.missed", alarm=True)


def _next(turn: Transition) -> None:
    """Start the segment after this one, if one is pending or wanted; or close the ended room."""
    room = turn.room
    if room.life is Life.ENDED:
        turn.request(CloseMediaRoom(room.uuid))
        return
    starts = _take(turn, PendingKind.START)
    if starts:
        first, *others = starts
        begin(turn, first.by, first.type)
        turn.room = replace(turn.room, waiting=(*turn.room.waiting, first))
        number = turn.room.segments[-1].number
        for waiting in others:
            context = (("room", room.id), ("segment", number))
            refusal = Refusal(Code.ALREADY_RECORDING, "another start came first", context)
            turn.reply(waiting.ref, refusal)
    elif room.wanted is not None and room.wanted.due_ms is None:
        due_ms = turn.at.mono_ms + (0 if room.segments[-1].resumed else BACK_OFF_MS[0])
        turn.room = replace(turn.room, wanted=replace(room.wanted, due_ms=due_ms))


def _messages(segment: Segment) -> str:
    messages = [f"{each.medium}: {each.message}" for each in segment.captures if each.message]
    return "the media plane could not start the recording" + (
        f" ({'; '.join(messages)})" * bool(messages)
    )

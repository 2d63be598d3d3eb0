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
from sfu_wrapper.core.intent import PendingKind, PendingRequest, RecordingIntent, leading
from sfu_wrapper.core.lifecycle import CaptureState, Life, Phase, advance
from sfu_wrapper.core.media_plane import CloseMediaRoom, StartCapture, StopCapture
from sfu_wrapper.core.people import PresenceIntervals
from sfu_wrapper.core.policy import Decision
from sfu_wrapper.core.quotas import Quotas, segment_spacing_ms, segment_wait_ms
from sfu_wrapper.core.room import Capture, Outcome, Room, Segment
from sfu_wrapper.core.segment_report import presences_of, segment_info, stamped
from sfu_wrapper.core.transition import Transition
from sfu_wrapper.model.errors import Code
from sfu_wrapper.model.identity import RecordingType, SegmentNo, StopReason, UserId
from sfu_wrapper.model.media import Medium
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.model.trace import TraceContext

STOP_GIVEN_UP_MS = 30_000  # policy.md: longest wait for the confirmation of a stop
BACK_OFF_MS = (1_000, 2_000, 5_000, 15_000, 30_000)
FAILURES_TO_ALARM = 3
BEYOND_LIMIT = "the room has been recorded for as long as the operator allows"
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


def begin(
    turn: Transition,
    by: UserId | None,
    recorded: RecordingType,
    decision: Decision | None = None,
    trace: TraceContext | None = None,
) -> None:
    """Open the next segment and request its captures from the media plane.

    ``decision`` allowed a start by hand; a segment that goes on has that of the one before. So
    has its ``trace``, the context of an earlier request, which precedes that of this step.
    """
    room = turn.room
    trace = trace or turn.trace
    begun_by = room.wanted.by if by is None and room.wanted is not None else None
    if decision is None and begun_by is not None and room.segments:
        decision = room.segments[-1].decision
        trace = trace or room.segments[-1].trace
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
        begun_by=begun_by,
        decision=decision,
        trace=trace,
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
    if turn.rules.limits.spent(turn.room.recorded_ms):
        turn.room = replace(turn.room, wanted=None)
        return
    spacing_ms = _quota_spacing_ms(turn)
    if spacing_ms > 0:
        due_ms = turn.at.mono_ms + spacing_ms
        turn.room = replace(turn.room, wanted=replace(wanted, due_ms=due_ms))
        return
    turn.room = replace(turn.room, wanted=replace(wanted, due_ms=None, resumes_at_ms=None))
    begin(turn, None, wanted.type)


def quota_wait_ms(room: Room, quotas: Quotas, at: Instant) -> int:
    """Return the ms until the quota allows a requested segment; 0: now."""
    limit = quotas.segments_per_minute
    earlier = room.segments.get(SegmentNo(len(room.segments) + 1 - limit)) if limit else None
    return 0 if earlier is None else segment_wait_ms(earlier.requested_at.wall_ms, at.wall_ms)


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
            ends_by_ms=None,
            trace=room.segments[-1].trace or turn.trace,
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
    segment = stamped(replace(segment, outcome=Outcome.STOPPED), turn.at)
    if turn.rules.limits.spent(turn.room.recorded_ms + (segment.duration_ms or 0)):
        turn.room = replace(turn.room, wanted=None)
    segment = turn.put_segment(replace(segment, resumes_at_ms=_resumes_at_ms(turn.room)))
    announce_segment(turn, segment)
    for waiting in _take(turn, PendingKind.STOP):
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
    for waiting in _take(turn, PendingKind.STOP):
        turn.reply(waiting.ref, Refusal(Code.NOT_RECORDING, "the recording could not be started"))
        turn.room = replace(turn.room, wanted=None)  # a pause needs something to pause
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
    announce_segment(turn, stamped(late, turn.at))


def announce_segment(turn: Transition, segment: Segment) -> None:
    """Put the ``SegmentInfo`` into the outbox, and drop files and presences from the segment."""
    turn.announce(segment_info(turn.room, segment, turn.at))
    recorded_ms = turn.room.recorded_ms + (segment.duration_ms or 0)
    turn.room = replace(turn.room, recorded_ms=recorded_ms)
    slim = tuple(replace(capture, files=()) for capture in segment.captures)
    turn.put_segment(replace(segment, announced=True, captures=slim, presences=PresenceIntervals()))


def _confirm(turn: Transition, segment: Segment) -> None:
    room = turn.room
    turn.room = replace(room, capture=advance(room.capture, "started"))
    segment = limit_length(turn, replace(segment, ran=True, resumed=False))
    starts = _take(turn, PendingKind.START)
    for waiting in starts:
        turn.reply(waiting.ref, Started(room.id, segment))
    note = RecordingStarted(room.id, room.uuid, segment)
    turn.notify(note)
    turn.announce(note)
    if leading(turn.room.waiting, PendingKind.STOP):  # it has set the intent already
        stop(turn, StopReason.REQUESTED, turn.room.waiting[0].by)
    else:
        by = segment.by or segment.begun_by
        turn.room = replace(turn.room, wanted=RecordingIntent(segment.type, by=by))


def limit_length(turn: Transition, segment: Segment) -> Segment:
    """Store a running segment with the deadline at which its limits stop it."""
    began = segment.started or segment.requested_at
    end = turn.rules.limits.end_of_segment(began.mono_ms, turn.room.recorded_ms)
    return turn.put_segment(replace(segment, ends_by_ms=None if end is None else end[0]))


def _lose(turn: Transition, segment: Segment) -> None:
    """Stop a segment whose captures have all failed; some may still be running."""
    stop(turn, StopReason.RESTART if segment.resumed else StopReason.FAILED)


def _take(turn: Transition, want: PendingKind) -> tuple[PendingRequest, ...]:
    """Remove and return the pending requests of this kind that come first.

    Starts that come first are of the segment that starts; stops, of the open segment.
    """
    waiting = turn.room.waiting
    count = leading(waiting, want)
    turn.room = replace(turn.room, waiting=waiting[count:])
    return waiting[:count]


def _start_stop_deadlines(turn: Transition) -> None:
    """Set the deadlines of the stops that come first: the media plane has the request now."""
    due_ms = turn.at.mono_ms + turn.rules.media_timeout_ms
    waiting = turn.room.waiting
    count = leading(waiting, PendingKind.STOP)
    stops = (replace(each, due_ms=due_ms) for each in waiting[:count])
    turn.room = replace(turn.room, waiting=(*stops, *waiting[count:]))


def _resumes_at_ms(room: Room) -> int | None:
    """Return the end of the pause that begins now; None: another segment starts, or none does."""
    if room.wanted is None or any(each.want is PendingKind.START for each in room.waiting):
        return None
    return room.wanted.resumes_at_ms


def _count_failure(turn: Transition) -> None:
    wanted = turn.room.wanted
    if wanted is None or (wanted.due_ms or 0) > turn.at.mono_ms:
        return  # not wanted, or a pause goes on
    failures = wanted.failures + 1
    due_ms = turn.at.mono_ms + back_off_ms(failures)
    counted = replace(wanted, failures=failures, due_ms=due_ms, resumes_at_ms=None)
    turn.room = replace(turn.room, wanted=counted)
    if failures == FAILURES_TO_ALARM:
        turn.warn("recording.missed", alarm=True)


def _next(turn: Transition) -> None:
    """Start the segment after this one, if one is pending or wanted; or close the ended room."""
    room = turn.room
    if room.life is Life.ENDED:
        turn.request(CloseMediaRoom(room.uuid))
    elif turn.rules.limits.spent(room.recorded_ms):
        _refuse_beyond_limit(turn)
    elif leading(room.waiting, PendingKind.START):
        _begin_pending(turn)
    elif room.wanted is not None and room.wanted.due_ms is None:
        last = room.segments[-1]
        at_once = last.resumed or last.reason is StopReason.MAX_LENGTH
        due_ms = turn.at.mono_ms + (0 if at_once else BACK_OFF_MS[0])
        turn.room = replace(turn.room, wanted=replace(room.wanted, due_ms=due_ms))
        if last.reason is StopReason.MAX_LENGTH:
            start_wanted(turn)


def _begin_pending(turn: Transition) -> None:
    """Start the first of the starts that come first; the others of them come too late."""
    first, *others = _take(turn, PendingKind.START)
    turn.room = replace(turn.room, waiting=(first, *turn.room.waiting))
    begin(turn, first.by, first.type, first.decision, first.trace)
    number = turn.room.segments[-1].number
    for waiting in others:
        context = (("room", turn.room.id), ("segment", number))
        refusal = Refusal(Code.ALREADY_RECORDING, "another start came first", context)
        turn.reply(waiting.ref, refusal)


def _refuse_beyond_limit(turn: Transition) -> None:
    """Refuse all pending requests: the room has no more time to record."""
    limit_s = turn.rules.limits.max_room_ms // 1000
    for waiting in turn.room.waiting:
        context = (("room", turn.room.id), ("limit", limit_s))
        starts = waiting.want is PendingKind.START
        code = Code.RECORDING_LIMIT if starts else Code.NOT_RECORDING
        turn.reply(waiting.ref, Refusal(code, BEYOND_LIMIT, context))
    turn.room = replace(turn.room, waiting=(), wanted=None)


def _messages(segment: Segment) -> str:
    messages = [f"{each.medium}: {each.message}" for each in segment.captures if each.message]
    return "the media plane could not start the recording" + (
        f" ({'; '.join(messages)})" * bool(messages)
    )

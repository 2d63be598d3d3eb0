"""Deadlines of a room: the next one, and the actions when one has passed.

Theory of operation
    * In: ``TimePassed`` enters at ``pass_time``, the
      first event after a restart of the controller (``ControllerReady``) at ``resume``.
    * Out: participants that leave, repeated requests to the media plane, replies to requests that
      have waited too long, segments closed without confirmation.
    * Next: after each step the shell calls ``next_due_ms`` and arms one timer. It may call
      ``pass_time`` early or late: only deadlines that have passed have an effect.

Rules
    1. Every waiting state has a deadline, so that no room waits for ever.
    2. Deadlines are monotonic, so ``resume`` computes all of them again: the clock of another
       process or boot has another origin.

Source: policy.md, "The life of a room", "Segments", "What happens when things go wrong".
"""

from collections.abc import Iterator
from dataclasses import replace

from sfu_wrapper.core import limits
from sfu_wrapper.core.captures import not_answered
from sfu_wrapper.core.effects import Refusal
from sfu_wrapper.core.lifecycle import CaptureState, Life, Phase, advance
from sfu_wrapper.core.limits import passed, rebased
from sfu_wrapper.core.media_plane import OpenMediaRoom, ResumeCapture
from sfu_wrapper.core.membership import depart, end
from sfu_wrapper.core.people import Participants
from sfu_wrapper.core.room import Capture, Room, Segment
from sfu_wrapper.core.segments import (
    announce_late_segment,
    back_off_ms,
    close,
    derive_phase,
    request_start,
    request_stop,
    start_wanted,
)
from sfu_wrapper.core.transition import Transition
from sfu_wrapper.model.errors import Code
from sfu_wrapper.model.identity import EndReason, Kind

NOT_CONFIRMED = "the media plane did not confirm that it stopped"


def next_due_ms(room: Room) -> int | None:
    """Return the monotonic time of the next deadline; None: the room waits for nothing."""
    return min(_deadlines(room), default=None)


def pass_time(turn: Transition) -> None:
    """Act on every deadline that has passed."""
    _unused(turn)
    _grace(turn)
    for segment in turn.room.segments.marked_values():
        _captures_due(turn, segment)
    derive_phase(turn)
    limits.enforce(turn)
    _unconfirmed_stops(turn)
    _given_up(turn)
    start_wanted(turn)


def resume(turn: Transition) -> None:
    """Take up a stored room: compute its deadlines again, ask the plane which captures run."""
    room = turn.room
    over = room.life is Life.ENDED and room.capture is Phase.IDLE
    if room.opened and not over:
        turn.request(OpenMediaRoom(room.uuid, room.confbridge_id))
    grace_by_ms = turn.at.mono_ms + turn.rules.reconnect_grace_ms
    turn.room = replace(
        room,
        halted=False,
        open_by_ms=_open_by_ms(turn) if room.life is Life.WAITING else None,
        participants=Participants(
            each if each.by_service else replace(each, gone_by_ms=grace_by_ms)
            for each in room.participants
        ),
    )
    if room.wanted is not None and room.capture is Phase.IDLE:
        pause_ms = max(0, (room.wanted.resumes_at_ms or 0) - turn.at.wall_ms)
        due_ms = turn.at.mono_ms + pause_ms
        turn.room = replace(turn.room, wanted=replace(room.wanted, due_ms=due_ms))
    due_ms = turn.at.mono_ms + turn.rules.media_timeout_ms
    turn.room = replace(
        turn.room,
        waiting=tuple(
            each if each.due_ms is None else replace(each, due_ms=due_ms) for each in room.waiting
        ),
    )
    for segment in room.segments:
        if segment.pending or not segment.announced:  # the times of the others are final
            _resume_segment(turn, segment, due_ms)
    limits.resume(turn)


def _open_by_ms(turn: Transition) -> int:
    """Return the deadline for the establishment, computed from the creation by the wall clock."""
    limit_ms = open_limit_ms(
        turn.room.kind, turn.rules.answer_timeout_ms, turn.rules.unused_timeout_ms
    )
    elapsed_ms = max(0, turn.at.wall_ms - turn.room.created.wall_ms)
    return turn.at.mono_ms + max(0, limit_ms - elapsed_ms)


def open_limit_ms(kind: Kind, answer_ms: int, unused_ms: int) -> int:
    """Return the longest time that a room may wait for its establishment, in ms."""
    return answer_ms if kind is Kind.DIRECT else unused_ms


def _resume_segment(turn: Transition, segment: Segment, due_ms: int) -> None:
    segment = turn.put_segment(
        replace(
            segment,
            resumed=segment.outcome is None,
            requested_at=rebased(turn, segment.requested_at),
            started=rebased(turn, segment.started) if segment.started is not None else None,
            stop_by_ms=None if segment.stop_by_ms is None else due_ms,
        )
    )
    for capture in segment.captures:
        if capture.state in (CaptureState.REQUESTED, CaptureState.RUNNING):
            state = advance(capture.state, "resume")
            segment = turn.put_capture(segment, replace(capture, state=state, due_ms=due_ms))
            turn.request(ResumeCapture(turn.room.ref(segment, capture.medium), capture.files))
        elif capture.state is not CaptureState.CLOSED:
            segment = turn.put_capture(segment, replace(capture, due_ms=turn.at.mono_ms))


def _deadlines(room: Room) -> Iterator[int]:
    if room.open_by_ms is not None:
        yield room.open_by_ms
    for gone in room.participants.marked_values():
        yield from () if gone.gone_by_ms is None else (gone.gone_by_ms,)
    for waiting in room.waiting:
        if waiting.due_ms is not None:
            yield waiting.due_ms
    if room.wanted is not None and room.wanted.due_ms is not None and room.may_start:
        yield room.wanted.due_ms
    yield from limits.deadlines(room)
    for segment in room.segments.marked_values():
        if segment.stop_by_ms is not None:
            yield segment.stop_by_ms
        for capture in segment.captures:
            if capture.due_ms is not None and not _is_deferred(room, capture):
                yield capture.due_ms


def _is_deferred(room: Room, capture: Capture) -> bool:
    return room.undecided and capture.state is CaptureState.FAILED


def _unused(turn: Transition) -> None:
    if passed(turn, turn.room.open_by_ms):
        direct = turn.room.kind is Kind.DIRECT
        end(turn, EndReason.NO_ANSWER if direct else EndReason.IDLE)


def _grace(turn: Transition) -> None:
    for participant in turn.room.participants.marked_values():
        if passed(turn, participant.gone_by_ms):
            depart(turn, participant.key)


def _captures_due(turn: Transition, segment: Segment) -> None:
    for index in range(len(segment.captures)):
        current = turn.room.segments[segment.number - 1]
        capture = current.captures[index]
        if _is_deferred(turn.room, capture):
            continue
        if passed(turn, capture.due_ms):
            _capture_due(turn, current, capture)


def _capture_due(turn: Transition, segment: Segment, capture: Capture) -> None:
    state = advance(capture.state, "due")
    again_ms = turn.at.mono_ms + turn.rules.media_timeout_ms
    if state is CaptureState.FAILED:
        not_answered(turn, segment, capture)
    elif state is CaptureState.REQUESTED:
        requested = replace(capture, state=state, due_ms=again_ms)
        request_start(turn, turn.put_capture(segment, requested), capture.medium)
    else:  # repeat the request to stop with growing pauses until it is confirmed
        failures = capture.failures + 1
        again_ms = max(again_ms, turn.at.mono_ms + back_off_ms(failures))
        stopping = replace(capture, state=state, due_ms=again_ms, failures=failures)
        request_stop(turn, turn.put_capture(segment, stopping), capture.medium)


def _unconfirmed_stops(turn: Transition) -> None:
    """Refuse pending requests whose deadline has passed; the stop itself continues."""
    message = "the media plane has not confirmed the stop yet; it is asked again"
    for waiting in turn.room.waiting:
        if passed(turn, waiting.due_ms):
            turn.reply(waiting.ref, Refusal(Code.MEDIA_FAILED, message, (("room", turn.room.id),)))
    kept = tuple(each for each in turn.room.waiting if not passed(turn, each.due_ms))
    turn.room = replace(turn.room, waiting=kept)


def _given_up(turn: Transition) -> None:
    """Close segments whose stop was not confirmed in time; keep requesting the stop."""
    for segment in turn.room.segments.marked_values():
        if not passed(turn, segment.stop_by_ms):
            continue
        if segment.outcome is None:
            close(turn, turn.put_segment(replace(segment, incomplete=NOT_CONFIRMED)))
        else:
            announce_late_segment(turn, segment)

"""Room machine: ``step(room, event, rules) -> (room, effects)``.

Theory of operation
    * In: the room as stored, one event, the configuration. Time and ids arrive in events.
    * Out: the new room, and effects in the order in which the shell carries them out.
    * Next: the shell (``service/rooms/actor``) commits the room together with the announcements,
      and only then carries out the other effects. It arms a timer for ``timers.next_due_ms``.
    * Inside: ``membership`` handles participants, ``segments`` and ``captures`` the recording,
      ``timers`` the deadlines; each works on one ``Transition``.

Rules
    1. No I/O, no clock, no randomness, no logging.
    2. A refused event raises ``Refused`` and changes nothing.
    3. An effect is a request. Its outcome returns later as another event, so that a lost answer is
       a visible state (STARTING) and not a lost exception.
    4. Requests can be refused; facts cannot. A late or repeated fact is ignored.
"""

from dataclasses import dataclass, replace
from typing import assert_never

from sfu_wrapper.core.access import require_may_start, require_may_stop
from sfu_wrapper.core.captures import on_fact
from sfu_wrapper.core.effects import Created, Effect, PauseChanged, Refusal, Stopped
from sfu_wrapper.core.events import (
    ControllerReady,
    ControllerStopping,
    EndRequested,
    Event,
    InviteRequested,
    JoinRequested,
    LeaveRequested,
    MediaRequested,
    PlaneReported,
    StartRequested,
    StopRequested,
    TimePassed,
    UserBack,
    UserGone,
)
from sfu_wrapper.core.intent import PendingKind, PendingRequest, RecordingIntent
from sfu_wrapper.core.lifecycle import Phase
from sfu_wrapper.core.limits import note_absence
from sfu_wrapper.core.media_plane import RoomFact, TracksCarried
from sfu_wrapper.core.membership import (
    apply_plane_tracks,
    end_by_request,
    invite,
    join,
    leave,
    refuse_starts,
    update_media,
)
from sfu_wrapper.core.policy import Reason, decide
from sfu_wrapper.core.quotas import too_many_segments
from sfu_wrapper.core.room import WAITING_LIMIT, Room, Rules, Segment
from sfu_wrapper.core.segments import BEYOND_LIMIT, begin, quota_wait_ms, stop
from sfu_wrapper.core.timers import open_limit_ms, pass_time, resume
from sfu_wrapper.core.transition import Transition
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import (
    ConfbridgeId,
    DomainId,
    Kind,
    Origin,
    OwnerPermissions,
    RoomId,
    RoomUuid,
    StopReason,
    UserId,
    UserKey,
    shown_user,
)
from sfu_wrapper.model.persistent import PersistentSet
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.model.trace import TraceContext


@dataclass(frozen=True, slots=True)
class RoomSpec:
    """Request of createRoom, with all ids filled in."""

    uuid: RoomUuid
    id: RoomId
    confbridge_id: ConfbridgeId
    kind: Kind
    origin: Origin
    domain: DomainId
    owner: UserId
    flag: bool | None
    creator: UserKey | None
    invited: tuple[UserId, ...] | None

    @property
    def owner_key(self) -> UserKey:
        """Owner with its domain."""
        return UserKey(self.domain, self.owner)


def create(
    spec: RoomSpec, at: Instant, ref: str, permissions: OwnerPermissions, rules: Rules
) -> tuple[Room, tuple[Effect, ...]]:
    """Return a new room without participants, and the effects of its creation."""
    limit_ms = open_limit_ms(spec.kind, rules.answer_timeout_ms, rules.unused_timeout_ms)
    room = Room(
        uuid=spec.uuid,
        id=spec.id,
        confbridge_id=spec.confbridge_id,
        kind=spec.kind,
        origin=spec.origin,
        domain=spec.domain,
        owner=spec.owner,
        flag=spec.flag,
        created=at,
        creator=spec.creator,
        invited=None if spec.invited is None else PersistentSet(spec.invited),
        open_by_ms=at.mono_ms + limit_ms,
    )
    turn = Transition(room, rules, at)
    _warn_of_pstn(turn, permissions)
    turn.reply(ref, Created(room, permissions))
    return turn.room, turn.effects


def step(
    room: Room, event: Event, rules: Rules, trace: TraceContext | None = None
) -> tuple[Room, tuple[Effect, ...]]:
    """Apply one event; ``trace``: that of the request behind it, for a segment started or stopped.

    Raises:
        Refused: the request is not allowed now; nothing has changed.
    """
    turn = Transition(room, rules, event.at, trace)
    match event:  # the table of this machine
        case JoinRequested():
            join(turn, event)
        case MediaRequested():
            update_media(turn, event)
        case InviteRequested():
            invite(turn, event)
        case LeaveRequested():
            leave(turn, event)
        case EndRequested():
            end_by_request(turn, event)
        case StartRequested():
            _start(turn, event)
        case StopRequested():
            _stop(turn, event)
        case UserGone(user=user):
            _note_connection(turn, user, turn.at.mono_ms + turn.rules.reconnect_grace_ms)
        case UserBack(user=user):
            _note_connection(turn, user, None)
        case PlaneReported(fact=fact):
            _report(turn, fact)
        case TimePassed():
            pass_time(turn)
        case ControllerStopping():
            _halt(turn)
        case ControllerReady():
            resume(turn)
        case _:
            assert_never(event)
    note_absence(turn)
    return turn.room, turn.effects


def _report(turn: Transition, fact: RoomFact) -> None:
    if isinstance(fact, TracksCarried):
        apply_plane_tracks(turn, fact)
    else:
        on_fact(turn, fact)


def _start(turn: Transition, event: StartRequested) -> None:
    room = turn.room
    policy = turn.rules.policy
    decision = decide(room.kind, room.origin, room.flag, event.permissions, policy)
    require_may_start(room, event.by, decision)
    if _is_recording(room):
        number = room.segments[-1].number
        message = f"segment {number} of this room is being recorded"
        raise Refused(Code.ALREADY_RECORDING, message, room=room.id, segment=number)
    limits = turn.rules.limits
    if limits.spent(room.recorded_ms):
        limit_s = limits.max_room_ms // 1000
        raise Refused(Code.RECORDING_LIMIT, BEYOND_LIMIT, room=room.id, limit=limit_s)
    _require_no_halt(room)
    quotas = turn.rules.quotas
    wait_ms = quota_wait_ms(room, quotas, turn.at)
    if wait_ms > 0:
        raise too_many_segments(quotas, wait_ms, room.id)
    waiting = PendingRequest(
        event.ref,
        shown_user(event.by.key, room.domain),
        PendingKind.START,
        decision.type,
        decision=decision,
        trace=turn.trace,
    )
    _wait(turn, waiting)
    if room.capture is Phase.IDLE:
        begin(turn, waiting.by, waiting.type, decision)


def _is_recording(room: Room) -> bool:
    """Return True if a segment starts or runs and no stop of it is waiting."""
    stops = any(each.want is PendingKind.STOP for each in room.waiting)
    return room.capture in (Phase.STARTING, Phase.RECORDING) and not stops


def _stop(turn: Transition, event: StopRequested) -> None:
    room = turn.room
    require_may_stop(room, event.by, turn.rules.policy.stop_by)
    if room.capture is Phase.IDLE:
        _stop_wanting(turn, event)
        return
    by = shown_user(event.by.key, room.domain)
    due_ms = None
    if room.capture is Phase.STOPPING and not any(
        each.want is PendingKind.START for each in room.waiting
    ):
        due_ms = turn.at.mono_ms + turn.rules.media_timeout_ms
    # Otherwise a start is pending before it; the decision on that one sets the deadline.
    _wait(turn, PendingRequest(event.ref, by, PendingKind.STOP, due_ms=due_ms))
    turn.room = replace(turn.room, wanted=_pause(turn, event, room.segments[-1]))
    if room.capture is Phase.RECORDING:
        stop(turn, StopReason.REQUESTED, by)


def _pause(turn: Transition, event: StopRequested, last: Segment) -> RecordingIntent | None:
    """Return the intent after a stop: none, or to go on after a pause."""
    if event.resume_after_ms is None:
        return None
    return RecordingIntent(
        last.type,
        due_ms=turn.at.mono_ms + event.resume_after_ms,
        resumes_at_ms=turn.at.wall_ms + event.resume_after_ms,
        by=last.by or last.begun_by,
    )


def _stop_wanting(turn: Transition, event: StopRequested) -> None:
    """Cancel or postpone the automatic start of the next segment.

    The answer is the last segment that ran; NOT_RECORDING where none has.
    """
    room = turn.room
    if room.wanted is None:
        raise Refused(Code.NOT_RECORDING, "nothing is being recorded", room=room.id)
    last = _last_that_ran(room)
    if last is None:
        turn.room = replace(room, wanted=None)
        message = "nothing is being recorded; it will not start again by itself"
        turn.reply(event.ref, Refusal(Code.NOT_RECORDING, message, (("room", room.id),)))
        return
    paused = _pause(turn, event, last)
    resumes_at_ms = paused.resumes_at_ms if paused is not None else None
    turn.room = replace(room, wanted=paused)
    turn.reply(event.ref, Stopped(room.id, replace(last, resumes_at_ms=resumes_at_ms)))
    turn.notify(PauseChanged(room.id, last.number, resumes_at_ms))


def _last_that_ran(room: Room) -> Segment | None:
    """Return the last segment that was recorded; None: none was."""
    numbers = range(len(room.segments) - 1, -1, -1)
    return next((room.segments[number] for number in numbers if room.segments[number].ran), None)


def _wait(turn: Transition, waiting: PendingRequest) -> None:
    if len(turn.room.waiting) >= WAITING_LIMIT:
        raise Refused(Code.OVERLOADED, "too many requests wait for this room", room=turn.room.id)
    turn.room = replace(turn.room, waiting=(*turn.room.waiting, waiting))


def _require_no_halt(room: Room) -> None:
    if room.halted:
        raise Refused(Code.OVERLOADED, "the controller restarts; try again", room=room.id)


def _note_connection(turn: Transition, user: UserKey, gone_by_ms: int | None) -> None:
    participant = turn.room.participants.get(user)
    if participant is None or participant.by_service:
        return
    changed = replace(participant, gone_by_ms=gone_by_ms)
    turn.room = replace(turn.room, participants=turn.room.participants.put(changed))


def _halt(turn: Transition) -> None:
    turn.room = replace(turn.room, halted=True)
    refuse_starts(turn, Code.OVERLOADED, "the controller restarts; try again")
    if turn.room.capture in (Phase.STARTING, Phase.RECORDING):
        stop(turn, StopReason.RESTART)


def _warn_of_pstn(turn: Transition, permissions: OwnerPermissions) -> None:
    """Log at most one warning for each room (policy.md, "Kinds of rooms")."""
    room = turn.room
    decision = decide(room.kind, room.origin, room.flag, permissions, turn.rules.policy)
    if decision.reason is Reason.PSTN_CONFLICT:
        turn.warn("room.pstnConflict")
    elif decision.reason is Reason.PSTN_OFF and room.flag:
        turn.warn("room.pstnOff")

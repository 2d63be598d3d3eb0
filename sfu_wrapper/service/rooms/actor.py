"""Room actor: applies the requests and facts of one room in order, one commit at a time.

What enters: commands and queries (``post``), and the deadlines of the room, as commands from its
own timer. What leaves: commits to the store, answers to clients, effects (``EffectRunner``) and
calls of the callbacks in ``ActorContext``. Nothing here blocks or awaits: callers return at once,
the store and the effect runner call back.

One cycle, always in this order:

1. ``post`` puts a command into the mailbox and requests a turn from the scheduler.
2. ``_take_turn`` applies a batch of commands with ``step`` to a draft of the room. A refusal or a
   bug affects only the command that caused it.
3. ``_commit`` stores state, outbox rows and answers in one transaction.
4. ``_committed`` makes the draft the room, sends the answers, hands the rows to the relay and
   starts the effects.
5. ``_effects_done`` sets the timer for the next deadline, and requests a turn if commands arrived
   in the meantime. Outcomes of effects come back to the mailbox as facts.

The mailbox collects during steps 3 to 5, so commands that arrive together share the next commit.

Rules: no client sees a state that is not stored. After a failed commit the room is as before:
requests are refused and may be repeated, facts are applied again. After a commit that does not end
in time the outcome is unknown: clients get OVERLOADED, and a repeat gets the real answer.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from sfu_wrapper.core.effects import Effect, Refusal, Reply
from sfu_wrapper.core.events import TimePassed
from sfu_wrapper.core.lifecycle import Phase
from sfu_wrapper.core.room import Room, Rules
from sfu_wrapper.core.step import step
from sfu_wrapper.core.timers import next_due_ms
from sfu_wrapper.model.errors import Code, Refused, Unavailable
from sfu_wrapper.model.identity import RoomUuid, UserKey
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.ports.store import OutboxRow, Store
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.recordings.audit import Refusals
from sfu_wrapper.service.rooms.commit import Draft, EffectRunner, encode, notice_count
from sfu_wrapper.service.rooms.idempotency import IdempotencyStore, RequestRef, parse_ref
from sfu_wrapper.service.rooms.maintenance import Monitor
from sfu_wrapper.service.rooms.messages import encode_answer, internal_error
from sfu_wrapper.service.rooms.scheduling import Command, Mailbox, More, Query, Scheduler

BATCH_LIMIT = 64  # events that share one commit
RETRY_S = 1.0  # until facts that could not be stored are applied again
COMMIT_TIMEOUT_S = 10.0  # until the store counts as hanging
MIN_TIMER_S = 0.005
NOT_NOW = Refusal(Code.OVERLOADED, "nothing can be stored right now; try again")

Offer = Callable[[tuple[OutboxRow, ...]], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ActorContext:
    """Dependencies that all actors share.

    Attributes:
        store: where rooms are committed.
        effects: executes effects after the commit.
        clock: wall and monotonic clock.
        idempotency: requests under way, and answers kept for their repeats.
        rules: rules of the room machine.
        epoch: epoch of this controller; see ``Store``.
        offer: called with the outbox rows of each commit.
        committed: called after each commit, with the room before it.
        became_idle: called once the effects of a commit are executed.
        monitor: receives the outcome of commits.
        scheduler: shares the event loop among the rooms.
        refusals: limits the audit entries about refused requests.
    """

    store: Store
    effects: EffectRunner
    clock: Clock
    idempotency: IdempotencyStore
    rules: Rules
    epoch: int
    offer: Offer
    committed: Callable[["RoomActor", Room | None], None]
    became_idle: Callable[["RoomActor"], None]
    monitor: Monitor
    scheduler: Scheduler
    refusals: Refusals


class _State(Enum):
    """Stage of the present round. A round without anything to commit ends after SCHEDULED."""

    RESTING = auto()  # the mailbox is empty, or its facts wait for the timer of a retry
    SCHEDULED = auto()  # a turn to apply the mailbox is requested
    COMMITTING = auto()
    RUNNING_EFFECTS = auto()  # of the last commit


class RoomActor:
    """The only place where a room changes.

    Attributes:
        uuid: identity of the room.
        room: the room as last committed; None before the first commit.
    """

    def __init__(
        self,
        context: ActorContext,
        uuid: RoomUuid,
        room: Room | None = None,
        *,
        outdated: bool = False,
        owner: UserKey | None = None,
    ) -> None:
        """Create the actor.

        Args:
            context: dependencies that all actors share.
            uuid: identity of the room.
            room: the room as stored; None for a room that is being created.
            outdated: the store holds the room in the format of an earlier version; the next commit
                rewrites all of it.
            owner: owner of a room that is being created.
        """
        self.uuid = uuid
        self.room = room
        self._owner = owner if room is None else room.owner_key
        self._outdated = outdated
        self._context = context
        self._mailbox = Mailbox()
        self._state = _State.RESTING
        self._committing: Draft | None = None  # set exactly while COMMITTING
        self._timer: asyncio.TimerHandle | None = None
        self._watchdog: asyncio.TimerHandle | None = None
        self._commit_began_s = 0.0

    @classmethod
    def of_settled(cls, context: ActorContext, room: Room) -> "RoomActor":
        """Return an actor for a room that has ended, which the registry does not hold."""
        return cls(context, room.uuid, room)

    @property
    def is_idle(self) -> bool:
        """True while no command waits, no commit is under way and no effect is still to execute."""
        return self._state in (_State.RESTING, _State.SCHEDULED) and not self._mailbox

    @property
    def is_quiet(self) -> bool:
        """True while the actor is idle and no segment of the room is open."""
        return self.is_idle and (self.room is None or self.room.capture is Phase.IDLE)

    def is_joining(self, user: UserKey) -> bool:
        """Return True if a request of the user to join is waiting or being stored."""
        storing = self._committing is not None and user in self._committing.joins
        return storing or self._mailbox.is_joining(user)

    def post(self, item: Command | Query) -> None:
        """Add a command or query to the mailbox.

        Raises:
            Refused: OVERLOADED; too many requests wait. Facts are always accepted.
        """
        self._mailbox.put(item)
        if self._state is _State.RESTING:
            self._state = _State.SCHEDULED
            self._context.scheduler.request_turn(self._owner, self._take_turn)

    def close(self) -> None:
        """Cancel all timers."""
        self._stop_timer()
        self._cancel_commit_watchdog()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_round(self) -> None:
        """Request a turn for the commands that have arrived during the round, or rest."""
        self._state = _State.RESTING
        if self._mailbox:
            self._state = _State.SCHEDULED
            self._context.scheduler.request_turn(self._owner, self._take_turn)

    def _take_turn(self, more: More) -> bool:
        """Apply waiting commands, up to ``BATCH_LIMIT`` or the time limit of the turn.

        Returns:
            True if a commit has been started.
        """
        draft = Draft(self.room, self.room, self._outdated)
        while self._mailbox and len(draft.items) < BATCH_LIMIT:
            if draft.items and self._mailbox.query_is_next:
                break  # the query must see the earlier commands committed
            match self._mailbox.take():
                case Query(read=read):
                    read(self.room)
                case Command() as item:
                    self._apply(draft, item)
            if not more():
                break
        if draft.items:
            self._commit(draft)
        else:
            if self._timer is None and not self._mailbox:
                self._set_timer()
            self._end_round()
        return self._state is _State.COMMITTING

    def _apply(self, draft: Draft, item: Command) -> None:
        room: Room | None = draft.room
        effects: tuple[Effect, ...] = ()
        try:
            room, effects = item.apply(draft.room, self._context.clock.now())
        except Refused as refused:
            effects = self._refusal(item, refused)
        except Unavailable as error:
            log.warning("room.notApplied", extra={"room": self.uuid, "error": error.detail})
            self._drop(item)
            return
        except Exception as bug:
            self._handle_bug(bug, item)
            return
        draft.add(item, room, effects)
        if item.charge is not None:
            item.charge(notice_count(effects))

    def _handle_bug(self, bug: Exception, *items: Command) -> None:
        """Handle an unexpected exception: fail only the affected requests."""
        log.error("room.eventFailed", extra={"room": self.uuid}, exc_info=bug)
        self._timer_at(RETRY_S)  # a timer that fails at once must not spin
        for item in items:
            if item.ref is not None:
                self._context.idempotency.finish(item.ref, internal_error(item.ref))
            if item.undo is not None:
                item.undo()

    def _drop(self, item: Command) -> None:
        """Refuse a command of which nothing was stored; the client may repeat it."""
        if item.ref is not None:
            self._context.idempotency.finish(item.ref, self._overloaded(item.ref))
        if item.undo is not None:
            item.undo()

    def _overloaded(self, ref: RequestRef) -> bytes:
        return encode_answer(ref, NOT_NOW, self._context.rules.policy)

    def _refusal(self, item: Command, refused: Refused) -> tuple[Effect, ...]:
        if item.ref is None:
            return ()
        details = tuple(refused.context.items())
        return (Reply(str(item.ref), Refusal(refused.code, refused.detail, details)),)

    def _commit(self, draft: Draft) -> None:
        context = self._context
        now_ms = context.clock.now().wall_ms
        try:
            commit = encode(
                draft, context.idempotency, context.rules.policy, context.refusals, now_ms
            )
        except Exception as bug:
            self._handle_bug(bug, *draft.items)
            self._state = _State.RESTING
            return
        self._state, self._committing = _State.COMMITTING, draft
        loop = asyncio.get_running_loop()
        self._commit_began_s = loop.time()
        self._watchdog = loop.call_later(COMMIT_TIMEOUT_S, self._commit_timed_out)
        future = context.store.commit(commit, context.epoch)
        future.add_done_callback(lambda done: self._committed(draft, done))

    def _committed(self, draft: Draft, done: "asyncio.Future[tuple[OutboxRow, ...]]") -> None:
        self._state, self._committing = _State.RESTING, None
        self._context.scheduler.committed(self._owner)
        self._cancel_commit_watchdog()
        error = done.exception() if not done.cancelled() else Unavailable("the store was closed")
        if error is not None:
            self._not_stored(draft, error)
            return
        self._state = _State.RUNNING_EFFECTS
        took_s = asyncio.get_running_loop().time() - self._commit_began_s
        self._context.monitor.stored(True, took_s)
        before, self.room = self.room, draft.room
        self._outdated = False
        for answer in draft.answers:
            self._context.idempotency.finish(answer.ref, answer.body)
        self._context.offer(done.result())
        try:
            self._context.committed(self, before)
        except Exception as bug:
            self._handle_bug(bug)  # the effects are executed nevertheless
        self._context.effects.start(self.room, draft.effects, self._handle_bug, self._effects_done)

    def _effects_done(self) -> None:
        """Continue with the commands that arrived while the effects were executed."""
        self._set_timer()
        self._end_round()
        self._context.became_idle(self)

    def _not_stored(self, draft: Draft, error: BaseException) -> None:
        """Keep the old state: refuse the requests, and apply the facts again later."""
        self._context.monitor.stored(False)
        log.error("room.commitFailed", extra={"room": self.uuid, "error": str(error)})
        for item in draft.items:
            self._drop(item)
        for answer in draft.answers:  # of requests from earlier commits, still unanswered
            self._context.idempotency.defer(answer.ref, self._overloaded(answer.ref))
        self._mailbox.put_back(draft.items)
        self._timer_at(RETRY_S)

    def _cancel_commit_watchdog(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None

    def _commit_timed_out(self) -> None:
        """Answer all waiting clients with OVERLOADED while the store hangs.

        The commit under way may still succeed, so its requests stay known: a repeat gets the real
        answer. Requests in the mailbox are dropped; queries see the last committed room.
        """
        self._context.monitor.stored(False)
        log.error("room.storeHangs", extra={"room": self.uuid})
        for ref in self._unanswered():
            self._context.idempotency.defer(ref, self._overloaded(ref))
        for request in self._mailbox.withdraw():
            match request:
                case Query(read=read):
                    read(self.room)
                case Command() as item:
                    self._drop(item)
        self._watchdog = asyncio.get_running_loop().call_later(
            COMMIT_TIMEOUT_S, self._commit_timed_out
        )

    def _unanswered(self) -> Iterator[RequestRef]:
        """Yield the requests that the commit under way or the room will answer."""
        if self._committing is not None:
            yield from (item.ref for item in self._committing.items if item.ref is not None)
            yield from (answer.ref for answer in self._committing.answers)
        if self.room is not None:
            yield from (parse_ref(waiting.ref) for waiting in self.room.waiting)

    def _set_timer(self) -> None:
        due_ms = next_due_ms(self.room) if self.room is not None else None
        if due_ms is None:
            self._stop_timer()
        else:
            self._timer_at((due_ms - self._context.clock.now().mono_ms) / 1000)

    def _timer_at(self, delay_s: float) -> None:
        self._stop_timer()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(delay_s, MIN_TIMER_S), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.post(Command(self._pass_time))

    def _pass_time(self, room: Room | None, at: Instant) -> tuple[Room, tuple[Effect, ...]]:
        if room is None:
            raise Refused(Code.ROOM_NOT_FOUND, "the room was never stored")
        return step(room, TimePassed(at), self._context.rules)

"""One room's mailbox: events in order, one commit at a time, effects after the commit.

The shell's order, always: take what has arrived, ``step`` each, store {state, outbox, answers} in
one transaction, answer, then tell and start effects (``telling``), whose outcomes come back to the
mailbox. Meanwhile the mailbox collects; what it has collected shares the next commit. Rooms do not
wait for each other, and nothing here waits: it is called, and it calls back.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sfu_wrapper.core.effects import Effect, Refusal, Reply
from sfu_wrapper.core.events import TimePassed
from sfu_wrapper.core.room import Room, Rules
from sfu_wrapper.core.step import step
from sfu_wrapper.core.timers import next_due_ms
from sfu_wrapper.model.errors import Code, Refused, Unavailable
from sfu_wrapper.model.identity import RoomUuid, UserKey
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.ports.store import OutboxRow, Store
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.rooms.commit import Draft, encode
from sfu_wrapper.service.rooms.effects import Telling, notices_of
from sfu_wrapper.service.rooms.idempotency import IdempotencyStore, RequestRef, parse_ref
from sfu_wrapper.service.rooms.mailbox import Command, Mailbox, Query
from sfu_wrapper.service.rooms.maintenance import Monitor
from sfu_wrapper.service.rooms.messages import encode_answer, internal_error
from sfu_wrapper.service.rooms.scheduling import More, Scheduler

BATCH_LIMIT = 64  # events that share one commit
RETRY_S = 1.0  # before facts are applied again that could not be stored
PATIENCE_S = 10.0  # with a store that says neither yes nor no
MIN_TIMER_S = 0.005
NOT_NOW = Refusal(Code.OVERLOADED, "nothing can be stored right now; try again")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ActorContext:
    """What every actor works with.

    changed: called after a commit, with the room before it. rested: called once that commit's
    effects are carried out.
    """

    store: Store
    telling: Telling
    clock: Clock
    repeats: IdempotencyStore
    rules: Rules
    epoch: int
    offer: Callable[[tuple[OutboxRow, ...]], None]
    changed: Callable[["RoomActor", Room | None], None]
    rested: Callable[["RoomActor"], None]
    signals: Monitor
    scheduler: Scheduler


class RoomActor:
    """The one place where a room changes. ``room`` is what was last committed; None before.

    outdated: the store holds the room in the form of an earlier version. owner: of a room that is
    not made yet.
    """

    def __init__(
        self,
        around: ActorContext,
        uuid: RoomUuid,
        room: Room | None = None,
        *,
        outdated: bool = False,
        owner: UserKey | None = None,
    ) -> None:
        self.uuid = uuid
        self.room = room
        self._owner = owner if room is None else room.owner_key
        self._outdated = outdated  # the store has it in an earlier form: write all of it
        self._around = around
        self._mailbox = Mailbox()
        self._committing: Draft | None = None
        self._telling = False  # effects of the last commit are being carried out
        self._asked = False  # for a turn to apply what has arrived
        self._timer: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Nothing waits, nothing is being stored, nobody is still to be told."""
        return not (self._committing is not None or self._telling or self._mailbox)

    def joining(self, user: UserKey) -> bool:
        """Whether the user has asked to come in, and that is not stored yet."""
        storing = self._committing is not None and user in self._committing.joins
        return storing or self._mailbox.joining(user)

    def post(self, item: Command | Query) -> None:
        """Put something into the mailbox.

        Raises:
            Refused: OVERLOADED; too many requests wait. Facts are always taken.
        """
        self._mailbox.put(item)
        self._go_on()

    def close(self) -> None:
        """Set no timer any more."""
        self._stop_timer()
        self._lose_no_patience()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_on(self) -> None:
        """Ask for a turn, where anything waits and nothing is under way."""
        if self._mailbox and self._committing is None and not (self._telling or self._asked):
            self._asked = True
            self._around.scheduler.ask(self._owner, self._turn)

    def _turn(self, more: More) -> bool:
        """Apply what has arrived: a commit's worth, or as much as this turn has time for.

        Returns:
            Whether that is being committed.
        """
        self._asked = False
        draft = Draft(self.room, self.room, self._outdated)
        while self._mailbox and len(draft.items) < BATCH_LIMIT:
            if draft.items and self._mailbox.looks_next:
                break  # it shall see what came before it, committed
            match self._mailbox.take():
                case Query(read=read):
                    read(self.room)
                case Command() as item:
                    self._apply(draft, item)
            if not more():
                break
        if draft.items:
            self._commit(draft)
        elif self._mailbox:
            self._go_on()
        elif self._timer is None:
            self._set_timer()
        return self._committing is not None

    def _apply(self, draft: Draft, item: Command) -> None:
        room: Room | None = draft.room
        effects: tuple[Effect, ...] = ()
        try:
            room, effects = item.apply(draft.room, self._around.clock.now())
        except Refused as refused:
            effects = self._refusal(item, refused)
        except Unavailable as error:
            log.warning("room.notApplied", extra={"room": self.uuid, "error": error.detail})
            self._drop(item)
            return
        except Exception as bug:
            self._own_up(bug, item)
            return
        draft.add(item, room, effects)
        if item.charge is not None:
            item.charge(notices_of(effects))

    def _own_up(self, bug: Exception, *items: Command) -> None:
        """Our fault: it costs these, and no others."""
        log.error("room.eventFailed", extra={"room": self.uuid}, exc_info=bug)
        self._timer_at(RETRY_S)  # what fails at its deadline must not spin
        for item in items:
            if item.ref is not None:
                self._around.repeats.finish(item.ref, internal_error(item.ref))
            if item.undo is not None:
                item.undo()

    def _drop(self, item: Command) -> None:
        """Nothing of it has happened; whoever asked may ask again."""
        if item.ref is not None:
            self._around.repeats.finish(item.ref, self._overloaded(item.ref))
        if item.undo is not None:
            item.undo()

    def _overloaded(self, ref: RequestRef) -> bytes:
        return encode_answer(ref, NOT_NOW, self._around.rules.policy)

    def _refusal(self, item: Command, refused: Refused) -> tuple[Effect, ...]:
        if item.ref is None:
            return ()
        context = tuple(refused.context.items())
        return (Reply(str(item.ref), Refusal(refused.code, refused.detail, context)),)

    def _commit(self, draft: Draft) -> None:
        around = self._around
        now_ms = around.clock.now().wall_ms
        try:
            commit = encode(draft, around.repeats, around.rules.policy, now_ms)
        except Exception as bug:
            self._own_up(bug, *draft.items)
            return
        self._committing = draft
        self._patience = asyncio.get_running_loop().call_later(PATIENCE_S, self._out_of_patience)
        future = around.store.commit(commit, around.epoch)
        future.add_done_callback(lambda done: self._committed(draft, done))

    def _committed(self, draft: Draft, done: "asyncio.Future[tuple[OutboxRow, ...]]") -> None:
        self._committing = None
        self._around.scheduler.committed()
        self._lose_no_patience()
        error = done.exception() if not done.cancelled() else Unavailable("the store was closed")
        if error is not None:
            self._not_stored(draft, error)
            return
        self._around.signals.stored(True)
        before, self.room = self.room, draft.room
        self._outdated = False
        for answer in draft.answers:
            self._around.repeats.finish(answer.ref, answer.body)
        self._around.offer(done.result())
        self._telling = True
        try:
            self._around.changed(self, before)
        except Exception as bug:
            self._own_up(bug)  # people are told all the same
        self._around.telling.begin(self.room, draft.effects, self._own_up, self._told)

    def _told(self) -> None:
        """All effects of the commit are carried out: go on with what came meanwhile."""
        self._telling = False
        self._set_timer()
        self._go_on()
        self._around.rested(self)

    def _not_stored(self, draft: Draft, error: BaseException) -> None:
        """No state has changed. People are told; facts are applied again later."""
        self._around.signals.stored(False)
        log.error("room.notStored", extra={"room": self.uuid, "error": str(error)})
        for item in draft.items:
            self._drop(item)
        for answer in draft.answers:  # of requests that had been waiting, and wait on
            self._around.repeats.put_off(answer.ref, self._overloaded(answer.ref))
        self._mailbox.put_back(draft.items)
        self._timer_at(RETRY_S)

    def _lose_no_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _out_of_patience(self) -> None:
        """The store hangs: what it has may still be stored, so who asks again gets the outcome.

        What has not been tried yet is not done at all; what only reads sees what is stored.
        """
        self._around.signals.stored(False)
        log.error("room.storeHangs", extra={"room": self.uuid})
        for ref in self._under_way():
            self._around.repeats.put_off(ref, self._overloaded(ref))
        for request in self._mailbox.withdraw():
            match request:
                case Query(read=read):
                    read(self.room)
                case Command() as item:
                    self._drop(item)
        self._patience = asyncio.get_running_loop().call_later(PATIENCE_S, self._out_of_patience)

    def _under_way(self) -> Iterator[RequestRef]:
        """Requests whose outcome depends on what the store has."""
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
            self._timer_at((due_ms - self._around.clock.now().mono_ms) / 1000)

    def _timer_at(self, delay_s: float) -> None:
        self._stop_timer()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(delay_s, MIN_TIMER_S), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self.post(Command(self._pass_time))

    def _pass_time(self, room: Room | None, at: Instant) -> tuple[Room, tuple[Effect, ...]]:
        if room is None:
            raise Refused(Code.ROOM_NOT_FOUND, "the room was never stored")
        return step(room, TimePassed(at), self._around.rules)

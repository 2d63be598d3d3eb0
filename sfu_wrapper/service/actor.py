"""One room's mailbox: events in order, one commit at a time, effects after the commit.

The shell's order, always: take what has arrived, ``step`` each, store {state, outbox, answers} in
one transaction, answer, tell, then start effects, whose outcomes come back to the mailbox. While a
commit is under way the mailbox collects; what it has collected shares the next commit. Rooms do
not wait for each other, and nothing here waits: it is called, and it calls back.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sfu_wrapper.core.effects import Announce, Ask, Effect, Notify, Refusal, Reply, Warn
from sfu_wrapper.core.events import TimePassed
from sfu_wrapper.core.room import Room, Rules
from sfu_wrapper.core.step import step
from sfu_wrapper.core.timers import next_due_ms
from sfu_wrapper.model.errors import Code, Refused, Unavailable
from sfu_wrapper.model.ids import RoomUuid, UserKey
from sfu_wrapper.model.moment import Moment
from sfu_wrapper.ports.clock import Clock
from sfu_wrapper.ports.plane import MediaPlane
from sfu_wrapper.ports.store import Commit, OutboxRow, PartRow, RoomRow, Store
from sfu_wrapper.service.refs import RequestRef, parse_ref
from sfu_wrapper.service.repeats import NOT_KEPT, Repeats
from sfu_wrapper.service.replies import encode_answer, internal_error, outbox_row
from sfu_wrapper.service.sessions import Sessions
from sfu_wrapper.service.signals import Signals
from sfu_wrapper.wire.answers import note_payload
from sfu_wrapper.wire.roomstate import encode_room

BATCH_LIMIT = 64  # events that share one commit
MAILBOX_LIMIT = 1_000  # requests that one room lets wait
RETRY_S = 1.0  # before facts are applied again that could not be stored
PATIENCE_S = 10.0  # with a store that says neither yes nor no
MIN_TIMER_S = 0.005
NOT_NOW = Refusal(Code.OVERLOADED, "nothing can be stored right now; try again")

log = logging.getLogger(__name__)

Apply = Callable[[Room | None, Moment], tuple[Room, tuple[Effect, ...]]]


@dataclass(frozen=True, slots=True)
class Item:
    """Something to apply.

    ref: the request that it is, if it is one. undo: called when it was not applied or not stored.
    joins: who comes in by it.
    """

    apply: Apply
    ref: RequestRef | None = None
    undo: Callable[[], None] | None = None
    joins: UserKey | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """Something that only reads, in its place among the others. It raises nothing."""

    read: Callable[[Room | None], None]


@dataclass(slots=True)
class Draft:
    """What one commit will hold.

    answers: encoded, and whether each is kept for repeats. joins: of its items.
    """

    room: Room | None
    items: list[Item] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    answers: list[tuple[RequestRef, bytes, bool]] = field(default_factory=list)
    joins: set[UserKey] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every actor works with. changed: called after a commit, with the room before it."""

    store: Store
    plane: MediaPlane
    clock: Clock
    sessions: Sessions
    repeats: Repeats
    rules: Rules
    epoch: int
    offer: Callable[[tuple[OutboxRow, ...]], None]
    changed: Callable[["RoomActor", Room | None], None]
    signals: Signals


class RoomActor:
    """The one place where a room changes. ``room`` is what was last committed; None before.

    outdated: the store holds the room in the form of an earlier version.
    """

    def __init__(
        self,
        around: Surroundings,
        uuid: RoomUuid,
        room: Room | None = None,
        *,
        outdated: bool = False,
    ) -> None:
        self.uuid = uuid
        self.room = room
        self._outdated = outdated  # the store has it in an earlier form: write all of it
        self._around = around
        self._mailbox: deque[Item | Look] = deque()
        self._joins: Counter[UserKey] = Counter()  # who wants in, of the mailbox
        self._committing: Draft | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is being stored."""
        return self._committing is None and not self._mailbox

    def joining(self, user: UserKey) -> bool:
        """Whether the user has asked to come in, and that is not stored yet."""
        storing = self._committing is not None and user in self._committing.joins
        return storing or user in self._joins

    def post(self, item: Item | Look) -> None:
        """Put something into the mailbox.

        Raises:
            Refused: OVERLOADED; too many requests wait. Facts are always taken.
        """
        if not _is_fact(item):
            self._require_space()
        self._mailbox.append(item)
        if isinstance(item, Item) and item.joins is not None:
            self._joins[item.joins] += 1
        self._go_on()

    def close(self) -> None:
        """Set no timer any more."""
        self._stop_timer()
        self._lose_no_patience()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _require_space(self) -> None:
        if len(self._mailbox) >= MAILBOX_LIMIT:
            raise Refused(Code.OVERLOADED, "too many requests wait for this room")

    def _go_on(self) -> None:
        """Apply what has arrived, up to one commit's worth."""
        if self._committing is not None:
            return
        draft = Draft(self.room)
        while self._mailbox and len(draft.items) < BATCH_LIMIT:
            item = self._mailbox[0]
            if isinstance(item, Look):
                if draft.items:
                    break  # it shall see what came before it, committed
                self._mailbox.popleft()
                item.read(self.room)
            else:
                self._mailbox.popleft()
                self._note_taken(item)
                self._apply(draft, item)
        if draft.items:
            self._commit(draft)
        elif self._timer is None:
            self._set_timer()

    def _note_taken(self, item: Item) -> None:
        """Keep ``_joins`` true after an item has left the mailbox."""
        if item.joins is not None:
            self._joins[item.joins] -= 1
            if not self._joins[item.joins]:
                del self._joins[item.joins]

    def _apply(self, draft: Draft, item: Item) -> None:
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
        if effects or room != draft.room:
            draft.room = room
            draft.items.append(item)
            if item.joins is not None:
                draft.joins.add(item.joins)
            draft.effects.extend(effects)

    def _own_up(self, bug: Exception, *items: Item) -> None:
        """Our fault: it costs these, and no others."""
        log.error("room.eventFailed", extra={"room": self.uuid}, exc_info=bug)
        self._around.signals.alarm()
        self._timer_at(RETRY_S)  # what fails at its deadline must not spin
        for item in items:
            if item.ref is not None:
                self._around.repeats.finish(item.ref, internal_error(item.ref))
            if item.undo is not None:
                item.undo()

    def _drop(self, item: Item) -> None:
        """Nothing of it has happened; whoever asked may ask again."""
        if item.ref is not None:
            self._around.repeats.finish(item.ref, self._overloaded(item.ref))
        if item.undo is not None:
            item.undo()

    def _overloaded(self, ref: RequestRef) -> bytes:
        return encode_answer(ref, NOT_NOW, self._around.rules.policy)

    def _refusal(self, item: Item, refused: Refused) -> tuple[Effect, ...]:
        if item.ref is None:
            return ()
        context = tuple(refused.context.items())
        return (Reply(str(item.ref), Refusal(refused.code, refused.detail, context)),)

    def _commit(self, draft: Draft) -> None:
        try:
            commit = self._encoded(draft)
        except Exception as bug:
            self._own_up(bug, *draft.items)
            return
        self._committing = draft
        self._patience = asyncio.get_running_loop().call_later(PATIENCE_S, self._out_of_patience)
        future = self._around.store.commit(commit, self._around.epoch)
        future.add_done_callback(lambda done: self._committed(draft, done))

    def _encoded(self, draft: Draft) -> Commit:
        now_ms = self._around.clock.now().wall_ms
        outbox: list[OutboxRow] = []
        for effect in draft.effects:
            match effect:
                case Reply(ref=ref, answer=answer):
                    parsed = parse_ref(ref)
                    encoded = encode_answer(parsed, answer, self._around.rules.policy)
                    keep = not (isinstance(answer, Refusal) and answer.code in NOT_KEPT)
                    draft.answers.append((parsed, encoded, keep))
                case Announce(announcement=announcement) if draft.room is not None:
                    outbox.append(outbox_row(draft.room.uuid, announcement, now_ms))
                case _:
                    pass
        kept = ((ref, body) for ref, body, keep in draft.answers if keep)
        answers, gone = self._around.repeats.rows(kept, now_ms)
        if draft.room is None or (draft.room == self.room and not self._outdated):
            return Commit(outbox=tuple(outbox), answers=answers, forgotten=gone)
        stored = encode_room(draft.room, None if self._outdated else self.room)
        parts = (PartRow(self.uuid, name, state) for name, state in stored.parts.items())
        return Commit(
            room=_row(draft.room, stored.head),
            outbox=tuple(outbox),
            answers=answers,
            parts=tuple(parts),
            forgotten=gone,
        )

    def _committed(self, draft: Draft, done: "asyncio.Future[tuple[OutboxRow, ...]]") -> None:
        self._committing = None
        self._lose_no_patience()
        error = done.exception() if not done.cancelled() else Unavailable("the store was closed")
        if error is not None:
            self._not_stored(draft, error)
            return
        self._around.signals.stored(True)
        before, self.room = self.room, draft.room
        self._outdated = False
        for ref, body, _ in draft.answers:
            self._around.repeats.finish(ref, body)
        self._around.offer(done.result())
        for effect in draft.effects:
            try:
                self._carry_out(effect)
            except Exception as bug:
                self._own_up(bug)  # the others are carried out all the same
        self._set_timer()
        self._go_on()
        self._around.changed(self, before)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Notify(audience=audience, note=note) if self.room is not None:
                self._around.sessions.tell(self.room.domain, audience, *note_payload(note))
            case Ask(request=request):
                try:
                    self._around.plane.tell(request)
                except Unavailable:
                    # As good as a lost request: the room's own deadline notices.
                    log.warning("plane.requestLost", extra={"request": type(request).__name__})
            case Warn(action=action, alarm=alarm):
                level = logging.ERROR if alarm else logging.WARNING
                log.log(level, action, extra={"room": self.uuid})
                if alarm:
                    self._around.signals.recording_missed()
            case Reply() | Announce() | Notify():
                pass  # done with the commit

    def _not_stored(self, draft: Draft, error: BaseException) -> None:
        """No state has changed. People are told; facts are applied again later."""
        self._around.signals.stored(False)
        log.error("room.notStored", extra={"room": self.uuid, "error": str(error)})
        for item in draft.items:
            self._drop(item)
        for ref, _, _ in draft.answers:  # of requests that had been waiting, and wait on
            self._around.repeats.put_off(ref, self._overloaded(ref))
        self._mailbox.extendleft(item for item in reversed(draft.items) if item.ref is None)
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
        waiting, self._mailbox = self._mailbox, deque()
        self._joins.clear()
        for item in waiting:
            if isinstance(item, Look):
                item.read(self.room)
            else:
                self._drop(item)
        self._mailbox.extend(item for item in waiting if _is_fact(item))
        self._patience = asyncio.get_running_loop().call_later(PATIENCE_S, self._out_of_patience)

    def _under_way(self) -> Iterator[RequestRef]:
        """Requests whose outcome depends on what the store has."""
        if self._committing is not None:
            yield from (item.ref for item in self._committing.items if item.ref is not None)
            yield from (ref for ref, _, _ in self._committing.answers)
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
        self.post(Item(self._pass_time))

    def _pass_time(self, room: Room | None, at: Moment) -> tuple[Room, tuple[Effect, ...]]:
        if room is None:
            raise Refused(Code.ROOM_NOT_FOUND, "the room was never stored")
        return step(room, TimePassed(at), self._around.rules)


def _is_fact(item: Item | Look) -> bool:
    """Whether it has happened, so that it can be neither refused nor dropped."""
    return isinstance(item, Item) and item.ref is None


def _row(room: Room, head: bytes) -> RoomRow:
    return RoomRow(
        uuid=room.uuid,
        id=room.id,
        domain=room.domain,
        owner=room.owner,
        life=room.life,
        settled=room.settled,
        created_ms=room.created.wall_ms,
        ended_ms=room.ended_ms,
        state=head,
    )

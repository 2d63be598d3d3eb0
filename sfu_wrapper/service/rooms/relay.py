"""The relay: publishes what was committed, in order per room, until the broker has confirmed it.

One message in flight a room, many rooms side by side. A row is forgotten only after its confirm:
a crash anywhere repeats a message and loses none, and consumers drop repeats by ``message_id``.
It never gives up: a room whose message is refused waits, is tried again, and holds up no other.

What the relay has still to publish: in order per room, bounded, without gaps. Waits nowhere.

Rows are offered as they are committed. Beyond ``limit`` they are left to the store, and read from
there, in order, once there is room. A row is known from when it is taken until the store has
forgotten it, so that reading finds no row twice.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.model.errors import RecordingError, Unavailable
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.ports.broker import Broker, Message, QueueSpec
from sfu_wrapper.ports.store import OutboxRow, Store


class Backlog:
    """Rows by room.

    read_to: every row up to this ``seq`` was taken. behind: the store has rows beyond that which
    were not taken; so at the beginning.
    """

    def __init__(self, limit: int) -> None:
        self.read_to = 0
        self.behind = True
        self._limit = limit
        self._known: set[int] = set()
        self._rooms: dict[RoomUuid, deque[OutboxRow]] = {}

    @property
    def empty(self) -> bool:
        """Nothing waits, here or in the store."""
        return not self._known and not self.behind

    @property
    def hungry(self) -> bool:
        """The store should be read now."""
        return self.behind and len(self._known) <= self._limit // 2

    @property
    def waiting(self) -> int:
        """How many rows here are not published."""
        return sum(map(len, self._rooms.values()))

    @property
    def oldest_ms(self) -> int | None:
        """When the oldest unpublished row here was made; epoch ms."""
        return min((rows[0].created_ms for rows in self._rooms.values()), default=None)

    def offer(self, rows: Sequence[OutboxRow]) -> list[RoomUuid]:
        """Take new rows, or leave them to the store. Returns rooms that had nothing to do."""
        fresh = []
        for row in rows:
            if row.seq <= self.read_to or self.behind:
                continue  # was read, or will be
            if len(self._known) >= self._limit:
                self.behind = True
            else:
                fresh += self._take(row)
        return fresh

    def refill(self, page: Sequence[OutboxRow], asked: int) -> list[RoomUuid]:
        """Take what the store had after ``read_to``; a page shorter than asked for is the last.

        Returns:
            Rooms that had nothing to do.
        """
        fresh = []
        for row in page:
            fresh += self._take(row)
            self.read_to = row.seq
        self.behind = len(page) >= asked
        return fresh

    def head(self, room: RoomUuid) -> OutboxRow:
        """The room's next row to publish."""
        return self._rooms[room][0]

    def published(self, room: RoomUuid) -> bool:
        """The room's head is done. Whether it has another."""
        rows = self._rooms[room]
        rows.popleft()
        if not rows:
            del self._rooms[room]
        return bool(rows)

    def forgotten(self, seqs: Sequence[int]) -> None:
        """The store has deleted these."""
        self._known.difference_update(seqs)

    def _take(self, row: OutboxRow) -> list[RoomUuid]:
        if row.seq in self._known:
            return []
        self._known.add(row.seq)
        rows = self._rooms.setdefault(row.room, deque())
        rows.append(row)
        return [row.room] if len(rows) == 1 else []


WINDOW: Final = 64
LIMIT: Final = 10_000
PAGE: Final = 500
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """How the relay does.

    pending: rows in memory that are not published; more: the store has others beside them.
    oldest_ms: when the oldest of those in memory was committed, epoch ms; None: nothing waits.
    failing: what an attempt last failed for, while any room or the broker as a whole is failing.
    """

    pending: int
    more: bool
    oldest_ms: int | None
    failing: str | None

    def lag_ms(self, now_ms: int) -> int:
        """How long the oldest has been waiting."""
        return 0 if self.oldest_ms is None else max(now_ms - self.oldest_ms, 0)


class Relay:
    """Carries the outbox of one store to one broker.

    queues: declared when the broker is first reached, whenever it is reached anew, and when one of
        them turns out to be missing.
    window: messages in flight at once. limit: rows held in memory.
    """

    def __init__(
        self,
        store: Store,
        broker: Broker,
        queues: tuple[QueueSpec, ...],
        *,
        window: int = WINDOW,
        limit: int = LIMIT,
        page: int = PAGE,
    ) -> None:
        self._store = store
        self._broker = broker
        self._queues = queues
        self._window = window
        self._limit = limit
        self._page = page
        self._progressed = asyncio.Event()
        self._start()

    def _start(self) -> None:
        self._backlog = Backlog(self._limit)
        self._ready: asyncio.Queue[RoomUuid] = asyncio.Queue()  # bounded by the backlog's rooms
        self._paused: dict[RoomUuid, asyncio.TimerHandle] = {}
        self._failures: dict[RoomUuid, int] = {}  # in a row, of rooms that are failing
        self._away: set[RoomUuid] = set()  # paused, and not for a reason of their own
        self._error: str | None = None
        self._opened = False
        self._declare_at_s = 0.0  # not before
        self._confirmed: list[int] = []
        self._to_read = asyncio.Event()
        self._to_forget = asyncio.Event()

    @property
    def status(self) -> RelayStatus:
        """For health and metrics."""
        backlog, error = self._backlog, self._error
        if self._opened and error is None and not self._broker.is_available():
            error = "the broker cannot be reached"  # though nothing waits to be sent
        return RelayStatus(backlog.waiting, backlog.behind, backlog.oldest_ms, error)

    def offer(self, rows: Sequence[OutboxRow]) -> None:
        """Rows that a commit has just stored, in the order of their room."""
        self._enqueue(self._backlog.offer(rows))
        if self._backlog.hungry:
            self._to_read.set()

    async def run(self) -> None:
        """Publish until cancelled; may be run again after a failure.

        Raises:
            Misconfigured: the broker will never take anything.
        """
        self._start()
        await self._open()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read())
                group.create_task(self._forget())
                for _ in range(self._window):
                    group.create_task(self._publish())
        finally:
            for timer in self._paused.values():
                timer.cancel()

    async def flushed(self) -> None:
        """Return once everything committed so far is published and forgotten. No deadline."""
        while not self._backlog.empty:
            self._progressed.clear()
            await self._progressed.wait()

    async def _open(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await self._broker.open(self._queues)
            except Unavailable as error:
                self._failed(error)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                self._error = None
                self._opened = True
                return

    async def _read(self) -> None:
        """Take from the store what was not taken when it was offered."""
        while True:
            while self._backlog.hungry:
                try:
                    page = self._store.pending_outbox(self._backlog.read_to, self._page)
                except RecordingError as error:
                    log.warning("relay.cannotRead", extra={"error": error.detail})
                    await asyncio.sleep(_LONGEST_PAUSE_S)
                    continue
                self._enqueue(self._backlog.refill(page, self._page))
                await asyncio.sleep(0)
            self._progressed.set()
            self._to_read.clear()
            await self._to_read.wait()

    async def _publish(self) -> None:
        """One of the window: the head of a room that is ready, then the next room."""
        while True:
            room = await self._ready.get()
            row = self._backlog.head(room)
            try:
                await self._broker.publish(_message(row))
            except RecordingError as error:
                self._failed(error)
                unroutable = error.context.get("unroutable") is True
                self._pause(room, own=unroutable)
                if unroutable:
                    await self._declare_again()
                continue
            self._succeeded(room)
            self._confirmed.append(row.seq)
            self._to_forget.set()
            if self._backlog.published(room):
                self._ready.put_nowait(room)

    async def _declare_again(self) -> None:
        """A queue is missing: somebody has deleted it since the broker was reached."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._declare_at_s:
            self._declare_at_s = loop.time() + _LONGEST_PAUSE_S
            with suppress(Unavailable):  # the next refusal tries again
                await self._broker.open(self._queues)

    async def _forget(self) -> None:
        """Delete confirmed rows, as many at once as have come together."""
        while True:
            await self._to_forget.wait()
            self._to_forget.clear()
            seqs, self._confirmed = self._confirmed, []
            while True:
                with suppress(Unavailable):
                    await self._store.mark_published(seqs)
                    break
                await asyncio.sleep(_FIRST_PAUSE_S)
            self._backlog.forgotten(seqs)
            self._progressed.set()
            self._to_read.set()

    def _enqueue(self, rooms: Sequence[RoomUuid]) -> None:
        for room in rooms:
            self._ready.put_nowait(room)

    def _failed(self, error: RecordingError) -> None:
        if self._error != error.detail:
            log.warning("relay.failing", extra={"error": error.detail})
        self._error = error.detail

    def _succeeded(self, room: RoomUuid) -> None:
        self._failures.pop(room, None)
        for waiting in tuple(self._away):
            self._resume(waiting)  # the broker is back
        if self._error is not None and not self._failures:
            log.info("relay.recovered")
            self._error = None

    def _pause(self, room: RoomUuid, *, own: bool) -> None:
        failures = self._failures[room] = self._failures.get(room, 0) + 1
        pause_s = min(_FIRST_PAUSE_S * 2 ** min(failures - 1, 10), _LONGEST_PAUSE_S)
        loop = asyncio.get_running_loop()
        self._paused[room] = loop.call_later(pause_s, self._resume, room)
        if not own:
            self._away.add(room)

    def _resume(self, room: RoomUuid) -> None:
        self._away.discard(room)
        self._paused.pop(room).cancel()
        self._ready.put_nowait(room)


def _message(row: OutboxRow) -> Message:
    """The same bytes each time, so that a repeat is a repeat."""
    return Message(
        routing_key=row.routing_key,
        message_id=row.message_id,
        body=row.body,
        correlation_id=row.correlation_id,
        timestamp_ms=row.created_ms,
        mandatory=row.mandatory,
    )

"""Relay: publishes the outbox to the broker, in order per room, until the broker confirms.

What enters: rows of each commit (``offer``), and rows read from the store, after a start or when
memory was full. What leaves: messages to the broker and, after their confirms, deletions in the
store. ``run`` holds these tasks:

* ``_read`` reads rows from the store while the backlog lacks some;
* ``_publish``, once per message in flight, sends the oldest row of a ready room;
* ``_forget`` deletes confirmed rows from the store.

Rules: at most one message of a room is in flight, so messages of a room arrive in order, while many
rooms publish in parallel. A row is deleted only after its confirm: a crash at any point repeats a
message and loses none, and consumers drop repeats by ``message_id``. A failure pauses only its
room; the relay retries without limit. Memory is bounded: rows beyond the limit stay in the store,
and the backlog knows every row from its arrival until the store has deleted it, so that reading
returns no row twice.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.core.backoff import Backoff, Reminders
from sfu_wrapper.model.errors import RecordingError, Unavailable
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.ports.broker import Broker, Message, QueueSpec
from sfu_wrapper.ports.store import OutboxRow, Store


class Backlog:
    """Unpublished rows by room, in memory.

    Args:
        limit: maximum number of rows.

    Attributes:
        read_to: ``seq`` up to which all rows of the store were read.
        behind: True while the store may hold later rows that are not here, as at the start.
    """

    def __init__(self, limit: int) -> None:
        self.read_to = 0
        self.behind = True
        self._limit = limit
        self._known: set[int] = set()
        self._rooms: dict[RoomUuid, deque[OutboxRow]] = {}

    @property
    def empty(self) -> bool:
        """True if no row waits, here or in the store."""
        return not self._known and not self.behind

    @property
    def wants_rows(self) -> bool:
        """True if the store should be read now."""
        return self.behind and len(self._known) <= self._limit // 2

    @property
    def waiting(self) -> int:
        """Number of rows here that are not published."""
        return sum(map(len, self._rooms.values()))

    @property
    def oldest_ms(self) -> int | None:
        """Creation time of the oldest unpublished row here, epoch ms; None without rows."""
        return min((rows[0].created_ms for rows in self._rooms.values()), default=None)

    def offer(self, rows: Sequence[OutboxRow]) -> list[RoomUuid]:
        """Add new rows, or leave them to the store. Returns the rooms that became ready."""
        fresh = []
        for row in rows:
            if row.seq <= self.read_to or self.behind:
                continue  # read already, or will be read from the store
            if len(self._known) >= self._limit:
                self.behind = True
            else:
                fresh += self._take(row)
        return fresh

    def refill(self, page: Sequence[OutboxRow], page_size: int) -> list[RoomUuid]:
        """Add rows that the store returned after ``read_to``.

        Args:
            page: the rows; a page with fewer than ``page_size`` rows is the last one.
            page_size: number of rows requested.

        Returns:
            Rooms that became ready.
        """
        fresh = []
        for row in page:
            fresh += self._take(row)
            self.read_to = row.seq
        self.behind = len(page) >= page_size
        return fresh

    def head(self, room: RoomUuid) -> OutboxRow:
        """Return the next row of the room."""
        return self._rooms[room][0]

    def published(self, room: RoomUuid) -> bool:
        """Remove the published row of the room. Returns True if the room has another."""
        rows = self._rooms[room]
        rows.popleft()
        if not rows:
            del self._rooms[room]
        return bool(rows)

    def forgotten(self, seqs: Sequence[int]) -> None:
        """Record that the store has deleted these rows."""
        self._known.difference_update(seqs)

    def _take(self, row: OutboxRow) -> list[RoomUuid]:
        if row.seq in self._known:
            return []
        self._known.add(row.seq)
        rows = self._rooms.setdefault(row.room, deque())
        rows.append(row)
        return [row.room] if len(rows) == 1 else []


WINDOW: Final = 64  # messages in flight
LIMIT: Final = 10_000  # rows in memory
PAGE: Final = 500  # rows per read of the store
_BACKOFF: Final = Backoff(0.2, 5.0)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """State of the relay, for health and metrics.

    Attributes:
        pending: number of unpublished rows in memory.
        more: True if the store holds further rows.
        oldest_ms: commit time of the oldest row in memory, epoch ms; None without rows.
        failing: reason of the last failure, while a room or the whole broker fails; else None.
    """

    pending: int
    more: bool
    oldest_ms: int | None
    failing: str | None

    def lag_ms(self, now_ms: int) -> int:
        """Return the age of the oldest row in ms."""
        return 0 if self.oldest_ms is None else max(now_ms - self.oldest_ms, 0)


class Relay:
    """Publisher of the outbox of one store to one broker.

    Args:
        store: holds the outbox.
        broker: receives the messages.
        queues: declared at each connection to the broker, and when one of them is missing.
        window: maximum number of messages in flight.
        limit: maximum number of rows in memory.
        page: number of rows per read of the store.
        published: called for each message that the broker has confirmed.
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
        published: Callable[[], None] = lambda: None,
    ) -> None:
        self._published = published
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
        self._pauses_s: dict[RoomUuid, Iterator[float]] = {}  # of failing rooms
        self._waiting_for_broker: set[RoomUuid] = set()  # paused by an outage
        self._error: str | None = None
        self._reminders = Reminders()
        self._opened = False
        self._declare_at_s = 0.0  # earliest time of the next declaration
        self._confirmed: list[int] = []
        self._to_read = asyncio.Event()
        self._to_forget = asyncio.Event()

    @property
    def status(self) -> RelayStatus:
        """Current state, for health and metrics."""
        backlog, error = self._backlog, self._error
        if self._opened and error is None and not self._broker.is_available():
            error = "the broker cannot be reached"  # although no message waits
        return RelayStatus(backlog.waiting, backlog.behind, backlog.oldest_ms, error)

    def offer(self, rows: Sequence[OutboxRow]) -> None:
        """Add the rows of a commit, in order."""
        self._enqueue(self._backlog.offer(rows))
        if self._backlog.wants_rows:
            self._to_read.set()

    async def run(self) -> None:
        """Publish until cancelled; may be called again after a failure.

        Raises:
            Misconfigured: the broker refuses every message, and will after a retry.
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
        """Return once all committed rows are published and deleted. Has no deadline of its own."""
        while not self._backlog.empty:
            self._progressed.clear()
            await self._progressed.wait()

    async def _open(self) -> None:
        for pause_s in _BACKOFF:
            try:
                await self._broker.open(self._queues)
            except Unavailable as error:
                self._failed(error)
                await asyncio.sleep(pause_s)
            else:
                self._recovered()
                self._opened = True
                return

    async def _read(self) -> None:
        """Read the rows from the store that did not fit into memory when they were offered."""
        while True:
            while self._backlog.wants_rows:
                try:
                    page = self._store.pending_outbox(self._backlog.read_to, self._page)
                except RecordingError as error:
                    log.warning("relay.cannotRead", extra={"error": error.detail})
                    await asyncio.sleep(_BACKOFF.longest_s)
                    continue
                self._enqueue(self._backlog.refill(page, self._page))
                await asyncio.sleep(0)
            self._progressed.set()
            self._to_read.clear()
            await self._to_read.wait()

    async def _publish(self) -> None:
        """Publish the oldest row of a ready room, one after the other."""
        while True:
            room = await self._ready.get()
            row = self._backlog.head(room)
            try:
                await self._broker.publish(_message(row))
            except RecordingError as error:
                self._failed(error)
                unroutable = error.context.get("unroutable") is True
                self._pause(room, of_room=unroutable)
                if unroutable:
                    await self._redeclare()
                continue
            self._succeeded(room)
            self._published()
            self._confirmed.append(row.seq)
            self._to_forget.set()
            if self._backlog.published(room):
                self._ready.put_nowait(room)

    async def _redeclare(self) -> None:
        """Declare the queues again, at most once in 5 s: one was deleted while connected."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._declare_at_s:
            self._declare_at_s = loop.time() + _BACKOFF.longest_s
            with suppress(Unavailable):  # the next unroutable message triggers a retry
                await self._broker.open(self._queues)

    async def _forget(self) -> None:
        """Delete confirmed rows from the store, in batches."""
        while True:
            await self._to_forget.wait()
            self._to_forget.clear()
            seqs, self._confirmed = self._confirmed, []
            while True:
                with suppress(Unavailable):
                    await self._store.mark_published(seqs)
                    break
                await asyncio.sleep(_BACKOFF.first_s)
            self._backlog.forgotten(seqs)
            self._progressed.set()
            self._to_read.set()

    def _enqueue(self, rooms: Sequence[RoomUuid]) -> None:
        for room in rooms:
            self._ready.put_nowait(room)

    def _failed(self, error: RecordingError) -> None:
        due = self._reminders.due(asyncio.get_running_loop().time())
        if due or self._error != error.detail:
            log.warning("relay.failing", extra={"error": error.detail})
        self._error = error.detail

    def _succeeded(self, room: RoomUuid) -> None:
        self._pauses_s.pop(room, None)
        for waiting in tuple(self._waiting_for_broker):
            self._resume(waiting)  # the broker is available again
        if not self._pauses_s:
            self._recovered()

    def _recovered(self) -> None:
        if self._error is not None:
            log.info("relay.recovered")
            self._error = None
            self._reminders.over()

    def _pause(self, room: RoomUuid, *, of_room: bool) -> None:
        pauses_s = self._pauses_s.setdefault(room, iter(_BACKOFF))
        loop = asyncio.get_running_loop()
        self._paused[room] = loop.call_later(next(pauses_s), self._resume, room)
        if not of_room:
            self._waiting_for_broker.add(room)

    def _resume(self, room: RoomUuid) -> None:
        self._waiting_for_broker.discard(room)
        self._paused.pop(room).cancel()
        self._ready.put_nowait(room)


def _message(row: OutboxRow) -> Message:
    """Return the message of a row, with the same id and bytes at each attempt."""
    return Message(
        routing_key=row.routing_key,
        message_id=row.message_id,
        body=row.body,
        correlation_id=row.correlation_id,
        timestamp_ms=row.created_ms,
        mandatory=row.mandatory,
        trace=row.trace,
    )

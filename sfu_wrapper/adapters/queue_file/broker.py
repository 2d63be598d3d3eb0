"""``ports.broker.Broker`` on a queue file that several processes of one machine share.

Writes go through the writer's thread: publishes share their syncs, and a transaction of another
process never blocks the event loop. A publish wakes the consumers of its own process; they poll
for the messages of other processes, with a growing pause. A task per open broker refreshes the
presence of this process, and returns the messages of dead processes to their queues.
"""

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from sfu_wrapper.adapters.queue_file import rows
from sfu_wrapper.adapters.queue_file.listeners import BEAT_S, Listener, Presence, is_alive, sweep
from sfu_wrapper.adapters.queue_file.rows import MIGRATIONS
from sfu_wrapper.adapters.sqlite.database import open_database, open_reader, translated
from sfu_wrapper.adapters.sqlite.writer import Writer
from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.model.errors import RecordingError, Unavailable
from sfu_wrapper.model.trace import TraceContext
from sfu_wrapper.ports.broker import Message, QueueSpec, ReceivedMessage

MAX_DEPTH: Final = 1_000_000
DEADLINE_S: Final = 10.0  # longer than SQLite waits for the lock of another process
_BACKOFF: Final = Backoff(0.01, 0.1)  # of polling for messages of other processes

T = TypeVar("T")
log = logging.getLogger(__name__)


class _Link:
    """Resources of an open broker: presence, writer and reader."""

    def __init__(self, path: Path, folder: Path) -> None:
        connection = open_database(path, MIGRATIONS)
        try:
            with translated(path):
                self.presence = Presence(folder)
                sweep(folder)
            self.reader = open_reader(path)
        except BaseException:
            connection.close()
            raise
        self.writer = Writer(connection, path)
        self._path, self._inode = path, path.stat().st_ino

    def is_whole(self) -> bool:
        """Return True if the path still names the open file; writes to a removed file are lost."""
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    async def close(self) -> None:
        """Return unsettled messages to their queues, and close all resources."""
        freed = self.writer.submit(partial(rows.free, holder=self.presence.id))
        await asyncio.to_thread(self.writer.close)
        with suppress(RecordingError):  # other processes do it once the presence is gone
            await freed
        self.presence.close()
        self.reader.close()


class QueueFile:
    """The embedded broker.

    Args:
        path: the queue file; the folder ``<path>.consumers`` has one small file per process.
        max_depth: messages per queue, above which a publish is refused.
    """

    def __init__(self, path: Path, *, max_depth: int = MAX_DEPTH) -> None:
        self._path = path
        self._folder = path.with_name(f"{path.name}.consumers")
        self._max_depth = max_depth
        self._opening = (
            asyncio.Lock()
        )  # relay and worker may share a broker, and open it concurrently
        self._link: _Link | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._consumers: set[_Consumer] = set()
        self._listeners: set[Listener] = set()

    async def open(self, queues: tuple[QueueSpec, ...]) -> None:
        """See ``Broker``. Raises Misconfigured if the file is damaged or of a newer release."""
        async with self._opening:
            if self._link is None:
                self._link = await asyncio.to_thread(_Link, self._path, self._folder)
                self._watcher = asyncio.create_task(self._watch(self._link))
        for spec in queues:
            await self.write(partial(rows.declare, spec=spec))

    async def publish(self, message: Message) -> None:
        """See ``Broker``."""
        writer = self._open_link().writer
        await self._in_time(writer.submit_together(self._publish_all, message))
        self.wake(message.routing_key)

    def _publish_all(
        self, connection: sqlite3.Connection, messages: Sequence[Message]
    ) -> list[None]:
        """Put concurrently published messages into their queues."""
        if self._link is not None and not self._link.is_whole():
            detail = f"{self._path.name} was removed or replaced while it was in use: restart"
            raise Unavailable(detail)
        return rows.publish(connection, messages, self._max_depth)

    async def consume(self, queue: str, prefetch: int) -> AsyncGenerator["QueueDelivery", None]:
        """See ``Broker``."""
        consumer = _Consumer(self, queue, prefetch)
        self._consumers.add(consumer)
        try:
            while self._link is not None:
                taken = await consumer.next()
                if taken is not None:
                    yield QueueDelivery(consumer, taken)
        finally:
            self._consumers.discard(consumer)
            consumer.close()

    async def listen(
        self, routing_keys: tuple[str, ...], limit: int
    ) -> AsyncGenerator[ReceivedMessage, None]:
        """See ``Broker``."""
        listener = Listener(self, routing_keys, limit)
        self._listeners.add(listener)
        try:
            while self._link is not None:
                for message in await listener.next():
                    yield message
        finally:
            self._listeners.discard(listener)
            listener.close()

    def is_available(self) -> bool:
        """See ``Broker``."""
        return self._link is not None and self._link.is_whole()

    async def depth(self, queue: str) -> int:
        """See ``Broker``."""
        return self.read(lambda connection: rows.waiting(connection, queue))

    async def unbind(self, queue: str, routing_key: str) -> None:
        """See ``Broker``."""
        await self.write(partial(rows.unbind, queue=queue, routing_key=routing_key))

    async def close(self) -> None:
        """See ``Broker``."""
        link, self._link = self._link, None
        if link is None:
            return
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
        await link.close()
        self.wake()

    @property
    def holder(self) -> str:
        """Id of the current presence of this process."""
        return self._open_link().presence.id

    async def write(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run an operation on the writer's thread. Raises Unavailable, also after a deadline."""
        return await self._in_time(self.submit(operation))

    async def _in_time(self, written: "asyncio.Future[T]") -> T:
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await written
        except TimeoutError as exc:
            raise Unavailable(f"{self._path.name} was not written within {DEADLINE_S:g} s") from exc

    def submit(self, operation: Callable[[sqlite3.Connection], T]) -> "asyncio.Future[T]":
        """Submit an operation to the writer's thread."""
        return self._open_link().writer.submit(operation)

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query at once; it never waits for a writer."""
        with translated(self._path):
            return query(self._open_link().reader)

    def wake(self, routing_key: str | None = None) -> None:
        """Wake consumers, and listeners to the routing key (None: all listeners)."""
        for consumer in self._consumers:
            consumer.changed.set()
        for listener in self._listeners:
            if routing_key is None or listener.listens_to(routing_key):
                listener.changed.set()

    def _open_link(self) -> _Link:
        if self._link is None:
            raise Unavailable(f"{self._path.name} is not open")
        return self._link

    async def _watch(self, link: _Link) -> None:
        """Refresh the presence; requeue messages of dead processes and overdue deliveries."""
        while True:
            try:
                self._beat(link)
                await self._requeue_lost(link)
            except (RecordingError, OSError) as error:
                log.warning("queue.watchFailed", extra={"error": str(error)})
            await asyncio.sleep(BEAT_S)

    def _beat(self, link: _Link) -> None:
        if not link.presence.beat():
            # This process hung for longer than the lease, and others requeued its messages.
            log.warning("queue.presenceExpired", extra={"holder": link.presence.id})
            old, link.presence = link.presence, Presence(self._folder)
            old.close()

    async def _requeue_lost(self, link: _Link) -> None:
        for holder in self.read(rows.holders) - {link.presence.id}:
            if not is_alive(self._folder, holder):
                await self._free(partial(rows.free, holder=holder))
        now_ms = _now_ms()
        if self.read(partial(rows.overdue, now_ms=now_ms)):
            await self._free(partial(rows.free_overdue, now_ms=now_ms))

    async def _free(self, operation: Callable[[sqlite3.Connection], None]) -> None:
        await self.write(operation)
        self.wake()


class _Consumer:
    """Consumer of a queue: prefetches messages up to its limit."""

    def __init__(self, broker: QueueFile, queue: str, prefetch: int) -> None:
        self.changed = asyncio.Event()
        self._broker = broker
        self._queue = queue
        self._prefetch = prefetch
        self._unsettled: set[rows.Taken] = set()
        self._ready: deque[rows.Taken] = deque()
        self._requested: asyncio.Future[list[rows.Taken]] | None = None
        self._closed = False
        self._pauses_s = iter(_BACKOFF)

    async def next(self) -> rows.Taken | None:
        """Return the next message, or None after a pause without any."""
        self.changed.clear()
        if not self._ready:
            requested = self._request()
            if requested is not None:
                await asyncio.wait([requested])
            else:
                await self._pause()
        if not self._ready:
            return None
        self._pauses_s = iter(_BACKOFF)
        return self._ready.popleft()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(next(self._pauses_s)):
                await self.changed.wait()

    def close(self) -> None:
        """Requeue prefetched messages, including a batch that is still being read."""
        self._closed = True
        self._requeue_rest()

    def _request(self) -> "asyncio.Future[list[rows.Taken]] | None":
        """Take messages up to the prefetch; ``_arrived`` keeps them if the caller is cancelled."""
        room = self._prefetch - len(self._unsettled)
        if self._requested is not None or room <= 0:
            return self._requested
        try:
            if not self._broker.read(partial(rows.has_waiting, queue=self._queue)):
                return None
            holder, now_ms = self._broker.holder, _now_ms()
            self._requested = self._broker.submit(
                partial(rows.take, queue=self._queue, holder=holder, limit=room, now_ms=now_ms)
            )
        except RecordingError as error:
            log.warning("queue.readFailed", extra={"queue": self._queue, "error": error.detail})
            return None
        self._requested.add_done_callback(self._arrived)
        return self._requested

    def _arrived(self, requested: "asyncio.Future[list[rows.Taken]]") -> None:
        self._requested = None
        error = requested.exception()
        if error is not None:
            log.warning("queue.readFailed", extra={"queue": self._queue, "error": str(error)})
            return
        taken = requested.result()
        self._unsettled.update(taken)
        self._ready.extend(taken)
        if self._closed:
            self._requeue_rest()

    def _requeue_rest(self) -> None:
        rest = list(self._ready)
        self._ready.clear()
        if rest:
            with suppress(Unavailable):  # closing the broker has requeued them
                done = self._broker.submit(partial(rows.return_unseen, rest=rest))
                done.add_done_callback(lambda done: done.exception())

    async def settle(
        self, taken: rows.Taken, operation: Callable[[sqlite3.Connection, rows.Taken], None]
    ) -> None:
        """Settle a delivery; success or not, it no longer counts against the prefetch."""
        try:
            await self._broker.write(lambda connection: operation(connection, taken))
        finally:
            self._unsettled.discard(taken)
            self._broker.wake()


class QueueDelivery:
    """``ports.broker.Delivery`` of a queue file."""

    def __init__(self, consumer: _Consumer, taken: rows.Taken) -> None:
        self._consumer = consumer
        self._taken = taken

    @property
    def body(self) -> bytes:
        """See ``Delivery``."""
        return self._taken.body

    @property
    def message_id(self) -> str | None:
        """See ``Delivery``."""
        return self._taken.message_id

    @property
    def routing_key(self) -> str:
        """See ``Delivery``."""
        return self._taken.routing_key

    @property
    def deliveries(self) -> int:
        """See ``Delivery``."""
        return self._taken.returned

    @property
    def trace(self) -> TraceContext | None:
        """See ``Delivery``."""
        return self._taken.trace

    async def ack(self) -> None:
        """See ``Delivery``."""
        await self._consumer.settle(self._taken, rows.settle)

    async def requeue(self) -> None:
        """See ``Delivery``."""
        await self._consumer.settle(self._taken, rows.requeue)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000

"""``ports.broker.Broker`` on a queue file: several processes of one machine share it.

Writing goes through the writer's thread, so that publishes share their syncs and another process's
transaction never holds up the event loop. A consumer is woken by what its own process publishes
and looks for what others do, with a growing pause.
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
from sfu_wrapper.adapters.queue_file.listeners import Ear
from sfu_wrapper.adapters.queue_file.presence import BEAT_S, Presence, is_alive, sweep
from sfu_wrapper.adapters.queue_file.rows import MIGRATIONS
from sfu_wrapper.adapters.sqlite.database import open_database, open_reader, translated
from sfu_wrapper.adapters.sqlite.writer import Writer
from sfu_wrapper.model.errors import RecordingError, Unavailable
from sfu_wrapper.ports.broker import Message, QueueSpec, ReceivedMessage

MAX_DEPTH: Final = 1_000_000
DEADLINE_S: Final = 10.0  # longer than the database waits for another process
_PAUSE_MIN_S: Final = 0.01
_PAUSE_MAX_S: Final = 0.1

T = TypeVar("T")
log = logging.getLogger(__name__)


class _Link:
    """What is open between ``open`` and ``close``."""

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
        """Whether the file is still there: what is written to one that was removed is lost."""
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    async def close(self) -> None:
        """Release everything; what the presence still holds goes back."""
        freed = self.writer.submit(partial(rows.free, holder=self.presence.id))
        await asyncio.to_thread(self.writer.close)
        with suppress(RecordingError):  # others see to it once the presence is gone
            await freed
        self.presence.close()
        self.reader.close()


class QueueFile:
    """The embedded broker.

    path: the queue file; ``<path>.consumers`` beside it holds a small file a process.
    max_depth: messages that one queue may hold before a publish is refused.
    """

    def __init__(self, path: Path, *, max_depth: int = MAX_DEPTH) -> None:
        self._path = path
        self._folder = path.with_name(f"{path.name}.consumers")
        self._max_depth = max_depth
        self._opening = asyncio.Lock()  # relay and worker may share a broker, and open it at once
        self._link: _Link | None = None
        self._ward: asyncio.Task[None] | None = None
        self._consumers: set[_Consumer] = set()
        self._ears: set[Ear] = set()

    async def open(self, queues: tuple[QueueSpec, ...]) -> None:
        """See ``Broker``. Raises Misconfigured too: the file is damaged or of a newer release."""
        async with self._opening:
            if self._link is None:
                self._link = await asyncio.to_thread(_Link, self._path, self._folder)
                self._ward = asyncio.create_task(self._watch(self._link))
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
        """Put messages that were published side by side into their queues."""
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
        ear = Ear(self, routing_keys, limit)
        self._ears.add(ear)
        try:
            while self._link is not None:
                for heard in await ear.next():
                    yield heard
        finally:
            self._ears.discard(ear)
            ear.close()

    def is_available(self) -> bool:
        """See ``Broker``."""
        return self._link is not None and self._link.is_whole()

    async def depth(self, queue: str) -> int:
        """See ``Broker``."""
        return self.read(lambda connection: rows.waiting(connection, queue))

    async def close(self) -> None:
        """See ``Broker``."""
        link, self._link = self._link, None
        if link is None:
            return
        if self._ward is not None:
            self._ward.cancel()
            await asyncio.wait([self._ward])
        await link.close()
        self.wake()

    @property
    def holder(self) -> str:
        """Who this process is to the others right now."""
        return self._open_link().presence.id

    async def write(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Carry out on the writer's thread. Raises Unavailable after a deadline too."""
        return await self._in_time(self.submit(operation))

    async def _in_time(self, written: "asyncio.Future[T]") -> T:
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await written
        except TimeoutError as exc:
            raise Unavailable(f"{self._path.name} takes too long to write") from exc

    def submit(self, operation: Callable[[sqlite3.Connection], T]) -> "asyncio.Future[T]":
        """Have it carried out on the writer's thread."""
        return self._open_link().writer.submit(operation)

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Read at once; never waits for a writer."""
        with translated(self._path):
            return query(self._open_link().reader)

    def wake(self, routing_key: str | None = None) -> None:
        """There may be something to deliver. routing_key: under which; None: any."""
        for consumer in self._consumers:
            consumer.stirred.set()
        for ear in self._ears:
            if routing_key is None or ear.hears(routing_key):
                ear.stirred.set()

    def _open_link(self) -> _Link:
        if self._link is None:
            raise Unavailable(f"{self._path.name} is not open")
        return self._link

    async def _watch(self, link: _Link) -> None:
        """Beat, and free what dead processes held and what others have kept for too long."""
        while True:
            try:
                self._beat(link)
                await self._free_the_lost(link)
            except (RecordingError, OSError) as error:
                log.warning("queue.watchFailed", extra={"error": str(error)})
            await asyncio.sleep(BEAT_S)

    def _beat(self, link: _Link) -> None:
        if not link.presence.beat():
            # This process hung for so long that its messages were given to others.
            log.warning("queue.presenceExpired", extra={"holder": link.presence.id})
            old, link.presence = link.presence, Presence(self._folder)
            old.close()

    async def _free_the_lost(self, link: _Link) -> None:
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
    """One reader of one queue: takes ahead what its prefetch allows."""

    def __init__(self, broker: QueueFile, queue: str, prefetch: int) -> None:
        self.stirred = asyncio.Event()
        self._broker = broker
        self._queue = queue
        self._prefetch = prefetch
        self._unsettled: set[rows.Taken] = set()
        self._ready: deque[rows.Taken] = deque()
        self._asked: asyncio.Future[list[rows.Taken]] | None = None
        self._closed = False
        self._pause_s = _PAUSE_MIN_S

    async def next(self) -> rows.Taken | None:
        """The next message, or None after a pause in which nothing came."""
        self.stirred.clear()
        if not self._ready:
            asked = self._ask()
            if asked is not None:
                await asyncio.wait([asked])
            else:
                await self._pause()
        if not self._ready:
            self._pause_s = min(self._pause_s * 2, _PAUSE_MAX_S)
            return None
        self._pause_s = _PAUSE_MIN_S
        return self._ready.popleft()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pause_s):
                await self.stirred.wait()

    def close(self) -> None:
        """What was taken ahead waits again, now or when it arrives."""
        self._closed = True
        self._hand_back_rest()

    def _ask(self) -> "asyncio.Future[list[rows.Taken]] | None":
        """Take what may be taken. Whoever stops waiting for it does not lose it: see _arrived."""
        room = self._prefetch - len(self._unsettled)
        if self._asked is not None or room <= 0:
            return self._asked
        try:
            if not self._broker.read(partial(rows.is_anything_waiting, queue=self._queue)):
                return None
            holder, now_ms = self._broker.holder, _now_ms()
            self._asked = self._broker.submit(
                partial(rows.take, queue=self._queue, holder=holder, limit=room, now_ms=now_ms)
            )
        except RecordingError as error:
            log.warning("queue.readFailed", extra={"queue": self._queue, "error": error.detail})
            return None
        self._asked.add_done_callback(self._arrived)
        return self._asked

    def _arrived(self, asked: "asyncio.Future[list[rows.Taken]]") -> None:
        self._asked = None
        error = asked.exception()
        if error is not None:
            log.warning("queue.readFailed", extra={"queue": self._queue, "error": str(error)})
            return
        taken = asked.result()
        self._unsettled.update(taken)
        self._ready.extend(taken)
        if self._closed:
            self._hand_back_rest()

    def _hand_back_rest(self) -> None:
        rest = list(self._ready)
        self._ready.clear()
        if rest:
            with suppress(Unavailable):  # closed meanwhile, which has freed them
                done = self._broker.submit(partial(rows.untake, rest=rest))
                done.add_done_callback(lambda done: done.exception())

    async def settle(
        self, taken: rows.Taken, operation: Callable[[sqlite3.Connection, rows.Taken], None]
    ) -> None:
        """Whatever comes of it, the delivery no longer counts here: once, however often it is."""
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

    async def ack(self) -> None:
        """See ``Delivery``."""
        await self._consumer.settle(self._taken, rows.settle)

    async def requeue(self) -> None:
        """See ``Delivery``."""
        await self._consumer.settle(self._taken, rows.hand_back)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000

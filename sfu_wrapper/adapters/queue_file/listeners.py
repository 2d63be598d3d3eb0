"""Listeners of published messages, and the presence of the processes that registered them.

A listener is registered in the file under the presence of its process. ``notify`` stores a copy of
each message for each listener to its key and drops the oldest above the limit; reading removes the
copies. When the presence ends, the listener and its unread copies are removed.

Each open broker has one locked file in a folder next to the queue file. The kernel releases the
lock when the process dies, so that others requeue its messages at once, without trust in clocks or
process ids. A process that hangs keeps its lock but misses its beats: after ``LEASE_S`` others
remove its file, which it notices at its next beat.
"""

import asyncio
import fcntl
import logging
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

from sfu_wrapper.adapters.sqlite.database import run_many
from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.model.errors import RecordingError, Unavailable
from sfu_wrapper.ports.broker import Message, ReceivedMessage

_BACKOFF: Final = Backoff(0.01, 0.1)  # of polling for messages of other processes
_AT_ONCE: Final = 100
_LISTENING: Final = "SELECT listener, most FROM listeners WHERE routing_key = ?"
_NOTICE: Final = "INSERT INTO notices (listener, routing_key, message_id, body) VALUES {}"
_DROP_OLDEST: Final = """
    DELETE FROM notices WHERE listener = ?1 AND seq <=
        (SELECT seq FROM notices WHERE listener = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)
"""

T = TypeVar("T")
log = logging.getLogger(__name__)


class Host(Protocol):
    """Operations of the queue file that a listener needs."""

    @property
    def holder(self) -> str:
        """Id of the current presence of this process."""
        ...

    async def write(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run an operation within a deadline. Raises Unavailable."""
        ...

    def submit(self, operation: Callable[[sqlite3.Connection], T]) -> "asyncio.Future[T]":
        """Submit an operation."""
        ...

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query at once. Raises Unavailable."""
        ...


class Listener:
    """A listener of this process.

    Attributes:
        changed: set when there may be messages to read.
    """

    def __init__(self, host: Host, routing_keys: tuple[str, ...], limit: int) -> None:
        self.changed = asyncio.Event()
        self._host = host
        self._id = uuid.uuid4().hex
        self._routing_keys = routing_keys
        self._limit = limit
        self._holder: str | None = None
        self._pauses_s = iter(_BACKOFF)

    def listens_to(self, routing_key: str) -> bool:
        """Return True if the listener is registered for the routing key."""
        return routing_key in self._routing_keys

    async def next(self) -> list[ReceivedMessage]:
        """Return the waiting messages; an empty list after a pause without any."""
        self.changed.clear()
        try:
            await self._register()
            if self._host.read(partial(has_notices, listener=self._id)):
                self._pauses_s = iter(_BACKOFF)
                return await self._host.write(partial(take_notices, listener=self._id))
        except RecordingError as error:
            log.warning("queue.readFailed", extra={"queue": "notices", "error": error.detail})
            await asyncio.sleep(_BACKOFF.longest_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(next(self._pauses_s)):
                await self.changed.wait()
        return []

    def close(self) -> None:
        """Remove the listener from the file."""
        if self._holder is not None:
            with suppress(Unavailable):  # closing the broker has removed it
                done = self._host.submit(partial(remove_listener, listener=self._id))
                done.add_done_callback(lambda done: done.exception())

    async def _register(self) -> None:
        """Register the listener; again after the presence of this process has changed."""
        holder = self._host.holder
        if self._holder != holder:
            entry = partial(add_listener, listener=self._id, holder=holder, most=self._limit)
            await self._host.write(partial(entry, routing_keys=self._routing_keys))
            self._holder = holder


def add_listener(
    connection: sqlite3.Connection,
    listener: str,
    holder: str,
    most: int,
    routing_keys: tuple[str, ...],
) -> None:
    """Register a listener for messages published under these keys from now on."""
    connection.executemany(
        "INSERT OR REPLACE INTO listeners VALUES (?, ?, ?, ?)",
        [(key, listener, holder, most) for key in routing_keys],
    )


def notify(connection: sqlite3.Connection, messages: Sequence[Message]) -> None:
    """Store copies for all listeners; drop the oldest of a listener above its limit."""
    keys = dict.fromkeys(message.routing_key for message in messages)
    found = {key: connection.execute(_LISTENING, (key,)).fetchall() for key in keys}
    notices = [
        (listener, message.routing_key, message.message_id, message.body)
        for message in messages
        for listener, _ in found[message.routing_key]
    ]
    run_many(connection, _NOTICE, notices)
    for listener, most in {each for listening in found.values() for each in listening}:
        connection.execute(_DROP_OLDEST, (listener, most))


def has_notices(connection: sqlite3.Connection, listener: str) -> bool:
    """Return True if ``take_notices`` would find a message."""
    sql = "SELECT 1 FROM notices WHERE listener = ? LIMIT 1"
    return connection.execute(sql, (listener,)).fetchone() is not None


def take_notices(connection: sqlite3.Connection, listener: str) -> list[ReceivedMessage]:
    """Remove and return the oldest waiting messages, up to a hundred."""
    found = connection.execute(
        "SELECT seq, routing_key, message_id, body FROM notices WHERE listener = ?"
        " ORDER BY seq LIMIT ?",
        (listener, _AT_ONCE),
    ).fetchall()
    connection.executemany("DELETE FROM notices WHERE seq = ?", [(row[0],) for row in found])
    return [ReceivedMessage(*rest) for _, *rest in found]


def remove_listener(connection: sqlite3.Connection, listener: str) -> None:
    """Remove a listener and its unread messages."""
    connection.execute("DELETE FROM listeners WHERE listener = ?", (listener,))
    connection.execute("DELETE FROM notices WHERE listener = ?", (listener,))


def remove_listeners_of(connection: sqlite3.Connection, holder: str) -> None:
    """Remove all listeners of a holder."""
    sql = "SELECT DISTINCT listener FROM listeners WHERE holder = ?"
    for (listener,) in connection.execute(sql, (holder,)).fetchall():
        remove_listener(connection, listener)


BEAT_S: Final = 1.0
LEASE_S: Final = 15.0
_STALE_S: Final = 3600.0  # age of an unlocked file that no message refers to


class Presence:
    """Holder of messages. The constructor raises OSError if the folder cannot be written.

    Attributes:
        id: unique; marks the messages that this process holds.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.id = uuid.uuid4().hex
        self._path = folder / self.id
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        self.beat()

    def beat(self) -> bool:
        """Refresh the presence. Returns False if others have removed it."""
        os.pwrite(self._fd, b"%020d" % _now_ms(), 0)
        return os.fstat(self._fd).st_nlink > 0

    def close(self) -> None:
        """End the presence: others may requeue the messages that it still holds."""
        self._path.unlink(missing_ok=True)
        os.close(self._fd)


def is_alive(folder: Path, holder: str, lease_s: float = LEASE_S) -> bool:
    """Return True if the holder is alive and beating; else remove its file."""
    path = folder / holder
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if _is_locked(fd) and _age_s(fd) < lease_s:
            return True
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(fd)


def sweep(folder: Path) -> None:
    """Remove old files of killed processes that held no messages."""
    oldest = time.time() - _STALE_S
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                is_alive(folder, path.name)


def _is_locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _age_s(fd: int) -> float:
    """Return seconds since the last beat; processes of one machine share the monotonic clock."""
    written = os.pread(fd, 20, 0)
    return (_now_ms() - int(written)) / 1000 if written.isdigit() else 0.0


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000

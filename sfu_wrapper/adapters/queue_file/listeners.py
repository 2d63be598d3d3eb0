"""Whoever listens to what is published, beside the queues: bounded, at most once.

A listener stands in the file under its process's presence and goes with it, with all that it had
not heard. What it hears is gone as soon as it is read.
"""

import asyncio
import logging
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Protocol, TypeVar

from sfu_wrapper.adapters.sqlite.many import run_many
from sfu_wrapper.model.errors import RecordingError, Unavailable
from sfu_wrapper.ports.broker import Message, ReceivedMessage

_PAUSE_MIN_S: Final = 0.01
_PAUSE_MAX_S: Final = 0.1
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
    """The queue file as a listener needs it."""

    @property
    def holder(self) -> str:
        """Who this process is to the others right now."""
        ...

    async def write(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Carry out within a deadline. Raises Unavailable."""
        ...

    def submit(self, operation: Callable[[sqlite3.Connection], T]) -> "asyncio.Future[T]":
        """Have it carried out."""
        ...

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Read at once. Raises Unavailable."""
        ...


class Ear:
    """One listener. stirred: set when there may be something to hear."""

    def __init__(self, host: Host, routing_keys: tuple[str, ...], limit: int) -> None:
        self.stirred = asyncio.Event()
        self._host = host
        self._id = uuid.uuid4().hex
        self._routing_keys = routing_keys
        self._limit = limit
        self._holder: str | None = None
        self._pause_s = _PAUSE_MIN_S

    def hears(self, routing_key: str) -> bool:
        """Tell whether it listens to what is published under that key."""
        return routing_key in self._routing_keys

    async def next(self) -> list[ReceivedMessage]:
        """What there is to hear; nothing after a pause in which nothing came."""
        self.stirred.clear()
        try:
            await self._enlist()
            if self._host.read(partial(is_anything_to_hear, listener=self._id)):
                self._pause_s = _PAUSE_MIN_S
                return await self._host.write(partial(hear, listener=self._id))
        except RecordingError as error:
            log.warning("queue.readFailed", extra={"queue": "notices", "error": error.detail})
            await asyncio.sleep(_PAUSE_MAX_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pause_s):
                await self.stirred.wait()
        self._pause_s = min(self._pause_s * 2, _PAUSE_MAX_S)
        return []

    def close(self) -> None:
        """Listen no more."""
        if self._holder is not None:
            with suppress(Unavailable):  # closed meanwhile, which has dismissed it
                done = self._host.submit(partial(leave, listener=self._id))
                done.add_done_callback(lambda done: done.exception())

    async def _enlist(self) -> None:
        """Again where this process was taken for dead meanwhile."""
        holder = self._host.holder
        if self._holder != holder:
            entry = partial(enlist, listener=self._id, holder=holder, most=self._limit)
            await self._host.write(partial(entry, routing_keys=self._routing_keys))
            self._holder = holder


def enlist(
    connection: sqlite3.Connection,
    listener: str,
    holder: str,
    most: int,
    routing_keys: tuple[str, ...],
) -> None:
    """Have what is published under these keys told to the listener from now on."""
    connection.executemany(
        "INSERT OR REPLACE INTO listeners VALUES (?, ?, ?, ?)",
        [(key, listener, holder, most) for key in routing_keys],
    )


def tell(connection: sqlite3.Connection, messages: Sequence[Message]) -> None:
    """Tell whoever listens; of one who hears too slowly the oldest is dropped."""
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


def is_anything_to_hear(connection: sqlite3.Connection, listener: str) -> bool:
    """Whether ``hear`` would find something."""
    sql = "SELECT 1 FROM notices WHERE listener = ? LIMIT 1"
    return connection.execute(sql, (listener,)).fetchone() is not None


def hear(connection: sqlite3.Connection, listener: str) -> list[ReceivedMessage]:
    """Take the oldest that wait, up to a hundred."""
    found = connection.execute(
        "SELECT seq, routing_key, message_id, body FROM notices WHERE listener = ?"
        " ORDER BY seq LIMIT ?",
        (listener, _AT_ONCE),
    ).fetchall()
    connection.executemany("DELETE FROM notices WHERE seq = ?", [(row[0],) for row in found])
    return [ReceivedMessage(*rest) for _, *rest in found]


def leave(connection: sqlite3.Connection, listener: str) -> None:
    """It listens no more."""
    connection.execute("DELETE FROM listeners WHERE listener = ?", (listener,))
    connection.execute("DELETE FROM notices WHERE listener = ?", (listener,))


def dismiss(connection: sqlite3.Connection, holder: str) -> None:
    """No listener of this holder listens any more."""
    sql = "SELECT DISTINCT listener FROM listeners WHERE holder = ?"
    for (listener,) in connection.execute(sql, (holder,)).fetchall():
        leave(connection, listener)

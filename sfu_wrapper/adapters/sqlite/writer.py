"""The one thread that writes to a database: what waits together is committed together.

Each operation has a savepoint of its own, so that one that fails takes nothing with it; when the
commit fails, all of the batch fails and nothing of it is there. Futures are resolved on the event
loop, in order, with one wake-up a batch. The queue is bounded; nothing here knows what is written.
A busy event loop gives way while statements are executed, but not while the disk syncs.
"""

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from sfu_wrapper.adapters.sqlite.database import translate
from sfu_wrapper.adapters.sqlite.precedence import MOMENT_S, Precedence, Stage
from sfu_wrapper.model.errors import RecordingError, Unavailable

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]

MAX_BATCH: Final = 256
MAX_WAITING: Final = 20_000


@dataclass(frozen=True, slots=True)
class _Job:
    operation: Operation[Any]
    future: "asyncio.Future[Any]"


@dataclass(frozen=True, slots=True)
class _Outcome:
    job: _Job
    result: Any = None
    error: Exception | None = None

    def tell(self) -> None:
        """Resolve the future, unless nobody waits for it any more."""
        if self.job.future.done():
            return
        if self.error is not None:
            self.job.future.set_exception(self.error)
        else:
            self.job.future.set_result(self.result)


class Writer:
    """Runs operations on one connection, grouped into transactions.

    connection: becomes the writer's own, and is closed by it.
    moment_s: how long a round of the event loop waits for statements to be executed.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        *,
        max_batch: int = MAX_BATCH,
        max_waiting: int = MAX_WAITING,
        moment_s: float = MOMENT_S,
    ) -> None:
        self._connection = connection
        self._path = path
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._waiting: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._precedence = Precedence(self._changed, moment_s)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"writer {path.name}", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation[T]) -> "asyncio.Future[T]":
        """Write, on the running loop's behalf.

        Returns:
            A future of what the operation returns, resolved once that is on disk. It raises what
            the operation raised of our own errors, and Unavailable when it could not be written or
            the queue is full.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._changed:
            if self._closing or len(self._waiting) >= self._max_waiting:
                why = "is closed" if self._closing else "has too much to write"
                future.set_exception(Unavailable(f"{self._path.name} {why}"))
                return future
            self._waiting.append(_Job(operation, future))
            self._changed.notify()
            self._precedence.wanted(loop)
        return future

    def close(self) -> None:
        """Write what waits, then close the connection. Does not return before that."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._take():
            _tell(self._write(batch))
        with suppress(sqlite3.Error):
            self._connection.close()

    def _take(self) -> list[_Job]:
        """What waits, up to one batch; empty at the end."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._precedence.enter(Stage.IDLE)
                self._changed.wait()
            self._precedence.enter(Stage.BUSY)
            count = min(len(self._waiting), self._max_batch)
            return [self._waiting.popleft() for _ in range(count)]

    def _write(self, batch: list[_Job]) -> list[_Outcome]:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._attempt(job) for job in batch]
            with self._changed:
                self._precedence.enter(Stage.SYNCING)
            connection.commit()  # lets go of the interpreter lock once, a statement several times
        except Exception as exc:  # whatever it was, nothing of the batch may be taken for written
            self._roll_back()
            error = translate(exc, self._path)
            return [_Outcome(job, error=error) for job in batch]
        return outcomes

    def _attempt(self, job: _Job) -> _Outcome:
        """One operation in its savepoint. Raises what no savepoint can contain."""
        connection = self._connection
        connection.execute("SAVEPOINT one")
        try:
            result = job.operation(connection)
        except (RecordingError, sqlite3.IntegrityError, sqlite3.DataError, OverflowError) as exc:
            connection.execute("ROLLBACK TO one")
            connection.execute("RELEASE one")
            known = exc if isinstance(exc, RecordingError) else translate(exc, self._path)
            return _Outcome(job, error=known)
        connection.execute("RELEASE one")
        return _Outcome(job, result)

    def _roll_back(self) -> None:
        """Leave the failed transaction, and write over what its COMMIT may have left in the log.

        A COMMIT whose sync failed may stand whole in the log's file, where a crash before the next
        commit would bring it to life although it was reported as failed.
        """
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._connection.execute("UPDATE schema SET version = version")


def _tell(outcomes: Sequence[_Outcome]) -> None:
    loops: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
    for outcome in outcomes:
        loops.setdefault(outcome.job.future.get_loop(), []).append(outcome)
    for loop, own in loops.items():
        with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
            loop.call_soon_threadsafe(_tell_here, own)


def _tell_here(outcomes: Sequence[_Outcome]) -> None:
    for outcome in outcomes:
        outcome.tell()

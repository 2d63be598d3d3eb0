"""The one thread that writes to a database: what waits together is committed together.

Each operation has a savepoint of its own, so that one that fails takes nothing with it; when the
commit fails, all of the batch fails and nothing of it is there. Operations of one kind that wait in
a row are carried out by one call, and apart from each other only where that call fails. Futures are
resolved on the event loop, in order, with one wake-up a batch. The queue is bounded; nothing here
knows what is written. A busy event loop gives way while statements are executed, but not while the
disk syncs.
"""

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TypeVar

from sfu_wrapper.adapters.sqlite.database import translate
from sfu_wrapper.adapters.sqlite.precedence import MOMENT_S, Precedence, Stage
from sfu_wrapper.model.errors import RecordingError, Unavailable

A = TypeVar("A")
T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]
Together = Callable[[sqlite3.Connection, Sequence[A]], Sequence[T]]
"""Carries out what several have submitted, as if one after the other: a result for each."""

MAX_BATCH: Final = 256
MAX_WAITING: Final = 20_000
_CONTAINED: Final = (RecordingError, sqlite3.IntegrityError, sqlite3.DataError, OverflowError)


@dataclass(frozen=True, slots=True)
class _Job:
    """Something to write. together: what does it for several, by their arguments."""

    operation: Operation[Any]
    future: "asyncio.Future[Any]"
    together: Together[Any, Any] | None = None
    argument: Any = None


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
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        return self._let_wait(_Job(operation, future))

    def submit_together(self, operation: Together[A, T], argument: A) -> "asyncio.Future[T]":
        """Write as ``submit`` does, in one call with others that wait for the same operation."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def alone(connection: sqlite3.Connection) -> T:
            (result,) = operation(connection, (argument,))
            return result

        return self._let_wait(_Job(alone, future, operation, argument))

    def _let_wait(self, job: _Job) -> "asyncio.Future[Any]":
        future = job.future
        with self._changed:
            if self._closing or len(self._waiting) >= self._max_waiting:
                why = "is closed" if self._closing else "has too much to write"
                future.set_exception(Unavailable(f"{self._path.name} {why}"))
                return future
            self._waiting.append(job)
            self._changed.notify()
            self._precedence.wanted(future.get_loop())
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
            outcomes = self._attempt_all(batch)
            with self._changed:
                self._precedence.enter(Stage.SYNCING)
            connection.commit()  # lets go of the interpreter lock once, a statement several times
        except Exception as exc:  # whatever it was, nothing of the batch may be taken for written
            self._roll_back()
            error = translate(exc, self._path)
            return [_Outcome(job, error=error) for job in batch]
        return outcomes

    def _attempt_all(self, batch: list[_Job]) -> list[_Outcome]:
        outcomes: list[_Outcome] = []
        for together, some in groupby(batch, key=lambda job: job.together):
            jobs = list(some)
            done = self._attempt_together(together, jobs) if len(jobs) > 1 else None
            outcomes += done or [self._attempt(job) for job in jobs]
        return outcomes

    def _attempt_together(
        self, together: Together[Any, Any] | None, jobs: list[_Job]
    ) -> list[_Outcome] | None:
        """One call for all of them; None where one of them fails, and nothing is done."""
        if together is None:
            return None
        try:
            arguments = [job.argument for job in jobs]
            results = self._in_savepoint(lambda connection: together(connection, arguments))
        except _CONTAINED:
            return None
        return [_Outcome(job, result) for job, result in zip(jobs, results, strict=True)]

    def _attempt(self, job: _Job) -> _Outcome:
        """One operation in its savepoint. Raises what no savepoint can contain."""
        try:
            return _Outcome(job, self._in_savepoint(job.operation))
        except _CONTAINED as exc:
            known = exc if isinstance(exc, RecordingError) else translate(exc, self._path)
            return _Outcome(job, error=known)

    def _in_savepoint(self, operation: Operation[T]) -> T:
        connection = self._connection
        connection.execute("SAVEPOINT one")
        try:
            result = operation(connection)
        except _CONTAINED:
            connection.execute("ROLLBACK TO one")
            connection.execute("RELEASE one")
            raise
        connection.execute("RELEASE one")
        return result

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

"""Writer thread of a database: operations that wait together are committed together.

Each operation has a savepoint, so that a failure undoes only that operation; when the commit fails,
the whole batch fails and nothing of it is stored. Operations of one kind that follow each other run
in one call, and one by one only where that call fails. Futures are resolved on the event loop, in
order, with one wake-up a batch. The queue is bounded.

``Precedence`` lets the thread run before the event loop. Each statement releases the interpreter
lock, and so does the sync of the disk; to get it back, the thread competes with an event loop that
many clients keep busy: a commit of twenty statements took 100 ms instead of 3. So the loop pauses
in each of its rounds while statements run, for microseconds, and for a shorter time every
millisecond while the disk syncs. A slow disk delays the loop for a bounded time only.
"""

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TypeVar

from sfu_wrapper.adapters.sqlite.database import translate
from sfu_wrapper.model.errors import RecordingError, Unavailable

MOMENT_S: Final = 0.002  # longest pause per iteration, while statements are executed
_ROUNDS: Final = 5  # pauses for the same statements
_SYNC_PAUSE_S: Final = 0.0001  # pause while the disk syncs: lets the thread get the lock back
_SYNC_INTERVAL_S: Final = 0.001  # interval of these pauses
_SYNC_PAUSES: Final = 1000  # pauses for the same sync


class Stage(Enum):
    """Stage of the writing thread.

    Attributes:
        IDLE: no work.
        BUSY: executes statements.
        SYNCING: waits for the disk.
    """

    IDLE = "idle"
    BUSY = "busy"
    SYNCING = "syncing"


class Precedence:
    """Stage of the writing thread, and the resulting pauses of the event loop.

    Args:
        changed: condition that callers of ``enter`` and ``wanted`` hold.
        moment_s: longest pause per iteration of the loop, in seconds.
    """

    def __init__(self, changed: threading.Condition, moment_s: float) -> None:
        self._changed = changed
        self._moment_s = moment_s
        self._stage = Stage.IDLE
        self._left_s = 0.0
        self._scheduled: asyncio.AbstractEventLoop | None = None

    def enter(self, stage: Stage) -> None:
        """Change the stage, and reset the budget of pauses; the same stage again does nothing."""
        if stage is self._stage:
            return
        self._stage = stage
        self._left_s = (
            _ROUNDS * self._moment_s if stage is Stage.BUSY else _SYNC_PAUSES * _SYNC_PAUSE_S
        )
        self._changed.notify_all()

    def wanted(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make the loop pause from its next iteration on, since there is work for the thread."""
        if self._stage is Stage.IDLE:
            self.enter(Stage.BUSY)
        self._schedule(loop, 0)

    def _schedule(self, loop: asyncio.AbstractEventLoop, delay_s: float) -> None:
        """Schedule a pause of the loop, unless one is scheduled."""
        if self._scheduled is not loop:
            self._scheduled = loop
            loop.call_later(delay_s, self._pause_once, loop)

    def _pause_once(self, loop: asyncio.AbstractEventLoop) -> None:
        self._scheduled = None
        with self._changed:
            stage = self._pause()
        if stage is not Stage.IDLE:
            self._schedule(loop, 0 if stage is Stage.BUSY else _SYNC_INTERVAL_S)

    def _pause(self) -> Stage:
        """Wait shortly for a change of stage.

        Returns:
            The stage; IDLE once the budget of pauses is used up.
        """
        stage = self._stage
        if stage is Stage.IDLE or self._left_s <= 0:
            return Stage.IDLE
        most_s = self._moment_s if stage is Stage.BUSY else _SYNC_PAUSE_S
        began_s = time.monotonic()
        if not self._changed.wait_for(lambda: self._stage is not stage, most_s):
            self._left_s -= time.monotonic() - began_s
        return self._stage


A = TypeVar("A")
T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]
Together = Callable[[sqlite3.Connection, Sequence[A]], Sequence[T]]
"""Executes the arguments of several jobs as if one after the other: one result each."""

MAX_BATCH: Final = 256
MAX_WAITING: Final = 20_000
_CONTAINED: Final = (RecordingError, sqlite3.IntegrityError, sqlite3.DataError, OverflowError)


@dataclass(frozen=True, slots=True)
class _Job:
    """A submitted operation.

    Attributes:
        operation: writes it alone.
        future: its result.
        together: writes it with others, given all arguments; None: always alone.
        argument: its argument to ``together``.
    """

    operation: Operation[Any]
    future: "asyncio.Future[Any]"
    together: Together[Any, Any] | None = None
    argument: Any = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    job: _Job
    result: Any = None
    error: Exception | None = None

    def resolve(self) -> None:
        """Resolve the future, unless it was cancelled."""
        if self.job.future.done():
            return
        if self.error is not None:
            self.job.future.set_exception(self.error)
        else:
            self.job.future.set_result(self.result)


class Writer:
    """Runs operations on one connection, grouped into transactions.

    Args:
        connection: passes into the ownership of the writer, which closes it.
        path: the database file, for error messages.
        max_batch: jobs per transaction.
        max_waiting: jobs that may wait, before further ones are refused.
        moment_s: longest pause of the event loop per iteration in favour of the writer, seconds.
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
        """Submit an operation from the running event loop.

        Returns:
            A future with the result of the operation, resolved once it is on disk. It raises the
            RecordingError of the operation, or Unavailable if the write failed or the queue is
            full.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        return self._enqueue(_Job(operation, future))

    def submit_together(self, operation: Together[A, T], argument: A) -> "asyncio.Future[T]":
        """Submit an argument; waiting arguments for the same operation are written in one call."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def alone(connection: sqlite3.Connection) -> T:
            (result,) = operation(connection, (argument,))
            return result

        return self._enqueue(_Job(alone, future, operation, argument))

    def _enqueue(self, job: _Job) -> "asyncio.Future[Any]":
        future = job.future
        with self._changed:
            if self._closing or len(self._waiting) >= self._max_waiting:
                why = "is closed" if self._closing else "has too many waiting writes"
                future.set_exception(Unavailable(f"{self._path.name} {why}"))
                return future
            self._waiting.append(job)
            self._changed.notify()
            self._precedence.wanted(future.get_loop())
        return future

    def close(self) -> None:
        """Write all waiting jobs, close the connection, and return after that."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._take():
            _resolve(self._write(batch))
        with suppress(sqlite3.Error):
            self._connection.close()

    def _take(self) -> list[_Job]:
        """Wait for jobs and return up to one batch; empty once the writer is closed."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._precedence.enter(Stage.IDLE)
                self._changed.wait()
            count = min(len(self._waiting), self._max_batch)
            self._precedence.enter(Stage.BUSY if count else Stage.IDLE)
            return [self._waiting.popleft() for _ in range(count)]

    def _write(self, batch: list[_Job]) -> list[_Outcome]:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = self._attempt_all(batch)
            with self._changed:
                self._precedence.enter(Stage.SYNCING)
            connection.commit()  # releases the interpreter lock once, a statement several times
        except Exception as exc:  # after any error, no job of the batch may count as written
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
        """Run jobs in one call; None, with nothing written, if one of them fails."""
        if together is None:
            return None
        try:
            arguments = [job.argument for job in jobs]
            results = self._in_savepoint(lambda connection: together(connection, arguments))
        except _CONTAINED:
            return None
        return [_Outcome(job, result) for job, result in zip(jobs, results, strict=True)]

    def _attempt(self, job: _Job) -> _Outcome:
        """Run one operation in a savepoint. Raises errors that affect the whole transaction."""
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
        """End the failed transaction, and overwrite what its COMMIT may have left in the WAL.

        A COMMIT whose sync failed may be complete in the WAL file. After a crash before the next
        commit it would take effect, although it was reported as failed.
        """
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._connection.execute("UPDATE schema SET version = version")


def _resolve(outcomes: Sequence[_Outcome]) -> None:
    loops: dict[asyncio.AbstractEventLoop, list[_Outcome]] = {}
    for outcome in outcomes:
        loops.setdefault(outcome.job.future.get_loop(), []).append(outcome)
    for loop, own in loops.items():
        with suppress(RuntimeError):  # the loop is closed, and with it all that awaited the futures
            loop.call_soon_threadsafe(_resolve_all, own)


def _resolve_all(outcomes: Sequence[_Outcome]) -> None:
    for outcome in outcomes:
        outcome.resolve()

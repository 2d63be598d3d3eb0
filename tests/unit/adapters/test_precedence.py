"""Writes while the event loop is busy: they go first, and hold it up for a bounded time."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from sfu_wrapper.adapters.sqlite.writer import Precedence, Stage, Writer

STATEMENTS = 200
AT_ONCE = 20  # rounds; without precedence it is one for each statement, or more
MANY = 100  # rounds
PATIENT_S = 10.0  # so that a busy machine makes no difference
LIMIT_S = 20.0


class Rounds:
    """Counter of the rounds of a loop that always has something to do."""

    def __init__(self) -> None:
        self.done = 0
        self.on = True
        self.many = asyncio.Event()

    def go_on(self) -> None:
        """Take a round of about half a millisecond, and have another one."""
        self.done += 1
        if self.done == MANY:
            self.many.set()
        sum(range(20_000))
        if self.on:
            asyncio.get_running_loop().call_soon(self.go_on)


@asynccontextmanager
async def busy_loop() -> AsyncIterator[Rounds]:
    rounds = Rounds()
    rounds.go_on()
    try:
        yield rounds
    finally:
        rounds.on = False


@contextmanager
def writer(moment_s: float) -> Iterator[Writer]:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.execute("CREATE TABLE numbers (number INTEGER)")
    writing = Writer(connection, Path("numbers.db"), moment_s=moment_s)
    try:
        yield writing
    finally:
        writing.close()


def many_statements(rounds: Rounds) -> Callable[[sqlite3.Connection], int]:
    """Return an operation that tells in which round its last statement was executed."""

    def write(connection: sqlite3.Connection) -> int:
        for number in range(STATEMENTS):
            connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        return rounds.done

    return write


def count(connection: sqlite3.Connection) -> int:
    (found,) = connection.execute("SELECT count(*) FROM numbers").fetchone()
    return int(found)


async def test_the_statements_of_a_commit_are_executed_within_a_round_of_a_busy_loop() -> None:
    with writer(PATIENT_S) as writing:
        async with busy_loop() as rounds, asyncio.timeout(LIMIT_S):
            before = rounds.done
            executed = await writing.submit(many_statements(rounds))

    assert executed - before <= AT_ONCE


async def test_each_of_many_commits_in_a_row_goes_first() -> None:
    with writer(PATIENT_S) as writing:
        async with busy_loop() as rounds, asyncio.timeout(LIMIT_S):
            for _ in range(10):
                before = rounds.done
                assert await writing.submit(many_statements(rounds)) - before <= AT_ONCE


async def test_an_operation_that_hangs_holds_the_loop_up_for_a_bounded_number_of_rounds() -> None:
    enough = threading.Event()
    with writer(moment_s=0.001) as writing:
        async with busy_loop() as rounds, asyncio.timeout(LIMIT_S):
            hanging = writing.submit(lambda _: enough.wait(LIMIT_S))
            await rounds.many.wait()
            enough.set()
            rounds.on = False  # a loop that never waits could keep the thread waiting for ever

            assert await hanging


async def test_the_loop_goes_on_while_the_disk_syncs() -> None:
    changed = threading.Condition()
    precedence = Precedence(changed, PATIENT_S)
    with changed:
        precedence.wanted(asyncio.get_running_loop())
        precedence.enter(Stage.SYNCING)
    async with busy_loop() as rounds, asyncio.timeout(LIMIT_S):
        await rounds.many.wait()
    with changed:
        precedence.enter(Stage.IDLE)


async def test_what_is_written_is_the_same_whether_or_not_the_loop_is_patient() -> None:
    for moment_s in (0.0, PATIENT_S):
        with writer(moment_s) as writing:
            async with busy_loop() as rounds, asyncio.timeout(LIMIT_S):
                futures = [writing.submit(many_statements(rounds)) for _ in range(5)]
                await rounds.many.wait()
                rounds.on = False  # a loop without patience could keep the thread waiting for ever
                await asyncio.gather(*futures)
                found = await writing.submit(count)

        assert found == 5 * STATEMENTS


async def test_a_closed_writer_holds_the_loop_up_no_more() -> None:
    with writer(PATIENT_S) as writing:
        future = writing.submit(count)

    async with asyncio.timeout(PATIENT_S / 2):
        assert await future == 0

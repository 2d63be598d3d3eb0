"""What the SQLite store promises beyond the port: durability, order of failure, who gets in."""

import asyncio
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.sqlite import rows
from sfu_wrapper.adapters.sqlite.database import open_database
from sfu_wrapper.adapters.sqlite.leases import SqliteLeases
from sfu_wrapper.adapters.sqlite.schema import MIGRATIONS
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.adapters.sqlite.writer import Writer
from sfu_wrapper.model.errors import Misconfigured, RecordingError, Unavailable
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.ports.store import AnswerRow, Commit, PartRow
from tests.helpers.stores import EPOCH, message, room


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    yield store
    store.close()


@contextmanager
def full_disk(path: Path) -> Iterator[None]:
    """No file of this process grows beyond what the database's log has already."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (Path(f"{path}-wal").stat().st_size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_fails_every_commit_and_leaves_nothing(
    store: SqliteStore, path: Path
) -> None:
    await store.commit(Commit(room(), (message(1),)), EPOCH)
    with full_disk(path):
        futures = [store.commit(Commit(room(f"r{n}"), (message(n),)), EPOCH) for n in range(20)]
        outcomes = await asyncio.gather(*futures, return_exceptions=True)

    assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
    assert [row.message_id for row in store.pending_outbox(0, 10)] == ["uuid-1:1"]
    assert [row.uuid for row in store.unsettled_rooms()] == ["uuid-1"]


async def test_it_writes_again_once_the_disk_has_space(store: SqliteStore, path: Path) -> None:
    with full_disk(path), pytest.raises(Unavailable):
        await store.commit(Commit(room(state=b"x" * 5000)), EPOCH)

    await store.commit(Commit(room("later")), EPOCH)
    assert [row.uuid for row in store.unsettled_rooms()] == ["later"]


@pytest.fixture
def statements() -> list[str]:
    return []


@pytest.fixture
def writer(path: Path, statements: list[str]) -> Iterator[Writer]:
    connection = open_database(path, MIGRATIONS)
    connection.set_trace_callback(statements.append)
    writer = Writer(connection, path, max_batch=100, max_waiting=100)
    yield writer
    writer.close()


async def hold(writer: Writer) -> threading.Event:
    """Make the writer wait in the midst of a batch of one, until the event is set."""
    reached, gate = threading.Event(), threading.Event()

    def wait(_: sqlite3.Connection) -> None:
        reached.set()
        gate.wait(10)

    writer.submit(wait)
    await asyncio.to_thread(reached.wait, 10)
    return gate


def nothing(_: sqlite3.Connection) -> None:
    pass


async def test_too_much_waiting_is_refused_at_once(writer: Writer) -> None:
    gate = await hold(writer)
    accepted = [writer.submit(nothing) for _ in range(100)]
    refused = writer.submit(nothing)

    assert isinstance(refused.exception(), Unavailable)
    gate.set()
    await asyncio.gather(*accepted)


async def test_what_waits_together_shares_a_transaction(
    writer: Writer, statements: list[str]
) -> None:
    gate = await hold(writer)
    waiting = [writer.submit(nothing) for _ in range(100)]
    gate.set()
    await asyncio.gather(*waiting)

    assert statements.count("COMMIT") == 2


async def test_commits_that_wait_together_take_as_few_statements_as_one(
    writer: Writer, statements: list[str]
) -> None:
    gate = await hold(writer)
    statements.clear()
    gate.set()
    await writer.submit_together(rows.write_all, (changed_room(0), EPOCH))
    alone = len(statements)

    gate = await hold(writer)
    statements.clear()
    waiting = [writer.submit_together(rows.write_all, (changed_room(n), EPOCH)) for n in range(16)]
    gate.set()
    await asyncio.gather(*waiting)
    assert (
        alone <= len(statements) <= alone + 1
    )  # one ends the transaction of the commit that waited


def changed_room(number: int) -> Commit:
    """Something of everything that a commit stores."""
    uuid = f"r{number}"
    return Commit(
        room=room(uuid),
        outbox=(replace(message(number), room=RoomUuid(uuid)),),
        answers=(AnswerRow(f"key-{number}", b"digest", b"{}", 10_000),),
        parts=(PartRow(RoomUuid(uuid), "segment/1", b"{}"),),
    )


async def test_each_of_many_commits_gets_its_own_messages_numbered_in_order(
    writer: Writer,
) -> None:
    gate = await hold(writer)
    commits = [
        Commit(room(f"r{n}"), tuple(message(10 * n + each) for each in range(n))) for n in range(40)
    ]
    waiting = [writer.submit_together(rows.write_all, (commit, EPOCH)) for commit in commits]
    gate.set()
    numbered = await asyncio.gather(*waiting)
    flat = [row for some in numbered for row in some]

    assert [row.seq for row in flat] == list(range(1, len(flat) + 1))
    assert [replace(row, seq=0) for row in flat] == [row for each in commits for row in each.outbox]
    stored = await writer.submit(
        lambda connection: connection.execute("SELECT message_id, seq FROM outbox").fetchall()
    )
    assert stored == [(row.message_id, row.seq) for row in flat]


async def test_of_several_commits_in_a_row_the_last_one_counts(store: SqliteStore) -> None:
    uuid = RoomUuid("r1")
    kept = AnswerRow("key", b"digest", b"again", 10_000)
    commits = [
        Commit(
            room("r1", state=b"first"), parts=(PartRow(uuid, "a", b"1"), PartRow(uuid, "b", b"1"))
        ),
        Commit(answers=(replace(kept, answer=b"once"),), parts=(PartRow(uuid, "a", None),)),
        Commit(room("r1", state=b"last"), forgotten=("key",), parts=(PartRow(uuid, "b", b"2"),)),
        Commit(answers=(kept,)),
        Commit(answers=(replace(kept, key="gone"),)),
        Commit(forgotten=("gone",)),
    ]
    await asyncio.gather(*(store.commit(commit, EPOCH) for commit in commits))

    assert [row.state for row in store.unsettled_rooms()] == [b"last"]
    assert store.parts(uuid) == (PartRow(uuid, "b", b"2"),)
    assert store.answer("key", 0) == kept
    assert store.answer("gone", 0) is None


async def test_what_cannot_be_stored_with_others_fails_alone(writer: Writer) -> None:
    gate = await hold(writer)
    commits = [Commit(room("a")), Commit(room("b", at_ms=1 << 80)), Commit(room("c"))]
    waiting = [writer.submit_together(rows.write_all, (commit, EPOCH)) for commit in commits]
    gate.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [tuple, Unavailable, tuple]
    stored = await writer.submit(
        lambda connection: connection.execute("SELECT uuid FROM rooms ORDER BY uuid").fetchall()
    )
    assert stored == [("a",), ("c",)]


async def test_an_operation_that_breaks_down_fails_its_batch_and_not_the_next(
    writer: Writer,
) -> None:
    gate = await hold(writer)
    beside = writer.submit(nothing)
    broken = writer.submit(lambda connection: connection.execute("SELECT nonsense"))
    gate.set()
    outcomes = await asyncio.gather(beside, broken, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    await writer.submit(nothing)


async def test_a_value_that_the_file_cannot_hold_fails_alone(store: SqliteStore) -> None:
    bad = store.commit(Commit(room("bad", at_ms=1 << 80)), EPOCH)
    good = store.commit(Commit(room("good")), EPOCH)
    outcomes = await asyncio.gather(bad, good, return_exceptions=True)

    assert isinstance(outcomes[0], Unavailable)
    assert [row.uuid for row in store.unsettled_rooms()] == ["good"]


async def test_a_caller_that_has_gone_disturbs_nobody(store: SqliteStore) -> None:
    gone = store.commit(Commit(room("a")), EPOCH)
    gone.cancel()
    await store.commit(Commit(room("b")), EPOCH)

    assert len(store.unsettled_rooms()) == 2


def test_a_second_controller_is_kept_out(store: SqliteStore, path: Path) -> None:
    with pytest.raises(Unavailable, match="another controller"):
        SqliteStore(path)
    assert store.unsettled_rooms() == ()


async def test_workers_share_the_file_with_the_controller(store: SqliteStore, path: Path) -> None:
    leases = SqliteLeases(path)
    commits = [store.commit(Commit(room(f"r{n}")), EPOCH) for n in range(20)]
    taken = [leases.acquire(f"job{n}", "a", 30) for n in range(20)]

    assert all(await asyncio.gather(*taken))
    await asyncio.gather(*commits)
    leases.close()


_CLOSE = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM rooms").fetchall()
connection.close()
"""


def test_another_process_that_closes_the_file_leaves_the_log_of_this_one(
    store: SqliteStore, path: Path
) -> None:
    # A descriptor of ours on the file, closed, would drop the locks of this process: the other one
    # would remove the log, and all that is committed from then on would end with this process.
    leases = SqliteLeases(path)

    subprocess.run([sys.executable, "-c", _CLOSE, str(path)], check=True)

    assert Path(f"{path}-wal").exists()
    leases.close()


def test_nobody_else_may_read_it(store: SqliteStore, path: Path) -> None:
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}
    assert "store.db" in modes


def test_a_damaged_file_is_refused(path: Path) -> None:
    SqliteStore(path).close()
    data = bytearray(path.read_bytes())
    data[4096 : 4096 + 512] = b"\xff" * 512
    path.write_bytes(data)

    with pytest.raises(Misconfigured, match=r"store\.db is damaged"):
        SqliteStore(path)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database at all" * 100)

    with pytest.raises(Misconfigured, match=r"store\.db is damaged"):
        SqliteStore(path)


def test_a_file_of_a_newer_release_is_refused(path: Path) -> None:
    SqliteStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE schema SET version = 99")
    connection.commit()
    connection.close()

    with pytest.raises(Misconfigured, match="newer release"):
        SqliteStore(path)


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(RecordingError, match=r"store\.db cannot be used"):
        SqliteStore(tmp_path / "file" / "store.db")


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.ports.store import AnswerRow, Commit, PartRow
from tests.helpers.stores import message, room

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    for n in range(100_000):
        await store.commit(Commit(room(state=b"%d" % n), (message(n),)), 1)
        print(n, flush=True)

asyncio.run(main())
"""


def test_a_killed_process_loses_nothing_that_it_was_told(path: Path) -> None:
    argv = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(200)]
        process.kill()
        lines += process.stdout.read().split("\n")
    confirmed = [int(line) for line in lines if line.strip()]
    store = SqliteStore(path)

    stored = [row.message_id for row in store.pending_outbox(0, 100_000)]
    assert len(stored) - len(confirmed) in (0, 1)
    assert stored == [f"uuid-1:{n}" for n in range(len(stored))]
    last = store.room(RoomUuid("uuid-1"))
    assert last is not None
    assert last.state == b"%d" % (len(stored) - 1)
    store.close()

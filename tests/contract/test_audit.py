"""Audit chains of every store: committed with what they record, whole after any failure."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.sqlite import audit
from sfu_wrapper.adapters.sqlite.audit import AuditFile
from sfu_wrapper.adapters.sqlite.database import open_reader
from sfu_wrapper.adapters.sqlite.rows import PermissionFile
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.core.audit import ChainCheck
from sfu_wrapper.model.audit import AuditEntry, AuditHead, AuditRow
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import DomainId, RoomUuid, UserId
from sfu_wrapper.ports.recordings import AuditLog
from sfu_wrapper.ports.store import Commit, Store
from sfu_wrapper.wire.audit import decode_entry
from tests.helpers.stores import (
    ALICE,
    ALWAYS,
    EPOCH,
    StoreBench,
    memory_bench,
    message,
    room,
    sqlite_bench,
)

BENCHES = {"memory": memory_bench, "sqlite": sqlite_bench}
OURS, THEIRS = DomainId("example"), DomainId("other")


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreBench]:
    bench = BENCHES[request.param](tmp_path)
    yield bench
    bench.store.close()


def entry(n: int, domain: DomainId = OURS, object_: str = "uuid-1/1") -> AuditEntry:
    """The nth entry of a test."""
    return AuditEntry(domain, n, UserId("alice"), "recording.start", object_, "done", (("n", n),))


async def append(store: Store, *entries: AuditEntry) -> None:
    await store.commit(Commit(audit=entries), EPOCH)


def numbers(rows: Sequence[AuditRow]) -> list[int]:
    """The numbers that tests gave to entries, with the chain checked from its first entry."""
    check = ChainCheck()
    for row in rows:
        assert check.check(row.number, row.entry, bytes.fromhex(row.hash)) is None
        assert row.previous == ("" if row.number == 1 else rows[row.number - 2].hash)
    return [dict(decode_entry(row.entry).details)["n"] or 0 for row in rows]  # type: ignore[misc]


def whole(log: AuditLog, domain: DomainId = OURS) -> list[int]:
    rows = log.entries(domain, 0, 1_000)
    if rows:
        assert log.head(domain) == AuditHead(domain, len(rows), rows[-1].hash)
    return numbers(rows)


async def test_a_store_without_entries_has_no_heads(bench: StoreBench) -> None:
    assert bench.store.audit.heads() == ()
    assert bench.store.audit.head(OURS) == AuditHead(OURS, 0, "")
    assert bench.store.audit.entries(OURS, 0, 10) == ()


async def test_entries_are_chained_in_their_order_over_restarts(bench: StoreBench) -> None:
    await append(bench.store, entry(1), entry(2))
    await append(bench.reopen(), entry(3))

    assert whole(bench.reopen().audit) == [1, 2, 3]


async def test_each_domain_has_its_own_chain(bench: StoreBench) -> None:
    await append(bench.store, entry(1), entry(2, THEIRS), entry(3))
    await append(bench.store, entry(4, THEIRS))
    log = bench.reopen().audit

    assert (whole(log), whole(log, THEIRS)) == ([1, 3], [2, 4])
    assert log.heads() == (log.head(OURS), log.head(THEIRS))


async def test_commits_that_are_written_together_keep_their_order(bench: StoreBench) -> None:
    futures = [bench.store.commit(Commit(audit=(entry(n),)), EPOCH) for n in range(100)]
    await asyncio.gather(*futures)

    assert whole(bench.store.audit) == list(range(100))


async def test_a_refused_commit_leaves_no_entry_and_no_gap(bench: StoreBench) -> None:
    await bench.store.commit(Commit(room("fenced")), 2)
    futures = [
        bench.store.commit(Commit(room("a"), audit=(entry(1),)), EPOCH),
        bench.store.commit(Commit(room("fenced"), audit=(entry(2),)), EPOCH),
        bench.store.commit(Commit(room("b"), (message(1, "b"),), audit=(entry(3),)), EPOCH),
    ]
    outcomes = await asyncio.gather(*futures, return_exceptions=True)

    assert [isinstance(outcome, Unavailable) for outcome in outcomes] == [False, True, False]
    assert whole(bench.reopen().audit) == [1, 3]


async def test_a_change_of_permissions_is_stored_with_its_entry(bench: StoreBench) -> None:
    await append(bench.store, entry(1))
    await bench.store.set_permission(OURS, ALICE.user, ALWAYS, (entry(2),))
    await bench.store.set_permission(OURS, ALICE.user, None, (entry(3),))

    assert whole(bench.reopen().audit) == [1, 2, 3]


async def test_chains_are_read_in_pages(bench: StoreBench) -> None:
    await append(bench.store, *(entry(n) for n in range(1, 8)))
    log = bench.store.audit
    pages = [log.entries(OURS, after, 3) for after in (0, 3, 6, 7)]

    assert [len(page) for page in pages] == [3, 3, 1, 0]
    assert numbers([row for page in pages for row in page]) == list(range(1, 8))


async def test_entries_about_one_object_are_found(bench: StoreBench) -> None:
    await append(bench.store, entry(1), entry(2, object_="uuid-2/1"), entry(3), entry(4))
    await append(bench.store, entry(5, THEIRS))
    log = bench.reopen().audit
    rows = log.entries(OURS, 0, 10)

    assert log.entries_about(OURS, "uuid-1/1", 10) == (rows[0], rows[2], rows[3])
    assert log.entries_about(OURS, "uuid-1/1", 2) == (rows[2], rows[3])
    assert log.entries_about(THEIRS, "uuid-2/1", 10) == ()


async def test_a_failed_transaction_leaves_the_chain_whole(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db")
    await append(store, entry(1))
    writing = store._writer._connection
    # A full disk, as SQLite reports it: the database may not grow any more.
    (pages,) = writing.execute("PRAGMA page_count").fetchone()
    writing.execute(f"PRAGMA max_page_count={pages}")
    big = replace(room(), state=b"x" * 1_000_000)
    with pytest.raises(Unavailable):
        await store.commit(Commit(big, audit=(entry(2),)), EPOCH)
    writing.execute("PRAGMA max_page_count=1000000")
    await append(store, entry(3))

    assert store.room(RoomUuid("uuid-1")) is None
    assert whole(store.audit) == [1, 3]
    store.close()


async def test_two_processes_append_to_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store, command = SqliteStore(path), PermissionFile(path)
    for n in range(1, 7, 2):
        await append(store, entry(n))
        await command.set_permission(OURS, None, ALWAYS, (entry(n + 1),))

    assert whole(store.audit) == [1, 2, 3, 4, 5, 6]
    with AuditFile(path) as file:
        assert [number for number, _, _ in file.walk(OURS)] == [1, 2, 3, 4, 5, 6]
        assert whole(file.log) == [1, 2, 3, 4, 5, 6]
    store.close()


async def test_a_chain_is_read_as_of_one_moment_while_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    await append(store, *(entry(n) for n in range(1, 11)))
    with AuditFile(path) as file:
        walked = file.walk(OURS)
        first = next(walked)
        await append(store, entry(11))
        rest = list(walked)
        after = list(file.walk(OURS))

    assert [first[0], *(number for number, _, _ in rest)] == list(range(1, 11))
    assert len(after) == 11
    store.close()


def test_no_query_reads_more_of_a_chain_than_it_returns(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "store.db").close()
    connection = open_reader(tmp_path / "store.db")
    queries = {"_LAST": 2, "_PAGE": 3, "_ABOUT": 3, "_DOMAINS": 0}
    for name, values in queries.items():
        sql = getattr(audit, name).format("(?), (?)")
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", ("x",) * values)]
        assert not [step for step in plan if step.startswith("SCAN audit")], name
        # An index on the domain alone would read the whole chain.
        assert not [
            step for step in plan if "audit_by_number (domain=?)" in step and "COVERING" not in step
        ], name
    connection.close()

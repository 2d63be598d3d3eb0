"""Index of recordings of every store: what is committed is found, by every filter, page by page."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.sqlite.database import open_reader
from sfu_wrapper.adapters.sqlite.recording_queries import SqliteRecordings
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import DomainId, RoomId, RoomUuid, UserId, UserKey
from sfu_wrapper.model.recording import (
    Deletion,
    DeletionReason,
    Hold,
    Recording,
    RecordingKey,
    RecordingState,
    Stay,
)
from sfu_wrapper.ports.recordings import (
    DomainRetention,
    DropRecording,
    Due,
    PutRecording,
    RecordingChange,
    RecordingIndex,
    RecordingQuery,
    SegmentFacts,
    UsageRow,
)
from sfu_wrapper.ports.store import Commit, Store
from tests.helpers.indexed import ALICE, BOB, GUEST, HOME, facts, failed, key, processed, ready
from tests.helpers.stores import EPOCH, StoreBench, memory_bench, room, sqlite_bench

BENCHES = {"memory": memory_bench, "sqlite": sqlite_bench}
REQUESTED = Deletion(DeletionReason.REQUESTED, 5_000, BOB)


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreBench]:
    bench = BENCHES[request.param](tmp_path)
    yield bench
    bench.store.close()


async def write(store: Store, *changes: RecordingChange) -> None:
    await store.commit(Commit(recordings=changes), EPOCH)


def known(store: Store, at: RecordingKey | None = None) -> Recording:
    found = store.index.recording(at or key())
    assert found is not None
    return found


def listed(index: RecordingIndex, query: RecordingQuery) -> list[RecordingKey]:
    """All pages of a list, of two recordings each."""
    found: list[RecordingKey] = []
    query = replace(query, limit=2)
    for _ in range(1_000):
        page = index.recordings(query)
        assert len(page.recordings) <= 2
        found += [each.key for each in page.recordings]
        if page.next is None:
            return found
        query = replace(query, after=page.next)
    raise AssertionError("the list does not end")


async def test_a_recording_that_is_not_there_is_none(bench: StoreBench) -> None:
    assert bench.store.index.recording(key()) is None
    assert bench.store.index.recordings(RecordingQuery()).recordings == ()
    assert bench.store.index.domains() == ()
    assert list(bench.store.index.all()) == []


async def test_a_recording_runs_from_its_start_and_waits_from_its_stop(bench: StoreBench) -> None:
    running, stopped = facts(runs=True), facts()
    await write(bench.store, SegmentFacts(running))
    assert known(bench.store) == Recording(running, RecordingState.RECORDING, version=1)

    await write(bench.store, SegmentFacts(stopped))
    assert known(bench.reopen()) == Recording(stopped, RecordingState.QUEUED, version=2)


async def test_facts_of_the_end_are_not_replaced_by_those_of_the_start(bench: StoreBench) -> None:
    await write(bench.store, SegmentFacts(facts()))
    await write(bench.store, SegmentFacts(facts(runs=True)))

    assert known(bench.store) == Recording(facts(), RecordingState.QUEUED, version=1)


async def test_start_and_stop_in_one_commit_leave_the_stop(bench: StoreBench) -> None:
    await write(bench.store, SegmentFacts(facts(runs=True)), SegmentFacts(facts()))

    assert known(bench.store).facts == facts()
    assert known(bench.store).state is RecordingState.QUEUED


async def test_late_facts_leave_the_state_of_a_finished_recording(bench: StoreBench) -> None:
    await write(bench.store, PutRecording(ready()))
    later = facts(stays=(Stay(ALICE, 1_000, 1_500), Stay(GUEST, 1_000, 2_000)))
    await write(bench.store, SegmentFacts(later))

    assert known(bench.store) == replace(ready(), facts=later, version=2)
    assert listed(bench.store.index, RecordingQuery(participant=GUEST)) == [key()]


async def test_the_start_of_a_recording_never_moves(bench: StoreBench) -> None:
    await write(bench.store, SegmentFacts(facts(runs=True)))
    await write(bench.store, SegmentFacts(facts(at_ms=1_200)))

    assert known(bench.store).facts.started_ms == 1_000
    assert listed(bench.store.index, RecordingQuery(participant=ALICE)) == [key()]


@pytest.mark.parametrize(
    "recording",
    [
        ready(),
        Recording(facts(), RecordingState.FAILED, failed(), 4_000, retries=2),
        replace(ready(), hold=Hold(BOB, "a lawsuit", 4_500)),
        replace(ready(), deletion=replace(REQUESTED, trouble="read-only file system")),
        Recording(facts(decision=None, by=None, stays=()), RecordingState.QUEUED),
    ],
    ids=["ready", "failed", "held", "deletion", "bare"],
)
async def test_all_of_a_recording_is_kept(bench: StoreBench, recording: Recording) -> None:
    await write(bench.store, PutRecording(recording))

    assert known(bench.reopen()) == replace(recording, version=1)


async def test_a_change_counts_only_on_what_it_was_made_from(bench: StoreBench) -> None:
    await write(bench.store, SegmentFacts(facts()))
    read = known(bench.store)
    changed = replace(read, state=RecordingState.READY, outcome=processed(), outcome_ms=4_000)
    await write(bench.store, PutRecording(changed))

    for late in (changed, replace(changed, version=0), replace(changed, version=9)):
        with pytest.raises(Unavailable) as raised:
            await bench.store.commit(Commit(room(), recordings=(PutRecording(late),)), EPOCH)
        assert raised.value.context["conflict"] is True
    assert known(bench.store) == replace(changed, version=2)
    assert bench.store.room(RoomUuid("uuid-1")) is None


async def test_a_conflict_takes_no_other_commit_with_it(bench: StoreBench) -> None:
    await write(bench.store, SegmentFacts(facts()))
    read = known(bench.store)
    futures = [
        bench.store.commit(Commit(recordings=(change,)), EPOCH)
        for change in (
            PutRecording(replace(read, retries=1)),
            SegmentFacts(facts(2)),
            PutRecording(replace(read, retries=2)),
        )
    ]
    await futures[0]
    await futures[1]
    with pytest.raises(Unavailable):
        await futures[2]

    assert known(bench.store).retries == 1
    assert known(bench.store, key(2)).state is RecordingState.QUEUED


async def test_facts_are_written_with_a_new_recording_only(bench: StoreBench) -> None:
    await write(bench.store, SegmentFacts(facts(runs=True)))
    read = known(bench.store)
    await write(bench.store, PutRecording(replace(read, facts=facts(), retries=1)))

    assert known(bench.store).facts == facts(runs=True)


async def test_a_dropped_recording_is_in_no_list(bench: StoreBench) -> None:
    await write(bench.store, PutRecording(ready()), SegmentFacts(facts(2)))
    await write(bench.store, DropRecording(key()), DropRecording(key(7)))

    assert bench.store.index.recording(key()) is None
    assert listed(bench.store.index, RecordingQuery()) == [key(2)]
    assert listed(bench.store.index, RecordingQuery(participant=ALICE)) == [key(2)]


async def test_changes_of_one_commit_apply_in_order(bench: StoreBench) -> None:
    await write(bench.store, SegmentFacts(facts()))
    await write(bench.store, DropRecording(key()), SegmentFacts(facts(runs=True)))
    assert known(bench.store).state is RecordingState.RECORDING

    await write(bench.store, SegmentFacts(facts()), DropRecording(key()))
    assert bench.store.index.recording(key()) is None


# Lists


async def fill(store: Store) -> list[Recording]:
    """Twelve recordings of two rooms, domains and owners each, in several states."""
    recordings = []
    for n in range(12):
        there = n % 3 == 0
        stays = tuple(Stay(user, n, n + 1) for user in ((ALICE, GUEST) if n % 2 else (BOB,)))
        known = facts(
            n // 4 + 1,
            f"uuid-{n % 4}",
            at_ms=1_000 + n // 2,  # pairs start in the same millisecond
            room=RoomId(f"room-{n % 2}"),
            domain=DomainId("other") if there else HOME,
            owner=UserId("carol") if n % 5 == 0 else ALICE.user,
            stays=stays,
        )
        state = (RecordingState.QUEUED, RecordingState.READY)[n % 2]
        recordings.append(Recording(known, state))
    await write(store, *(PutRecording(each) for each in recordings))
    return recordings


QUERIES = [
    RecordingQuery(),
    RecordingQuery(domain=HOME),
    RecordingQuery(domain=HOME, owner=ALICE.user),
    RecordingQuery(owner=UserId("carol")),
    RecordingQuery(room=RoomId("room-1")),
    RecordingQuery(room=RoomId("room-1"), domain=HOME),
    RecordingQuery(uuid=RoomUuid("uuid-2")),
    RecordingQuery(uuid=RoomUuid("uuid-2"), from_ms=1_002, to_ms=1_005),
    RecordingQuery(uuid=RoomUuid("uuid-1"), domain=HOME),
    RecordingQuery(state=RecordingState.READY),
    RecordingQuery(state=RecordingState.READY, domain=HOME),
    RecordingQuery(state=RecordingState.QUEUED, domain=HOME, owner=ALICE.user),
    RecordingQuery(state=RecordingState.FAILED),
    RecordingQuery(participant=GUEST),
    RecordingQuery(participant=BOB, domain=HOME),
    RecordingQuery(participant=ALICE, uuid=RoomUuid("uuid-3"), from_ms=1_001, to_ms=1_006),
    RecordingQuery(participant=UserKey(GUEST.domain, ALICE.user)),
    RecordingQuery(participant=ALICE, domain=HOME, owner=ALICE.user),
    RecordingQuery(participant=GUEST, domain=HOME, owner=ALICE.user, to_ms=1_004),
    RecordingQuery(participant=ALICE, domain=HOME, owner=ALICE.user, uuid=RoomUuid("uuid-1")),
    RecordingQuery(room=RoomId("room-1"), domain=HOME, owner=ALICE.user),
    RecordingQuery(from_ms=1_002),
    RecordingQuery(to_ms=1_004),
    RecordingQuery(domain=HOME, from_ms=1_002, to_ms=1_005),
    RecordingQuery(domain=HOME, owner=ALICE.user, from_ms=1_003, to_ms=1_003),
]


def expected(recordings: list[Recording], query: RecordingQuery) -> list[RecordingKey]:
    """The answer to a query, newest first."""

    def fits(each: Recording) -> bool:
        known, users = each.facts, {stay.user for stay in each.facts.stays}
        return (
            (query.domain is None or known.domain == query.domain)
            and (query.owner is None or known.owner == query.owner)
            and (query.room is None or known.room == query.room)
            and (query.uuid is None or known.key.uuid == query.uuid)
            and (query.state is None or each.state is query.state)
            and (query.participant is None or query.participant in users)
            and (query.from_ms is None or known.started_ms >= query.from_ms)
            and (query.to_ms is None or known.started_ms < query.to_ms)
        )

    found = sorted(filter(fits, recordings), key=lambda each: (each.facts.started_ms, each.key))
    return [each.key for each in reversed(found)]


@pytest.mark.parametrize("query", QUERIES, ids=str)
async def test_every_filter_lists_the_newest_first(
    bench: StoreBench, query: RecordingQuery
) -> None:
    recordings = await fill(bench.store)

    assert listed(bench.store.index, query) == expected(recordings, query)


@pytest.mark.parametrize("query", QUERIES, ids=str)
async def test_a_query_that_may_look_at_few_rows_still_lists_all(
    tmp_path: Path, query: RecordingQuery
) -> None:
    bench = sqlite_bench(tmp_path)
    recordings = await fill(bench.store)
    path = tmp_path / "store" / "sfu-wrapper.db"
    connection = open_reader(path)
    bounded = SqliteRecordings(connection, path, looked_at=3)

    assert listed(bounded, query) == expected(recordings, query)
    connection.close()
    bench.store.close()


@pytest.mark.parametrize("query", QUERIES, ids=str)
async def test_a_page_sorts_and_scans_nothing(tmp_path: Path, query: RecordingQuery) -> None:
    bench = sqlite_bench(tmp_path)
    await fill(bench.store)
    path = tmp_path / "store" / "sfu-wrapper.db"
    plans: list[str] = []
    connection = open_reader(path)
    after = bench.store.index.recordings(replace(query, limit=1)).next
    connection.set_trace_callback(plans.append)
    SqliteRecordings(connection, path).recordings(replace(query, after=after))
    connection.set_trace_callback(None)

    plan = str(connection.execute(f"EXPLAIN QUERY PLAN {plans[0]}").fetchall())
    assert "TEMP B-TREE" not in plan
    assert "SCAN" not in plan or query.after is None
    connection.close()
    bench.store.close()


async def test_a_list_of_a_growing_index_repeats_nothing(bench: StoreBench) -> None:
    await write(bench.store, *(SegmentFacts(facts(n, at_ms=n)) for n in (1, 2, 3)))
    page = bench.store.index.recordings(RecordingQuery(limit=2))
    await write(bench.store, SegmentFacts(facts(4, at_ms=4)))
    rest = bench.store.index.recordings(RecordingQuery(limit=2, after=page.next))

    assert [each.key for each in (*page.recordings, *rest.recordings)] == [key(3), key(2), key(1)]


FOREIGN = [
    RecordingQuery(domain=HOME, owner=ALICE.user, room=RoomId("standup")),
    RecordingQuery(domain=HOME, owner=ALICE.user, participant=GUEST),
    RecordingQuery(domain=HOME, owner=ALICE.user, participant=BOB),
    RecordingQuery(domain=HOME, owner=ALICE.user, uuid=RoomUuid("theirs")),
    RecordingQuery(domain=HOME, room=RoomId("standup")),
    RecordingQuery(domain=HOME, participant=GUEST),
    RecordingQuery(domain=HOME, uuid=RoomUuid("theirs")),
]


@pytest.mark.parametrize("query", FOREIGN, ids=str)
async def test_a_page_does_not_show_that_there_are_recordings_of_others(
    tmp_path: Path, query: RecordingQuery
) -> None:
    """The end of a page that was cut names the last recording that was looked at."""
    bench = sqlite_bench(tmp_path)
    stays = tuple(Stay(each, 0, 1) for each in (GUEST, BOB))
    for n in range(1, 6):
        for uuid, domain, owner in (("theirs", "other", "eve"), ("bobs", HOME, "bob")):
            if domain != HOME or query.owner is not None:  # bob's are an administrator's too
                about = facts(n, uuid, domain=DomainId(domain), owner=UserId(owner), stays=stays)
                await write(bench.store, SegmentFacts(replace(about, room=RoomId("standup"))))
    path = tmp_path / "store" / "sfu-wrapper.db"
    connection = open_reader(path)
    page = SqliteRecordings(connection, path, looked_at=3).recordings(query)

    assert (page.recordings, page.next) == ((), None)
    connection.close()
    bench.store.close()


async def test_the_owner_is_known_without_the_recording(bench: StoreBench) -> None:
    await write(bench.store, SegmentFacts(facts()))

    assert bench.store.index.owner_of(key()) == ALICE
    assert bench.store.index.owner_of(key(2)) is None


# Usage and retention


async def test_usage_is_counted_by_owner(bench: StoreBench) -> None:
    carol, other = UserId("carol"), DomainId("other")
    await write(
        bench.store,
        PutRecording(ready(1, at_ms=10)),
        PutRecording(ready(2, at_ms=20)),
        SegmentFacts(facts(3, at_ms=30, runs=True)),
        SegmentFacts(facts(4, at_ms=30, owner=carol)),
        SegmentFacts(facts(5, at_ms=30, domain=other)),
        SegmentFacts(facts(6, at_ms=99, domain=other, owner=carol)),
    )
    alice = UsageRow(HOME, ALICE.user, 3, 2_000, 200)
    rows = (alice, UsageRow(HOME, carol, 1, 1_000, 0), UsageRow(other, ALICE.user, 1, 1_000, 0))
    index = bench.store.index

    assert index.usage(None, 0, 99, None, 10) == rows
    assert index.usage(HOME, 0, 99, None, 10) == rows[:2]
    assert index.usage(HOME, 0, 99, None, 1) == rows[:1]
    assert index.usage(HOME, 0, 99, ALICE, 10) == rows[1:2]
    assert index.usage(None, 0, 99, ALICE, 10) == rows[1:]
    assert index.usage(None, 20, 30, None, 10) == (UsageRow(HOME, ALICE.user, 1, 1_000, 100),)


async def test_a_deleted_recording_uses_no_space(bench: StoreBench) -> None:
    await write(bench.store, PutRecording(ready()))
    gone = replace(known(bench.store), state=RecordingState.DELETED)
    await write(bench.store, PutRecording(gone))

    assert bench.store.index.usage(None, 0, 9_999, None, 9)[0].bytes == 0


async def test_finished_recordings_are_listed_by_the_time_that_retention_counts(
    bench: StoreBench,
) -> None:
    done = Deletion(DeletionReason.RETENTION, 10, done_ms=30)
    await write(
        bench.store,
        PutRecording(ready(1, done_ms=50)),
        PutRecording(ready(2, done_ms=40)),
        PutRecording(ready(3, done_ms=40)),
        PutRecording(ready(4, done_ms=60)),
        PutRecording(replace(ready(5, done_ms=1), hold=Hold(BOB, "a lawsuit", 1))),
        PutRecording(replace(ready(6, done_ms=1), deletion=REQUESTED)),
        PutRecording(replace(ready(7, done_ms=1), state=RecordingState.DELETED, deletion=done)),
        PutRecording(ready(8, done_ms=1, domain=DomainId("other"))),
        SegmentFacts(facts(9)),
    )
    index = bench.store.index

    def numbers(state: RecordingState, limit: int = 9, after: Due | None = None) -> list[int]:
        return [each.key.segment for each in index.finished(HOME, state, 60, limit, after)]

    assert numbers(RecordingState.READY) == [2, 3, 1]
    assert numbers(RecordingState.READY, limit=1) == [2]
    assert numbers(RecordingState.READY, after=Due(40, key(2))) == [3, 1]
    assert numbers(RecordingState.DELETED) == [7]
    assert numbers(RecordingState.FAILED) == []


async def test_requested_deletions_are_listed_until_they_are_done(bench: StoreBench) -> None:
    await write(
        bench.store,
        PutRecording(replace(ready(1), deletion=replace(REQUESTED, requested_ms=20))),
        PutRecording(replace(ready(2), deletion=replace(REQUESTED, requested_ms=10))),
        PutRecording(replace(ready(3), deletion=replace(REQUESTED, done_ms=9))),
        PutRecording(ready(4)),
    )
    index = bench.store.index

    assert [each.key for each in index.deletions(9)] == [key(2), key(1)]
    assert [each.key for each in index.deletions(1)] == [key(2)]
    assert [each.key for each in index.deletions(9, Due(10, key(2)))] == [key(1)]

    await write(
        bench.store,
        PutRecording(replace(known(bench.store, key(2)), deletion=replace(REQUESTED, done_ms=11))),
    )
    assert [each.key for each in index.deletions(9)] == [key(1)]


async def test_a_domain_keeps_its_recordings_for_its_own_time(bench: StoreBench) -> None:
    assert bench.store.index.retention_days(HOME) is None
    for days in (30, 7):
        await bench.store.commit(Commit(retention=(DomainRetention(HOME, days),)), EPOCH)
        assert bench.reopen().index.retention_days(HOME) == days
    assert bench.store.index.retention_days(DomainId("other")) is None

    await bench.store.commit(Commit(retention=(DomainRetention(HOME, None),)), EPOCH)
    assert bench.store.index.retention_days(HOME) is None


async def test_all_recordings_and_their_domains_are_listed(bench: StoreBench) -> None:
    recordings = await fill(bench.store)

    assert {each.key for each in bench.store.index.all()} == {each.key for each in recordings}
    assert bench.store.index.domains() == (HOME, DomainId("other"))


async def test_a_disk_that_is_full_changes_nothing() -> None:
    store = MemoryStore()
    store.failing = True
    with pytest.raises(Unavailable):
        await write(store, SegmentFacts(facts()))

    assert store.index.recording(key()) is None

"""Retention over a store: what is due is requested, once, and a hold always wins."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sfu_wrapper.adapters.memory.store import MemoryLeases, MemoryStore
from sfu_wrapper.core.retention import DAY_MS
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import DomainId
from sfu_wrapper.model.recording import (
    Deletion,
    DeletionReason,
    Hold,
    Recording,
    RecordingState,
)
from sfu_wrapper.model.segment import Failed
from sfu_wrapper.ports.recordings import DomainRetention, Due
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.service.recordings import retention
from sfu_wrapper.service.recordings.retention import NO_ANSWER, PAGE
from tests.helpers.indexed import HOME
from tests.helpers.kept import ADMIN, OWNER, Kept
from tests.helpers.stores import StoreBench, memory_bench, sqlite_bench
from tests.helpers.wait import until

BENCHES = {"memory": memory_bench, "sqlite": sqlite_bench}


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoreBench]:
    bench = BENCHES[request.param](tmp_path)
    yield bench
    bench.store.close()


# what is due


async def test_what_is_due_is_requested_with_its_files_and_audited(bench: StoreBench) -> None:
    kept = Kept(bench.store, days=90)
    old, young = await kept.put(1, 90), await kept.put(2, 89)

    assert await kept.retention().evaluate() == 1

    (request,) = kept.requests()
    assert (request.key, request.reason) == (old, DeletionReason.RETENTION)
    assert request.files == ("/results/uuid-1.webm",)
    assert not request.awaits_event
    assert kept.published[0].message_id == "uuid:1:deletionRequested"
    deletion = kept.known(old).deletion
    assert deletion == Deletion(DeletionReason.RETENTION, kept.clock.wall_ms)
    assert kept.known(young).deletion is None
    (noted,) = kept.audited()
    assert b'"recording.delete"' in noted.entry
    assert b'"retention"' in noted.entry


async def test_the_next_round_finds_nothing_to_do(bench: StoreBench) -> None:
    kept = Kept(bench.store, days=90)
    await kept.put(1, 100)
    evaluator = kept.retention()
    await evaluator.evaluate()

    assert await evaluator.evaluate() == 0
    assert len(kept.requests()) == 1


async def test_a_domain_has_its_own_time(bench: StoreBench) -> None:
    kept = Kept(bench.store, days=90)
    await bench.store.commit(Commit(retention=(DomainRetention(HOME, 10),)), 1)
    old = await kept.put(1, 10)
    await kept.put(2, 10, domain=DomainId("other"))
    await kept.retention().evaluate()

    assert [each.key for each in kept.requests()] == [old]


async def test_raw_files_of_a_failed_segment_are_requested_once(bench: StoreBench) -> None:
    kept = Kept(bench.store)
    at = await kept.put(1, 7, state=RecordingState.FAILED)
    for _ in range(2):
        await kept.retention().evaluate()

    (request,) = kept.requests()
    assert request.raw_only
    assert kept.published[0].message_id == "uuid:1:deletionRequested:raw"
    outcome = kept.known(at).outcome
    assert isinstance(outcome, Failed)
    assert (outcome.kept, outcome.event) == ((), None)
    assert kept.known(at).state is RecordingState.FAILED


async def test_a_tombstone_leaves_the_index(bench: StoreBench) -> None:
    kept = Kept(bench.store)
    done_ms = kept.clock.wall_ms - 400 * DAY_MS
    deletion = Deletion(DeletionReason.REQUESTED, done_ms, ADMIN.key, done_ms)
    at = await kept.put(1, 500, state=RecordingState.DELETED, deletion=deletion)
    later = replace(deletion, done_ms=done_ms + 1)
    young = await kept.put(2, 500, state=RecordingState.DELETED, deletion=later)
    await kept.retention().evaluate()

    assert bench.store.index.recording(at) is None
    assert kept.known(young).state is RecordingState.DELETED
    assert kept.requests() == []


async def test_many_are_taken_page_by_page(bench: StoreBench) -> None:
    kept = Kept(bench.store, days=1)
    total = 2 * PAGE + 3
    for number in range(1, total + 1):
        await kept.put(number, 2)

    assert await kept.retention().evaluate() == total
    assert len({each.key for each in kept.requests()}) == len(kept.requests()) == total


async def test_failed_ones_without_raw_files_do_not_hide_those_behind_them(
    bench: StoreBench,
) -> None:
    kept = Kept(bench.store)
    for number in range(1, PAGE + 2):
        await kept.put(number, 30, state=RecordingState.FAILED)
    await kept.retention().evaluate()
    await kept.put(PAGE + 2, 10, state=RecordingState.FAILED)

    assert await kept.retention().evaluate() == 1


# holds, changes meanwhile


async def test_a_held_recording_stays_and_goes_when_it_is_released(bench: StoreBench) -> None:
    kept = Kept(bench.store, days=1)
    hold = Hold(ADMIN.key, "case 7", kept.clock.wall_ms)
    at = await kept.put(1, 100, hold=hold)
    failed = await kept.put(2, 100, hold=hold, state=RecordingState.FAILED)
    assert await kept.retention().evaluate() == 0

    await kept.changes().release(ADMIN, at)
    await kept.changes().release(ADMIN, failed)
    assert await kept.retention().evaluate() == 2


async def test_a_hold_that_is_set_during_the_round_wins_and_the_others_go(
    bench: StoreBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(bench.store, days=1)
    first, second = await kept.put(1, 100), await kept.put(2, 100)
    evaluator = kept.retention()
    write = kept.committer.write
    calls = 0

    async def late(commit: Commit) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:  # after the page was read, before it is written
            await kept.changes().hold(ADMIN, first, "case 7")
        await write(commit)

    monkeypatch.setattr(kept.committer, "write", late)
    await evaluator.evaluate()

    assert kept.known(first).deletion is None
    assert [each.key for each in kept.requests()] == [second]


# clocks


async def test_a_clock_that_is_set_forward_by_years_deletes_nothing(bench: StoreBench) -> None:
    kept = Kept(bench.store, days=90)
    await kept.put(1, 10)
    evaluator = kept.retention()
    kept.clock.wall_ms += 10 * 365 * DAY_MS
    assert await evaluator.evaluate() == 0

    kept.clock.wall_ms -= 10 * 365 * DAY_MS
    kept.clock.pass_s(80 * 86_400)
    assert await evaluator.evaluate() == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    ages=st.lists(st.integers(0, 20), min_size=1, max_size=6),
    held=st.sets(st.integers(0, 5)),
    rounds=st.integers(1, 30),
    days=st.integers(1, 15),
)
def test_what_is_due_is_requested_within_the_interval_and_nothing_early(
    ages: list[int], held: set[int], rounds: int, days: int
) -> None:
    async def scene() -> None:
        kept = Kept(MemoryStore(), days=days)
        hold = Hold(ADMIN.key, "case 7", 0)
        for number, age in enumerate(ages):
            await kept.put(number + 1, age, hold=hold if number in held else None)
        evaluator = kept.retention()
        for passed in range(rounds):
            await evaluator.evaluate()
            requested = {each.key.segment for each in kept.requests()}
            assert requested == {
                number + 1
                for number, age in enumerate(ages)
                if age + passed >= days and number not in held
            }
            kept.clock.pass_s(86_400)

    asyncio.run(scene())


# one at a time, answers that do not come


async def test_only_one_controller_evaluates_at_a_time(bench: StoreBench) -> None:
    kept = Kept(bench.store, days=1)
    await kept.put(1, 2)
    leases = MemoryLeases()
    assert await leases.acquire(retention.LEASE, "another controller", 1_000)

    assert await kept.retention(leases).evaluate() == 0
    await leases.release(retention.LEASE, "another controller")
    assert await kept.retention(leases).evaluate() == 1


async def test_a_request_without_an_answer_is_repeated_and_marked(bench: StoreBench) -> None:
    kept = Kept(bench.store)
    requested = Deletion(DeletionReason.REQUESTED, kept.clock.wall_ms, OWNER.key)
    at = await kept.put(1, 1, deletion=requested)  # as a command writes it
    evaluator = kept.retention()

    await evaluator.evaluate()
    await evaluator.evaluate()
    assert len(kept.requests()) == 1, "it is published at first sight, and then awaited"
    assert kept.known(at).deletion == requested

    kept.clock.pass_s(3_601)
    await evaluator.evaluate()
    first, second = kept.published
    assert (first.message_id, first.body) == (second.message_id, second.body)
    assert kept.known(at).deletion == replace(requested, trouble=NO_ANSWER)


async def test_a_store_that_is_away_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept = Kept(MemoryStore(), days=1)
    await kept.put(1, 2)
    evaluator = kept.retention()
    monkeypatch.setattr(evaluator, "_interval_s", 0.001)
    domains = kept.store.index.domains
    failures = iter([True, True])

    def away() -> tuple[DomainId, ...]:
        if next(failures, False):
            raise Unavailable("the disk is full")
        return domains()

    monkeypatch.setattr(kept.store.index, "domains", away)
    task = asyncio.create_task(evaluator.run())
    await until(lambda: bool(kept.requests()))
    task.cancel()

    assert "retention.failed" in caplog.text


async def test_a_round_looks_at_new_requests_alone(
    bench: StoreBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(bench.store)
    for number in range(1, 3 * PAGE + 1):
        requested = Deletion(DeletionReason.REQUESTED, kept.clock.wall_ms + number, OWNER.key)
        await kept.put(number, 1, deletion=requested)
        kept.clock.pass_s(60)
    evaluator = kept.retention()
    await evaluator.evaluate()
    assert len(kept.requests()) == 3 * PAGE

    index, pages = bench.store.index, 0
    deletions = index.deletions

    def counted(limit: int, after: Due | None = None) -> tuple[Recording, ...]:
        nonlocal pages
        pages += 1
        return deletions(limit, after)

    monkeypatch.setattr(type(index), "deletions", lambda _, *args: counted(*args))
    await kept.changes().delete(ADMIN, await kept.put(3 * PAGE + 1))
    await evaluator.evaluate()
    assert pages == 1
    assert kept.requests()[-1].key.segment == 3 * PAGE + 1

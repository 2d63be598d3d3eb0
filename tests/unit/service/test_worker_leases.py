"""Leases of a worker: one segment is worked on once, also by several workers."""

import asyncio
import logging

import pytest

from sfu_wrapper.adapters.memory.store import MemoryLeases
from sfu_wrapper.model.errors import JobCode, JobFailed, Misconfigured, Stage, Unavailable
from tests.helpers import worker_bench
from tests.helpers.worker_bench import DEADLINE_S, WORK, Bench, running, segment

bench = worker_bench.bench


async def test_the_same_segment_is_never_worked_on_twice_at_once(bench: Bench) -> None:
    await bench.ask(segment(), segment())
    await bench.once()

    assert bench.most_of_one == 1
    assert {one.message_id for one in bench.told("processed")} == {"uuid-1:1:processed"}


async def test_two_workers_that_get_the_same_segment_at_once_work_on_it_one_after_the_other(
    bench: Bench,
) -> None:
    await bench.ask(segment(), segment(), segment(), segment())
    async with running(bench.worker(lease_s=2)), running(bench.worker(lease_s=2)):
        await bench.until(lambda: len(bench.cleaned) == 4)

    assert bench.most_of_one == 1
    assert {one.message_id for one in bench.told("processed")} == {"uuid-1:1:processed"}


@pytest.mark.parametrize("once", [False, True])
async def test_what_a_dead_worker_has_not_cleaned_the_next_one_does(
    bench: Bench, once: bool
) -> None:
    bench.uncleaned = [segment(1), segment(2), segment(3)]
    await bench.leases.acquire("uuid-1:2", "another worker", 1000)
    worker = bench.worker()
    if once:
        await worker.run_once()
    else:
        async with running(worker):
            await bench.until(lambda: len(bench.cleaned) == 2)

    assert bench.cleaned == [("uuid-1:1", True), ("uuid-1:3", True)]
    assert bench.tried == []


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_disk_on_which_nothing_can_be_cleaned_keeps_no_worker_from_its_work(
    bench: Bench,
    hangs: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench.uncleaned = JobFailed(
        Stage.DELIVER, JobCode.IO_ERROR, "the folder is away", permanent=False
    )
    if hangs:
        monkeypatch.setattr("sfu_wrapper.service.worker.cleanup.CATCH_UP_S", 0.01)
        monkeypatch.setattr(bench, "left_over", asyncio.Event().wait)
    await bench.ask(segment())
    await bench.worker().run_once()

    assert len(bench.told("processed")) == 1
    assert "worker.cleanupFailed" in caplog.messages


async def test_a_segment_that_another_worker_holds_waits(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sfu_wrapper")
    await bench.leases.acquire("uuid-1:1", "another", 1000)
    await bench.ask(segment())
    async with running(bench.worker(lease_s=2)):
        await bench.until(lambda: "lease.waits" in caplog.messages)
        assert bench.tried == []
        await bench.leases.release("uuid-1:1", "another")
        await bench.until(lambda: bench.cleaned != [])

    assert caplog.messages.count("lease.waits") == 1


async def test_a_worker_that_loses_its_lease_stops_that_work(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    class Lost(MemoryLeases):
        times = 0

        async def acquire(self, job: str, holder: str, ttl_s: float) -> bool:
            self.times += 1
            if 1 < self.times < 12:
                raise Unavailable("the store is away")
            return await super().acquire(job, holder, ttl_s)

    bench.leases = Lost()
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    async with running(bench.worker(lease_s=0.06)):
        await bench.until(lambda: len(bench.tried) == 2)
        bench.gate.set()
        await bench.until(lambda: bench.cleaned != [])

    assert bench.most_of_one == 1
    assert "lease.lost" in caplog.messages
    assert "job.crashed" not in caplog.messages


async def test_a_worker_that_has_no_time_to_end_leaves_no_lease(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment(1), segment(2), segment(3))
    async with running(bench.worker(drain_s=0, concurrency=1)):
        await bench.until(lambda: bench.broker.unsettled(WORK) == 3 and bench.running != [])

    for number in (1, 2, 3):
        assert await bench.leases.acquire(f"uuid-1:{number}", "another", 1)


async def test_a_store_that_hangs_lets_no_lease_run_out_unnoticed(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sfu_wrapper")

    class Hanging(MemoryLeases):
        hangs = False

        async def acquire(self, job: str, holder: str, ttl_s: float) -> bool:
            await self._hang()
            return await super().acquire(job, holder, ttl_s)

        async def release(self, job: str, holder: str) -> None:
            await self._hang()
            await super().release(job, holder)

        async def _hang(self) -> None:
            if self.hangs:
                await asyncio.sleep(3 * DEADLINE_S)

    bench.leases = leases = Hanging()
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    async with running(bench.worker(lease_s=0.06, drain_s=0)):
        await bench.until(lambda: bench.running != [])
        leases.hangs = True
        await bench.until(lambda: bench.running == [])
        await bench.until(lambda: "job.requeued" in caplog.messages)


async def test_while_the_store_is_damaged_nothing_is_begun_and_nothing_is_given_up(
    bench: Bench,
) -> None:
    class Damaged(MemoryLeases):
        damaged = True

        async def acquire(self, job: str, holder: str, ttl_s: float) -> bool:
            if self.damaged:
                raise Misconfigured("the store is damaged: restore it from a backup")
            return await super().acquire(job, holder, ttl_s)

    bench.leases = leases = Damaged()
    await bench.ask(segment())
    async with running(bench.worker(lease_s=0.06)):
        await asyncio.sleep(0.1)
        assert (bench.tried, bench.told("failed")) == ([], [])
        leases.damaged = False
        await bench.until(lambda: bench.cleaned != [])
        bench.gate = asyncio.Event()
        await bench.ask(segment(2))
        await bench.until(lambda: bench.running == ["uuid-1:2"])
        leases.damaged = True
        await bench.until(lambda: bench.running == [])  # another may have it by now

    assert bench.told("failed") == []

"""End of a worker: told to stop, cancelled, killed, and segments that end their workers."""

import asyncio
import json
import logging
from dataclasses import replace

import pytest

from tests.helpers import worker_bench
from tests.helpers.worker_bench import LIMIT, PASSING, QUICK, WORK, Bench, running, segment

bench = worker_bench.bench


async def test_stopping_lets_what_runs_finish(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sfu_wrapper")
    bench.gate = asyncio.Event()
    await bench.ask(segment(1), segment(2), segment(3))
    worker = bench.worker()
    async with running(worker) as task:
        await bench.until(lambda: len(bench.running) == 2)
        worker.stop()
        await asyncio.sleep(0.02)
        assert not task.done()
        bench.gate.set()

    assert len(bench.told("processed")) == 2
    assert await bench.broker.depth(WORK) == 1
    assert "worker.finishing" in caplog.messages


async def test_what_does_not_finish_in_time_is_handed_back(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment(1), segment(2))
    async with running(bench.worker(drain_s=0.02)):
        await bench.until(lambda: len(bench.running) == 2)

    assert await bench.broker.depth(WORK) == 2
    assert bench.told("processed") == []
    assert await bench.leases.acquire("uuid-1:1", "the next", 1)


async def test_a_job_that_only_waits_is_handed_back_at_once(bench: Bench) -> None:
    await bench.leases.acquire("uuid-1:1", "another", 1000)
    bench.outcomes["uuid-1:2"] = [PASSING] * 9
    await bench.ask(segment(1), segment(2))
    retry = replace(QUICK, first_s=1000, longest_s=1000)
    async with running(bench.worker(drain_s=1000, retry=retry)):
        await bench.until(lambda: len(bench.tried) == 1 and not bench.running)

    assert await bench.broker.depth(WORK) == 2


async def test_a_cancelled_worker_hands_back_what_runs(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    task = asyncio.create_task(bench.worker().run())
    await bench.until(lambda: bench.running != [])
    task.cancel()
    await asyncio.wait([task])

    assert await bench.broker.depth(WORK) == 1


async def test_a_lost_link_repeats_the_message_and_no_work_is_lost(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    async with running(bench.worker(lease_s=0.02)):
        await bench.until(lambda: bench.running != [])
        bench.broker.cut()
        bench.gate.set()
        await bench.until(lambda: bench.cleaned != [])

    assert await bench.broker.depth(WORK) == 0
    assert {one.message_id for one in bench.told("processed")} == {"uuid-1:1:processed"}


async def test_a_segment_that_ends_its_worker_each_time_fails_for_good(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    for n in range(LIMIT):
        async with running(bench.worker(drain_s=0.0)):
            await bench.until(lambda n=n: len(bench.tried) == n + 1)  # type: ignore[misc]  # bound now
    bench.gate.set()
    await bench.once()

    assert len(bench.tried) == LIMIT
    assert json.loads(bench.told("failed")[0].body)["error"]["code"] == "NO_RESULT"
    assert await bench.broker.depth(WORK) == 0


async def test_segments_that_were_only_held_by_workers_that_another_ended_do_not_fail_with_it(
    bench: Bench,
) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment(1, length_s=1), segment(2), segment(3))
    for n in range(LIMIT):
        async with running(bench.worker(drain_s=0.0, concurrency=1)):
            await bench.until(lambda n=n: len(bench.tried) == n + 1)  # type: ignore[misc]  # bound now
    bench.gate.set()
    await bench.once()

    assert [one.message_id for one in bench.told("failed")] == ["uuid-1:1:failed"]
    assert {one.message_id for one in bench.told("processed")} == {
        "uuid-1:2:processed",
        "uuid-1:3:processed",
    }


async def test_a_result_that_stands_is_told_however_often_its_message_was_handed_out(
    bench: Bench,
) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    for n in range(LIMIT):
        async with running(bench.worker(drain_s=0.0)):
            await bench.until(lambda n=n: len(bench.tried) == n + 1)  # type: ignore[misc]  # bound now
    bench.repeats.add("uuid-1:1")  # the last of them had delivered, and could tell nobody
    await bench.once()

    assert bench.told("failed") == []
    assert [one.message_id for one in bench.told("processed")] == ["uuid-1:1:processed"]
    assert bench.cleaned == [("uuid-1:1", True)]

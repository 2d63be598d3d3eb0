"""A broker, a store or a disk that is unavailable: when a worker waits, and when it gives up."""

import asyncio

import pytest

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.adapters.memory.store import MemoryLeases
from sfu_wrapper.model.errors import JobCode, JobFailed, Stage, Unavailable
from sfu_wrapper.model.segment import Failed, SegmentInfo
from sfu_wrapper.ports.broker import QueueSpec
from tests.helpers import worker_bench
from tests.helpers.worker_bench import (
    DEADLINE_S,
    FULL,
    LASTING,
    WORK,
    Bench,
    event,
    running,
    segment,
)

bench = worker_bench.bench


async def test_a_broker_that_is_away_is_waited_for(bench: Bench) -> None:
    await bench.ask(segment())
    bench.broker.unavailable = True
    async with running(bench.worker()):
        await asyncio.sleep(0.02)
        bench.broker.unavailable = False
        bench.broker.notify()
        await bench.until(lambda: bench.cleaned != [])


async def test_stopping_ends_the_waiting_for_a_broker(bench: Bench) -> None:
    bench.broker.unavailable = True
    async with running(bench.worker()) as task:
        await asyncio.sleep(0.01)
    assert task.done()
    worker = bench.worker()
    worker.stop()
    await worker.run_once()


async def test_once_ends_when_the_broker_goes_away_and_it_is_told_to_stop(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    worker = bench.worker(drain_s=0)
    task = asyncio.create_task(worker.run_once())
    await bench.until(lambda: bench.running != [])
    bench.broker.unavailable = True
    bench.gate.set()
    await asyncio.sleep(0.3)
    worker.stop()
    async with asyncio.timeout(DEADLINE_S):
        await task


async def test_files_that_cannot_be_cleaned_do_not_undo_the_result(bench: Bench) -> None:
    async def broken(info: SegmentInfo, *, raw: bool) -> None:
        raise Unavailable("the folder is away")

    bench.clean = broken  # type: ignore[method-assign]  # one that fails
    await bench.ask(segment())
    await bench.once()

    assert len(bench.told("processed")) == 1
    assert await bench.broker.depth(WORK) == 0


async def test_a_segment_whose_failure_cannot_be_told_ends_in_the_dead_letters(
    bench: Bench,
) -> None:
    async def broken(info: SegmentInfo, error: JobFailed, attempts: int) -> Failed:
        raise OSError("I/O error")

    bench.failure = broken  # type: ignore[method-assign]  # one that fails
    bench.outcomes["uuid-1:1"] = [LASTING] * 99
    await bench.ask(segment(1), segment(2))
    await bench.once()

    (dead,) = bench.told("failed")
    assert dead.body == event(segment(1)).body
    assert [one.message_id for one in bench.told("processed")] == ["uuid-1:2:processed"]


async def test_once_waits_for_a_broker_that_is_away_for_a_moment(bench: Bench) -> None:
    class Fickle(MemoryBroker):
        refusals = 2

        async def depth(self, queue: str) -> int:
            self.refusals -= 1
            if self.refusals >= 0:
                raise Unavailable("away for a moment")
            return await super().depth(queue)

    bench.broker = Fickle()
    await bench.ask(segment())
    await bench.once()

    assert len(bench.told("processed")) == 1


async def test_a_message_that_cannot_be_acknowledged_is_cleaned_by_its_repetition(
    bench: Bench,
) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    async with running(bench.worker(concurrency=1)) as task:
        await bench.until(lambda: bench.running != [])
        bench.broker.cut()
        bench.gate.set()
        await bench.until(lambda: len(bench.told("processed")) == 2 and bench.cleaned != [])
        assert not task.done()

    assert bench.cleaned == [("uuid-1:1", True)]


async def test_once_does_not_wait_for_a_broker_for_ever(bench: Bench) -> None:
    bench.broker.unavailable = True

    with pytest.raises(Unavailable, match=r"^no broker for 0\.05 s: "):
        await bench.once(outage_limit_s=0.05)


async def test_once_gives_up_on_a_broker_that_goes_away_and_its_result_stands(
    bench: Bench,
) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    task = asyncio.create_task(bench.once(outage_limit_s=0.05))
    await bench.until(lambda: bench.running != [])
    bench.broker.unavailable = True
    bench.gate.set()

    with pytest.raises(Unavailable, match="no broker"):
        await task
    assert bench.cleaned == []
    bench.broker.unavailable = False
    bench.broker.cut()  # the link of the worker that has ended
    assert await bench.broker.depth(WORK) == 1


async def test_once_does_not_wait_for_space_for_ever(bench: Bench) -> None:
    bench.outcomes["uuid-1:1"] = [FULL] * 9
    bench.space = False
    await bench.ask(segment(1), segment(2))

    with pytest.raises(Unavailable, match="no space on a disk"):
        await bench.once(concurrency=1, outage_limit_s=0.05)

    assert await bench.broker.depth(WORK) == 1


async def test_a_full_disk_is_named_with_its_space_until_there_is_some(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.outcomes["uuid-1:1"] = [FULL]
    bench.space = False
    await bench.ask(segment(1), segment(2))
    async with running(bench.worker(concurrency=1)):
        await bench.until(lambda: bench.looks > 0)
        away, disk = bench.monitor.parts["disk"]
        assert (away, disk) == (False, "/mnt/films (ext4): 0 bytes of 2.0 GB free")
        bench.space = True
        await bench.until(lambda: len(bench.told("processed")) == 2)

    (line,) = [each for each in caplog.records if each.getMessage() == "worker.noSpace"]
    assert (line.levelname, vars(line)["disk"]) == ("ERROR", disk)
    assert bench.monitor.parts["disk"] == (True, "")


async def test_a_key_that_expires_meanwhile_fails_no_segment_for_good(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    expired = JobFailed(Stage.ENCRYPT, JobCode.KEY_UNUSABLE, "the key has expired", permanent=True)
    bench.key_error = expired
    for number in (1, 2, 3):
        bench.outcomes[f"uuid-1:{number}"] = [expired] * 9
    await bench.ask(*map(segment, (1, 2, 3)))
    async with running(bench.worker(concurrency=1)):
        await bench.until(lambda: bench.key_checks > 3)
        assert len(bench.tried) == 1, "the others are not even begun"
        assert bench.told("failed") == []
        assert bench.monitor.parts["encryption"] == (False, "the key has expired")
        bench.outcomes.clear()
        bench.key_error = None
        await bench.until(lambda: len(bench.told("processed")) == 3)

    said = [each.getMessage() for each in caplog.records]
    assert said.count("worker.keyUnusable") == said.count("worker.keyRecovered") == 1
    assert bench.told("failed") == []
    assert bench.monitor.parts["encryption"] == (True, "")


async def test_once_gives_up_on_a_key_and_its_segments_stay_in_the_queue(bench: Bench) -> None:
    bench.key_error = JobFailed(
        Stage.ENCRYPT, JobCode.KEY_UNUSABLE, "the key has expired", permanent=True
    )
    bench.outcomes["uuid-1:1"] = [bench.key_error] * 99
    await bench.ask(segment(1))

    with pytest.raises(Unavailable, match="no key for the encryption"):
        await bench.once(outage_limit_s=0.05)
    assert await bench.broker.depth(WORK) == 1


async def test_a_broker_that_is_away_is_logged_once_and_when_it_is_back(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await bench.ask(segment())
    bench.broker.unavailable = True
    tries = 0
    opening = bench.broker.open

    async def counted(queues: tuple[QueueSpec, ...]) -> None:
        nonlocal tries
        tries += 1
        await opening(queues)

    bench.broker.open = counted  # type: ignore[method-assign]
    async with running(bench.worker()):
        await bench.until(lambda: tries > 2)
        assert bench.monitor.parts["broker"][0] is False
        bench.broker.unavailable = False
        await bench.until(lambda: bench.cleaned != [])

    said = [each.getMessage() for each in caplog.records]
    assert said.count("worker.brokerUnavailable") == 1
    assert said.count("worker.brokerRecovered") == 1
    assert bench.monitor.parts["broker"] == (True, "")


async def test_once_does_not_wait_for_the_store_for_ever(bench: Bench) -> None:
    class Away(MemoryLeases):
        async def acquire(self, job: str, holder: str, ttl_s: float) -> bool:
            raise Unavailable("disk I/O error")

    bench.leases = Away()
    await bench.ask(segment())

    with pytest.raises(Unavailable, match=r"no store for .*: disk I/O error"):
        await bench.once(outage_limit_s=0.05)

    assert bench.tried == []


async def test_what_comes_back_in_time_is_waited_for_anew(bench: Bench) -> None:
    class Fickle(MemoryBroker):
        """Away every other time, altogether for longer than anybody has patience for once."""

        asked = 0

        async def depth(self, queue: str) -> int:
            self.asked += 1
            bench.clock.forward(20)
            if self.asked % 2:
                raise Unavailable("away for a moment")
            return await super().depth(queue)

    bench.broker = Fickle()
    await bench.ask(*(segment(n) for n in range(1, 6)))
    await bench.once(concurrency=1, outage_limit_s=30)

    assert len(bench.told("processed")) == 5

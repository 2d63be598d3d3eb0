"""Order of segments: by owner and length, side by side, and how many a worker holds."""

import asyncio
import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import UserId
from sfu_wrapper.observe.logs import recording_logs
from sfu_wrapper.ports.broker import Message
from tests.helpers import worker_bench
from tests.helpers.worker_bench import (
    FULL,
    LIMIT,
    PASSING,
    QUEUES,
    QUICK,
    WORK,
    Bench,
    event,
    running,
    segment,
)

bench = worker_bench.bench


async def test_as_many_segments_run_side_by_side_as_configured(bench: Bench) -> None:
    await bench.ask(*(segment(n) for n in range(1, 10)))
    await bench.once(concurrency=3)

    assert bench.most_at_once == 3
    assert len(bench.told("processed")) == 9


async def test_the_shortest_that_it_holds_is_next(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    lengths = {1: 3600, 2: 1800, 3: 60, 4: 600}
    await bench.ask(*(segment(n, length_s=length) for n, length in lengths.items()))
    async with running(bench.worker(concurrency=1)):
        await bench.until(lambda: bench.holds(running=1, unsettled=4))
        bench.gate.set()
        await bench.until(lambda: len(bench.told("processed")) == 4)

    # The first had nobody to be compared with.
    assert [job for job, _ in bench.tried] == ["uuid-1:1", "uuid-1:3", "uuid-1:4", "uuid-1:2"]


async def test_a_long_segment_is_overtaken_only_for_as_long_as_it_is(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment(1), segment(2, length_s=600))
    async with running(bench.worker(concurrency=1)):
        await bench.until(lambda: bench.holds(running=1, unsettled=2))
        bench.clock.forward(590)
        await bench.ask(segment(3, length_s=60))
        await bench.until(lambda: bench.holds(running=1, unsettled=3))
        bench.gate.set()
        await bench.until(lambda: len(bench.told("processed")) == 3)

    assert [job for job, _ in bench.tried] == ["uuid-1:1", "uuid-1:2", "uuid-1:3"]


async def flood(bench: Bench, owner: str, count: int) -> None:
    """Ask for so many segments of one owner, each of a room of its own."""
    await bench.broker.open(QUEUES)
    one = event(replace(segment(), owner=UserId(owner)))
    for n in range(count):
        body = one.body.replace(b'"uuid":"uuid-1"', b'"uuid":"%s-%d"' % (owner.encode(), n))
        await bench.broker.publish(replace(one, body=body))


@pytest.mark.parametrize("look_ahead", [0, 20])
async def test_of_a_long_queue_no_more_is_held_than_there_is_a_choice(
    bench: Bench, look_ahead: int
) -> None:
    bench.gate = asyncio.Event()
    await flood(bench, "alice@example", 10_000)
    most = 6 + look_ahead
    worker = bench.worker(concurrency=2, drain_s=0, look_ahead=look_ahead, pause_s=0.01)
    async with running(worker):
        await bench.until(lambda: len(bench.running) == 2 and bench.broker.unsettled(WORK) >= most)
        await asyncio.sleep(0.05)
        assert bench.broker.unsettled(WORK) == most
        assert await bench.broker.depth(WORK) == 10_000 - most


async def test_one_segment_behind_the_flood_of_another_owner_is_next(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await flood(bench, "alice@example", 900)
    await bench.ask(replace(segment(uuid="bob", length_s=3600), owner=UserId("bob@example")))
    async with running(bench.worker(concurrency=2, drain_s=0)):
        await bench.until(lambda: bench.holds(running=2, unsettled=901))
        bench.gate.set()
        await bench.until(lambda: "bob:1" in dict(bench.tried))

    assert [job for job, _ in bench.tried].index("bob:1") <= 2  # two were running


async def test_while_others_wait_one_owner_has_no_more_than_half_of_the_places(
    bench: Bench,
) -> None:
    bench.gate = asyncio.Event()
    for owner in ("alice@example", "bob@example"):
        await flood(bench, owner, 40)
    async with running(bench.worker(concurrency=4, drain_s=0)):
        await bench.until(lambda: bench.holds(running=4, unsettled=80))
        bench.gate.set()
        await bench.until(lambda: len(bench.told("processed")) == 80)

    begun = [job.partition("@")[0] for job, _ in bench.tried]
    assert begun[:4] == ["alice"] * 4  # nobody else was known of
    for first in range(8, 72, 8):
        assert 3 <= begun[first : first + 8].count("bob") <= 5


async def test_what_a_look_ahead_found_goes_back_once_for_workers_that_come_later(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sfu_wrapper")
    bench.gate = asyncio.Event()
    await flood(bench, "alice@example", 30)
    looking = bench.worker(concurrency=1, drain_s=0, look_s=0.05, pause_s=3600)
    async with running(looking):
        await bench.until(lambda: "worker.backlogReturned" in caplog.messages)
        await bench.until(lambda: bench.broker.unsettled(WORK) == 4)
        async with running(bench.worker(concurrency=1, drain_s=0, look_s=0.05, pause_s=0.01)):
            await bench.until(lambda: len(bench.running) == 2)  # both have work
            await bench.until(lambda: bench.broker.unsettled(WORK) == 30)
            await asyncio.sleep(0.2)
            assert bench.broker.unsettled(WORK) == 30  # not once more

    assert caplog.messages.count("worker.backlogReturned") == 1


async def test_a_worker_that_may_not_ask_for_the_backlog_takes_what_it_gets(bench: Bench) -> None:
    class Discreet(MemoryBroker):
        async def depth(self, queue: str) -> int:
            raise Unavailable("ACCESS_REFUSED")

    bench.broker = Discreet()
    await flood(bench, "alice@example", 30)
    async with running(bench.worker(pause_s=0.001)):
        await bench.until(lambda: len(bench.told("processed")) == 30)


async def test_links_lost_again_and_again_leave_no_pile_of_deliveries(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await flood(bench, "alice@example", 500)
    worker = bench.worker(concurrency=1, drain_s=0, look_ahead=8, pause_s=0.01)
    tasks: list[int] = []
    async with running(worker):
        for _ in range(20):
            await asyncio.sleep(0.01)  # a link that holds for a moment
            tasks.append(len(asyncio.all_tasks()))
            bench.broker.cut()
        assert bench.running == ["alice@example-0:1"]

    assert max(tasks) < 3 * (4 + 8) + 20


async def test_where_messages_come_back_again_and_again_a_worker_looks_at_fewer_of_them(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that takes them back after half an hour gives them up in the end."""
    bench.gate = asyncio.Event()
    await flood(bench, "alice@example", 40)
    for _ in range(LIMIT // 2):
        deliveries = bench.broker.consume(WORK, 40)
        held = [await anext(deliveries) for _ in range(40)]
        for delivery in held:
            await delivery.requeue()
        await deliveries.aclose()
    worker = bench.worker(concurrency=1, drain_s=0, look_ahead=20, pause_s=0.001)
    async with running(worker):
        await bench.until(lambda: caplog.messages.count("worker.lookAheadReduced") >= 3)
        await asyncio.sleep(0.05)
        assert bench.broker.unsettled(WORK) <= 4 + 5


@pytest.mark.parametrize(("small", "most"), [(0, 10), (4, 15)])
async def test_of_large_messages_only_so_many_are_held_as_memory_is_meant_for_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, small: int, most: int
) -> None:
    """100 KB in all; also where those that are held first are small and tell nothing."""
    monkeypatch.setattr("sfu_wrapper.service.worker.intake.LOOK_BYTES", 100_000)
    bench.gate = asyncio.Event()
    await bench.broker.open(QUEUES)
    for n in range(60):
        message = event(segment(n + 1))
        more = b',"more":"%s"}' % (b"x" * (0 if n < small else 10_000))
        await bench.broker.publish(replace(message, body=message.body[:-1] + more))
    async with running(bench.worker(concurrency=1, drain_s=0)):
        await bench.until(lambda: bench.broker.unsettled(WORK) > 4 + small)
        await asyncio.sleep(0.05)
        assert bench.broker.unsettled(WORK) <= most


async def test_a_segment_that_waits_for_its_turn_holds_no_lease(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment(1), segment(2))
    async with running(bench.worker(concurrency=1, drain_s=0)):
        await bench.until(lambda: bench.broker.unsettled(WORK) == 2 and bench.running != [])
        assert await bench.leases.acquire("uuid-1:2", "another worker", 1000)


async def test_a_flood_of_poison_is_reported_one_by_one_and_keeps_no_segment_waiting(
    bench: Bench,
) -> None:
    class Counting(MemoryBroker):
        at_once = most_at_once = 0

        async def publish(self, message: Message) -> None:
            self.at_once += message.routing_key == "failed"
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                await super().publish(message)
            finally:
                self.at_once -= message.routing_key == "failed"

    bench.broker = broker = Counting()
    await broker.open(QUEUES)
    for n in range(300):
        await broker.publish(Message("recordingInfo", f"{n}", b"poison %d" % n))
    await bench.ask(segment())
    await bench.once()

    assert len({message.message_id for message in bench.told("failed")}) == 300
    assert broker.most_at_once == 1
    assert len(bench.told("processed")) == 1


async def test_while_one_waits_to_be_tried_again_others_go_on(bench: Bench) -> None:
    bench.outcomes["uuid-1:1"] = [PASSING]
    await bench.ask(segment(1), segment(2), segment(3))
    retry = replace(QUICK, first_s=2, longest_s=2)
    await bench.once(concurrency=1, retry=retry)

    assert [job for job, _ in bench.tried] == ["uuid-1:1", "uuid-1:2", "uuid-1:3", "uuid-1:1"]


async def test_after_a_full_disk_nothing_is_begun_until_there_is_space(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.outcomes["uuid-1:1"] = [FULL] * 9
    bench.space = False
    await bench.ask(segment(1), segment(2))
    async with running(bench.worker(concurrency=1)):
        await bench.until(lambda: bench.told("failed") != [] and bench.looks > 3)
        assert [job for job, _ in bench.tried] == ["uuid-1:1"] * 3
        bench.space = True
        await bench.until(lambda: bench.told("processed") != [])

    assert json.loads(bench.told("failed")[0].body)["error"]["code"] == "NO_SPACE"
    actions = [record.message for record in caplog.records]
    assert actions.count("worker.noSpace") == 1


async def test_folders_that_cannot_be_asked_for_space_are_left_to_the_attempt(bench: Bench) -> None:
    bench.outcomes["uuid-1:1"] = [FULL] * 9
    bench.space = None
    await bench.ask(segment(1), segment(2))
    await bench.once(concurrency=1)

    assert [one.message_id for one in bench.told("processed")] == ["uuid-1:2:processed"]


async def test_a_segment_that_waits_for_space_is_returned_when_the_worker_stops(
    bench: Bench,
) -> None:
    bench.outcomes["uuid-1:1"] = [FULL] * 9
    bench.space = False
    await bench.ask(segment(1), segment(2), segment(3))
    async with running(bench.worker(concurrency=1, drain_s=1000)):
        await bench.until(lambda: bench.told("failed") != [] and bench.looks > 1)

    assert await bench.broker.depth(WORK) == 2


async def test_each_segment_has_a_log_of_its_own(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "sfu_wrapper")
    bench.outcomes["uuid-1:1"] = [PASSING]
    await bench.ask(segment(1), segment(2))
    with recording_logs(tmp_path, logging.Formatter("%(message)s")):
        await bench.once()

    assert (tmp_path / "uuid-1-1.log").read_text() == "job.attemptFailed\n"
    assert not (tmp_path / "uuid-1-2.log").exists()

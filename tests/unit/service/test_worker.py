"""What becomes of a segment: processed, retried, failed, requeued; and what a worker leaves."""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from sfu_wrapper.adapters.memory.broker import MemoryBroker, MemoryDelivery
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.broker import Message
from tests.helpers import worker_bench
from tests.helpers.worker_bench import LASTING, PASSING, QUEUES, WORK, Bench, running, segment

bench = worker_bench.bench


async def test_a_segment_is_processed_told_settled_and_cleaned(bench: Bench) -> None:
    await bench.ask(segment(2))
    await bench.once()

    (message,) = bench.told("processed")
    assert message.message_id == "uuid-1:2:processed"
    assert message.correlation_id == "room"
    assert message.mandatory
    assert message.timestamp_ms > 0
    assert json.loads(message.body)["status"] == "processed"
    assert bench.cleaned == [("uuid-1:2", True)]
    assert await bench.broker.depth(WORK) == 0


async def test_a_listener_receives_progress_and_nothing_after_the_result(
    bench: Bench,
) -> None:
    bench.percents = (1, 2, 3)
    await bench.ask(segment(2))
    await bench.once()

    keys = [message.routing_key for message in bench.broker.published]
    assert keys == ["recordingInfo", "progress", "processed"]
    (message,) = bench.told("progress")
    assert message.message_id == "uuid-1:2:progress:1"
    assert not message.persistent
    assert not message.mandatory


async def test_two_segments_of_an_older_sender_are_no_repeat_of_each_other(bench: Bench) -> None:
    older = [replace(segment(length_s=length_s), segment=None) for length_s in (5, 10)]
    await bench.ask(*older)
    await bench.once()

    assert {message.message_id for message in bench.told("processed")} == {
        "uuid-1:t1590392553633:processed",
        "uuid-1:t1590392558633:processed",
    }


async def test_raw_files_stay_where_they_are_wanted(bench: Bench) -> None:
    await bench.ask(segment())
    await bench.once(clean_raw=False)

    assert bench.cleaned == [("uuid-1:1", False)]


async def test_nothing_is_acknowledged_before_its_message_is_confirmed(bench: Bench) -> None:
    await bench.ask(segment())
    async with running(bench.worker()):
        bench.broker.lost_confirms = 1
        await bench.until(lambda: len(bench.told("processed")) == 1)
        assert bench.cleaned == []
        await bench.until(lambda: bench.cleaned != [])

    assert [one.message_id for one in bench.told("processed")] == ["uuid-1:1:processed"] * 2
    assert len({one.body for one in bench.told("processed")}) == 1


async def test_a_passing_fault_is_tried_again(bench: Bench) -> None:
    bench.outcomes["uuid-1:1"] = [PASSING, Unavailable("the folder is away")]
    await bench.ask(segment())
    await bench.once()

    assert bench.tried == [("uuid-1:1", 1), ("uuid-1:1", 2), ("uuid-1:1", 3)]
    assert json.loads(bench.told("processed")[0].body)["processing"]["attempts"] == 3
    assert bench.told("failed") == []


async def test_an_operator_reads_what_became_of_each_segment(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.outcomes["uuid-1:2"] = [LASTING]
    bench.repeats = {"uuid-1:3"}
    await bench.ask(segment(1), segment(2), segment(3))
    with caplog.at_level(logging.INFO, "sfu_wrapper"):
        async with running(bench.worker(concurrency=1)):
            await bench.until(lambda: len(bench.told("processed") + bench.told("failed")) == 3)

    said = [(one.message, getattr(one, "segment", None)) for one in caplog.records]
    assert said[0] == ("worker.ready", None)
    assert [one for one in said if one[0] in {"job.processed", "job.failed", "job.repeated"}] == [
        ("job.processed", 1),
        ("job.failed", 2),
        ("job.repeated", 3),
    ]


async def test_after_all_its_tries_a_segment_fails_and_keeps_its_files(bench: Bench) -> None:
    bench.outcomes["uuid-1:1"] = [PASSING] * 9
    await bench.ask(segment())
    await bench.once()

    (message,) = bench.told("failed")
    assert message.message_id == "uuid-1:1:failed"
    told = json.loads(message.body)
    assert told["error"]["code"] == "MUX_FAILED"
    assert told["attempts"] == 3
    assert bench.cleaned == []
    assert await bench.broker.depth(WORK) == 0


async def test_a_lasting_fault_fails_at_once(bench: Bench) -> None:
    bench.outcomes["uuid-1:1"] = [LASTING]
    await bench.ask(segment())
    await bench.once()

    assert bench.tried == [("uuid-1:1", 1)]
    assert json.loads(bench.told("failed")[0].body)["error"]["file"] == "a.mjr"


async def test_a_bug_fails_its_own_segment_alone(bench: Bench) -> None:
    bench.outcomes["uuid-1:1"] = [KeyError("oops")] * 9
    await bench.ask(segment(1), segment(2))
    await bench.once()

    assert [one.message_id for one in bench.told("failed")] == ["uuid-1:1:failed"]
    assert [one.message_id for one in bench.told("processed")] == ["uuid-1:2:processed"]


@pytest.mark.parametrize(
    "body", [b"{", b"\xff\x00", b"[]", b'{"recordingInfo": 3}', b"x" * (5 << 20)]
)
async def test_what_is_no_recording_info_goes_to_the_failures(bench: Bench, body: bytes) -> None:
    await bench.broker.open(QUEUES)
    await bench.broker.publish(Message("recordingInfo", "any", body))
    await bench.ask(segment())
    await bench.once()

    (message,) = bench.told("failed")
    told = json.loads(message.body)
    assert message.message_id == hashlib.sha256(body).hexdigest()
    assert (told["uuid"], told["segment"]) == (None, None)
    assert len(told["raw"]) <= 64 * 1024
    assert len(bench.told("processed")) == 1
    assert await bench.broker.depth(WORK) == 0


class SlowHandover(MemoryBroker):
    """Hands a message over, or puts it back into the queue, a moment after it was taken."""

    def __init__(self) -> None:
        super().__init__()
        self.found_empty = asyncio.Event()
        self.returning: asyncio.Task[None] | None = None

    async def consume(self, queue: str, prefetch: int) -> AsyncGenerator[MemoryDelivery, None]:
        async for delivery in super().consume(queue, prefetch):
            try:
                await self.found_empty.wait()
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                self.returning = asyncio.create_task(self._put_back(delivery))
                raise
            yield delivery

    async def depth(self, queue: str) -> int:
        depth = await super().depth(queue)
        if not depth:
            self.found_empty.set()
        return depth

    async def _put_back(self, delivery: MemoryDelivery) -> None:
        await asyncio.sleep(0.05)
        await delivery.requeue()


async def test_a_message_on_its_way_from_the_queue_is_waited_for(bench: Bench) -> None:
    bench.broker = SlowHandover()
    await bench.ask(segment(1))
    await bench.once()

    assert len(bench.told("processed")) == 1

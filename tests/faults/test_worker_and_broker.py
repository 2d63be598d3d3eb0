"""A segment that takes longer than RabbitMQ waits: delivered again, and never worked on twice."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from sfu_wrapper.adapters.memory.store import MemoryLeases
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.core.job import Retry
from sfu_wrapper.model.errors import JobFailed
from sfu_wrapper.model.segment import Failed, SegmentInfo
from sfu_wrapper.ports.broker import Message, QueueSpec
from sfu_wrapper.service.worker.processor import ProcessedSegment
from sfu_wrapper.service.worker.progress import Progress
from sfu_wrapper.service.worker.scheduling import WorkerSettings
from sfu_wrapper.service.worker.worker import Worker
from sfu_wrapper.wire.recording_info import encode_event
from tests.helpers.builders import segment_info
from tests.helpers.processing import NothingElse, done_without_files
from tests.helpers.rabbitmq import ApartBroker, Names, RabbitServer
from tests.helpers.wait import until

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

WORK = "processing_queue"
QUEUES = (
    QueueSpec(  # RabbitMQ obeys this timeout from 3.12 on, and that of ``impatient`` before
        WORK, ("recordingInfo",), dead_letter_key="failed", delivery_limit=8, consumer_timeout_s=1
    ),
    QueueSpec("processed_queue", ("processed",)),
    QueueSpec("failure_queue", ("failed",)),
)
DEADLINE_S = 60.0
INFO = segment_info()


class Slow(NothingElse):
    """Processing that ends when it is let go, and knows a segment that it has finished before."""

    def __init__(self) -> None:
        self.begun = 0
        self.running = self.most_at_once = 0
        self.cleaned = 0
        self.go = asyncio.Event()
        self.done: ProcessedSegment | None = None

    async def process(
        self, info: SegmentInfo, *, attempts: int, progress: Progress
    ) -> ProcessedSegment:
        """See ``service.worker.worker.Processing``."""
        if self.done is not None:
            return self.done
        self.begun += 1
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            await self.go.wait()
        finally:
            self.running -= 1
        self.done = done_without_files(info, attempts)
        return self.done

    async def known(
        self, info: SegmentInfo, error: JobFailed
    ) -> tuple[ProcessedSegment | None, Failed | None]:
        """See ``service.worker.worker.Processing``."""
        return self.done, None

    async def clean(self, info: SegmentInfo, *, raw: bool) -> None:
        """See ``service.worker.worker.Processing``."""
        self.cleaned += 1


class Watched(MemoryLeases):
    """holders: workers that asked, the same worker under another name for each delivery."""

    def __init__(self) -> None:
        super().__init__()
        self.holders: set[str] = set()

    async def acquire(self, job: str, holder: str, ttl_s: float) -> bool:
        """See ``JobLeases``."""
        self.holders.add(holder)
        return await super().acquire(job, holder, ttl_s)


@pytest.fixture
def impatient(rabbitmq: RabbitServer) -> Iterator[RabbitServer]:
    """A server that takes a message back after a second."""
    before = "1800000", "60000"
    _set_timeouts(rabbitmq, "1000", "500")
    yield rabbitmq
    _set_timeouts(rabbitmq, *before)


def _set_timeouts(server: RabbitServer, timeout_ms: str, look_ms: str) -> None:
    server.ctl(
        "eval",
        f"application:set_env(rabbit, consumer_timeout, {timeout_ms}), "
        f"application:set_env(rabbit, channel_tick_interval, {look_ms}).",
    )


async def test_a_segment_that_outlasts_the_brokers_patience_is_worked_on_once(
    impatient: RabbitServer, caplog: pytest.LogCaptureFixture
) -> None:
    names, work, leases = Names(), Slow(), Watched()
    broker = ApartBroker(impatient.url, names)
    settings = WorkerSettings(WORK, 2, Retry(), drain_s=5, lease_s=3)
    worker = Worker(broker, leases, work, SystemClock(), QUEUES, settings)
    await broker.open(QUEUES)
    before = await asyncio.to_thread(channels, impatient)
    await broker.publish(Message("recordingInfo", "uuid:1", encode_event(INFO), "room"))
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        running = group.create_task(worker.run())
        while len(leases.holders) < 2:  # noqa: ASYNC110 nothing to wait on but what it did
            await asyncio.sleep(0.1)  # it is taken from the worker, and given to it again
        # No channel of a consumer that has ended is left; the worker may look at the depth.
        await until(lambda: are_few(impatient, before + 1), within_s=DEADLINE_S)
        work.go.set()
        while work.cleaned == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        worker.stop()
        await running

    assert (work.begun, work.most_at_once) == (1, 1)
    assert await broker.depth(WORK) == 0
    assert await told(broker) == {"uuid:1:processed"}
    (ended, *_) = [each for each in caplog.records if each.message == "broker.consumerEnded"]
    assert "raise worker.consumerTimeoutSeconds" in ended.__dict__["why"]
    await broker.close()


async def are_few(server: RabbitServer, most: int) -> bool:
    """Return True if there are at most so many channels."""
    return await asyncio.to_thread(channels, server) <= most


def channels(server: RabbitServer) -> int:
    """Return the number of channels of all connections."""
    return len(server.ctl("list_channels", "pid").splitlines())


async def told(broker: ApartBroker) -> set[str | None]:
    """The ids of all messages of the processed_queue."""
    left, found = await broker.depth("processed_queue"), set[str | None]()
    async with asyncio.timeout(DEADLINE_S), aclosing(broker.consume("processed_queue", 9)) as them:
        while left:
            delivery = await anext(them)
            found.add(delivery.message_id)
            await delivery.ack()
            left -= 1
    return found

"""One owner's flood on a real queue: others' segments are next, however far behind they wait."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sfu_wrapper.adapters.memory.store import MemoryLeases
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.queue_file.broker import QueueFile
from sfu_wrapper.core.job import Retry
from sfu_wrapper.model.identity import UserId
from sfu_wrapper.model.segment import SegmentInfo
from sfu_wrapper.ports.broker import Broker, Delivery, Message, QueueSpec
from sfu_wrapper.service.worker.processor import ProcessedSegment
from sfu_wrapper.service.worker.progress import Progress
from sfu_wrapper.service.worker.scheduling import WorkerSettings
from sfu_wrapper.service.worker.worker import Worker
from sfu_wrapper.wire.recording_info import encode_event
from tests.helpers.builders import segment_info
from tests.helpers.processing import NothingElse, done_without_files
from tests.helpers.rabbitmq import ApartBroker, Names, RabbitServer
from tests.helpers.wait import until

WORK = "processing_queue"
QUEUES = (
    QueueSpec(WORK, ("recordingInfo",), dead_letter_key="failed", delivery_limit=23),
    QueueSpec("processed_queue", ("processed",)),
    QueueSpec("failure_queue", ("failed",)),
)
FLOOD = 150
DEADLINE_S = 45.0
SETTINGS = WorkerSettings(WORK, 2, Retry(), drain_s=0, progress_s=30)


class Shop(NothingElse):
    """Processing that ends when it may; begun: owners, in the order in which work began."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go = asyncio.Event()

    async def process(
        self, info: SegmentInfo, *, attempts: int, progress: Progress
    ) -> ProcessedSegment:
        """See ``service.worker.cleanup.Processing``."""
        self.begun.append(info.owner or "")
        await self.go.wait()
        return done_without_files(info, attempts)


async def ask(broker: Broker, owner: str, count: int) -> None:
    for n in range(count):
        info = segment_info(f"{owner}-{n}", length_ms=60_000, owner=UserId(owner))
        message = Message("recordingInfo", f"{info.uuid}:1", encode_event(info), info.room)
        await broker.publish(message)


@asynccontextmanager
async def working(broker: Broker, shop: Shop, settings: WorkerSettings) -> AsyncIterator[None]:
    worker = Worker(broker, MemoryLeases(), shop, SystemClock(), QUEUES, settings)
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        yield
        worker.stop()


async def emptied(broker: Broker) -> None:
    while await broker.depth(WORK) > 0:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


class Counted:
    """How many deliveries a broker has handed out."""

    def __init__(self, broker: Broker) -> None:
        self.handed_out = 0
        self._consume = broker.consume
        broker.consume = self.consume  # type: ignore[method-assign]  # the same, counted

    async def consume(self, queue: str, prefetch: int) -> AsyncGenerator[Delivery, None]:
        """See ``Broker``."""
        async with aclosing(self._consume(queue, prefetch)) as deliveries:
            async for delivery in deliveries:
                self.handed_out += 1
                yield delivery


async def others_pass_a_flood(broker: Broker) -> None:
    """One worker holds the flood; a colleague and another domain come last and are next."""
    shop, counted = Shop(), Counted(broker)
    await broker.open(QUEUES)
    await ask(broker, "alice@example", FLOOD)
    async with working(broker, shop, SETTINGS):
        await until(lambda: len(shop.begun) == 2)
        await ask(broker, "bob@example", 1)
        await ask(broker, "carl@other", 1)
        await until(lambda: counted.handed_out == FLOOD + 2)
        for _ in range(10):
            await asyncio.sleep(0)  # each is a task by now, and waits for a place
        shop.go.set()
        await until(lambda: {"bob@example", "carl@other"} <= set(shop.begun))

    assert shop.begun[:2] == ["alice@example"] * 2
    assert shop.begun.index("carl@other") == 2
    assert shop.begun.index("bob@example") <= 5


async def a_second_worker_gets_its_share(first: Broker, second: Broker) -> None:
    """Two workers of one owner's backlog: what the first looked at goes back for the second."""
    shop, later = Shop(), Shop()
    settings = replace(SETTINGS, look_s=1.0, pause_s=30.0)
    await first.open(QUEUES)
    await ask(first, "alice@example", 40)
    async with working(first, shop, settings):
        await until(lambda: len(shop.begun) == 2)
        await emptied(first)
        async with working(second, later, settings):
            await until(lambda: len(later.begun) == 2)


async def test_others_pass_a_flood_on_the_embedded_queue(tmp_path: Path) -> None:
    broker = QueueFile(tmp_path / "queue.db")
    await others_pass_a_flood(broker)
    await broker.close()


async def test_a_second_worker_gets_its_share_of_the_embedded_queue(tmp_path: Path) -> None:
    first, second = QueueFile(tmp_path / "queue.db"), QueueFile(tmp_path / "queue.db")
    await a_second_worker_gets_its_share(first, second)
    await first.close()
    await second.close()


@pytest.mark.system
@pytest.mark.timeout(120)
async def test_others_pass_a_flood_on_rabbitmq(rabbitmq: RabbitServer) -> None:
    broker = ApartBroker(rabbitmq.url, Names())
    await others_pass_a_flood(broker)
    await broker.close()


@pytest.mark.system
@pytest.mark.timeout(120)
async def test_a_second_worker_gets_its_share_of_rabbitmq(rabbitmq: RabbitServer) -> None:
    names = Names()
    first, second = ApartBroker(rabbitmq.url, names), ApartBroker(rabbitmq.url, names)
    await a_second_worker_gets_its_share(first, second)
    await first.close()
    await second.close()

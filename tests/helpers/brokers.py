"""Brokers under test, and what every broker promises.

``PROMISES`` is the contract: run on the fake, on the queue file and on a real RabbitMQ it must
pass, run on the broken ones something in it must fail.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import pytest

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.adapters.queue_file.broker import QueueFile
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.broker import Broker, Delivery, Message, QueueSpec, ReceivedMessage
from tests.helpers.wait import until

WORK, COPY, DEAD = "work", "copy", "dead"
PROBE = "probe"
LIMIT, MANY_RETURNS = 3, 20  # the latter is the limit of RabbitMQ 4 for a queue that names none
QUEUES = (
    QueueSpec(WORK, ("recordingInfo",), dead_letter_key="failed", delivery_limit=LIMIT),
    QueueSpec(COPY, ("recordingInfo", "processed")),
    QueueSpec(DEAD, ("failed",)),
)


class BrokerBench:
    """Connections to one broker. deadline_s: how long a test waits for what must come."""

    def __init__(self, make: Callable[[], Broker], deadline_s: float = 20.0) -> None:
        self.deadline_s = deadline_s
        self._make = make
        self._connections: list[Broker] = []

    async def connect(self) -> Broker:
        """One more connection, with the queues there."""
        broker = self._make()
        self._connections.append(broker)
        await broker.open(QUEUES)
        return broker

    async def close(self) -> None:
        """Close every connection."""
        while self._connections:
            await self._connections.pop().close()

    async def take(self, broker: Broker, count: int = 1, queue: str = WORK) -> list[Delivery]:
        """The next deliveries of a queue, not settled."""
        async with aclosing(broker.consume(queue, max(count, 1))) as deliveries:
            return await self.next(deliveries, count)

    async def next(
        self, deliveries: AsyncGenerator[Delivery, None], count: int = 1
    ) -> list[Delivery]:
        """The next deliveries of a consumer, not settled."""
        async with asyncio.timeout(self.deadline_s):
            return [await anext(deliveries) for _ in range(count)]

    @asynccontextmanager
    async def listening(
        self, broker: Broker, *keys: str, limit: int = 100
    ) -> AsyncIterator["Listener"]:
        """Somebody who listens, and who surely does so already."""
        async with aclosing(broker.listen(keys, limit)) as heard:
            listener = Listener(heard, self.deadline_s)
            await listener.settle_in(broker, keys[0])
            yield listener

    async def eventually(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait until it holds."""
        await until(condition, within_s=self.deadline_s, pause_s=0.02)


class Listener:
    """What is heard, but for the probes by which it is known to listen."""

    def __init__(self, heard: AsyncGenerator[ReceivedMessage, None], deadline_s: float) -> None:
        self._heard = heard
        self._deadline_s = deadline_s

    async def settle_in(self, broker: Broker, key: str) -> None:
        """Publish probes until the first is heard; nothing says when listening begins."""
        first = asyncio.ensure_future(anext(self._heard))
        try:
            async with asyncio.timeout(self._deadline_s):
                while not first.done():
                    with suppress(Unavailable):  # the next may come through
                        await broker.publish(Message(key, PROBE, b"", persistent=False))
                    await asyncio.wait([first], timeout=0.05)
        finally:
            first.cancel()
            await asyncio.wait([first])

    async def next(self) -> ReceivedMessage:
        """The next that is no probe."""
        async with asyncio.timeout(self._deadline_s):
            while (heard := await anext(self._heard)).message_id == PROBE:
                pass
        return heard

    async def until(self, message_id: str) -> list[str | None]:
        """What is heard up to this message, by their ids."""
        ids: list[str | None] = []
        while not ids or ids[-1] != message_id:
            ids.append((await self.next()).message_id)
        return ids


@asynccontextmanager
async def memory_bench(_: Path) -> AsyncIterator[BrokerBench]:
    """The fake; all connections are one."""
    broker = MemoryBroker()
    bench = BrokerBench(lambda: broker)
    yield bench
    await bench.close()


@asynccontextmanager
async def queuefile_bench(folder: Path) -> AsyncIterator[BrokerBench]:
    """The embedded queue, a connection each as from processes of their own."""
    bench = BrokerBench(lambda: QueueFile(folder / "queue" / "queue.db"))
    yield bench
    await bench.close()


def message(n: int, key: str = "recordingInfo", *, mandatory: bool = True) -> Message:
    """The nth message."""
    return Message(
        routing_key=key,
        message_id=f"uuid:{n}",
        body=b'{"n":%d}' % n,
        correlation_id="room",
        timestamp_ms=1_590_392_548_633 + n,
        mandatory=mandatory,
    )


def numbers(deliveries: list[Delivery]) -> list[str | None]:
    """Their message ids."""
    return [delivery.message_id for delivery in deliveries]


async def a_message_arrives_as_it_was_published(bench: BrokerBench) -> None:
    broker = await bench.connect()
    body = bytes(range(256)) * 100
    await broker.publish(Message("recordingInfo", "uuid:1", body, "room", 1, mandatory=True))
    (delivery,) = await bench.take(broker)

    assert delivery.body == body
    assert delivery.message_id == "uuid:1"
    assert delivery.routing_key == "recordingInfo"
    assert delivery.deliveries == 0
    await delivery.ack()


async def messages_arrive_in_order(bench: BrokerBench) -> None:
    broker = await bench.connect()
    for n in range(20):
        await broker.publish(message(n))
    deliveries = await bench.take(broker, 20)

    assert numbers(deliveries) == [f"uuid:{n}" for n in range(20)]


async def publishes_side_by_side_all_arrive(bench: BrokerBench) -> None:
    broker = await bench.connect()
    await asyncio.gather(*(broker.publish(message(n)) for n in range(50)))
    deliveries = await bench.take(broker, 50)

    assert sorted(numbers(deliveries), key=str) == sorted(f"uuid:{n}" for n in range(50))


async def every_bound_queue_has_a_copy(bench: BrokerBench) -> None:
    broker = await bench.connect()
    await broker.publish(message(1))
    await broker.publish(message(2, "processed"))

    assert numbers(await bench.take(broker, 1)) == ["uuid:1"]
    assert numbers(await bench.take(broker, 2, COPY)) == ["uuid:1", "uuid:2"]


async def a_mandatory_message_that_nobody_takes_is_refused(bench: BrokerBench) -> None:
    broker = await bench.connect()
    with pytest.raises(Unavailable) as caught:
        await broker.publish(message(1, "nobody's"))

    assert caught.value.context["unroutable"] is True
    await broker.publish(message(2, "nobody's", mandatory=False))
    await broker.publish(message(3))
    assert numbers(await bench.take(broker)) == ["uuid:3"]


async def a_settled_message_is_gone(bench: BrokerBench) -> None:
    broker = await bench.connect()
    await broker.publish(message(1))
    await broker.publish(message(2))
    (first,) = await bench.take(broker)
    await first.ack()
    await bench.close()

    again = await bench.connect()
    assert numbers(await bench.take(again)) == ["uuid:2"]


async def what_a_lost_consumer_held_comes_back(bench: BrokerBench) -> None:
    broker = await bench.connect()
    await broker.publish(message(1))
    await bench.take(broker)
    await bench.close()
    again = await bench.connect()
    (delivery,) = await bench.take(again)

    assert delivery.message_id == "uuid:1"
    assert delivery.deliveries >= 1


async def a_delivery_cannot_be_settled_over_a_lost_link(bench: BrokerBench) -> None:
    broker = await bench.connect()
    await broker.publish(message(1))
    (delivery,) = await bench.take(broker)
    await bench.close()

    with pytest.raises(Unavailable):
        await delivery.ack()
    again = await bench.connect()
    assert numbers(await bench.take(again)) == ["uuid:1"]


async def a_requeued_message_comes_again_and_is_counted(bench: BrokerBench) -> None:
    broker = await bench.connect()
    await broker.publish(message(1))
    async with aclosing(broker.consume(WORK, 1)) as deliveries:
        counts = []
        for _ in range(LIMIT):
            (delivery,) = await bench.next(deliveries)
            counts.append(delivery.deliveries)
            await delivery.requeue()

    assert counts == [0, 1, 2]


async def a_message_that_comes_back_too_often_is_dead_lettered(bench: BrokerBench) -> None:
    broker = await bench.connect()
    await broker.publish(message(1))
    async with aclosing(broker.consume(WORK, 1)) as deliveries:
        for _ in range(LIMIT + 1):
            (delivery,) = await bench.next(deliveries)
            await delivery.requeue()
    (dead,) = await bench.take(broker, queue=DEAD)

    assert dead.message_id == "uuid:1"
    assert dead.body == message(1).body
    assert await broker.depth(WORK) == 0


async def a_message_without_a_limit_comes_back_for_ever(bench: BrokerBench) -> None:
    broker = await bench.connect()
    await broker.publish(message(1, "processed"))
    async with aclosing(broker.consume(COPY, 1)) as deliveries:
        for _ in range(2 * MANY_RETURNS):
            (delivery,) = await bench.next(deliveries)
            await delivery.requeue()
        (delivery,) = await bench.next(deliveries)

    assert delivery.message_id == "uuid:1"


async def prefetch_bounds_what_is_unsettled(bench: BrokerBench) -> None:
    broker = await bench.connect()
    for n in range(5):
        await broker.publish(message(n))
    async with aclosing(broker.consume(WORK, 2)) as deliveries:
        held = await bench.next(deliveries, 2)
        waiting = asyncio.ensure_future(anext(deliveries))
        await asyncio.wait([waiting], timeout=0.2)
        assert not waiting.done()
        await held[0].ack()
        async with asyncio.timeout(bench.deadline_s):
            third = await waiting

    assert third.message_id == "uuid:2"


async def consumers_share_a_queue(bench: BrokerBench) -> None:
    one, other = await bench.connect(), await bench.connect()
    for n in range(6):
        await one.publish(message(n))
    async with aclosing(one.consume(WORK, 3)) as mine, aclosing(other.consume(WORK, 3)) as yours:
        held = await bench.next(mine, 3) + await bench.next(yours, 3)

    assert sorted(numbers(held), key=str) == [f"uuid:{n}" for n in range(6)]


async def a_waiting_consumer_hears_of_a_new_message(bench: BrokerBench) -> None:
    publisher, worker = await bench.connect(), await bench.connect()
    async with aclosing(worker.consume(WORK, 1)) as deliveries:
        waiting = asyncio.ensure_future(anext(deliveries))
        await asyncio.wait([waiting], timeout=0.1)
        await publisher.publish(message(1))
        async with asyncio.timeout(bench.deadline_s):
            delivery = await waiting

    assert delivery.message_id == "uuid:1"


async def a_consumer_that_ends_keeps_only_what_it_was_given(bench: BrokerBench) -> None:
    broker = await bench.connect()
    for n in range(4):
        await broker.publish(message(n))
    async with aclosing(broker.consume(WORK, 4)) as deliveries:
        (first,) = await bench.next(deliveries)
    rest = await bench.take(broker, 3)
    await first.ack()

    assert numbers(rest) == ["uuid:1", "uuid:2", "uuid:3"]


async def a_consumer_stopped_while_it_waits_loses_nothing(bench: BrokerBench) -> None:
    publisher, worker = await bench.connect(), await bench.connect()
    for n in range(10):
        deliveries = worker.consume(WORK, 1)
        waiting = asyncio.ensure_future(anext(deliveries))
        await publisher.publish(message(n))
        waiting.cancel()
        await asyncio.wait([waiting])
        await deliveries.aclose()
        if not waiting.cancelled():
            await waiting.result().requeue()
        (delivery,) = await bench.take(publisher)
        assert delivery.message_id == f"uuid:{n}"
        await delivery.ack()


async def what_was_confirmed_survives(bench: BrokerBench) -> None:
    broker = await bench.connect()
    for n in range(3):
        await broker.publish(message(n))
    await bench.close()
    again = await bench.connect()

    assert numbers(await bench.take(again, 3)) == ["uuid:0", "uuid:1", "uuid:2"]


async def depth_counts_what_waits(bench: BrokerBench) -> None:
    broker = await bench.connect()
    for n in range(3):
        await broker.publish(message(n))
    await bench.eventually(lambda: _depth_is(broker, 3))
    (delivery,) = await bench.take(broker)
    await bench.eventually(lambda: _depth_is(broker, 2))
    await delivery.requeue()

    await bench.eventually(lambda: _depth_is(broker, 3))


async def _depth_is(broker: Broker, count: int) -> bool:
    return await broker.depth(WORK) == count


async def it_is_there_while_it_is_open(bench: BrokerBench) -> None:
    broker = await bench.connect()
    assert broker.is_available()
    await broker.close()
    assert not broker.is_available()


async def a_closed_connection_publishes_nothing(bench: BrokerBench) -> None:
    broker = await bench.connect()
    await broker.close()
    await broker.close()
    with pytest.raises(Unavailable):
        await broker.publish(message(1))


async def closing_ends_a_consumer_that_waits(bench: BrokerBench) -> None:
    broker = await bench.connect()
    waiting = asyncio.ensure_future(anext(broker.consume(WORK, 1)))
    await asyncio.wait([waiting], timeout=0.1)
    await broker.close()

    async with asyncio.timeout(bench.deadline_s):
        with pytest.raises(StopAsyncIteration):
            await waiting


async def opening_again_changes_nothing(bench: BrokerBench) -> None:
    broker = await bench.connect()
    await broker.close()
    await asyncio.gather(broker.open(QUEUES), broker.open(QUEUES))
    await broker.publish(message(1))
    await broker.open(QUEUES)
    await bench.connect()

    assert numbers(await bench.take(broker)) == ["uuid:1"]


async def a_listener_hears_what_others_publish(bench: BrokerBench) -> None:
    publisher, controller = await bench.connect(), await bench.connect()
    async with bench.listening(controller, "progress", "processed") as listener:
        await publisher.publish(message(1, "processed"))
        await publisher.publish(message(2, "recordingInfo"))
        await publisher.publish(message(3, "progress", mandatory=False))

        assert await listener.next() == ReceivedMessage("processed", "uuid:1", message(1).body)
        assert (await listener.next()).message_id == "uuid:3"


async def listening_takes_nothing_from_the_queues(bench: BrokerBench) -> None:
    broker = await bench.connect()
    async with bench.listening(broker, "failed") as listener:
        await broker.publish(message(1, "failed"))
        await listener.next()
        probes = len(await bench.take(broker, await broker.depth(DEAD), DEAD))

    assert probes >= 2  # at least one probe, and the message


async def every_listener_hears_everything(bench: BrokerBench) -> None:
    one, other = await bench.connect(), await bench.connect()
    async with bench.listening(one, "progress") as mine, bench.listening(other, "progress") as your:
        for n in range(10):
            await one.publish(message(n, "progress", mandatory=False))
        everything = [f"uuid:{n}" for n in range(10)]

        assert await mine.until("uuid:9") == everything
        assert await your.until("uuid:9") == everything


async def a_listener_hears_nothing_of_before(bench: BrokerBench) -> None:
    broker = await bench.connect()
    await broker.publish(message(1, "processed"))
    async with bench.listening(broker, "processed") as listener:
        await broker.publish(message(2, "processed"))
        assert (await listener.next()).message_id == "uuid:2"
    await broker.publish(message(3, "processed"))
    async with bench.listening(broker, "processed") as listener:
        await broker.publish(message(4, "processed"))
        assert (await listener.next()).message_id == "uuid:4"


async def a_slow_listener_loses_the_oldest(bench: BrokerBench) -> None:
    broker = await bench.connect()
    async with bench.listening(broker, "progress", limit=5) as listener:
        for n in range(60):
            await broker.publish(message(n, "progress", mandatory=False))
        heard = await listener.until("uuid:59")

    assert len(heard) <= 10  # as many may be on their way as wait
    assert heard[-5:] == [f"uuid:{n}" for n in range(55, 60)]


async def closing_ends_a_listener_that_waits(bench: BrokerBench) -> None:
    broker = await bench.connect()
    heard = broker.listen(("progress",), 5)
    waiting = asyncio.ensure_future(anext(heard))
    await asyncio.wait([waiting], timeout=0.1)
    await broker.close()

    async with asyncio.timeout(bench.deadline_s):
        with pytest.raises(StopAsyncIteration):
            await waiting
        with pytest.raises(StopAsyncIteration):
            await anext(broker.listen(("progress",), 5))


Promise = Callable[[BrokerBench], Awaitable[None]]

PROMISES: tuple[Promise, ...] = (
    a_message_arrives_as_it_was_published,
    messages_arrive_in_order,
    publishes_side_by_side_all_arrive,
    every_bound_queue_has_a_copy,
    a_mandatory_message_that_nobody_takes_is_refused,
    a_settled_message_is_gone,
    what_a_lost_consumer_held_comes_back,
    a_delivery_cannot_be_settled_over_a_lost_link,
    a_requeued_message_comes_again_and_is_counted,
    a_message_that_comes_back_too_often_is_dead_lettered,
    a_message_without_a_limit_comes_back_for_ever,
    prefetch_bounds_what_is_unsettled,
    consumers_share_a_queue,
    a_waiting_consumer_hears_of_a_new_message,
    a_consumer_that_ends_keeps_only_what_it_was_given,
    a_consumer_stopped_while_it_waits_loses_nothing,
    what_was_confirmed_survives,
    depth_counts_what_waits,
    it_is_there_while_it_is_open,
    a_closed_connection_publishes_nothing,
    closing_ends_a_consumer_that_waits,
    opening_again_changes_nothing,
    a_listener_hears_what_others_publish,
    listening_takes_nothing_from_the_queues,
    every_listener_hears_everything,
    a_listener_hears_nothing_of_before,
    a_slow_listener_loses_the_oldest,
    closing_ends_a_listener_that_waits,
)

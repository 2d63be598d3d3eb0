"""What every broker promises, and that brokers which do not keep a promise are found out."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sfu_wrapper.adapters.memory.broker import MemoryBroker, MemoryDelivery
from sfu_wrapper.adapters.queue_file.broker import QueueFile
from sfu_wrapper.adapters.rabbitmq.broker import RabbitBroker
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.broker import Broker, Message, QueueSpec, ReceivedMessage
from tests.helpers import brokers
from tests.helpers.broker_bindings import (
    an_unbound_queue_keeps_its_messages_and_gets_no_more_of_that_key as keeps_bindings,
)
from tests.helpers.broker_traces import a_message_keeps_its_trace_context as keeps_traces
from tests.helpers.brokers import PROMISES, BrokerBench, Promise, memory_bench, queuefile_bench

BENCHES = {"memory": memory_bench, "queuefile": queuefile_bench}
every_promise = pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.__name__)


@pytest.fixture(params=BENCHES)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[BrokerBench]:
    async with BENCHES[request.param](tmp_path) as bench:
        yield bench


@every_promise
async def test_a_broker_keeps(promise: Promise, bench: BrokerBench) -> None:
    await promise(bench)


async def test_a_broker_puts_no_more_into_a_queue_that_was_unbound(bench: BrokerBench) -> None:
    await keeps_bindings(bench)


async def test_a_broker_keeps_the_trace_context_of_a_message(bench: BrokerBench) -> None:
    await keeps_traces(bench)


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: MemoryBroker(),
        lambda folder: QueueFile(folder / "queue.db"),
        lambda folder: RabbitBroker("amqp://127.0.0.1:1"),
    ],
    ids=["memory", "queuefile", "rabbitmq"],
)
async def test_consuming_ends_at_once_on_a_broker_that_was_not_opened(
    make: Callable[[Path], Broker], tmp_path: Path
) -> None:
    broker = make(tmp_path)

    assert [delivery async for delivery in broker.consume("jobs", 1)] == []
    await broker.close()


class DropsAConfirmed(MemoryBroker):
    """Confirms what it does not keep."""

    async def publish(self, message: Message) -> None:
        if message.message_id != "uuid:1":
            await super().publish(message)


class Untraced(MemoryBroker):
    """Drops the trace context of a message."""

    async def publish(self, message: Message) -> None:
        await super().publish(replace(message, trace=None))


class AcksEarly(MemoryBroker):
    """Takes a message for done as soon as it is handed out."""

    async def consume(self, queue: str, prefetch: int) -> AsyncGenerator[MemoryDelivery, None]:
        async for delivery in super().consume(queue, prefetch):
            await delivery.ack()
            yield delivery


class Reorders(MemoryBroker):
    """Hands out the youngest first."""

    async def publish(self, message: Message) -> None:
        await super().publish(message)
        for queue in self._queues.values():
            queue.waiting.reverse()


class SwallowsTheUnroutable(MemoryBroker):
    """Takes a message for sent that no queue has."""

    async def publish(self, message: Message) -> None:
        await super().publish(replace(message, mandatory=False))


class OneQueueIsEnough(MemoryBroker):
    """Puts a message into the first queue alone."""

    async def open(self, queues: tuple[QueueSpec, ...]) -> None:
        await super().open(queues)
        self._bindings = {key: bound[:1] for key, bound in self._bindings.items()}


class NoPrefetch(MemoryBroker):
    """Hands out everything it has."""

    def consume(self, queue: str, prefetch: int) -> AsyncGenerator[MemoryDelivery, None]:
        return super().consume(queue, prefetch * 1_000)


class NeverGivesUp(MemoryBroker):
    """Delivers a poisonous message for ever."""

    async def open(self, queues: tuple[QueueSpec, ...]) -> None:
        await super().open(tuple(replace(queue, delivery_limit=None) for queue in queues))


class LimitsEveryQueue(MemoryBroker):
    """Takes what was returned often from queues that name no limit, too."""

    async def open(self, queues: tuple[QueueSpec, ...]) -> None:
        many = brokers.MANY_RETURNS
        limited = (replace(each, delivery_limit=each.delivery_limit or many) for each in queues)
        await super().open(tuple(replace(each, dead_letter_key="failed") for each in limited))


class ForgetsTheUnsettled(MemoryBroker):
    """A consumer that dies takes its messages with it."""

    async def close(self) -> None:
        for queue in self._queues.values():
            queue.unsettled.clear()
        await super().close()


class SettlesOverAnyLink(MemoryBroker):
    """Takes an ack for good although the message went back meanwhile."""

    async def consume(self, queue: str, prefetch: int) -> AsyncGenerator[MemoryDelivery, None]:
        async for delivery in super().consume(queue, prefetch):
            yield _Deaf(delivery)


class _Deaf(MemoryDelivery):
    def __init__(self, real: MemoryDelivery) -> None:
        self._real = real
        self._stored = real._stored

    async def ack(self) -> None:
        try:
            await self._real.ack()
        except Unavailable:
            return


class CountsWhatIsOut(MemoryBroker):
    """Its depth takes in what is delivered."""

    async def depth(self, queue: str) -> int:
        return await super().depth(queue) + len(self._queues[queue].unsettled)


class AlwaysThere(MemoryBroker):
    """Says that it can be reached, whatever happens."""

    def is_available(self) -> bool:
        return True


class PublishesWhenClosed(MemoryBroker):
    """Takes messages after its end."""

    def _require_open(self) -> None:
        pass


class StaysBound(MemoryBroker):
    """Puts messages into a queue that was unbound."""

    async def unbind(self, queue: str, routing_key: str) -> None:
        """Forget it."""


class HearsEverything(MemoryBroker):
    """A listener is told of other keys too."""

    def listen(
        self, routing_keys: tuple[str, ...], limit: int
    ) -> AsyncGenerator[ReceivedMessage, None]:
        return super().listen((*routing_keys, "recordingInfo"), limit)


class NeverForgetsForListeners(MemoryBroker):
    """Keeps everything for one who hears too slowly."""

    def listen(
        self, routing_keys: tuple[str, ...], limit: int
    ) -> AsyncGenerator[ReceivedMessage, None]:
        return super().listen(routing_keys, limit * 1_000)


class TellsOneListener(MemoryBroker):
    """Listeners take each other's messages away."""

    def _put(self, message: Message, queues: list[Any]) -> None:
        listeners, self._listeners = self._listeners, self._listeners[:1]
        super()._put(message, queues)
        self._listeners = listeners


class ListensToThePast(MemoryBroker):
    """A listener hears first what was published before it came."""

    async def listen(
        self, routing_keys: tuple[str, ...], limit: int
    ) -> AsyncGenerator[ReceivedMessage, None]:
        for old in self.published:
            if old.routing_key in routing_keys:
                yield ReceivedMessage(old.routing_key, old.message_id, old.body)
        async for heard in super().listen(routing_keys, limit):
            yield heard


# The promise that each breaks, and what shows it: something wrong, something that never comes, or a
# refusal that never comes.
NotRefused = pytest.fail.Exception
BROKEN: dict[Callable[[], MemoryBroker], tuple[Promise, type[BaseException]]] = {
    DropsAConfirmed: (brokers.messages_arrive_in_order, TimeoutError),
    Untraced: (keeps_traces, AssertionError),
    AcksEarly: (brokers.what_a_lost_consumer_held_comes_back, TimeoutError),
    Reorders: (brokers.messages_arrive_in_order, AssertionError),
    SwallowsTheUnroutable: (brokers.a_mandatory_message_that_nobody_takes_is_refused, NotRefused),
    OneQueueIsEnough: (brokers.every_bound_queue_has_a_copy, TimeoutError),
    NoPrefetch: (brokers.prefetch_bounds_what_is_unsettled, AssertionError),
    NeverGivesUp: (brokers.a_message_that_comes_back_too_often_is_dead_lettered, TimeoutError),
    LimitsEveryQueue: (brokers.a_message_without_a_limit_comes_back_for_ever, TimeoutError),
    ForgetsTheUnsettled: (brokers.what_a_lost_consumer_held_comes_back, TimeoutError),
    SettlesOverAnyLink: (brokers.a_delivery_cannot_be_settled_over_a_lost_link, NotRefused),
    CountsWhatIsOut: (brokers.depth_counts_what_waits, TimeoutError),
    StaysBound: (keeps_bindings, TimeoutError),
    AlwaysThere: (brokers.it_is_there_while_it_is_open, AssertionError),
    PublishesWhenClosed: (brokers.a_closed_connection_publishes_nothing, NotRefused),
    HearsEverything: (brokers.a_listener_hears_what_others_publish, AssertionError),
    NeverForgetsForListeners: (brokers.a_slow_listener_loses_the_oldest, AssertionError),
    TellsOneListener: (brokers.every_listener_hears_everything, TimeoutError),
    ListensToThePast: (brokers.a_listener_hears_nothing_of_before, AssertionError),
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
async def test_a_broken_broker_fails_the_promise_that_it_breaks(
    broken: Callable[[], MemoryBroker],
) -> None:
    promise, shown_by = BROKEN[broken]
    broker = broken()
    bench = BrokerBench(lambda: broker, deadline_s=0.2)

    with pytest.raises(shown_by) as caught:
        await promise(bench)
    assert caught.type is shown_by
    passed = {entry.name for entry in caught.traceback}
    assert promise.__name__ in passed
    assert not passed & {"connect", "open"}, "it did not get as far as the promise"
    await bench.close()


async def test_a_broker_that_forgets_when_it_is_closed_is_found_out() -> None:
    bench = BrokerBench(MemoryBroker, deadline_s=0.2)

    with pytest.raises(TimeoutError):
        await brokers.what_was_confirmed_survives(bench)

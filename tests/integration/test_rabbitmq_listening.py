"""What listening promises on a real RabbitMQ: over reconnects, and with nothing left behind."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sfu_wrapper.adapters.rabbitmq import link
from sfu_wrapper.model.errors import Unavailable
from tests.helpers.brokers import BrokerBench, Listener, message
from tests.helpers.rabbitmq import ApartBroker, Names, RabbitServer

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]


@pytest.fixture
async def bench(rabbitmq: RabbitServer) -> AsyncIterator[BrokerBench]:
    names = Names()
    bench = BrokerBench(lambda: ApartBroker(rabbitmq.url, names), deadline_s=60)
    yield bench
    await bench.close()


async def listeners(server: RabbitServer) -> list[str]:
    """Their queues: how long each may become, and whether it is exclusive and goes by itself.

    Heartbeats go on meanwhile.
    """
    columns = ("name", "exclusive", "auto_delete", "arguments")
    shown = await asyncio.to_thread(server.ctl, "list_queues", *columns)
    return [line for line in shown.splitlines() if "sfu_wrapper.notices." in line]


async def test_a_listener_hears_again_once_the_broker_is_back(
    bench: BrokerBench, rabbitmq: RabbitServer
) -> None:
    broker, other = await bench.connect(), await bench.connect()
    async with bench.listening(broker, "progress") as listener:
        await asyncio.to_thread(rabbitmq.kill)
        await asyncio.to_thread(rabbitmq.start)
        await listener.settle_in(other, "progress")
        await other.publish(message(1, "progress", mandatory=False))

        assert (await listener.next()).message_id == "uuid:1"


async def test_a_listener_has_a_bounded_queue_that_goes_with_it(
    bench: BrokerBench, rabbitmq: RabbitServer
) -> None:
    broker = await bench.connect()
    before = await listeners(rabbitmq)
    async with bench.listening(broker, "progress", limit=7):
        (queue,) = set(await listeners(rabbitmq)) - set(before)
    after = await listeners(rabbitmq)

    assert queue.split("\t")[1:3] == ["true", "true"]
    assert '{"x-max-length",7}' in queue
    assert after == before


@pytest.mark.parametrize("ends", ["listening", "connection"])
async def test_nobody_else_is_refused_while_a_listener_leaves(
    ends: str, bench: BrokerBench
) -> None:
    """RabbitMQ 4.3 refuses what is published while a bound queue is deleted."""
    publisher = await bench.connect()
    refused = 0
    for _ in range(5):
        controller = await bench.connect()
        heard = controller.listen(("processed",), 100)
        await Listener(heard, bench.deadline_s).settle_in(publisher, "processed")
        leaving = asyncio.ensure_future(
            heard.aclose() if ends == "listening" else controller.close()
        )
        while not leaving.done():
            try:
                await publisher.publish(message(1, "processed"))
            except Unavailable:
                refused += 1
        await leaving
        await heard.aclose()

    assert refused == 0


async def test_a_broker_that_hangs_does_not_delay_a_listener_that_stops(
    bench: BrokerBench, rabbitmq: RabbitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "HEARTBEAT_S", 600)  # so it is not that by which it is noticed
    broker = await bench.connect()
    async with asyncio.timeout(50), bench.listening(broker, "progress"):
        rabbitmq.pause()
    rabbitmq.resume()

"""What every broker promises, kept by the adapter on a real RabbitMQ."""

from collections.abc import AsyncIterator

import aio_pika
import pytest

from sfu_wrapper.adapters.rabbitmq.broker import RabbitBroker
from sfu_wrapper.adapters.rabbitmq.topology import EXCHANGE
from tests.helpers.brokers import PROMISES, QUEUES, BrokerBench, Promise
from tests.helpers.rabbitmq import RabbitServer

pytestmark = pytest.mark.system


@pytest.fixture
async def bench(rabbitmq: RabbitServer) -> AsyncIterator[BrokerBench]:
    async with await aio_pika.connect(rabbitmq.url) as connection:
        channel = await connection.channel()
        for spec in QUEUES:
            await channel.queue_delete(spec.name)
        await channel.exchange_delete(EXCHANGE)
    bench = BrokerBench(lambda: RabbitBroker(rabbitmq.url))
    yield bench
    await bench.close()


@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.__name__)
async def test_rabbitmq_keeps(promise: Promise, bench: BrokerBench) -> None:
    await promise(bench)

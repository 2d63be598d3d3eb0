"""What every broker promises, kept by the adapter on a real RabbitMQ."""

from collections.abc import AsyncIterator

import pytest

from tests.helpers.brokers import PROMISES, BrokerBench, Promise
from tests.helpers.rabbitmq import ApartBroker, Names, RabbitServer

pytestmark = pytest.mark.system


@pytest.fixture
async def bench(rabbitmq: RabbitServer) -> AsyncIterator[BrokerBench]:
    names = Names()
    bench = BrokerBench(lambda: ApartBroker(rabbitmq.url, names))
    yield bench
    await bench.close()


@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.__name__)
async def test_rabbitmq_keeps(promise: Promise, bench: BrokerBench) -> None:
    await promise(bench)

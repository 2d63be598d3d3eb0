"""What every broker promises, kept by the adapter on a real RabbitMQ."""

from collections.abc import AsyncIterator

import pytest

from tests.helpers.broker_bindings import (
    an_unbound_queue_keeps_its_messages_and_gets_no_more_of_that_key as keeps_bindings,
)
from tests.helpers.broker_traces import a_message_keeps_its_trace_context as keeps_traces
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


async def test_rabbitmq_puts_no_more_into_a_queue_that_was_unbound(bench: BrokerBench) -> None:
    await keeps_bindings(bench)


async def test_rabbitmq_keeps_the_trace_context_of_a_message(bench: BrokerBench) -> None:
    await keeps_traces(bench)

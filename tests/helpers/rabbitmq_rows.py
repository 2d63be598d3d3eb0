"""Messages and relays for tests at a real RabbitMQ."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sfu_wrapper.adapters.rabbitmq.broker import RabbitBroker
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.broker import Message, QueueSpec
from tests.helpers.rabbitmq import ApartBroker, Names, RabbitServer

WORK = "processing_queue"

QUEUES = (
    QueueSpec(WORK, ("recordingInfo",), dead_letter_key="failed", delivery_limit=8),
    QueueSpec("failure_queue", ("failed",)),
)

DEADLINE_S = 40.0


def plain(n: int, key: str = "recordingInfo") -> Message:
    return Message(key, f"uuid:{n}", b"{}", "room", 1_590_392_548_633, mandatory=True)


async def published(broker: RabbitBroker, message: Message, within_s: float = DEADLINE_S) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await broker.publish(message)
    except (Unavailable, TimeoutError):
        return False
    return True


@pytest.fixture
def names() -> Names:
    return Names()


@pytest.fixture
async def broker(rabbitmq: RabbitServer, names: Names) -> AsyncIterator[RabbitBroker]:
    broker = ApartBroker(rabbitmq.url, names)
    await broker.open(QUEUES)
    yield broker
    await broker.close()

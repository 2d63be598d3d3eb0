"""Consumers that die, return or keep what they took: nothing is lost at RabbitMQ.

The server is that of the environment (docs/how-to/testing.md, "Other servers"), or the installed
one.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing, suppress

import pytest

from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.broker import Message, QueueSpec
from tests.faults import test_worker_and_broker
from tests.helpers.rabbitmq import ApartBroker, Names, RabbitServer

pytestmark = [pytest.mark.soak, pytest.mark.system, pytest.mark.timeout(1800)]

FATES = 200
RESULTS, LIMIT = 20, 20
WORK, DONE, FAILED = "processing_queue", "processed_queue", "failure_queue"
QUEUES = (
    QueueSpec(WORK, ("recordingInfo",), dead_letter_key="failed", delivery_limit=LIMIT),
    QueueSpec(DONE, ("processed",), consumer_timeout_s=1),
    QueueSpec(FAILED, ("failed",)),
)
COMES_S = 30.0

impatient = test_worker_and_broker.impatient


async def test_results_survive_whatever_happens_to_their_consumers(
    impatient: RabbitServer, record_property: Callable[[str, object], None]
) -> None:
    names, dice, fates = Names(), random.Random(7), Counter[str]()  # noqa: S311  # no secret
    broker = ApartBroker(impatient.url, names)
    await broker.open(QUEUES)
    for number in range(RESULTS):
        await broker.publish(Message("processed", f"uuid:{number}", b"{}", "room", mandatory=True))
    for _ in range(FATES):
        (fate,) = dice.choices(("return", "crash", "timeout"), (10, 8, 2))
        fates[fate] += 1
        await suffer(impatient, names, fate, dice.randint(1, 5))
    left = {await settled(broker, DONE) for _ in range(RESULTS)}
    await broker.close()

    record_property("fates", dict(fates))
    assert left == {f"uuid:{number}" for number in range(RESULTS)}


async def test_a_segment_that_kills_its_workers_is_reported_within_its_attempts(
    impatient: RabbitServer, record_property: Callable[[str, object], None]
) -> None:
    names, dice = Names(), random.Random(8)  # noqa: S311  # no secret
    broker = ApartBroker(impatient.url, names)
    await broker.open(QUEUES)
    await broker.publish(Message("recordingInfo", "uuid:1", b"{}", "room", mandatory=True))
    tries = 0
    while await broker.depth(FAILED) == 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(3):  # the last try is none: it is in the other queue
                await suffer(impatient, names, dice.choice(("return", "crash")), 1, WORK)
            tries += 1
    failed = await settled(broker, FAILED)
    await broker.close()

    record_property("tries", tries)
    assert failed == "uuid:1"
    assert tries <= LIMIT + 1


async def suffer(
    server: RabbitServer, names: Names, fate: str, count: int, queue: str = DONE
) -> None:
    """Take messages, and return them, die with them, or keep them until the broker is tired."""
    consumer = ApartBroker(server.url, names)
    await consumer.open(QUEUES)
    try:
        async with aclosing(consumer.consume(queue, count)) as deliveries:
            held = [await anext(deliveries) for _ in range(count)]
            if fate == "timeout":
                async with asyncio.timeout(COMES_S):
                    await anext(deliveries)  # over another subscription, since all are held
            elif fate == "return":
                for each in held:
                    await each.requeue()
    finally:
        with suppress(Unavailable):
            await consumer.close()


async def settled(broker: ApartBroker, queue: str) -> str | None:
    """Take the next message, and return its id."""
    async with asyncio.timeout(COMES_S), aclosing(broker.consume(queue, 1)) as deliveries:
        delivery = await anext(deliveries)
        await delivery.ack()
    return delivery.message_id

"""The promise of every broker about a binding that is removed."""

from sfu_wrapper.ports.broker import Broker
from tests.helpers.brokers import COPY, QUEUES, WORK, BrokerBench, message


async def an_unbound_queue_keeps_its_messages_and_gets_no_more_of_that_key(
    bench: BrokerBench,
) -> None:
    """Publish to both queues, to one of them alone, under another key, and to both again."""
    broker = await bench.connect()
    await broker.publish(message(0))
    for _ in range(2):  # the second time nothing is bound
        await broker.unbind(COPY, "recordingInfo")
    await broker.publish(message(1))
    await bench.eventually(lambda: _lengths_are(broker, 2, 1))
    await broker.publish(message(2, "processed"))
    await bench.eventually(lambda: _lengths_are(broker, 2, 2))
    await broker.open(QUEUES)
    await broker.publish(message(3))
    await bench.eventually(lambda: _lengths_are(broker, 3, 3))


async def _lengths_are(broker: Broker, work: int, copy: int) -> bool:
    return (await broker.depth(WORK), await broker.depth(COPY)) == (work, copy)

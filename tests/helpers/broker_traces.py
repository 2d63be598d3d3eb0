"""The promise of every broker about the trace context of a message."""

from contextlib import aclosing
from dataclasses import replace

from sfu_wrapper.model.trace import TraceContext
from tests.helpers.brokers import DEAD, LIMIT, WORK, BrokerBench, message

TRACE = TraceContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1")


async def a_message_keeps_its_trace_context(bench: BrokerBench) -> None:
    """Publish with a whole context, a shorter one and none; then one that is dead-lettered."""
    broker = await bench.connect()
    traces = [TRACE, TraceContext(TRACE.parent), None]
    for n, trace in enumerate(traces):
        await broker.publish(replace(message(n), trace=trace))
    deliveries = await bench.take(broker, 3)
    assert [each.trace for each in deliveries] == traces
    for each in deliveries:
        await each.ack()

    await broker.publish(replace(message(4), trace=TRACE))
    async with aclosing(broker.consume(WORK, 1)) as coming:
        for _ in range(LIMIT + 1):
            (delivery,) = await bench.next(coming)
            await delivery.requeue()
    (dead,) = await bench.take(broker, queue=DEAD)
    assert dead.trace == TRACE

"""What is declared on the broker: one topic exchange, quorum queues, their bindings (events.md).

A queue that is there already is used as it is, whatever its type and arguments; where this user
may not declare or bind, what is there has to do.
"""

import logging
from collections.abc import Sequence
from typing import Final

from aio_pika import ExchangeType
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed

from sfu_wrapper.ports.broker import QueueSpec

EXCHANGE: Final = "sfu_wrapper.events"

log = logging.getLogger(__name__)

Arguments = dict[str, str | int]


def arguments(spec: QueueSpec, exchange: str) -> Arguments:
    """What a new queue is declared with.

    At-least-once dead-lettering asks for ``reject-publish``. The consumer timeout of a queue is
    obeyed from RabbitMQ 3.12 on; older ones keep to their configuration file's.
    """
    given: Arguments = {
        "x-queue-type": "quorum",
        "x-consumer-timeout": spec.consumer_timeout_s * 1000,
    }
    if spec.delivery_limit is not None:
        given["x-delivery-limit"] = spec.delivery_limit
    if spec.dead_letter_key is not None:
        given |= {
            "x-dead-letter-exchange": exchange,
            "x-dead-letter-routing-key": spec.dead_letter_key,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
    return given


async def declare(
    connection: AbstractConnection, exchange: str, queues: Sequence[QueueSpec]
) -> None:
    """Make exchange, queues and bindings be there. Raises what the library raises."""
    try:
        async with connection.channel() as channel:
            await channel.declare_exchange(exchange, ExchangeType.TOPIC, durable=True)
    except ChannelAccessRefused:
        log.warning("broker.mayNotDeclare", extra={"exchange": exchange})
    for spec in queues:
        await _declare_queue(connection, exchange, spec)
        await _bind(connection, exchange, spec)


async def _declare_queue(connection: AbstractConnection, exchange: str, spec: QueueSpec) -> None:
    try:
        async with connection.channel() as channel:
            await channel.declare_queue(
                spec.name, durable=True, arguments={**arguments(spec, exchange)}
            )
    except (ChannelPreconditionFailed, ChannelAccessRefused) as exc:
        async with connection.channel() as channel:
            await channel.declare_queue(spec.name, passive=True)
        log.info("broker.queueUsedAsItIs", extra={"queue": spec.name, "why": str(exc)})


async def _bind(connection: AbstractConnection, exchange: str, spec: QueueSpec) -> None:
    try:
        async with connection.channel() as channel:
            queue = await channel.get_queue(spec.name, ensure=False)
            for key in spec.routing_keys:
                await queue.bind(exchange, routing_key=key)
    except ChannelAccessRefused:
        log.warning("broker.mayNotBind", extra={"queue": spec.name})

"""Declaration of exchange, quorum queues and bindings on the broker (events.md).

An existing queue is used unchanged, whatever its type and arguments. A user without the right to
declare or bind works with the existing topology.
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
    """Return the arguments with which a new queue is declared.

    At-least-once dead-lettering requires ``reject-publish``. RabbitMQ obeys the consumer timeout of
    a queue from 3.12 on; older versions use the one of their configuration file.
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
    """Declare exchange, queues and bindings. Raises errors of the library."""
    try:
        async with connection.channel() as channel:
            await channel.declare_exchange(exchange, ExchangeType.TOPIC, durable=True)
    except ChannelAccessRefused:
        log.warning("broker.declareDenied", extra={"exchange": exchange})
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
        log.info("broker.queueArgumentsDiffer", extra={"queue": spec.name, "why": str(exc)})


async def _bind(connection: AbstractConnection, exchange: str, spec: QueueSpec) -> None:
    try:
        async with connection.channel() as channel:
            queue = await channel.get_queue(spec.name, ensure=False)
            for key in spec.routing_keys:
                await queue.bind(exchange, routing_key=key)
    except ChannelAccessRefused:
        log.warning("broker.bindDenied", extra={"queue": spec.name})

"""Declaration of exchange, quorum queues and bindings on the broker (events.md).

An existing queue is used unchanged, whatever its type and arguments. A user without the right to
declare or bind works with the existing topology.

RabbitMQ 4 returns a message at most 20 times, then drops it; -1 means no limit there. RabbitMQ 3
has no limit by default, and takes -1 for a limit that the first return exceeds.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Final

from aio_pika import ExchangeType
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from sfu_wrapper.ports.broker import QueueSpec

_LIMITS_RETURNS_FROM: Final = (4,)  # RabbitMQ 4.0
_OBEYS_TIMEOUT_FROM: Final = (3, 12)  # RabbitMQ 3.12
_NO_LIMIT: Final = -1

log = logging.getLogger(__name__)

Arguments = dict[str, str | int]


def server(connection: AbstractConnection) -> tuple[str, str]:
    """Return product and version of a connected server; empty where it does not report them."""
    transport = connection.transport
    properties = {} if transport is None else transport.connection.server_properties
    product, version = (properties.get(key) or "" for key in ("product", "version"))
    return str(product), str(version)


def limits_returns(product: str, version: str) -> bool:
    """Return True if a server drops messages that are returned often, unless told otherwise."""
    return product == "RabbitMQ" and _numbers(version) >= _LIMITS_RETURNS_FROM


def obeys_queue_timeout(product: str, version: str) -> bool:
    """Return False if only the consumer timeout in the server's own configuration counts."""
    return product != "RabbitMQ" or _numbers(version) >= _OBEYS_TIMEOUT_FROM


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version; empty where it has none."""
    parts = takewhile(str.isdecimal, version.split("."))
    return tuple(int(part) for part in parts)


def arguments(spec: QueueSpec, exchange: str, *, limits_returns: bool) -> Arguments:
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
    elif limits_returns:
        given["x-delivery-limit"] = _NO_LIMIT
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
        if await _declare_queue(connection, exchange, spec):
            await _bind(connection, exchange, spec)


async def _declare_queue(connection: AbstractConnection, exchange: str, spec: QueueSpec) -> bool:
    """Declare a queue, or use an existing one. Returns False if there is none."""
    given = arguments(spec, exchange, limits_returns=limits_returns(*server(connection)))
    try:
        async with connection.channel() as channel:
            await channel.declare_queue(spec.name, durable=True, arguments={**given})
    except (ChannelPreconditionFailed, ChannelAccessRefused) as exc:
        return await _uses_existing(connection, spec, why=str(exc))
    return True


async def _uses_existing(connection: AbstractConnection, spec: QueueSpec, why: str) -> bool:
    """Return True if a queue that cannot be declared exists, and log what is found.

    Raises:
        ChannelNotFoundEntity: there is none, and it is essential.
    """
    found = True
    try:
        # From RabbitMQ 4.3 on, a user without any right on a queue may not even look for it.
        with suppress(ChannelAccessRefused):
            async with connection.channel() as channel:
                await channel.declare_queue(spec.name, passive=True)
    except ChannelNotFoundEntity:
        if spec.essential:
            raise
        found = False
    if found:
        log.info("broker.queueArgumentsDiffer", extra={"queue": spec.name, "why": why})
    else:
        log.error("broker.queueMissing", extra={"queue": spec.name, "why": why})
    return found


async def _bind(connection: AbstractConnection, exchange: str, spec: QueueSpec) -> None:
    try:
        async with connection.channel() as channel:
            queue = await channel.get_queue(spec.name, ensure=False)
            for key in spec.routing_keys:
                await queue.bind(exchange, routing_key=key)
    except ChannelAccessRefused:
        log.warning("broker.bindDenied", extra={"queue": spec.name})

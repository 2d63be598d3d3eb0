"""Looking at a broker without changing it: who answers, and what its queues are like."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.connection import make_url
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity, ChannelPreconditionFailed

from sfu_wrapper.adapters.rabbitmq.foreign import translated
from sfu_wrapper.adapters.rabbitmq.link import APP_ID, CONNECT_S, drop
from sfu_wrapper.adapters.rabbitmq.topology import arguments
from sfu_wrapper.ports.broker import QueueSpec


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue that we would use.

    waiting: messages in it; None: it is not there, or we may not look.
    differs: the broker's words where it is not as we would declare it; empty: it is.
    """

    name: str
    waiting: int | None
    differs: str = ""


@dataclass(frozen=True, slots=True)
class Inspected:
    """A broker that answered."""

    product: str
    queues: tuple[Queue, ...]


async def inspect(url: str, exchange: str, queues: Sequence[QueueSpec]) -> Inspected:
    """Connect, look, hang up.

    Raises:
        Unavailable: it cannot be reached, or does not let us in.
    """
    with translated("looking at the broker"):
        async with asyncio.timeout(CONNECT_S):
            connection = aio_pika.Connection(
                make_url(url), client_properties={"connection_name": APP_ID}
            )
            try:
                await connection.connect()
                found = [await _queue(connection, exchange, spec) for spec in queues]
                return Inspected(_product(connection), tuple(found))
            finally:
                await drop(connection)


async def _queue(connection: AbstractConnection, exchange: str, spec: QueueSpec) -> Queue:
    """Declaring a queue that is there changes nothing; the broker says what differs."""
    try:
        async with connection.channel() as channel:
            there = await channel.declare_queue(spec.name, passive=True)
            waiting = there.declaration_result.message_count
    except ChannelNotFoundEntity:
        return Queue(spec.name, None)
    except ChannelAccessRefused as refused:
        return Queue(spec.name, None, str(refused))
    try:
        async with connection.channel() as channel:
            await channel.declare_queue(
                spec.name, durable=True, arguments={**arguments(spec, exchange)}
            )
    except (ChannelPreconditionFailed, ChannelAccessRefused) as refused:
        return Queue(spec.name, waiting, str(refused))
    return Queue(spec.name, waiting)


def _product(connection: AbstractConnection) -> str:
    """Name and version, as the broker says them."""
    transport = connection.transport
    told = {} if transport is None else transport.connection.server_properties
    words = (told.get(key) for key in ("product", "version"))
    return " ".join(str(word) for word in words if word) or "a broker that does not say which"

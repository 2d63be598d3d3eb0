"""Read-only inspection of a broker: product, version, and its queues, for ``doctor``."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.connection import make_url
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity, ChannelPreconditionFailed

from sfu_wrapper.adapters.rabbitmq.foreign import translated
from sfu_wrapper.adapters.rabbitmq.link import APP_ID, CONNECT_S, drop
from sfu_wrapper.adapters.rabbitmq.topology import (
    arguments,
    limits_returns,
    obeys_queue_timeout,
    server,
)
from sfu_wrapper.ports.broker import QueueSpec


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue that the services use.

    Attributes:
        name: its name.
        waiting: number of messages in it; None: no such queue, or no right to inspect it.
        differs: the broker's message if its arguments differ from ours; else empty.
        denied: the broker's message if the user has no right to inspect or declare it; else empty.
        limited: the server drops its messages after some returns, unless a policy says otherwise.
    """

    name: str
    waiting: int | None
    differs: str = ""
    denied: str = ""
    limited: bool = False


@dataclass(frozen=True, slots=True)
class Inspected:
    """A broker that answered.

    Attributes:
        product: name and version.
        queues: the queues, in the order of the request.
        obeys_timeout: consumer timeouts of queues count, not that of the server.
    """

    product: str
    queues: tuple[Queue, ...]
    obeys_timeout: bool


async def inspect(url: str, exchange: str, queues: Sequence[QueueSpec]) -> Inspected:
    """Connect, inspect the queues, disconnect.

    Raises:
        Unavailable: the broker cannot be reached, or refuses the login.
    """
    async with _connected(url) as connection:
        found = [await _queue(connection, exchange, spec) for spec in queues]
        return Inspected(
            _product(connection), tuple(found), obeys_queue_timeout(*server(connection))
        )


async def lengths(url: str, queues: Iterable[str]) -> dict[str, int]:
    """Return the number of waiting messages of each queue that exists and may be inspected.

    Raises:
        Unavailable: the broker cannot be reached, or refuses the login.
    """
    async with _connected(url) as connection:
        found = {name: await _waiting(connection, name) for name in queues}
    return {name: waiting for name, waiting in found.items() if waiting is not None}


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AbstractConnection]:
    """Connect, and disconnect at the end. Raises Unavailable, also after ``CONNECT_S``."""
    with translated("inspecting the broker"):
        async with asyncio.timeout(CONNECT_S):
            connection = aio_pika.Connection(
                make_url(url), client_properties={"connection_name": APP_ID}
            )
            try:
                await connection.connect()
                yield connection
            finally:
                await drop(connection)


async def _waiting(connection: AbstractConnection, name: str) -> int | None:
    with suppress(ChannelNotFoundEntity, ChannelAccessRefused):
        async with connection.channel() as channel:
            found = await channel.declare_queue(name, passive=True)
            return found.declaration_result.message_count
    return None


async def _queue(connection: AbstractConnection, exchange: str, spec: QueueSpec) -> Queue:
    """Return the state of a queue. Declaring an existing queue changes nothing but reports
    different arguments.
    """
    try:
        async with connection.channel() as channel:
            found = await channel.declare_queue(spec.name, passive=True)
            waiting = found.declaration_result.message_count
    except ChannelNotFoundEntity:
        return Queue(spec.name, None)
    except ChannelAccessRefused as refused:
        return Queue(spec.name, None, denied=str(refused))
    forgets = limits_returns(*server(connection))
    try:
        async with connection.channel() as channel:
            given = arguments(spec, exchange, limits_returns=forgets)
            await channel.declare_queue(spec.name, durable=True, arguments={**given})
    except ChannelPreconditionFailed as refused:
        limited = forgets and spec.delivery_limit is None
        return Queue(spec.name, waiting, str(refused), limited=limited)
    except ChannelAccessRefused as refused:
        return Queue(spec.name, waiting, denied=str(refused))
    return Queue(spec.name, waiting)


def _product(connection: AbstractConnection) -> str:
    """Return name and version as the broker reports them."""
    return " ".join(filter(None, server(connection))) or "unknown broker"

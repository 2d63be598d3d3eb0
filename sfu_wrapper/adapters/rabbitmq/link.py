"""A connection to RabbitMQ, from set-up to loss; ``broker`` reconnects by making another one.

This replaces the reconnection of the library: its robust channels fail every publish while they
reconnect, and restore consumers without notice, so that old deliveries could be settled twice.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange
from aio_pika.connection import make_url
from aio_pika.exceptions import AMQPConnectionError, ChannelInvalidStateError

from sfu_wrapper.adapters.rabbitmq.foreign import FOREIGN, translated
from sfu_wrapper.adapters.rabbitmq.topology import declare
from sfu_wrapper.ports.broker import Message, QueueSpec

HEARTBEAT_S: Final = 5
CONNECT_S: Final = 10.0
_CLOSE_S: Final = 3.0
APP_ID: Final = "sfu-wrapper"


# The library logs every failed attempt with a traceback; ``broker`` logs one line instead.
for _name in ("aiormq", "aio_pika"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class Link:
    """A connection with a channel in confirm mode.

    Attributes:
        lost: set once connection or channel is closed.
    """

    def __init__(
        self, connection: AbstractConnection, channel: AbstractChannel, exchange: AbstractExchange
    ) -> None:
        self.lost = asyncio.Event()
        self._connection = connection
        self._channel = channel
        self._exchange = exchange
        connection.close_callbacks.add(self._gone)
        channel.close_callbacks.add(self._gone)

    @property
    def usable(self) -> bool:
        """True while neither connection nor channel is closed.

        The library calls its close callbacks after its clean-up; this property sees a loss earlier.
        """
        if self._connection.is_closed or self._channel.is_closed:
            self.lost.set()
        return not self.lost.is_set()

    async def publish(self, message: Message) -> None:
        """Publish, and return once the broker has confirmed. Raises errors of the library."""
        try:
            await self._exchange.publish(
                _amqp(message), routing_key=message.routing_key, mandatory=message.mandatory
            )
        except (AMQPConnectionError, ChannelInvalidStateError):
            self.lost.set()
            raise

    async def declare(self, exchange: str, queues: Sequence[QueueSpec]) -> None:
        """Declare more queues. Raises errors of the library."""
        await declare(self._connection, exchange, queues)

    async def channel(self) -> AbstractChannel:
        """Open another channel. Raises errors of the library."""
        return await self._connection.channel(publisher_confirms=False)

    async def close(self) -> None:
        """Disconnect; the broker returns unsettled deliveries to their queues."""
        self.lost.set()
        await drop(self._connection)

    def _gone(self, *_: object) -> None:
        self.lost.set()


async def connect(url: str, exchange: str, queues: Sequence[QueueSpec]) -> Link:
    """Connect and declare. Raises Unavailable, also after ``CONNECT_S``."""
    with translated("connecting to the broker"):
        async with asyncio.timeout(CONNECT_S):
            connection = aio_pika.Connection(
                make_url(url, heartbeat=HEARTBEAT_S),
                client_properties={"connection_name": APP_ID},
            )
            try:
                await connection.connect()
                await declare(connection, exchange, queues)
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                source = await channel.get_exchange(exchange, ensure=False)
            except BaseException:
                await drop(connection)
                raise
            return Link(connection, channel, source)


async def drop(connection: AbstractConnection) -> None:
    """Close a connection within a deadline; a second call aborts one whose broker does not answer.

    The garbage collector would close a connection left open, possibly on another event loop.
    """
    try:
        with suppress(*FOREIGN, TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await connection.close()
    finally:
        if not connection.is_closed:
            await connection.close()


def _amqp(message: Message) -> aio_pika.Message:
    mode = aio_pika.DeliveryMode
    return aio_pika.Message(
        message.body,
        content_type="application/json",
        delivery_mode=mode.PERSISTENT if message.persistent else mode.NOT_PERSISTENT,
        message_id=message.message_id,
        correlation_id=message.correlation_id,
        timestamp=message.timestamp_ms // 1000,
        type=message.routing_key,
        app_id=APP_ID,
        headers=None if message.trace is None else dict(message.trace.fields),
    )

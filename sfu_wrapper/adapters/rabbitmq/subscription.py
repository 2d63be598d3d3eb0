"""Consumers: one subscription per queue and link, and its deliveries.

``subscribe`` consumes from a declared queue, ``listen_on`` from an exclusive queue that the broker
deletes with the link. ``broker`` makes a new subscription after each loss of the link. A delivery
can be settled only over the channel on which it arrived: once that channel is closed, the broker
delivers the message again, to any consumer.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from sfu_wrapper.adapters.rabbitmq.foreign import FOREIGN, translated
from sfu_wrapper.adapters.rabbitmq.link import Link
from sfu_wrapper.model.errors import Unavailable

_SUBSCRIBE_S: Final = 10.0
_CLOSE_S: Final = 2.0
_SETTLE_S: Final = 5.0
_LISTENER: Final = (
    "sfu_wrapper.notices"  # fixed prefix, for brokers that permit queue names by pattern
)
_LISTEN_PREFETCH: Final = 100
_LISTEN_BYTES: Final = 64 * 1024 * 1024  # messages that wait at the broker for a listener


class Subscription:
    """Deliveries of one queue, until ``close`` or the loss of the link."""

    def __init__(self, link: Link, channel: AbstractChannel, queue: AbstractQueue) -> None:
        self._link = link
        self._channel = channel
        self._queue = queue
        # Bounded by the prefetch; None marks the end and wakes the reader.
        self._inbox: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._tag: str | None = None
        self._unsettled: set[int] = set()  # tags of unsettled deliveries
        self._lost = False
        channel.close_callbacks.add(self._gone)

    async def start(self) -> None:
        """Start consuming. Raises errors of the library."""
        # If the queue is deleted or loses its leader, the broker cancels the consumer.
        (await self._channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(self._gone)
        self._tag = await self._queue.consume(self._arrived)

    async def next(self) -> "RabbitDelivery | None":
        """Return the next delivery; None once this link has ended."""
        if self._lost and self._inbox.empty():
            return None
        message = await self._inbox.get()
        if message is None or self._lost:
            return None
        if message.delivery_tag is not None:
            self._unsettled.add(message.delivery_tag)
        return RabbitDelivery(self, message)

    async def close(self) -> None:
        """Stop consuming; keep the channel open until all deliveries are settled.

        If the broker does not answer in time, drop the link.
        """
        tag, self._tag = self._tag, None
        with suppress(Unavailable), translated("ending a consumer"):
            async with _answered_in_time(self._link):
                if tag is not None and not self._lost:
                    await self._queue.cancel(tag)
                while not self._inbox.empty():
                    message = self._inbox.get_nowait()
                    if message is not None and not self._lost:
                        await message.nack(requeue=True)
                if not self._unsettled:
                    await self._channel.close()

    async def settle(self, message: AbstractIncomingMessage, *, done: bool) -> None:
        """Acknowledge or requeue a delivery. Raises Unavailable when the link was lost.

        A caller that was cancelled may call again: a second call after a sent one does nothing.
        """
        tag = message.delivery_tag
        with translated("settling a delivery"):
            if self._lost:
                raise Unavailable("the link that this delivery came over was lost")
            if tag is None or tag not in self._unsettled:
                return  # the broker closes a channel on which a tag is settled twice
            async with asyncio.timeout(_SETTLE_S):
                await _send(message, tag, done=done)
            self._unsettled.discard(tag)
        if self._tag is None and not self._unsettled:
            await self.close()

    async def _arrived(self, message: AbstractIncomingMessage) -> None:
        self._inbox.put_nowait(message)

    def _gone(self, *_: object) -> None:
        self._lost = True
        self._inbox.put_nowait(None)


async def subscribe(link: Link, queue: str, prefetch: int) -> Subscription:
    """Start consuming from a queue. Raises Unavailable."""
    with translated(f"reading {queue}"):
        async with asyncio.timeout(_SUBSCRIBE_S):
            async with _started_on(link) as channel:
                await channel.set_qos(prefetch_count=prefetch)
                named = await channel.get_queue(queue, ensure=False)
                subscription = Subscription(link, channel, named)
                await subscription.start()
                return subscription


async def listen_on(
    link: Link, exchange: str, routing_keys: tuple[str, ...], limit: int
) -> Subscription:
    """Start consuming from an exclusive queue that ends with the link. Raises Unavailable.

    Args:
        link: the connection.
        exchange: name of the exchange.
        routing_keys: keys to bind.
        limit: messages that wait at the broker at most; as many again may wait here.
    """
    with translated("listening"):
        async with asyncio.timeout(_SUBSCRIBE_S):
            async with _started_on(link) as channel:
                await channel.set_qos(prefetch_count=min(limit, _LISTEN_PREFETCH))
                queue = await channel.declare_queue(
                    f"{_LISTENER}.{uuid.uuid4().hex}",
                    exclusive=True,
                    auto_delete=True,
                    arguments={
                        "x-max-length": limit,
                        "x-max-length-bytes": _LISTEN_BYTES,
                        "x-overflow": "drop-head",
                    },
                )
                for key in routing_keys:
                    await queue.bind(exchange, routing_key=key)
                subscription = Subscription(link, channel, queue)
                await subscription.start()
                return subscription


@asynccontextmanager
async def _started_on(link: Link) -> AsyncIterator[AbstractChannel]:
    """Open a channel, and close it if starting a consumer on it fails.

    The broker may have started the consumer although its answer came too late; an open channel
    would withhold its deliveries from other consumers.
    """
    channel = await link.channel()
    try:
        yield channel
    except BaseException:
        with suppress(*FOREIGN, TimeoutError):
            async with _answered_in_time(link):
                await channel.close()
        raise


@asynccontextmanager
async def _answered_in_time(link: Link) -> AsyncIterator[None]:
    """Limit the wait for the broker; on timeout drop the link and raise TimeoutError.

    Otherwise deliveries that no consumer settles would stay unsettled as long as the link exists.
    """
    try:
        async with asyncio.timeout(_CLOSE_S):
            yield
    except TimeoutError:
        link.lost.set()
        raise


async def _send(message: AbstractIncomingMessage, tag: int, *, done: bool) -> None:
    """Send ack or nack without waiting: AMQP has no reply to them."""
    if done:
        await message.channel.basic_ack(tag, wait=False)
    else:
        await message.channel.basic_nack(tag, requeue=True, wait=False)


class RabbitDelivery:
    """``ports.broker.Delivery`` of RabbitMQ."""

    def __init__(self, subscription: Subscription, message: AbstractIncomingMessage) -> None:
        self._subscription = subscription
        self._message = message

    @property
    def body(self) -> bytes:
        """See ``Delivery``."""
        return self._message.body

    @property
    def message_id(self) -> str | None:
        """See ``Delivery``."""
        return self._message.message_id

    @property
    def routing_key(self) -> str:
        """See ``Delivery``."""
        return self._message.routing_key or ""

    @property
    def deliveries(self) -> int:
        """See ``Delivery``. A classic queue reports redelivery without a count."""
        counted = self._message.headers.get("x-delivery-count")
        return counted if isinstance(counted, int) else int(bool(self._message.redelivered))

    async def ack(self) -> None:
        """See ``Delivery``."""
        await self._subscription.settle(self._message, done=True)

    async def requeue(self) -> None:
        """See ``Delivery``."""
        await self._subscription.settle(self._message, done=False)

"""Consumers: one subscription per queue and link, and its deliveries.

``subscribe`` consumes from a declared queue, ``listen_on`` from an exclusive queue that the broker
deletes with the link. ``broker`` makes a new subscription after each loss of the link. A delivery
can be settled only over the channel on which it arrived: once that channel is closed, the broker
delivers the message again, to any consumer.

Where the broker ends a consumer (its queue was deleted, or from RabbitMQ 4.3 on a delivery exceeded
the consumer timeout), the channel is closed at once: it would keep the other deliveries.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aiormq.exceptions import ChannelPreconditionFailed

from sfu_wrapper.adapters.rabbitmq.foreign import FOREIGN, translated
from sfu_wrapper.adapters.rabbitmq.link import Link
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.trace import TRACEPARENT, TRACESTATE, TraceContext, trace_context

_SUBSCRIBE_S: Final = 10.0
_CLOSE_S: Final = 2.0
_SETTLE_S: Final = 5.0
LISTENER: Final = (
    "sfu_wrapper.notices"  # fixed prefix, for brokers that permit queue names by pattern
)
_LISTEN_PREFETCH: Final = 100
_LISTEN_BYTES: Final = 64 * 1024 * 1024  # messages that wait at the broker for a listener
_TIMED_OUT: Final = "timed out"  # in the reason of RabbitMQ before 4.3
_DELETED: Final = "the queue was deleted, or moves to another node"
_TIMEOUT: Final = (
    "a delivery was not settled within the consumer timeout: raise worker.consumerTimeoutSeconds "
    "and the queue's x-consumer-timeout, before RabbitMQ 3.12 consumer_timeout of the server"
)

log = logging.getLogger(__name__)


class Subscription:
    """Deliveries of one queue, until ``close`` or the loss of the link.

    Args:
        link: the connection.
        channel: a channel of its own.
        queue: the queue.
        bound: exchange and routing keys to unbind before the end.
    """

    def __init__(
        self,
        link: Link,
        channel: AbstractChannel,
        queue: AbstractQueue,
        bound: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self._link = link
        self._channel = channel
        self._queue = queue
        self._bound = bound
        # Bounded by the prefetch; None marks the end and wakes the reader.
        self._inbox: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._tag: str | None = None
        self._unsettled: dict[int, float] = {}  # tag to loop time of unsettled deliveries
        self._lost = False
        self._closing: asyncio.Task[None] | None = None  # keeps the task from being collected
        channel.close_callbacks.add(self._on_closed)

    async def start(self) -> None:
        """Start consuming. Raises errors of the library."""
        underlying = await self._channel.get_underlay_channel()
        underlying.on_consumer_cancel_callbacks.add(self._on_cancelled)
        self._tag = await self._queue.consume(self._arrived)

    async def next(self) -> "RabbitDelivery | None":
        """Return the next delivery; None once this link has ended."""
        if self._lost and self._inbox.empty():
            return None
        message = await self._inbox.get()
        if message is None or self._lost:
            return None
        if message.delivery_tag is not None:
            self._unsettled[message.delivery_tag] = asyncio.get_running_loop().time()
        return RabbitDelivery(self, message)

    async def close(self) -> None:
        """Stop consuming; keep the channel open until all deliveries are settled.

        If the broker does not answer in time, drop the link.
        """
        tag, self._tag = self._tag, None
        await self.unbind()
        with suppress(Unavailable), translated("ending a consumer"):
            async with _answered_in_time(self._link):
                if tag is not None and not self._lost:
                    await self._queue.cancel(tag)
                while not self._inbox.empty():
                    message = self._inbox.get_nowait()
                    if message is not None and not self._lost:
                        await message.nack(requeue=True)  # not tried: RabbitMQ 4.3 counts no nack
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
            self._unsettled.pop(tag, None)
        if self._tag is None and not self._unsettled:
            await self.close()

    async def _arrived(self, message: AbstractIncomingMessage) -> None:
        self._inbox.put_nowait(message)

    async def unbind(self) -> None:
        """Stop new messages for a queue that ends with its consumer.

        From RabbitMQ 4.3 on, a message published while the queue is deleted is refused.
        """
        bound, self._bound = self._bound, ()
        with suppress(Unavailable), translated("unbinding a queue"):
            async with _answered_in_time(self._link):
                for exchange, key in () if self._lost else bound:
                    await self._queue.unbind(exchange, routing_key=key)

    async def _on_cancelled(self, _: object) -> None:
        if not self._lost:
            # It gives no reason, so that a deleted queue looks the same while deliveries are out.
            self._end(f"{_TIMEOUT}; or {_DELETED}" if self._unsettled else _DELETED)
            self._closing = asyncio.create_task(self._give_back())

    def _on_closed(self, _: object, error: BaseException | None) -> None:
        timed_out = isinstance(error, ChannelPreconditionFailed) and _TIMED_OUT in str(error)
        self._end(_TIMEOUT if timed_out else None)

    def _end(self, why: str | None) -> None:
        """Wake the reader; the broker delivers again what is unsettled."""
        self._lost = True
        self._inbox.put_nowait(None)
        if why is not None:
            now_s = asyncio.get_running_loop().time()
            longest_s = now_s - min(self._unsettled.values(), default=now_s)
            more = {"unsettled": len(self._unsettled), "longestSeconds": round(longest_s, 1)}
            log.warning(
                "broker.consumerEnded", extra={"queue": self._queue.name, "why": why, **more}
            )

    async def _give_back(self) -> None:
        """Close the channel, so that the broker delivers all that it holds to other consumers."""
        with suppress(Unavailable), translated("closing a channel"):
            async with _answered_in_time(self._link):
                await self._channel.close()


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
                    f"{LISTENER}.{uuid.uuid4().hex}",
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
                bound = tuple((exchange, key) for key in routing_keys)
                subscription = Subscription(link, channel, queue, bound)
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
    """Send ack or reject without waiting: AMQP has no reply to them.

    RabbitMQ 4.3 counts a returned message as delivered only after reject, not after nack.
    """
    if done:
        await message.channel.basic_ack(tag, wait=False)
    else:
        await message.channel.basic_reject(tag, requeue=True, wait=False)


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

    @property
    def trace(self) -> TraceContext | None:
        """See ``Delivery``."""
        headers = self._message.headers
        return trace_context(headers.get(TRACEPARENT), headers.get(TRACESTATE))

    async def ack(self) -> None:
        """See ``Delivery``."""
        await self._subscription.settle(self._message, done=True)

    async def requeue(self) -> None:
        """See ``Delivery``."""
        await self._subscription.settle(self._message, done=False)

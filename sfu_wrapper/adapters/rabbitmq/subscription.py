"""One consumer on one link, and the deliveries that came over it.

A delivery can be settled over the channel that it came on and no other: once that is gone, the
broker has given it to somebody else.
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
_LISTENER: Final = "sfu_wrapper.notices"  # a name of ours, for whoever permits names by pattern
_LISTEN_PREFETCH: Final = 100
_LISTEN_BYTES: Final = 64 * 1024 * 1024  # of what waits at the broker for a listener


class Subscription:
    """Deliveries of one queue, until ``close`` or the loss of the link."""

    def __init__(self, link: Link, channel: AbstractChannel, queue: AbstractQueue) -> None:
        self._link = link
        self._channel = channel
        self._queue = queue
        # Bounded by the prefetch; None wakes whoever waits when there will be no more.
        self._inbox: asyncio.Queue[AbstractIncomingMessage | None] = asyncio.Queue()
        self._tag: str | None = None
        self._handed_out: set[int] = set()  # the tags of what is not settled yet
        self._lost = False
        channel.close_callbacks.add(self._gone)

    async def start(self) -> None:
        """Begin. Raises what the library raises."""
        # The queue may be deleted under us, or its leader may go: then nothing more would come.
        (await self._channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(self._gone)
        self._tag = await self._queue.consume(self._arrived)

    async def next(self) -> "RabbitDelivery | None":
        """The next delivery; None once there will be no more over this link."""
        if self._lost and self._inbox.empty():
            return None
        message = await self._inbox.get()
        if message is None or self._lost:
            return None
        if message.delivery_tag is not None:
            self._handed_out.add(message.delivery_tag)
        return RabbitDelivery(self, message)

    async def close(self) -> None:
        """Take no more; the channel stays while anything handed out can still be settled.

        A broker that does not answer is not waited for: the link is given up instead.
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
                if not self._handed_out:
                    await self._channel.close()

    async def settle(self, message: AbstractIncomingMessage, *, done: bool) -> None:
        """Acknowledge, or hand back. Raises Unavailable when the link was lost.

        Whoever gives up waiting may settle it again, which counts only where nothing was sent.
        """
        tag = message.delivery_tag
        with translated("settling a delivery"):
            if self._lost:
                raise Unavailable("the link that this delivery came over was lost")
            if tag is None or tag not in self._handed_out:
                return  # sent twice, the broker would close the channel, with all that is on it
            async with asyncio.timeout(_SETTLE_S):
                await _send(message, tag, done=done)
            self._handed_out.discard(tag)
        if self._tag is None and not self._handed_out:
            await self.close()

    async def _arrived(self, message: AbstractIncomingMessage) -> None:
        self._inbox.put_nowait(message)

    def _gone(self, *_: object) -> None:
        self._lost = True
        self._inbox.put_nowait(None)


async def subscribe(link: Link, queue: str, prefetch: int) -> Subscription:
    """Begin to consume. Raises Unavailable."""
    with translated(f"reading {queue}"):
        async with asyncio.timeout(_SUBSCRIBE_S):
            async with _begun_on(link) as channel:
                await channel.set_qos(prefetch_count=prefetch)
                named = await channel.get_queue(queue, ensure=False)
                subscription = Subscription(link, channel, named)
                await subscription.start()
                return subscription


async def overhear(
    link: Link, exchange: str, routing_keys: tuple[str, ...], limit: int
) -> Subscription:
    """Begin to consume from a queue of our own, which goes with the link. Raises Unavailable.

    limit: messages that wait at the broker; here as many more at most.
    """
    with translated("listening"):
        async with asyncio.timeout(_SUBSCRIBE_S):
            async with _begun_on(link) as channel:
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
async def _begun_on(link: Link) -> AsyncIterator[AbstractChannel]:
    """A channel, which is closed again where what is begun on it does not come about.

    The broker may take somebody for a consumer who has given up waiting for its answer; left open,
    the channel would keep what is delivered to it from everybody else.
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
    """Raises TimeoutError where it is not, and gives up the link: all of it goes back to its queue.

    Else messages that nobody will settle would stay where they are for as long as the link does.
    """
    try:
        async with asyncio.timeout(_CLOSE_S):
            yield
    except TimeoutError:
        link.lost.set()
        raise


async def _send(message: AbstractIncomingMessage, tag: int, *, done: bool) -> None:
    """To the link, at once or not at all: by waiting one learns no more, since nothing answers."""
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
        """See ``Delivery``. A classic queue only knows whether, not how often."""
        counted = self._message.headers.get("x-delivery-count")
        return counted if isinstance(counted, int) else int(bool(self._message.redelivered))

    async def ack(self) -> None:
        """See ``Delivery``."""
        await self._subscription.settle(self._message, done=True)

    async def requeue(self) -> None:
        """See ``Delivery``."""
        await self._subscription.settle(self._message, done=False)

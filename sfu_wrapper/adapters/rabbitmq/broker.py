"""``ports.broker.Broker`` on RabbitMQ: maintains one link, publishes and consumes over it.

``open`` connects and starts the keeper task, which waits for the loss of the link and reconnects
with backoff. Each new link declares exchange, queues and bindings again. While there is no link, a
publish waits for one up to its deadline; consumers and listeners subscribe again on the new link.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Final

from aiormq.exceptions import ChannelAccessRefused

from sfu_wrapper.adapters.rabbitmq.foreign import translated
from sfu_wrapper.adapters.rabbitmq.link import CONNECT_S, Link, connect
from sfu_wrapper.adapters.rabbitmq.subscription import (
    RabbitDelivery,
    Subscription,
    listen_on,
    subscribe,
)
from sfu_wrapper.core.backoff import Backoff, Reminders
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.broker import EXCHANGE, Message, QueueSpec, ReceivedMessage

PUBLISH_S: Final = 5.0
BACKOFF: Final = Backoff(0.2, 5.0, jitter=random.random)
_CONSUME_BACKOFF: Final = Backoff(1.0, 1.0, jitter=random.random)
# Long, since the user may lack the right to listen.
_LISTEN_BACKOFF: Final = Backoff(1.0, 30.0, jitter=random.random)

log = logging.getLogger(__name__)


class RabbitBroker:
    """A connection to RabbitMQ that reconnects by itself.

    Args:
        url: ``amqp://`` or ``amqps://``, with user and password; never logged.
        exchange: name of the topic exchange.
        publish_timeout_s: seconds until an unconfirmed publish fails.
    """

    def __init__(
        self, url: str, *, exchange: str = EXCHANGE, publish_timeout_s: float = PUBLISH_S
    ) -> None:
        self._url = url
        self._exchange = exchange
        self._publish_timeout_s = publish_timeout_s
        self._queues: dict[str, QueueSpec] = {}
        self._link: Link | None = None
        self._opening = (
            asyncio.Lock()
        )  # relay and worker may share a broker, and open it concurrently
        self._changed = asyncio.Condition()
        self._keeper: asyncio.Task[None] | None = None
        self._subscriptions: set[Subscription] = set()

    async def open(self, queues: tuple[QueueSpec, ...]) -> None:
        """See ``Broker``."""
        self._queues |= {spec.name: spec for spec in queues}
        async with self._opening:
            if self._keeper is None:
                link = await connect(self._url, self._exchange, tuple(self._queues.values()))
                await self._set(link)
                self._keeper = asyncio.create_task(self._keep(link))
                return
        with translated("declaring queues"):
            async with asyncio.timeout(CONNECT_S):
                await (await self._linked()).declare(self._exchange, queues)

    async def publish(self, message: Message) -> None:
        """See ``Broker``."""
        self._require_open()
        with translated(f"publishing {message.routing_key}"):
            async with asyncio.timeout(self._publish_timeout_s):
                await (await self._linked()).publish(message)

    async def consume(self, queue: str, prefetch: int) -> AsyncGenerator[RabbitDelivery, None]:
        """See ``Broker``."""
        pauses_s = iter(_CONSUME_BACKOFF)
        while self._keeper is not None:
            subscription = await self._subscribe(
                queue, lambda link: subscribe(link, queue, prefetch), pauses_s
            )
            if subscription is None:
                continue
            self._subscriptions.add(subscription)
            try:
                while (delivery := await subscription.next()) is not None:
                    yield delivery
            finally:
                self._subscriptions.discard(subscription)
                await subscription.close()

    async def listen(
        self, routing_keys: tuple[str, ...], limit: int
    ) -> AsyncGenerator[ReceivedMessage, None]:
        """See ``Broker``."""
        pauses_s = iter(_LISTEN_BACKOFF)
        while self._keeper is not None:
            subscription = await self._subscribe(
                "notices",
                lambda link: listen_on(link, self._exchange, routing_keys, limit),
                pauses_s,
            )
            if subscription is None:
                continue
            pauses_s = iter(_LISTEN_BACKOFF)
            self._subscriptions.add(subscription)
            try:
                while (delivery := await subscription.next()) is not None:
                    with suppress(Unavailable):  # the broker has deleted the queue with the link
                        await delivery.ack()
                    yield ReceivedMessage(delivery.routing_key, delivery.message_id, delivery.body)
            finally:
                self._subscriptions.discard(subscription)
                await subscription.close()

    def is_available(self) -> bool:
        """See ``Broker``."""
        return self._up

    async def depth(self, queue: str) -> int:
        """See ``Broker``."""
        self._require_open()
        with translated(f"inspecting {queue}"):
            async with asyncio.timeout(self._publish_timeout_s):
                channel = await (await self._linked()).channel()
                async with channel:
                    try:
                        found = await channel.declare_queue(queue, passive=True)
                    except ChannelAccessRefused as error:
                        reason = f"{queue}: this user has no right on the queue"
                        raise Unavailable(reason, denied=True) from error
                    return found.declaration_result.message_count or 0

    async def unbind(self, queue: str, routing_key: str) -> None:
        """See ``Broker``."""
        self._require_open()
        with translated(f"unbinding {queue}"):
            async with asyncio.timeout(self._publish_timeout_s):
                async with await (await self._linked()).channel() as channel:
                    named = await channel.get_queue(queue, ensure=False)
                    await named.unbind(self._exchange, routing_key=routing_key)

    async def close(self) -> None:
        """See ``Broker``."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        keeper.cancel()
        await asyncio.wait([keeper])
        await asyncio.gather(*(each.unbind() for each in self._subscriptions))
        link = self._link
        await self._set(None)
        if link is not None:
            await link.close()

    def _require_open(self) -> None:
        if self._keeper is None:
            raise Unavailable("the broker's connection is closed")

    async def _linked(self) -> Link:
        """Wait for a link and return it; the caller sets the deadline."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._keeper is None or self._up)
        self._require_open()
        if self._link is None:
            raise Unavailable("the broker's connection is closed")
        return self._link

    @property
    def _up(self) -> bool:
        return self._link is not None and self._link.usable

    async def _subscribe(
        self,
        queue: str,
        begin: Callable[[Link], Awaitable[Subscription]],
        pauses_s: Iterator[float],
    ) -> Subscription | None:
        """Subscribe on the current link; after a failure, pause and return None."""
        try:
            return await begin(await self._linked())
        except Unavailable as error:
            if self._keeper is not None:
                log.warning("broker.cannotConsume", extra={"queue": queue, "error": error.detail})
                await asyncio.sleep(next(pauses_s))
            return None

    async def _set(self, link: Link | None) -> None:
        async with self._changed:
            self._link = link
            self._changed.notify_all()

    async def _keep(self, link: Link) -> None:
        """Replace the link whenever it is lost, until cancelled."""
        while True:
            await link.lost.wait()
            log.warning("broker.lost")
            await self._set(None)
            await link.close()
            link = await self._reconnect()
            await self._set(link)
            log.info("broker.recovered")

    async def _reconnect(self) -> Link:
        pauses_s, reminders = iter(BACKOFF), Reminders()
        while True:
            try:
                return await connect(self._url, self._exchange, tuple(self._queues.values()))
            except Unavailable as error:
                if reminders.due(asyncio.get_running_loop().time()):
                    log.warning("broker.unavailable", extra={"error": error.detail})
            except Exception:  # a bug here must not end the reconnection
                log.exception("broker.connectFailed")
            await asyncio.sleep(next(pauses_s))

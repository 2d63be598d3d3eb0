"""The broker: at-least-once delivery with confirms (events.md).

One exchange, durable queues bound by routing key. RabbitMQ, the embedded queue file and the
in-memory fake pass one contract suite.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final, Protocol

from sfu_wrapper.model.trace import TraceContext

EXCHANGE: Final = "sfu_wrapper.events"
"""Name of the exchange (topic, durable)."""


@dataclass(frozen=True, slots=True)
class Message:
    """Message as published.

    Attributes:
        routing_key: routing key, also the AMQP ``type``.
        message_id: stable over retries; a consumer drops duplicates by it.
        body: UTF-8 JSON.
        correlation_id: id of the room; None where there is none.
        timestamp_ms: epoch ms of the first attempt to publish.
        mandatory: fail where no queue would take the message.
        persistent: survive a restart of the broker; False only for ``progress``.
        trace: trace context, in the headers ``traceparent`` and ``tracestate``.
    """

    routing_key: str
    message_id: str
    body: bytes
    correlation_id: str | None = None
    timestamp_ms: int = 0
    mandatory: bool = False
    persistent: bool = True
    trace: TraceContext | None = None


class Delivery(Protocol):
    """Message as delivered, to be settled exactly once."""

    @property
    def body(self) -> bytes:
        """Body as it was published."""
        ...

    @property
    def message_id(self) -> str | None:
        """Id given by the sender; None where there is none."""
        ...

    @property
    def routing_key(self) -> str:
        """Routing key with which the message was published."""
        ...

    @property
    def deliveries(self) -> int:
        """Number of earlier deliveries, as far as the broker counts them."""
        ...

    @property
    def trace(self) -> TraceContext | None:
        """Trace context of the message; None where the sender gave none, or an invalid one."""
        ...

    async def ack(self) -> None:
        """Remove the message from its queue. Raises Unavailable after a connection loss."""
        ...

    async def requeue(self) -> None:
        """Return the message to its queue. Raises Unavailable after a connection loss."""
        ...


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """Message received by a listener; there is nothing to settle.

    Attributes:
        routing_key: routing key with which the message was published.
        message_id: id given by the sender; None where there is none.
        body: body as published.
    """

    routing_key: str
    message_id: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """Durable queue to declare.

    Attributes:
        name: name of the queue.
        routing_keys: routing keys that it is bound to.
        dead_letter_key: routing key for the messages that exceed the limit; None: dropped.
        delivery_limit: number of redeliveries before that; None: no limit.
        consumer_timeout_s: seconds for which a delivery may stay unsettled.
        essential: False where a user without the right to declare it works without the queue, if
            it is missing.
    """

    name: str
    routing_keys: tuple[str, ...]
    dead_letter_key: str | None = None
    delivery_limit: int | None = None
    consumer_timeout_s: int = 86400
    essential: bool = True


class Broker(Protocol):
    """Self-healing connection to the broker."""

    async def open(self, queues: tuple[QueueSpec, ...]) -> None:
        """Connect and declare exchange, queues and bindings; existing queues stay unchanged.

        Raises:
            Unavailable: no connection within the deadline; the caller may retry.
        """
        ...

    async def publish(self, message: Message) -> None:
        """Return once the broker has confirmed that it keeps the message.

        Raises:
            Unavailable: no confirm within the deadline, no connection, or a ``mandatory`` message
                found no queue (``context["unroutable"]`` is True). The message may have arrived
                nevertheless: publish it again with the same ``message_id``.
        """
        ...

    def consume(self, queue: str, prefetch: int) -> AsyncGenerator[Delivery, None]:
        """Yield deliveries, at most ``prefetch`` unsettled; over reconnects, until closed.

        Closing the generator stops its deliveries: those not yet yielded return to the queue, those
        yielded can still be settled. Closing the broker ends it; it ends at once on a broker that
        was not opened.
        """
        ...

    def listen(
        self, routing_keys: tuple[str, ...], limit: int
    ) -> AsyncGenerator[ReceivedMessage, None]:
        """Yield messages published under these keys from now on, bypassing the queues.

        Delivery is at most once: a listener that is disconnected misses messages, and of more than
        about ``limit`` waiting messages the broker drops the oldest. Listening removes nothing from
        any queue, continues over reconnects and ends with the process. Closing the generator, or
        the broker, ends it; it ends at once on a broker that was not opened.
        """
        ...

    def is_available(self) -> bool:
        """Return True while the broker is reachable, from the last known state, without I/O."""
        ...

    async def depth(self, queue: str) -> int:
        """Return the number of messages that wait for delivery, unsettled ones excluded.

        Raises:
            Unavailable: no answer within the deadline, or no right to inspect that queue
                (``context["denied"]`` is True).
        """
        ...

    async def unbind(self, queue: str, routing_key: str) -> None:
        """Put no more messages of this key into that queue; those in it stay.

        Declaring the queue with the key binds it again. A queue that is not bound stays as it is.

        Raises:
            Unavailable: no answer within the deadline, or no right.
        """
        ...

    async def close(self) -> None:
        """Close the connection without settling: unsettled deliveries return to their queues."""
        ...

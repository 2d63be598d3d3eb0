"""The broker: at-least-once delivery with confirms (events.md).

One exchange, durable queues bound by routing key. RabbitMQ, the embedded queue file and the
in-memory fake pass one contract suite.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """One message as published.

    routing_key: also the AMQP ``type``.
    message_id: stable over repeats; a consumer drops repeats by it.
    timestamp_ms: epoch ms of the first attempt to publish.
    mandatory: fail with ``Unroutable`` where no queue would take it.
    persistent: survives a restart of the broker; only ``progress`` is not.
    """

    routing_key: str
    message_id: str
    body: bytes
    correlation_id: str | None = None
    timestamp_ms: int = 0
    mandatory: bool = False
    persistent: bool = True


class Delivery(Protocol):
    """One message as delivered, to be settled exactly once."""

    @property
    def body(self) -> bytes:
        """The body as it was published."""
        ...

    @property
    def message_id(self) -> str | None:
        """None where the sender gave none."""
        ...

    @property
    def routing_key(self) -> str:
        """The key it was published with."""
        ...

    @property
    def deliveries(self) -> int:
        """How often it was delivered before, as far as the broker counts; 0 the first time."""
        ...

    async def ack(self) -> None:
        """Done with it: it is gone for good. Raises Unavailable when the link was lost."""
        ...

    async def requeue(self) -> None:
        """Hand it back, to be delivered again. Raises Unavailable when the link was lost."""
        ...


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that a listener was told of; there is nothing to settle.

    message_id: None where the sender gave none.
    """

    routing_key: str
    message_id: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """A durable queue to be there: its name and the routing keys that it is bound to.

    dead_letter_key: routing key under which messages that it gives up on are published again.
    delivery_limit: how often a message is delivered again before that; None for no limit.
    consumer_timeout_s: how long a delivery may stay unsettled.
    """

    name: str
    routing_keys: tuple[str, ...]
    dead_letter_key: str | None = None
    delivery_limit: int | None = None
    consumer_timeout_s: int = 86400


class Broker(Protocol):
    """A connection to the broker that heals itself."""

    async def open(self, queues: tuple[QueueSpec, ...]) -> None:
        """Connect and declare exchange, queues and bindings; existing queues stay as they are.

        Raises:
            Unavailable: it cannot be reached within its deadline; may be called again.
        """
        ...

    async def publish(self, message: Message) -> None:
        """Return once the broker has confirmed that it keeps the message.

        Raises:
            Unavailable: no confirm within the deadline, the link is down, or a ``mandatory``
                message found no queue (``context["unroutable"]`` is True). It may have arrived
                all the same: publish it again with the same ``message_id``.
        """
        ...

    def consume(self, queue: str, prefetch: int) -> AsyncGenerator[Delivery, None]:
        """Deliver, with at most ``prefetch`` unsettled; over reconnects, until closed.

        Closing the generator stops deliveries to it: what it has not handed out goes back to the
        queue, what it has can still be settled. Closing the broker ends it.
        """
        ...

    def listen(self, routing_keys: tuple[str, ...], limit: int) -> AsyncGenerator[Heard, None]:
        """Hear what is published under these keys from now on, beside the queues; over reconnects.

        At most once: nothing is kept for a listener that is away. About ``limit`` messages wait for
        a slow one; of more the oldest are dropped. It takes nothing from any queue, and ends with
        its process. Closing the generator, or the broker, ends it; it ends at once where the broker
        was not opened.
        """
        ...

    def is_there(self) -> bool:
        """Whether it can be reached, as far as is known without asking."""
        ...

    async def depth(self, queue: str) -> int:
        """How many messages wait to be delivered (unsettled ones are not counted)."""
        ...

    async def close(self) -> None:
        """Settle nothing, lose nothing: unsettled deliveries go back to their queues."""
        ...

"""Broker in memory: the guarantees of the real ones within one process.

``unavailable`` and ``lost_confirms`` inject faults. All brokers pass one contract suite.
"""

import asyncio
from bisect import insort
from collections import Counter, deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from itertools import count

from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.trace import TraceContext
from sfu_wrapper.ports.broker import Message, QueueSpec, ReceivedMessage

MAX_DEPTH = 1_000_000


@dataclass(order=True, slots=True)
class _Stored:
    """A message in a queue; it keeps its position when it is requeued.

    Attributes:
        seq: position.
        message: as published.
        returned: number of returns.
    """

    seq: int
    message: Message = field(compare=False)
    returned: int = field(default=0, compare=False)


@dataclass(slots=True)
class _Queue:
    spec: QueueSpec
    waiting: list[_Stored] = field(default_factory=list)
    unsettled: dict[int, _Stored] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Listener:
    """A listener; ``received`` is bounded and drops the oldest messages."""

    routing_keys: tuple[str, ...]
    received: deque[ReceivedMessage]


class MemoryBroker:
    """A ``Broker`` for tests.

    Attributes:
        unavailable: while True, the broker cannot be reached.
        lost_confirms: number of following publishes that are stored but reported as failed.
        published: all messages stored so far, in order.
    """

    def __init__(self, *, max_depth: int = MAX_DEPTH) -> None:
        self.unavailable = False
        self.lost_confirms = 0
        self.published: list[Message] = []
        self._max_depth = max_depth
        self._open = False
        self._generation = 0
        self._seq = count(1)
        self._queues: dict[str, _Queue] = {}
        self._bindings: dict[str, list[str]] = {}
        self._listeners: list[_Listener] = []
        self._changed = asyncio.Event()

    async def open(self, queues: tuple[QueueSpec, ...]) -> None:
        """See ``Broker``."""
        if self.unavailable:
            raise Unavailable("the broker is unavailable")
        self._open = True
        for spec in queues:
            self._queues.setdefault(spec.name, _Queue(spec))
            for key in spec.routing_keys:
                bound = self._bindings.setdefault(key, [])
                if spec.name not in bound:
                    bound.append(spec.name)

    async def publish(self, message: Message) -> None:
        """See ``Broker``."""
        await asyncio.sleep(0)  # a real broker never confirms before the call returns
        self._require_open()
        bound = [self._queues[name] for name in self._bindings.get(message.routing_key, ())]
        if message.mandatory and not bound:
            detail = f"no queue is bound to {message.routing_key}"
            raise Unavailable(detail, unroutable=True)
        for queue in bound:
            if len(queue.waiting) + len(queue.unsettled) >= self._max_depth:
                raise Unavailable(f"{queue.spec.name} is full")
        self._put(message, bound)
        if self.lost_confirms:
            self.lost_confirms -= 1
            raise Unavailable("the confirm was lost")

    async def consume(self, queue: str, prefetch: int) -> AsyncGenerator["MemoryDelivery", None]:
        """See ``Broker``."""
        held: Counter[int] = Counter()
        while self._open:
            source = self._queues[queue]
            if self.unavailable or not source.waiting or held[self._generation] >= prefetch:
                self._changed.clear()
                await self._changed.wait()
                continue
            stored = source.waiting.pop(0)
            source.unsettled[stored.seq] = stored
            held[self._generation] += 1
            yield MemoryDelivery(self, source, stored, held, self._generation)

    async def listen(
        self, routing_keys: tuple[str, ...], limit: int
    ) -> AsyncGenerator[ReceivedMessage, None]:
        """See ``Broker``."""
        listener = _Listener(routing_keys, deque(maxlen=limit))
        self._listeners.append(listener)
        try:
            while self._open:
                if self.unavailable or not listener.received:
                    self._changed.clear()
                    await self._changed.wait()
                    continue
                yield listener.received.popleft()
        finally:
            self._listeners.remove(listener)

    def unsettled(self, queue: str) -> int:
        """Return the number of unsettled deliveries of a queue."""
        return len(self._queues[queue].unsettled)

    def is_available(self) -> bool:
        """See ``Broker``."""
        return self._open and not self.unavailable

    async def depth(self, queue: str) -> int:
        """See ``Broker``."""
        self._require_open()
        return len(self._queues[queue].waiting)

    async def unbind(self, queue: str, routing_key: str) -> None:
        """See ``Broker``."""
        self._require_open()
        bound = self._bindings.get(routing_key, [])
        if queue in bound:
            bound.remove(queue)

    async def close(self) -> None:
        """See ``Broker``. Stored messages are kept for the next ``open``."""
        self.cut()
        self._open = False

    def cut(self) -> None:
        """Lose the connection: unsettled deliveries return to their queues."""
        self._generation += 1
        for queue in self._queues.values():
            for stored in tuple(queue.unsettled.values()):
                self.put_back(queue, stored)
        for listener in self._listeners:
            listener.received.clear()
        self.notify()

    def notify(self) -> None:
        """Have every consumer look again; for use after a change of ``unavailable``."""
        self._changed.set()

    def settle(self, queue: _Queue, stored: _Stored, generation: int) -> None:
        """Remove a delivered message. Raises Unavailable after a loss of its connection."""
        self._require_open()
        if generation != self._generation:
            raise Unavailable("the connection of this delivery was lost")
        del queue.unsettled[stored.seq]
        self.notify()

    def put_back(self, queue: _Queue, stored: _Stored) -> None:
        """Return a message to its queue, or dead-letter it above the limit."""
        queue.unsettled.pop(stored.seq, None)
        stored.returned += 1
        limit, key = queue.spec.delivery_limit, queue.spec.dead_letter_key
        bound = [self._queues[name] for name in self._bindings.get(key or "", ())]
        if limit is not None and stored.returned > limit and key is not None and bound:
            dead = stored.message
            self._put(
                Message(key, dead.message_id, dead.body, dead.correlation_id, trace=dead.trace),
                bound,
            )
        else:
            insort(queue.waiting, stored)
        self.notify()

    def _put(self, message: Message, queues: list[_Queue]) -> None:
        self.published.append(message)
        for queue in queues:
            queue.waiting.append(_Stored(next(self._seq), message))
        for listener in self._listeners:
            if message.routing_key in listener.routing_keys:
                listener.received.append(
                    ReceivedMessage(message.routing_key, message.message_id, message.body)
                )
        self.notify()

    def _require_open(self) -> None:
        if self.unavailable or not self._open:
            raise Unavailable("the broker is unavailable")


class MemoryDelivery:
    """``ports.broker.Delivery`` of the broker in memory."""

    def __init__(
        self,
        broker: MemoryBroker,
        queue: _Queue,
        stored: _Stored,
        held: Counter[int],
        generation: int,
    ) -> None:
        self._broker = broker
        self._queue = queue
        self._stored = stored
        self._held = held
        self._generation = generation
        self._returned = stored.returned

    @property
    def body(self) -> bytes:
        """See ``Delivery``."""
        return self._stored.message.body

    @property
    def message_id(self) -> str | None:
        """See ``Delivery``."""
        return self._stored.message.message_id

    @property
    def routing_key(self) -> str:
        """See ``Delivery``."""
        return self._stored.message.routing_key

    @property
    def deliveries(self) -> int:
        """See ``Delivery``."""
        return self._returned

    @property
    def trace(self) -> TraceContext | None:
        """See ``Delivery``."""
        return self._stored.message.trace

    async def ack(self) -> None:
        """See ``Delivery``."""
        self._broker.settle(self._queue, self._stored, self._generation)
        self._held[self._generation] -= 1

    async def requeue(self) -> None:
        """See ``Delivery``."""
        self._broker.settle(self._queue, self._stored, self._generation)
        self._held[self._generation] -= 1
        self._broker.put_back(self._queue, self._stored)

"""A broker in memory: the same promises as the real ones, gone with its process.

``away`` makes it unreachable; ``lost_confirms`` counts publishes that arrive but are not confirmed.
"""

import asyncio
from bisect import insort
from collections import Counter, deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from itertools import count

from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.broker import Message, QueueSpec, ReceivedMessage

MAX_DEPTH = 1_000_000


@dataclass(order=True, slots=True)
class _Stored:
    """A message in a queue, in its place also after it came back. returned: how often it did."""

    seq: int
    message: Message = field(compare=False)
    returned: int = field(default=0, compare=False)


@dataclass(slots=True)
class _Queue:
    spec: QueueSpec
    waiting: list[_Stored] = field(default_factory=list)
    unsettled: dict[int, _Stored] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Ear:
    """Whoever listens. heard: bounded; the oldest go first."""

    routing_keys: tuple[str, ...]
    heard: deque[ReceivedMessage]


class MemoryBroker:
    """A ``Broker`` for tests.

    away: nothing can be reached while it is set. lost_confirms: as many publishes are kept, and
    reported as failed. published: every message kept so far, in order.
    """

    def __init__(self, *, max_depth: int = MAX_DEPTH) -> None:
        self.away = False
        self.lost_confirms = 0
        self.published: list[Message] = []
        self._max_depth = max_depth
        self._open = False
        self._generation = 0
        self._seq = count(1)
        self._queues: dict[str, _Queue] = {}
        self._bindings: dict[str, list[str]] = {}
        self._ears: list[_Ear] = []
        self._stirred = asyncio.Event()

    async def open(self, queues: tuple[QueueSpec, ...]) -> None:
        """See ``Broker``."""
        if self.away:
            raise Unavailable("the broker is away")
        self._open = True
        for spec in queues:
            self._queues.setdefault(spec.name, _Queue(spec))
            for key in spec.routing_keys:
                bound = self._bindings.setdefault(key, [])
                if spec.name not in bound:
                    bound.append(spec.name)

    async def publish(self, message: Message) -> None:
        """See ``Broker``."""
        await asyncio.sleep(0)  # never done before it returns, as with a real one
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
        source = self._queues[queue]
        while self._open:
            if self.away or not source.waiting or held[self._generation] >= prefetch:
                self._stirred.clear()
                await self._stirred.wait()
                continue
            stored = source.waiting.pop(0)
            source.unsettled[stored.seq] = stored
            held[self._generation] += 1
            yield MemoryDelivery(self, source, stored, held, self._generation)

    async def listen(
        self, routing_keys: tuple[str, ...], limit: int
    ) -> AsyncGenerator[ReceivedMessage, None]:
        """See ``Broker``."""
        ear = _Ear(routing_keys, deque(maxlen=limit))
        self._ears.append(ear)
        try:
            while self._open:
                if self.away or not ear.heard:
                    self._stirred.clear()
                    await self._stirred.wait()
                    continue
                yield ear.heard.popleft()
        finally:
            self._ears.remove(ear)

    def unsettled(self, queue: str) -> int:
        """How many messages are with whoever consumes."""
        return len(self._queues[queue].unsettled)

    def is_available(self) -> bool:
        """See ``Broker``."""
        return self._open and not self.away

    async def depth(self, queue: str) -> int:
        """See ``Broker``."""
        self._require_open()
        return len(self._queues[queue].waiting)

    async def close(self) -> None:
        """See ``Broker``. What was stored is there when it is opened again."""
        self.cut()
        self._open = False

    def cut(self) -> None:
        """Lose the link, as a network does: what is unsettled goes back."""
        self._generation += 1
        for queue in self._queues.values():
            for stored in tuple(queue.unsettled.values()):
                self.put_back(queue, stored)
        for ear in self._ears:
            ear.heard.clear()
        self.notify()

    def notify(self) -> None:
        """Have every consumer look again; for use after a change of ``away``."""
        self._stirred.set()

    def settle(self, queue: _Queue, stored: _Stored, generation: int) -> None:
        """Done with. Raises Unavailable when the link it came over was lost."""
        self._require_open()
        if generation != self._generation:
            raise Unavailable("the link that this delivery came over was lost")
        del queue.unsettled[stored.seq]
        self.notify()

    def put_back(self, queue: _Queue, stored: _Stored) -> None:
        """It waits again, or is given up on."""
        queue.unsettled.pop(stored.seq, None)
        stored.returned += 1
        limit, key = queue.spec.delivery_limit, queue.spec.dead_letter_key
        bound = [self._queues[name] for name in self._bindings.get(key or "", ())]
        if limit is not None and stored.returned > limit and key is not None and bound:
            dead = stored.message
            self._put(Message(key, dead.message_id, dead.body, dead.correlation_id), bound)
        else:
            insort(queue.waiting, stored)
        self.notify()

    def _put(self, message: Message, queues: list[_Queue]) -> None:
        self.published.append(message)
        for queue in queues:
            queue.waiting.append(_Stored(next(self._seq), message))
        for ear in self._ears:
            if message.routing_key in ear.routing_keys:
                ear.heard.append(
                    ReceivedMessage(message.routing_key, message.message_id, message.body)
                )
        self.notify()

    def _require_open(self) -> None:
        if self.away or not self._open:
            raise Unavailable("the broker is away")


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

    async def ack(self) -> None:
        """See ``Delivery``."""
        self._broker.settle(self._queue, self._stored, self._generation)
        self._held[self._generation] -= 1

    async def requeue(self) -> None:
        """See ``Delivery``."""
        self._broker.settle(self._queue, self._stored, self._generation)
        self._held[self._generation] -= 1
        self._broker.put_back(self._queue, self._stored)

"""Consumers of one worker: a small prefetch always, a larger one while a backlog waits.

A queue is first in, first out, so a worker chooses only among the messages that it holds. It holds
few, because other workers cannot get what it holds. While it is full and messages still wait at the
broker, every other worker is full as well: then it fetches further ahead for ``look_s`` seconds.
Messages that it fetched ahead and did not start go back to the queue, once each, so that workers
started in the meantime get their share (recording-service.md, "Fair shares").

Each delivery is passed to ``begin``, which returns the task that holds it. That task settles the
delivery; this module never acknowledges a message.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.broker import Broker, Delivery

LOOK_AHEAD: Final = 1_000
LOOK_BYTES: Final = 64 << 20  # of message bodies; most have about 2 KB
_PAUSE_S: Final = 1.0
_LOOK_S: Final = 30.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IntakeSettings:
    """Bounds of what a worker holds.

    Attributes:
        queue: where messages come from.
        held: most messages held while no backlog waits.
        look_ahead: most messages held beyond that; 0 never looks ahead.
        look_s: longest time, in seconds, for which messages are fetched ahead in one go.
        pause_s: seconds between two checks for a backlog.
        worn_at: number of redeliveries of a message at which the worker halves its look-ahead;
            None: never. Some brokers take back messages that are held too long, count each time,
            and drop them at a limit; messages in the queue are not counted.
    """

    queue: str
    held: int
    look_ahead: int = LOOK_AHEAD
    look_s: float = _LOOK_S
    pause_s: float = _PAUSE_S
    worn_at: int | None = None


class Intake:
    """The consumers of one worker."""

    def __init__(
        self,
        broker: Broker,
        settings: IntakeSettings,
        begin: Callable[[Delivery, bool], "asyncio.Task[None]"],
        holding: Callable[[], int],
        give_back: Callable[[], int],
    ) -> None:
        """Create an intake; ``run`` starts to consume.

        Args:
            broker: source of messages; it must be open.
            settings: bounds.
            begin: called with each delivery, and True if it was fetched ahead; returns the task
                that holds it.
            holding: returns the number of messages that the worker holds now.
            give_back: requeues the messages that were fetched ahead and not started; returns
                their number.
        """
        self._broker = broker
        self._settings = settings
        self._begin = begin
        self._holding = holding
        self._give_back = give_back
        self._full = asyncio.Event()
        self._look_ahead_most = settings.look_ahead
        self._bytes = 0
        self._largest_bytes = 1

    async def run(self) -> None:
        """Consume until cancelled; messages not passed to ``begin`` then return to the queue."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take(self._settings.held, ahead=False))
            if self._settings.look_ahead:
                group.create_task(self._look_ahead())

    async def _take(self, most: int, *, ahead: bool) -> None:
        deliveries = self._broker.consume(self._settings.queue, most)
        async with aclosing(deliveries):
            async for delivery in deliveries:
                self._count(len(delivery.body), self._begin(delivery, ahead))
                if self._is_full():
                    self._full.set()
                if ahead and (self._bytes > LOOK_BYTES or self._is_worn(delivery)):
                    return
                await self._wait_for_memory()

    def _is_worn(self, delivery: Delivery) -> bool:
        """Return True if a message was redelivered too often, and halve the look-ahead."""
        worn_at = self._settings.worn_at
        if worn_at is None or delivery.deliveries < worn_at:
            return False
        self._look_ahead_most //= 2
        log.warning("worker.lookAheadReduced", extra={"segments": self._look_ahead_most})
        return True

    def _count(self, size: int, holder: "asyncio.Task[None]") -> None:
        """Count a body for as long as a task holds it."""
        self._bytes += size
        self._largest_bytes = max(self._largest_bytes, size)

        def done(_: object) -> None:
            self._bytes -= size

        holder.add_done_callback(done)

    async def _wait_for_memory(self) -> None:
        """Bound the messages held over many connection losses, each of which redelivers them."""
        most = 2 * (self._settings.held + self._settings.look_ahead)
        while self._holding() > most:  # noqa: ASYNC110 rare, and the delay does no harm
            await asyncio.sleep(self._settings.pause_s)

    def _is_full(self) -> bool:
        return self._holding() >= self._settings.held

    async def _look_ahead(self) -> None:
        while True:
            await self._full.wait()
            self._full.clear()
            while self._is_full():
                if await self._has_backlog():
                    await self._fetch_ahead()
                await asyncio.sleep(self._settings.pause_s)

    async def _has_backlog(self) -> bool:
        with suppress(Unavailable):
            return await self._broker.depth(self._settings.queue) > 0
        return False

    async def _fetch_ahead(self) -> None:
        """Hold more messages for a while, so that the choice among them is larger."""
        most = self._settings.held + self._look_ahead_most - self._holding()
        # Prefetched messages are in memory before ``_count`` sees them.
        most = min(most, (LOOK_BYTES - self._bytes) // self._largest_bytes)
        if most <= 0:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.look_s):
                await self._take(most, ahead=True)
        if returned := self._give_back():
            log.info("worker.backlogReturned", extra={"segments": returned})

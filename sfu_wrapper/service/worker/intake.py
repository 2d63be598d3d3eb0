"""Deliveries of a worker: a few messages held always, and a look ahead while a backlog waits.

A queue is first in, first out, so that a worker can only choose among the messages that it holds.
It holds few of them, since what it holds other workers cannot have. While it is full and messages
wait at the broker all the same, every other worker is full as well: then it looks further ahead.
Whatever it has found there and not begun goes back after a while, once for each message, so that
workers that have come since get their share (recording-service.md, "Fair shares").
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
LOOK_BYTES: Final = 64 << 20  # of message bodies; most have some 2 KB
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
        look_s: longest time, in seconds, that one look ahead takes.
        pause_s: seconds between two questions for a backlog.
        worn_at: deliveries of a message from which on looks ahead become shorter; None: never.
            Whatever waits for too long is taken back by some brokers, each time counted, and given
            up in the end; what waits in the queue is not counted.
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
        """Create an intake; ``run`` begins to take.

        Args:
            broker: the source of messages; it must be open.
            settings: the bounds.
            begin: called with each delivery, and whether it comes from a look ahead; returns the
                task that holds it.
            holding: returns how many messages the worker holds now.
            give_back: sends back what a look ahead has found and nothing was begun of; returns
                how many.
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
        """Take messages until cancelled; the broker then gets back what ``begin`` has not had."""
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
        """Look at half as much from now on where a message has come back so often."""
        worn_at = self._settings.worn_at
        if worn_at is None or delivery.deliveries < worn_at:
            return False
        self._look_ahead_most //= 2
        log.warning("worker.looksLess", extra={"segments": self._look_ahead_most})
        return True

    def _count(self, size: int, holder: "asyncio.Task[None]") -> None:
        """Count a body for as long as a task holds it."""
        self._bytes += size
        self._largest_bytes = max(self._largest_bytes, size)

        def done(_: object) -> None:
            self._bytes -= size

        holder.add_done_callback(done)

    async def _wait_for_memory(self) -> None:
        """Bound what is held where links are lost again and again, each with its deliveries."""
        most = 2 * (self._settings.held + self._settings.look_ahead)
        while self._holding() > most:  # noqa: ASYNC110 in no hurry, and seldom
            await asyncio.sleep(self._settings.pause_s)

    def _is_full(self) -> bool:
        return self._holding() >= self._settings.held

    async def _look_ahead(self) -> None:
        while True:
            await self._full.wait()
            self._full.clear()
            while self._is_full():
                if await self._has_backlog():
                    await self._look()
                await asyncio.sleep(self._settings.pause_s)

    async def _has_backlog(self) -> bool:
        with suppress(Unavailable):
            return await self._broker.depth(self._settings.queue) > 0
        return False

    async def _look(self) -> None:
        """Hold more messages for a while, so that there is more to choose from."""
        most = self._settings.held + self._look_ahead_most - self._holding()
        # What the broker sends ahead of us lies in memory before it is counted.
        most = min(most, (LOOK_BYTES - self._bytes) // self._largest_bytes)
        if most <= 0:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.look_s):
                await self._take(most, ahead=True)
        if returned := self._give_back():
            log.info("worker.backlogReturned", extra={"segments": returned})

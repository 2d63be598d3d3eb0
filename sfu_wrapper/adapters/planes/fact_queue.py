"""Bounded queue of facts, from one adapter to one reader, in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final, Generic, TypeVar

from sfu_wrapper.model.errors import Unavailable

LIMIT: Final = 10_000

T = TypeVar("T")


class FactQueue(Generic[T]):
    """A queue of at most ``limit`` facts; reading ends once it is closed and empty."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._queue: asyncio.Queue[T | None] = asyncio.Queue(limit)
        self._closed = False

    @property
    def waiting(self) -> int:
        """The number of facts not read yet."""
        return self._queue.qsize()

    async def put(self, fact: T) -> None:
        """Add a fact; wait while the queue is full."""
        await self._queue.put(fact)

    def put_at_once(self, fact: T) -> None:
        """Add a fact. Raises Unavailable where the queue is full."""
        try:
            self._queue.put_nowait(fact)
        except asyncio.QueueFull:
            raise Unavailable("the queue of facts from the media plane is full") from None

    def close(self) -> None:
        """End the queue; the reader still gets the facts that are in it."""
        self._closed = True
        with suppress(asyncio.QueueFull):  # the reader of a full queue is not waiting for a fact
            self._queue.put_nowait(None)

    async def read(self) -> AsyncIterator[T]:
        """Yield all facts, for one reader."""
        while self.waiting or not self._closed:
            fact = await self._queue.get()
            if fact is not None:
                yield fact

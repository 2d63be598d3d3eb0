"""What an adapter tells, in order, to the one who reads it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final, Generic, TypeVar

from sfu_wrapper.model.errors import Unavailable

LIMIT: Final = 10_000

T = TypeVar("T")


class FactQueue(Generic[T]):
    """A queue of at most ``limit``, which ends once it is closed and everything was read."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._queue: asyncio.Queue[T | None] = asyncio.Queue(limit)
        self._closed = False

    @property
    def waiting(self) -> int:
        """How much was told and not read yet."""
        return self._queue.qsize()

    async def put(self, told: T) -> None:
        """Tell it, as soon as there is room."""
        await self._queue.put(told)

    def put_at_once(self, told: T) -> None:
        """Tell it. Raises Unavailable where there is no room."""
        try:
            self._queue.put_nowait(told)
        except asyncio.QueueFull:
            raise Unavailable("nobody reads what the media plane says") from None

    def close(self) -> None:
        """Nothing more is told."""
        self._closed = True
        with suppress(asyncio.QueueFull):  # who has so much to read is not waiting
            self._queue.put_nowait(None)

    async def read(self) -> AsyncIterator[T]:
        """Everything that is told. One reader."""
        while self.waiting or not self._closed:
            told = await self._queue.get()
            if told is not None:
                yield told

"""So many segments side by side; of those that wait for a place, the lowest rank comes next."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

from sfu_wrapper.model.errors import Unavailable


class Closed(Unavailable):
    """Nobody gets a place any more."""


class Turns:
    """Hands out ``places``; whoever waits is bounded by who may come, not here."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = count()
        self._closed = False

    @asynccontextmanager
    async def turn(self, rank: float) -> AsyncIterator[None]:
        """Wait for a place, and keep it. Raises Closed, also where it was closed meanwhile."""
        await self._wait(rank)
        try:
            yield
        finally:
            self._leave()

    def close(self) -> None:
        """Turn away whoever waits, and whoever comes; those who have a place keep it."""
        self._closed = True
        for _, _, mine in self._waiting:
            if not mine.done():
                mine.set_exception(Closed("told to stop"))
        self._waiting.clear()

    async def _wait(self, rank: float) -> None:
        if self._closed:
            raise Closed("told to stop")
        if self._free:
            self._free -= 1
            return
        mine = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, next(self._number), mine))
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled() and mine.exception() is None:
                self._leave()  # the place came too late
            raise

    def _leave(self) -> None:
        while self._waiting:
            _, _, next_one = heapq.heappop(self._waiting)
            if not next_one.done():
                next_one.set_result(None)
                return
        self._free += 1

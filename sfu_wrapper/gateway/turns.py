"""Fair turns: how much of what many peers ask for is done in one round of the event loop.

A peer that has more to be done waits for its turn, in the order of arrival. So a round stays short
however many peers flood: answers, commits and timers of everybody else are never more than a round
away. A peer that asks for one thing at a time is served at once, and waits afterwards.
"""

import asyncio
from collections import deque
from collections.abc import Callable


class Turns:
    """Places in the rounds of one event loop.

    Args:
        a_round: how many peers go on in one round.
    """

    def __init__(self, a_round: int) -> None:
        self._a_round = a_round
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    async def take(self, weight: int = 1) -> None:
        """Wait for the next turn, a round away where nobody else waits.

        Args:
            weight: how many peers it counts as.
        """
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._next_round, loop)
        self._waiting.append((turn, weight))
        await turn

    def _next_round(self, loop: asyncio.AbstractEventLoop) -> None:
        left = self._a_round
        while self._waiting and left > 0:
            turn, weight = self._waiting.popleft()
            if not turn.done():  # whoever was cancelled meanwhile takes no place
                turn.set_result(None)
                left -= weight
        if self._waiting:
            loop.call_soon(self._next_round, loop)


class Errands:
    """Work that nobody waits for, a bounded number in one round of the event loop, in order.

    Args:
        a_round: how many are done in one round; work raises nothing.
    """

    def __init__(self, a_round: int) -> None:
        self._a_round = a_round
        self._waiting: deque[Callable[[], None]] = deque()

    def add(self, work: Callable[[], None]) -> None:
        """Do this in its turn."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._next_round)
        self._waiting.append(work)

    def _next_round(self) -> None:
        try:
            for _ in range(min(self._a_round, len(self._waiting))):
                self._waiting.popleft()()
        finally:
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._next_round)

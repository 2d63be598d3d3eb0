"""Fair shares of the event loop for rooms: which of them applies next what has arrived.

Rooms apply requests for a bounded time in one round of the event loop, so that answers, timers and
messages of everybody else are never more than a round away. What is left waits, and the owner who
has used the least of the loop lately is next: a flood of requests to rooms of one owner waits for
itself, and a request to any other room is among the first of the next round. While nobody waits
there is no order and no delay.

Commits are under way for few rooms at a time, so that the commit of whoever is next does not wait
for those of a flood; of a slow disk more are let in, since it takes many as fast as few.
"""

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable
from typing import Final

ROUND_S: Final = 0.0005
TURN_S: Final = 0.0003
COMMITS: Final = 8  # under way at a time
SLOW_S: Final = 0.005  # without room for another one, after which so many more are let in
HALF_LIFE_S: Final = 1.0  # of what an owner has used
_LEAST_S: Final = 1e-4  # used by an owner who has used nothing lately: nobody waits for ever
_SWEEP_FROM: Final = 1024  # owners who are remembered; below it nothing is ever cleaned up

Clock = Callable[[], float]
More = Callable[[], bool]
Work = Callable[[More], bool]


class Scheduler:
    """Turns of all rooms of one event loop.

    Args:
        round_s: how long rooms may take in one round; the last one may exceed it by its turn.
        turn_s: how long one room may.
        clock: monotonic s; the event loop's by default.
    """

    def __init__(
        self, *, round_s: float = ROUND_S, turn_s: float = TURN_S, clock: Clock | None = None
    ) -> None:
        self._round_s = round_s
        self._turn_s = turn_s
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._spent_s = 0.0
        self._busy = False  # a turn is under way
        self._commits = 0
        self._most_commits = COMMITS
        self._slow: asyncio.TimerHandle | None = None
        self._next: asyncio.Handle | None = None
        self._waiting: list[tuple[float, int, object, Work]] = []
        self._usage = Usage()
        self._numbers = itertools.count()

    def ask(self, owner: object, work: Work) -> None:
        """Have work done: now where nobody waits and there is time left, else in its turn.

        Args:
            owner: account that the time is charged to.
            work: called once, with a function that tells whether it may go on. Returns whether it
                has begun a commit; ``committed`` is called at its end. It raises nothing.
        """
        if self._busy or self._waiting or not self._open:
            rank = self._usage.rank(owner, self._clock())
            heapq.heappush(self._waiting, (rank, next(self._numbers), owner, work))
        else:
            self._turn(owner, work)
        self._plan()

    def committed(self) -> None:
        """Note that a commit is no longer under way."""
        self._commits -= 1
        if self._commits < COMMITS:
            self._most_commits = COMMITS
            self._stop_waiting()
        self._plan()

    def close(self) -> None:
        """Do nothing any more."""
        self._waiting.clear()
        self._stop_waiting()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    @property
    def _open(self) -> bool:
        """Whether another room may go on in this round."""
        return self._spent_s < self._round_s and self._commits < self._most_commits

    def _plan(self) -> None:
        """Have the next round come where there is something to be done in it."""
        full = self._commits >= self._most_commits
        if self._next is None and (self._spent_s or (self._waiting and not full)):
            self._next = asyncio.get_running_loop().call_soon(self._next_round)
        if self._slow is None and self._waiting and full:
            self._slow = asyncio.get_running_loop().call_later(SLOW_S, self._let_more_in)

    def _next_round(self) -> None:
        self._next = None
        self._spent_s = 0.0
        while self._waiting and self._open:
            _, _, owner, work = heapq.heappop(self._waiting)
            self._turn(owner, work)
        self._plan()

    def _let_more_in(self) -> None:
        self._slow = None
        self._most_commits = self._commits + COMMITS
        self._plan()

    def _stop_waiting(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def _turn(self, owner: object, work: Work) -> None:
        began_s = self._clock()
        until_s = began_s + self._turn_s
        self._busy = True
        try:
            self._commits += work(lambda: self._clock() < until_s)
        finally:
            self._busy = False
        now_s = self._clock()
        self._spent_s += now_s - began_s
        self._usage.charge(owner, now_s - began_s, now_s)


class Usage:
    """Time that owners have used lately; it halves every ``HALF_LIFE_S``.

    A rank is the logarithm of what was used, put forward by the time: so ranks of different times
    compare as the usages do that they stand for, and no rank changes as time passes.
    """

    def __init__(self) -> None:
        self._ranks: dict[object, float] = {}
        self._sweep_at = _SWEEP_FROM

    def rank(self, owner: object, now_s: float) -> float:
        """Return the place of an owner among others; the lowest is first."""
        return max(self._ranks.get(owner, -math.inf), _rank(_LEAST_S, now_s))

    def charge(self, owner: object, used_s: float, now_s: float) -> None:
        """Add time that an owner has used."""
        if len(self._ranks) >= self._sweep_at:
            self._sweep(now_s)
        before_s = math.exp2(self.rank(owner, now_s) - now_s / HALF_LIFE_S)
        self._ranks[owner] = _rank(before_s + max(used_s, 0.0), now_s)

    def _sweep(self, now_s: float) -> None:
        """Forget owners without any usage left whenever their number has doubled."""
        least = _rank(2 * _LEAST_S, now_s)
        self._ranks = {owner: rank for owner, rank in self._ranks.items() if rank > least}
        self._sweep_at = max(_SWEEP_FROM, 2 * len(self._ranks))


def _rank(used_s: float, now_s: float) -> float:
    return math.log2(used_s) + now_s / HALF_LIFE_S

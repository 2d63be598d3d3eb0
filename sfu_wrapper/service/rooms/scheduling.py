"""Scheduler of the rooms: shares the event loop fairly among their owners.

Rooms apply requests for at most ``ROUND_S`` in one round of the event loop, so that answers, timers
and messages of everything else are at most one round away. Rooms beyond that wait, and the owner
who used the least of the loop lately is next: a flood of requests to the rooms of one owner delays
only that owner, and a request to any other room is among the first of the next round. While no room
waits there is neither order nor delay.

At most ``COMMITS`` commits are under way at a time, so that the commit of the next owner does not
wait behind those of a flood. When none of them ends within ``SLOW_S`` the limit rises, since a slow
disk syncs many commits as fast as few.
"""

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

ROUND_S: Final = 0.0005
TURN_S: Final = 0.0003
COMMITS: Final = 8  # commits under way at a time
SLOW_S: Final = 0.005  # at the limit, until it rises by ``COMMITS``
HALF_LIFE_S: Final = 1.0  # of the time that an owner has used
_LEAST_S: Final = 1e-4  # lower bound of an owner's usage, so that no owner waits for ever
_SWEEP_FROM: Final = 1024  # number of known owners from which on idle ones are removed

Clock = Callable[[], float]
More = Callable[[], bool]
Work = Callable[[More], bool]


class Scheduler:
    """Turns of all rooms of one event loop.

    Args:
        round_s: seconds for all rooms in one round; the last room may exceed it by its turn.
        turn_s: seconds for one room.
        clock: monotonic seconds; default: the clock of the event loop.
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
        self._commit_limit = COMMITS
        self._slow: asyncio.TimerHandle | None = None
        self._next: asyncio.Handle | None = None
        self._waiting: list[tuple[float, int, object, Work]] = []
        self._usage = Usage()
        self._numbers = itertools.count()

    def request_turn(self, owner: object, work: Work) -> None:
        """Call ``work``: now if no room waits and this round has capacity, else later.

        Args:
            owner: account that the time is charged to.
            work: called once, with a function that returns True while it may continue. Returns
                True if it has started a commit; then the caller calls ``committed`` at its end.
                It raises nothing.
        """
        if self._busy or self._waiting or not self._has_capacity:
            rank = self._usage.rank(owner, self._clock())
            heapq.heappush(self._waiting, (rank, next(self._numbers), owner, work))
        else:
            with self._charged(owner) as more:
                self._commits += work(more)
        self._schedule_round()

    def committed(self) -> None:
        """Record the end of a commit."""
        self._commits -= 1
        if self._commits < COMMITS:
            self._commit_limit = COMMITS
            self._cancel_slow_timer()
        self._schedule_round()

    def close(self) -> None:
        """Drop all waiting work and cancel the timers."""
        self._waiting.clear()
        self._cancel_slow_timer()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    @property
    def _has_capacity(self) -> bool:
        """True if another room may run in this round."""
        return self._spent_s < self._round_s and self._commits < self._commit_limit

    def _schedule_round(self) -> None:
        """Schedule the next round, and the rise of the commit limit, if either is needed."""
        full = self._commits >= self._commit_limit
        if self._next is None and (self._spent_s or (self._waiting and not full)):
            self._next = asyncio.get_running_loop().call_soon(self._next_round)
        if self._slow is None and self._waiting and full:
            self._slow = asyncio.get_running_loop().call_later(SLOW_S, self._raise_commit_limit)

    def _next_round(self) -> None:
        self._next = None
        self._spent_s = 0.0
        while self._waiting and self._has_capacity:
            _, _, owner, work = heapq.heappop(self._waiting)
            with self._charged(owner) as more:
                self._commits += work(more)
        self._schedule_round()

    def _raise_commit_limit(self) -> None:
        self._slow = None
        self._commit_limit = self._commits + COMMITS
        self._schedule_round()

    def _cancel_slow_timer(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    @contextmanager
    def _charged(self, owner: object) -> Iterator[More]:
        """Charge the time of the context to an owner; yields what ends the turn in time."""
        began_s = self._clock()
        until_s = began_s + self._turn_s
        self._busy = True
        try:
            yield lambda: self._clock() < until_s
        finally:
            self._busy = False
        now_s = self._clock()
        self._spent_s += now_s - began_s
        self._usage.charge(owner, now_s - began_s, now_s)


class Usage:
    """Time that owners have used lately; it halves every ``HALF_LIFE_S``.

    A rank is log2(usage) + now / half-life. Decay subtracts the same amount from the logarithm of
    every usage, so ranks of different times compare as the decayed usages do, and a stored rank
    needs no update.
    """

    def __init__(self) -> None:
        self._ranks: dict[object, float] = {}
        self._sweep_at = _SWEEP_FROM

    def rank(self, owner: object, now_s: float) -> float:
        """Return the rank of an owner; the lowest is next."""
        return max(self._ranks.get(owner, -math.inf), _rank(_LEAST_S, now_s))

    def charge(self, owner: object, used_s: float, now_s: float) -> None:
        """Add ``used_s`` seconds to the usage of an owner."""
        if len(self._ranks) >= self._sweep_at:
            self._sweep(now_s)
        before_s = math.exp2(self.rank(owner, now_s) - now_s / HALF_LIFE_S)
        self._ranks[owner] = _rank(before_s + max(used_s, 0.0), now_s)

    def _sweep(self, now_s: float) -> None:
        """Remove owners without usage; runs each time the number of owners has doubled."""
        least = _rank(2 * _LEAST_S, now_s)
        self._ranks = {owner: rank for owner, rank in self._ranks.items() if rank > least}
        self._sweep_at = max(_SWEEP_FROM, 2 * len(self._ranks))


def _rank(used_s: float, now_s: float) -> float:
    return math.log2(used_s) + now_s / HALF_LIFE_S

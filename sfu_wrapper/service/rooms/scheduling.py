"""Order of the changes to rooms: the mailbox of each room, and the turns of all rooms.

A ``Mailbox`` is the bounded queue of one room, in order of arrival. Commands and queries enter from
the router, facts (commands without a ``ref``) from the media plane, from connections and from the
timer; the actor takes the oldest in its turn. Requests may be refused; facts have already happened
and are always accepted. They do not count as requests, so that a thousand users who reconnect at
once do not block new requests; their number is bounded by the participants and captures that they
are about.

The ``Scheduler`` shares the event loop fairly among the owners of rooms. Rooms apply requests for
at most ``ROUND_S`` in one round of the event loop, so that answers, timers and messages of
everything else are at most one round away. Rooms beyond that wait, and the owner who used the least
of the loop lately is next: a flood of requests to the rooms of one owner delays only that owner,
and a request to any other room is among the first of the next round. While no room waits there is
neither order nor delay.

A waiting owner has one place in the order, however many of its rooms wait, and each turn puts it
further back. So many owners who flood at the same moment, and have used nothing until then, precede
another owner by one turn each.

At most ``COMMITS`` commits are under way at a time, so that the commit of the next owner does not
wait behind those of a flood. For ``LIGHT_S`` after each turn of an owner who uses little, owners
who have used more than ``HEAVY_S`` have at most ``HEAVY_COMMITS``, since a start or stop takes
several turns and commits, one after the other. When none of them ends within ``SLOW_S`` the limits
rise, since a slow disk syncs many commits as fast as few.
"""

import asyncio
import heapq
import itertools
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.core.effects import Effect
from sfu_wrapper.core.events import Event
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import UserKey
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.service.rooms.idempotency import RequestRef

MAILBOX_LIMIT: Final = 1_000  # waiting requests of one room

Apply = Callable[[Room | None, Instant], tuple[Room, tuple[Effect, ...]]]
Build = Callable[[Room, Instant], Event]


@dataclass(frozen=True, slots=True)
class Command:
    """Change to apply to a room.

    Attributes:
        apply: returns the changed room and the effects.
        ref: the request behind it; None: a fact.
        undo: called if the change was not applied or not stored.
        joins: user who joins by it.
        charge: called with the number of notifications that it causes.
    """

    apply: Apply
    ref: RequestRef | None = None
    undo: Callable[[], None] | None = None
    joins: UserKey | None = None
    charge: Callable[[int], None] | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """Read of the room, executed in its place among the commands. ``read`` raises nothing."""

    read: Callable[[Room | None], None]


class Mailbox:
    """Queue of one room; true while an entry waits.

    Args:
        limit: maximum number of waiting requests.
    """

    def __init__(self, limit: int = MAILBOX_LIMIT) -> None:
        self._limit = limit
        self._waiting: deque[Command | Query] = deque()
        self._requests = 0
        self._joins: Counter[UserKey] = Counter()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def query_is_next(self) -> bool:
        """True if the oldest entry is a query."""
        return bool(self._waiting) and isinstance(self._waiting[0], Query)

    def is_joining(self, user: UserKey) -> bool:
        """Return True if a request by which the user joins is waiting."""
        return user in self._joins

    def put(self, entry: Command | Query) -> None:
        """Add an entry.

        Raises:
            Refused: OVERLOADED: too many requests wait. Facts are always accepted.
        """
        if not _is_fact(entry):
            if self._requests >= self._limit:
                raise Refused(Code.OVERLOADED, "too many requests wait for this room")
            self._requests += 1
        if isinstance(entry, Command) and entry.joins is not None:
            self._joins[entry.joins] += 1
        self._waiting.append(entry)

    def take(self) -> Command | Query:
        """Remove and return the oldest entry."""
        entry = self._waiting.popleft()
        self._uncount(entry)
        return entry

    def put_back(self, items: Iterable[Command]) -> None:
        """Return the facts among these to the front of the queue; requests are ignored."""
        self._waiting.extendleft(reversed([item for item in items if _is_fact(item)]))

    def withdraw(self) -> tuple[Command | Query, ...]:
        """Remove and return all requests, in order of arrival; facts stay."""
        requests = tuple(entry for entry in self._waiting if not _is_fact(entry))
        self._waiting = deque(entry for entry in self._waiting if _is_fact(entry))
        for entry in requests:
            self._uncount(entry)
        return requests

    def _uncount(self, entry: Command | Query) -> None:
        """Subtract a removed entry from the counts."""
        if not _is_fact(entry):
            self._requests -= 1
        if isinstance(entry, Command) and entry.joins is not None:
            self._joins[entry.joins] -= 1
            if not self._joins[entry.joins]:
                del self._joins[entry.joins]


def _is_fact(entry: Command | Query) -> bool:
    """Return True for a fact, which can be neither refused nor dropped."""
    return isinstance(entry, Command) and entry.ref is None


ROUND_S: Final = 0.0002
TURN_S: Final = 0.0003
COMMITS: Final = 8  # commits under way at a time
HEAVY_COMMITS: Final = 1  # of heavy owners, after a turn of a light one
HEAVY_S: Final = 0.004  # usage from which on an owner is heavy
LIGHT_S: Final = 0.01  # after a turn of a light owner
SLOW_S: Final = 0.005  # at a limit, until both rise by ``COMMITS``
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
        self._commits = 0
        self._heavy_commits: Counter[object] = Counter()  # those of heavy owners
        self._more_commits = 0  # added to the limits while the disk is slow
        self._light_until_s = -math.inf
        self._slow: asyncio.TimerHandle | None = None
        self._next: asyncio.Handle | None = None
        self._waiting: dict[object, deque[Work]] = {}  # by owner, oldest first
        self._order: list[tuple[float, int, object]] = []  # each waiting owner once, by rank
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
        waits = bool(self._waiting) or not self._may_run(self._rank(owner))
        queue = self._waiting.get(owner)
        if queue is not None:
            queue.append(work)
        else:
            self._waiting[owner] = deque((work,))
            if waits:
                self._enter(owner)
            else:
                with self._turn(owner) as turn:
                    turn.commits = turn.work(turn.more)
        self._schedule_round()

    def committed(self, owner: object) -> None:
        """Record the end of a commit of an owner."""
        self._commits -= 1
        if owner in self._heavy_commits:
            self._heavy_commits -= Counter((owner,))
        if self._commits < COMMITS:
            self._more_commits = 0
            self._cancel_slow_timer()
        self._schedule_round()

    def close(self) -> None:
        """Drop all waiting work and cancel the timers."""
        self._waiting.clear()
        self._order.clear()
        self._cancel_slow_timer()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _may_run(self, rank: float) -> bool:
        """Return True if an owner of that rank may run in this round."""
        return self._spent_s < self._round_s and self._may_commit(rank)

    def _may_commit(self, rank: float) -> bool:
        """Return True if an owner of that rank may start a commit."""
        more = self._more_commits
        restricted = self._clock() < self._light_until_s and self._is_heavy(rank)
        if restricted and self._heavy_commits.total() >= HEAVY_COMMITS + more:
            return False
        return self._commits < COMMITS + more

    def _is_heavy(self, rank: float) -> bool:
        """Return True if a rank is that of an owner who has used much lately."""
        return rank > _rank(HEAVY_S, self._clock())

    def _schedule_round(self) -> None:
        """Schedule the next round, and the rise of the commit limit, if either is needed."""
        full = bool(self._order) and not self._may_commit(self._order[0][0])
        if self._next is None and (self._spent_s or (self._order and not full)):
            self._next = asyncio.get_running_loop().call_soon(self._next_round)
        if self._slow is None and full:
            self._slow = asyncio.get_running_loop().call_later(SLOW_S, self._raise_commit_limit)

    def _next_round(self) -> None:
        self._next = None
        self._spent_s = 0.0
        while self._order and self._may_run(self._order[0][0]):
            _, _, owner = heapq.heappop(self._order)
            with self._turn(owner) as turn:
                turn.commits = turn.work(turn.more)
        self._schedule_round()

    def _raise_commit_limit(self) -> None:
        self._slow = None
        self._more_commits += COMMITS
        self._schedule_round()

    def _cancel_slow_timer(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def _rank(self, owner: object) -> float:
        """Return the present rank of an owner."""
        return self._usage.rank(owner, self._clock())

    def _enter(self, owner: object) -> None:
        """Give an owner its place in the order, by what it has used until now."""
        heapq.heappush(self._order, (self._rank(owner), next(self._numbers), owner))

    @contextmanager
    def _turn(self, owner: object) -> Iterator["_Turn"]:
        """Take the oldest work of an owner, charge the time of the context to it, count a commit.

        The owner is in the order only while it has no turn.
        """
        queue = self._waiting[owner]
        heavy = self._is_heavy(self._rank(owner))
        began_s = self._clock()
        until_s = began_s + self._turn_s
        turn = _Turn(queue.popleft(), lambda: self._clock() < until_s)
        try:
            yield turn
        finally:
            now_s = self._clock()
            self._spent_s += now_s - began_s
            self._usage.charge(owner, now_s - began_s, now_s)
            self._commits += turn.commits
            if turn.commits and heavy:
                self._heavy_commits[owner] += 1
            if not heavy:
                self._light_until_s = now_s + LIGHT_S
            if queue:
                self._enter(owner)
            else:
                del self._waiting[owner]


@dataclass(slots=True)
class _Turn:
    """Turn of an owner.

    Attributes:
        work: to be called once, with ``more``.
        more: returns True while the work may continue.
        commits: what the work returned: it has started a commit.
    """

    work: Work
    more: More
    commits: bool = False


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

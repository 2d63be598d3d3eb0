"""Mailbox of a room: a bounded queue of requests and facts, in order of arrival.

What enters: commands and queries from the router, and facts (commands without a ``ref``) from the
media plane, from connections and from the timer. What leaves: the oldest entry (``take``), called
by the actor in its turn.

Rule: requests are bounded and may be refused; facts have already happened and are always accepted.
Facts do not count as requests, so that a thousand users who reconnect at once do not block new
requests; their number is bounded by the participants and captures that they are about. The mailbox
applies nothing.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sfu_wrapper.core.effects import Effect
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import UserKey
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.service.rooms.idempotency import RequestRef

MAILBOX_LIMIT = 1_000  # waiting requests of one room

Apply = Callable[[Room | None, Instant], tuple[Room, tuple[Effect, ...]]]


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

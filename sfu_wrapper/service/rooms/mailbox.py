"""What waits for one room, in the order in which it came.

Decides what has a place: requests are bounded and may be refused, facts have happened and are
always taken. Facts are bounded by those whom they are about, so they take no place of a request:
a thousand people who come back at once must not shut everybody out. Applies nothing.
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

MAILBOX_LIMIT = 1_000  # requests that one room lets wait

Apply = Callable[[Room | None, Instant], tuple[Room, tuple[Effect, ...]]]


@dataclass(frozen=True, slots=True)
class Command:
    """Something to apply.

    ref: the request that it is; None: a fact. undo: called when it was not applied or not stored.
    joins: who comes in by it. charge: called with the number of people to whom it causes notices.
    """

    apply: Apply
    ref: RequestRef | None = None
    undo: Callable[[], None] | None = None
    joins: UserKey | None = None
    charge: Callable[[int], None] | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A request that only reads, in its place among the others. It raises nothing."""

    read: Callable[[Room | None], None]


class Mailbox:
    """The queue of one room; true while something waits. limit: requests that may wait."""

    def __init__(self, limit: int = MAILBOX_LIMIT) -> None:
        self._limit = limit
        self._waiting: deque[Command | Query] = deque()
        self._requests = 0
        self._joins: Counter[UserKey] = Counter()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def looks_next(self) -> bool:
        """Tell whether a look is the next to be taken."""
        return bool(self._waiting) and isinstance(self._waiting[0], Query)

    def joining(self, user: UserKey) -> bool:
        """Tell whether a request waits by which the user comes in."""
        return user in self._joins

    def put(self, entry: Command | Query) -> None:
        """Let something wait.

        Raises:
            Refused: OVERLOADED: too many requests wait. Facts are always taken.
        """
        if not _is_fact(entry):
            if self._requests >= self._limit:
                raise Refused(Code.OVERLOADED, "too many requests wait for this room")
            self._requests += 1
        if isinstance(entry, Command) and entry.joins is not None:
            self._joins[entry.joins] += 1
        self._waiting.append(entry)

    def take(self) -> Command | Query:
        """Take out what came first."""
        entry = self._waiting.popleft()
        self._left(entry)
        return entry

    def put_back(self, items: Iterable[Command]) -> None:
        """Let the facts among them wait again, before everything else."""
        self._waiting.extendleft(reversed([item for item in items if _is_fact(item)]))

    def withdraw(self) -> tuple[Command | Query, ...]:
        """Take out all requests, in their order; facts stay."""
        requests = tuple(entry for entry in self._waiting if not _is_fact(entry))
        self._waiting = deque(entry for entry in self._waiting if _is_fact(entry))
        for entry in requests:
            self._left(entry)
        return requests

    def _left(self, entry: Command | Query) -> None:
        """Keep the counts true."""
        if not _is_fact(entry):
            self._requests -= 1
        if isinstance(entry, Command) and entry.joins is not None:
            self._joins[entry.joins] -= 1
            if not self._joins[entry.joins]:
                del self._joins[entry.joins]


def _is_fact(entry: Command | Query) -> bool:
    """Whether it has happened, so that it can be neither refused nor dropped."""
    return isinstance(entry, Command) and entry.ref is None

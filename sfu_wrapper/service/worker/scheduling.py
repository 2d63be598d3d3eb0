"""Places of a worker: at most N segments run at once, and the fairest of those that wait is next.

The rule is ``core.fairness``; here it meets the clock and the tasks that wait.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sfu_wrapper.core.fairness import Claim, Usage, next_of
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.ports.clock import Clock


class Closed(Unavailable):
    """The worker stops: nothing gets a place any more."""


class Dismissed(Unavailable):
    """The segment goes back to the broker, so that other workers may take it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Ticket:
    """A task that waits for a place."""

    claim: Claim
    ready: "asyncio.Future[None]"


class Turns:
    """The places of one worker. The number of tasks that wait is bounded by the caller."""

    def __init__(self, places: int, clock: Clock) -> None:
        self._free = places
        self._clock = clock
        self._usage = Usage()
        self._waiting: list[_Ticket] = []
        self._closed = False

    @property
    def waiting(self) -> int:
        """Number of segments that wait for a place."""
        return len(self._waiting)

    @contextmanager
    def place(self, claim: Claim) -> Iterator["Place"]:
        """Provide a place that can be taken and left; it is left at the end in any case."""
        place = Place(self, claim)
        try:
            yield place
        finally:
            place.leave()

    def close(self) -> None:
        """Refuse all that wait and all that come; places in use stay in use."""
        self._closed = True
        self._refuse(self._waiting, lambda: Closed("told to stop"))

    def dismiss(self) -> int:
        """Send away all that wait and are returnable; return how many."""
        returnable = [ticket for ticket in self._waiting if ticket.claim.returnable]
        self._refuse(returnable, lambda: Dismissed("another worker may take it"))
        return len(returnable)

    def _refuse(self, tickets: list[_Ticket], why: Callable[[], Unavailable]) -> None:
        for ticket in tickets:
            if not ticket.ready.done():
                ticket.ready.set_exception(why())
        self._waiting = [ticket for ticket in self._waiting if not ticket.ready.done()]

    async def enter(self, claim: Claim) -> int:
        """Wait for a place; return the monotonic time, in ms, since which it is in use.

        Raises:
            Closed: the worker stops.
            Dismissed: the segment goes back to the broker.
        """
        if self._closed:
            raise Closed("told to stop")
        if self._free:
            self._free -= 1
            self._usage.begin(claim.owner)
            return self._now_ms()
        ticket = _Ticket(claim, asyncio.get_running_loop().create_future())
        self._waiting.append(ticket)
        try:
            await ticket.ready
        except asyncio.CancelledError:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            elif ticket.ready.done() and not ticket.ready.cancelled():
                self._leave_unused(ticket)
            raise
        return self._now_ms()

    def leave(self, claim: Claim, since_ms: int) -> None:
        """Give a place back, and charge its owner for the time since ``since_ms``."""
        now_ms = self._now_ms()
        self._usage.end(claim.owner, now_ms - since_ms, now_ms)
        self._free += 1
        self._give_places()

    def _leave_unused(self, ticket: _Ticket) -> None:
        """Give back a place that a task got while it was being cancelled."""
        if ticket.ready.exception() is None:
            self.leave(ticket.claim, self._now_ms())

    def _give_places(self) -> None:
        while self._free and self._waiting:
            ticket = next_of(self._waiting, self._usage, self._now_ms())
            self._waiting.remove(ticket)
            if not ticket.ready.done():
                self._free -= 1
                self._usage.begin(ticket.claim.owner)
                ticket.ready.set_result(None)

    def _now_ms(self) -> int:
        return self._clock.now().mono_ms


class Place:
    """A place for one segment, which it may take and leave more than once."""

    def __init__(self, turns: Turns, claim: Claim) -> None:
        self._turns = turns
        self._claim = claim
        self._since_ms: int | None = None

    async def take(self) -> None:
        """Have a place: at once where it has one already. Raises as ``Turns.enter``."""
        if self._since_ms is None:
            self._since_ms = await self._turns.enter(self._claim)
            self._claim = replace(self._claim, returnable=False)  # work on it has begun

    def leave(self) -> None:
        """Have no place any more."""
        since_ms, self._since_ms = self._since_ms, None
        if since_ms is not None:
            self._turns.leave(self._claim, since_ms)

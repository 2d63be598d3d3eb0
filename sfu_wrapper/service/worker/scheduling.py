"""Places of a worker: at most N segments run at once, and the fairest of those that wait is next.

The rule is ``core.fairness``; here it meets the clock and the tasks that wait.

Holding one job while working on it, so that a second delivery waits.

Each hold is a holder of its own, since one worker may be given the same job twice at once.

How long is waited for what is away, by somebody who is not to stay for ever.
"""

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final

from sfu_wrapper.core.fairness import Claim, Usage, next_of
from sfu_wrapper.model.errors import Misconfigured, RecordingError, Unavailable
from sfu_wrapper.ports.system import Clock, JobLeases


class Closed(Unavailable):
    """The worker stops: nothing gets a place any more."""


class Dismissed(Unavailable):
    """The segment goes back to the broker, so that other workers may take it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Ticket:
    """A task that waits for a place."""

    claim: Claim
    ready: "asyncio.Future[None]"


class PrioritySemaphore:
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

    def __init__(self, turns: PrioritySemaphore, claim: Claim) -> None:
        self._turns = turns
        self._claim = claim
        self._since_ms: int | None = None

    async def take(self) -> None:
        """Have a place: at once where it has one already. Raises as ``PrioritySemaphore.enter``."""
        if self._since_ms is None:
            self._since_ms = await self._turns.enter(self._claim)
            self._claim = replace(self._claim, returnable=False)  # work on it has begun

    def leave(self) -> None:
        """Have no place any more."""
        since_ms, self._since_ms = self._since_ms, None
        if since_ms is not None:
            self._turns.leave(self._claim, since_ms)


LEASE_S: Final = 30.0
# A damaged store may be restored under us, and nothing that waits for it is at fault.
_AWAY: Final = (Unavailable, Misconfigured)

log = logging.getLogger(__name__)


class LeaseLost(Unavailable):
    """It could not be renewed: another may have the job by now."""


class Holder:
    """Whoever takes leases. lease_s: how long a job stays taken after its holder's death.

    report: hears whenever the store was asked, with the error where it is away.
    """

    def __init__(
        self, leases: JobLeases, report: Callable[[RecordingError | None], None], lease_s: float
    ) -> None:
        self._leases = leases
        self._report = report
        self._lease_s = lease_s
        self._name = f"{socket.gethostname()}-{os.getpid()}"

    @asynccontextmanager
    async def hold(
        self, job: str, pause: Callable[[float], Awaitable[None]]
    ) -> AsyncIterator[None]:
        """Wait until nobody else has the job, and keep it; the body is cancelled if it is lost.

        Args:
            job: what to hold.
            pause: waits that many seconds between two looks; raises to end the waiting.

        Raises:
            LeaseLost: the body was cancelled for that.
        """
        holder = f"{self._name}-{uuid.uuid4().hex[:12]}"
        waits = False
        while not await self._acquire(job, holder):
            if not waits:
                log.info("lease.waits", extra={"job": job})
            waits = True
            await pause(self._lease_s / 10)
        body = asyncio.current_task()
        renewing = asyncio.create_task(self._renew(job, holder, body))
        try:
            yield
        except asyncio.CancelledError:
            # Whoever cancels the body for another reason at the same time comes first.
            if renewing.done() and body is not None and body.uncancel() == 0:
                raise LeaseLost(f"{job}: the lease could not be renewed") from None
            raise
        finally:
            renewing.cancel()
            try:
                await asyncio.wait([renewing])
            finally:  # also where the body is cancelled while it is ending
                await self._release(job, holder)

    async def _release(self, job: str, holder: str) -> None:
        with suppress(*_AWAY, TimeoutError):  # then it runs out by itself
            async with asyncio.timeout(self._lease_s / 6):
                await self._leases.release(job, holder)

    async def _acquire(self, job: str, holder: str) -> bool:
        try:
            got = await self._leases.acquire(job, holder, self._lease_s)
        except _AWAY as error:
            log.warning("lease.storeAway", extra={"error": error.detail})
            self._report(error)
            return False
        self._report(None)
        return got

    async def _renew(self, job: str, holder: str, body: "asyncio.Task[object] | None") -> None:
        """Renew in time, until cancelled; when that fails, stop the work that it protects.

        A store that does not answer at all must not let the lease run out unnoticed.
        """
        loop = asyncio.get_running_loop()
        valid_until_s = loop.time() + self._lease_s
        while loop.time() < valid_until_s:
            await asyncio.sleep(self._lease_s / 6)
            asked_s = loop.time()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(valid_until_s):
                    if await self._acquire(job, holder):
                        valid_until_s = asked_s + self._lease_s
        log.error("lease.lost", extra={"job": job})
        if body is not None:
            body.cancel()


class OutageLimit:
    """limit_s: None waits as long as it takes. ended: what was away for longer, once that is so."""

    def __init__(self, clock: Clock, limit_s: float | None = None) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._since_ms: dict[str, int] = {}
        self.ended: Unavailable | None = None

    def away(self, what: str, why: str) -> bool:
        """It was asked for in vain once more. Whether there is no patience left, with anything."""
        now_ms = self._clock.now().mono_ms
        waited_s = (now_ms - self._since_ms.setdefault(what, now_ms)) / 1000
        if self.ended is None and self._limit_s is not None and waited_s >= self._limit_s:
            self.ended = Unavailable(f"{what} for {self._limit_s:g} s: {why}")
        return self.ended is not None

    def back(self, what: str) -> None:
        """It is there."""
        self._since_ms.pop(what, None)

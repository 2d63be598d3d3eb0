"""Settings of a worker and the limits on its work: places, leases, and the outage limit.

``PrioritySemaphore`` admits at most N segments at once. When a place is free, ``core.fairness``
picks the next of the tasks that wait. A task takes its ``Place``, leaves it while it only waits
(for a lease, for disk space, for its next attempt), and takes it again.

``Holder`` keeps the lease of a job while its segment is processed, so that a second delivery of the
segment waits. Each hold has a holder name of its own, since one worker may get the same job twice.
If the lease cannot be renewed in time, the body is cancelled and ``LeaseLost`` raised: another
worker may have the job by then.

``OutageLimit`` makes ``worker --once`` give up when a dependency stays unavailable.
"""

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final

from sfu_wrapper.core.fairness import Claim, Usage, next_of
from sfu_wrapper.core.job import Retry
from sfu_wrapper.model.errors import Misconfigured, RecordingError, Unavailable
from sfu_wrapper.ports.system import Clock, JobLeases
from sfu_wrapper.service.worker.intake import LOOK_AHEAD, IntakeSettings

LEASE_S: Final = 30.0
_HELD_MORE: Final = 2  # leaves a choice where one segment runs at a time

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Settings of a worker. Times are in seconds.

    Attributes:
        queue: the queue to consume, one of the declared queues.
        concurrency: number of segments processed in parallel. The worker prefetches
            ``2 * concurrency + 2`` messages and picks the next one by ``core.fairness``.
        retry: number of attempts and the pauses between them.
        drain_s: time for running segments to finish after ``stop``.
        clean_raw: remove the raw files after success.
        lease_s: time for which a dead worker's segments stay taken.
        progress_s: shortest time between two ``progress`` messages of one job.
        space_s: time between two checks of a full disk.
        outage_limit_s: longest outage of broker, store or disk that ``run_once`` waits for.
        look_ahead: see ``IntakeSettings``.
        look_s: see ``IntakeSettings``.
        pause_s: see ``IntakeSettings``.
    """

    queue: str = "processing_queue"
    concurrency: int = 1
    retry: Retry = field(default_factory=Retry)
    drain_s: float = 60.0
    clean_raw: bool = True
    lease_s: float = LEASE_S
    progress_s: float = 1.0
    space_s: float = 5.0
    outage_limit_s: float = 60.0
    look_ahead: int = LOOK_AHEAD
    look_s: float = 30.0
    pause_s: float = 1.0

    @property
    def held(self) -> int:
        """Largest number of messages held at once while no backlog waits."""
        return 2 * self.concurrency + _HELD_MORE

    @property
    def intake(self) -> IntakeSettings:
        """Bounds of the messages held."""
        return IntakeSettings(self.queue, self.held, self.look_ahead, self.look_s, self.pause_s)


class Closed(Unavailable):
    """The worker stops: no further segment gets a place."""


class Dismissed(Unavailable):
    """The segment goes back to the broker, for another worker."""


@dataclass(frozen=True, slots=True, eq=False)
class _Ticket:
    """A task that waits for a place."""

    claim: Claim
    ready: "asyncio.Future[None]"


class PrioritySemaphore:
    """Places of one worker. The caller bounds the number of tasks that wait."""

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
        """Refuse all tasks that wait now or come later; places in use stay in use."""
        self._closed = True
        self._refuse(self._waiting, lambda: Closed("the worker stops"))

    def dismiss(self) -> int:
        """Refuse all tasks that wait and are returnable; return their number."""
        returnable = [ticket for ticket in self._waiting if ticket.claim.returnable]
        self._refuse(returnable, lambda: Dismissed("another worker may take it"))
        return len(returnable)

    def _refuse(self, tickets: list[_Ticket], why: Callable[[], Unavailable]) -> None:
        for ticket in tickets:
            if not ticket.ready.done():
                ticket.ready.set_exception(why())
        self._waiting = [ticket for ticket in self._waiting if not ticket.ready.done()]

    async def enter(self, claim: Claim) -> int:
        """Wait for a place; return the monotonic time, in ms, at which it was taken.

        Raises:
            Closed: the worker stops.
            Dismissed: the segment goes back to the broker.
        """
        if self._closed:
            raise Closed("the worker stops")
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
        """Release a place, and charge its owner for the time since ``since_ms``."""
        now_ms = self._now_ms()
        self._usage.end(claim.owner, now_ms - since_ms, now_ms)
        self._free += 1
        self._give_places()

    def _leave_unused(self, ticket: _Ticket) -> None:
        """Release a place that a task got while it was being cancelled."""
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

    def __init__(self, places: PrioritySemaphore, claim: Claim) -> None:
        self._places = places
        self._claim = claim
        self._since_ms: int | None = None

    async def take(self) -> None:
        """Take a place unless it is taken already. Raises as ``PrioritySemaphore.enter``."""
        if self._since_ms is None:
            self._since_ms = await self._places.enter(self._claim)
            self._claim = replace(self._claim, returnable=False)  # work on it has started

    def leave(self) -> None:
        """Release the place, if it is taken."""
        since_ms, self._since_ms = self._since_ms, None
        if since_ms is not None:
            self._places.leave(self._claim, since_ms)


# A damaged store may be restored while we run, so it counts as unavailable for a while.
_STORE_ERRORS: Final = (Unavailable, Misconfigured)


class LeaseLost(Unavailable):
    """The lease could not be renewed: another worker may have the job by now."""


class Holder:
    """Holder of leases on jobs.

    Args:
        leases: store of the leases.
        report: called after each request to the store, with the error where it is unavailable.
        lease_s: seconds for which a job stays taken after the death of its holder.
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
        """Wait for the lease of a job and keep it; the body is cancelled if the lease is lost.

        Args:
            job: id of the job.
            pause: waits that many seconds between two attempts; raises to end the waiting.

        Raises:
            LeaseLost: the lease could not be renewed and the body was cancelled.
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
            # A cancellation for another reason at the same time has precedence.
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
        with suppress(*_STORE_ERRORS, TimeoutError):  # the lease then expires
            async with asyncio.timeout(self._lease_s / 6):
                await self._leases.release(job, holder)

    async def _acquire(self, job: str, holder: str) -> bool:
        try:
            got = await self._leases.acquire(job, holder, self._lease_s)
        except _STORE_ERRORS as error:
            log.warning("lease.storeUnavailable", extra={"error": error.detail})
            self._report(error)
            return False
        self._report(None)
        return got

    async def _renew(self, job: str, holder: str, body: "asyncio.Task[object] | None") -> None:
        """Renew the lease in time until cancelled; when that fails, cancel ``body``.

        The timeout covers a store that does not answer: the lease must not expire unnoticed.
        """
        loop = asyncio.get_running_loop()
        valid_until_s = loop.time() + self._lease_s
        while loop.time() < valid_until_s:
            await asyncio.sleep(self._lease_s / 6)
            requested_s = loop.time()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(valid_until_s):
                    if await self._acquire(job, holder):
                        valid_until_s = requested_s + self._lease_s
        log.error("lease.lost", extra={"job": job})
        if body is not None:
            body.cancel()


class OutageLimit:
    """Time limit on outages of the broker, the store and the disks.

    Args:
        clock: measures the outages.
        limit_s: longest outage in seconds; None: no limit.

    Attributes:
        ended: error that names the outage, once one has exceeded the limit; else None.
    """

    def __init__(self, clock: Clock, limit_s: float | None = None) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._since_ms: dict[str, int] = {}
        self.ended: Unavailable | None = None

    def unavailable(self, what: str, why: str) -> bool:
        """Record a failed attempt. Returns True once any outage has exceeded the limit."""
        now_ms = self._clock.now().mono_ms
        waited_s = (now_ms - self._since_ms.setdefault(what, now_ms)) / 1000
        if self.ended is None and self._limit_s is not None and waited_s >= self._limit_s:
            self.ended = Unavailable(f"{what} for {self._limit_s:g} s: {why}")
        return self.ended is not None

    def recovered(self, what: str) -> None:
        """Record a successful attempt, which ends the outage."""
        self._since_ms.pop(what, None)

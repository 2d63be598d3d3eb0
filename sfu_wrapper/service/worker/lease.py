"""Holding one job while working on it, so that a second delivery waits.

Each hold is a holder of its own, since one worker may be given the same job twice at once.
"""

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from sfu_wrapper.model.errors import Misconfigured, RecordingError, Unavailable
from sfu_wrapper.ports.jobs import JobLeases

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

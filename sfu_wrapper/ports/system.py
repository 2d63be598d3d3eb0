"""Services of the system: clocks, the key set of an identity provider, and leases on jobs.

A clock reads wall time and monotonic time together. The key set verifies tokens. A lease makes a
second delivery of a segment wait instead of working in parallel.
"""

from typing import Protocol

from sfu_wrapper.model.segment import Instant


class Clock(Protocol):
    """Source of time of the shell; tests use a fixed one."""

    def now(self) -> Instant:
        """Read the wall clock and the monotonic clock."""
        ...


class KeySetSource(Protocol):
    """Remote key set (RFC 7517)."""

    async def fetch(self) -> bytes:
        """Return the current set; bounded in size and time.

        Raises:
            Unavailable: the set cannot be fetched now.
        """
        ...


class JobLeases(Protocol):
    """Leases, one a (uuid, segment), which expire after the death of their holder."""

    async def acquire(self, job: str, holder: str, ttl_s: float) -> bool:
        """Acquire or renew a lease of ``ttl_s``. Returns False while another holder has it."""
        ...

    async def release(self, job: str, holder: str) -> None:
        """Release the lease; no effect for another holder."""
        ...

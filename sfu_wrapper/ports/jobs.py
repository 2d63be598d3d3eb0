"""Leases on jobs, so that a second delivery of a segment waits instead of working in parallel."""

from typing import Protocol


class JobLeases(Protocol):
    """Leases, one a (uuid, segment), which expire after the death of their holder."""

    async def acquire(self, job: str, holder: str, ttl_s: float) -> bool:
        """Acquire or renew a lease of ``ttl_s``. Returns False while another holder has it."""
        ...

    async def release(self, job: str, holder: str) -> None:
        """Release the lease; no effect for another holder."""
        ...

"""Leases on jobs, so that a second delivery of a segment waits instead of working in parallel."""

from typing import Protocol


class JobLeases(Protocol):
    """One lease a (uuid, segment); it runs out by itself when its holder dies."""

    async def acquire(self, job: str, holder: str, ttl_s: float) -> bool:
        """Take or renew it. False while another holder's has not run out."""
        ...

    async def release(self, job: str, holder: str) -> None:
        """Give it back; nothing happens where it is not held."""
        ...

"""Job leases in memory, by a clock that a test may hold still."""

import time
from collections.abc import Callable


class MemoryLeases:
    """``ports.system.JobLeases`` for one process."""

    def __init__(self, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = monotonic_s
        self._held: dict[str, tuple[str, float]] = {}

    async def acquire(self, job: str, holder: str, ttl_s: float) -> bool:
        """See ``JobLeases``."""
        now_s = self._now_s()
        other, expires_s = self._held.get(job, (holder, now_s))
        if other != holder and expires_s > now_s:
            return False
        self._held[job] = (holder, now_s + ttl_s)
        return True

    async def release(self, job: str, holder: str) -> None:
        """See ``JobLeases``."""
        if self._held.get(job, (None, 0.0))[0] == holder:
            del self._held[job]

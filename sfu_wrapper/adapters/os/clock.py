"""The clocks of this machine, and a manual one for tests and simulations."""

import time

from sfu_wrapper.model.segment import Instant


class SystemClock:
    """The operating system's wall and monotonic clocks (``ports.system.Clock``)."""

    def now(self) -> Instant:
        """Return the time of both clocks."""
        return Instant(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)


class ManualClock:
    """Fake clock that stands still until a test moves it.

    Args:
        wall_ms: initial wall time, epoch ms.
        mono_ms: initial monotonic time, ms.
    """

    def __init__(self, wall_ms: int = 1_795_484_878_000, mono_ms: int = 1_000) -> None:
        self._now = Instant(wall_ms, mono_ms)

    def now(self) -> Instant:
        """Return the time that was set."""
        return self._now

    def pass_ms(self, ms: int) -> None:
        """Advance both clocks."""
        self._now = Instant(self._now.wall_ms + ms, self._now.mono_ms + ms)

    def jump_ms(self, ms: int) -> None:
        """Change the wall clock alone, as an operator or NTP may do."""
        self._now = Instant(self._now.wall_ms + ms, self._now.mono_ms)

"""The clocks of this machine, and one that stands still."""

import time

from sfu_wrapper.model.moment import Moment


class SystemClock:
    """The real ones (``ports.clock.Clock``)."""

    def now(self) -> Moment:
        """Read both."""
        return Moment(time.time_ns() // 1_000_000, time.monotonic_ns() // 1_000_000)


class ManualClock:
    """Stands still until it is moved; the fake that ships."""

    def __init__(self, wall_ms: int = 1_795_484_878_000, mono_ms: int = 1_000) -> None:
        self._now = Moment(wall_ms, mono_ms)

    def now(self) -> Moment:
        """What it was set to."""
        return self._now

    def pass_ms(self, ms: int) -> None:
        """Let both clocks run on."""
        self._now = Moment(self._now.wall_ms + ms, self._now.mono_ms + ms)

    def jump_ms(self, ms: int) -> None:
        """Set the wall clock, as an operator or NTP may do."""
        self._now = Moment(self._now.wall_ms + ms, self._now.mono_ms)

"""Times of one segment while the wall clock is set by somebody. Pure.

The monotonic clock says how long a segment has lasted. Where the wall clock disagrees by more than
``TOLERANCE_MS`` it was set meanwhile, and times that it told after that are moved back by as much:
the segment keeps its length and its place, and so do files and stays in it. Between two readings
nothing tells when the clock was set. A time that fits without being moved is taken as it is, so
that a leap shorter than the segment may misplace what follows it by as much as the leap.
"""

from dataclasses import dataclass
from typing import Final

from sfu_wrapper.model.instant import Moment

TOLERANCE_MS: Final = 1_000
LEAD_LIMIT_MS: Final = 30_000  # no start takes longer: what seems to was told by another clock


@dataclass(frozen=True, slots=True)
class Timeline:
    """The stretch from ``began`` to ``now``, on the wall clock as it was at ``began``."""

    began: Moment
    now: Moment

    @property
    def leap_ms(self) -> int:
        """By how much the wall clock was set forward meanwhile; negative: back; 0: not at all."""
        passed_ms = self.now.mono_ms - self.began.mono_ms
        leap_ms = self.now.wall_ms - self.began.wall_ms - passed_ms
        return leap_ms if abs(leap_ms) > TOLERANCE_MS else 0

    @property
    def end_ms(self) -> int:
        """Now, epoch ms; never before ``began``."""
        return max(self.now.wall_ms - self.leap_ms, self.began.wall_ms)

    def place(self, told_ms: int) -> int:
        """Return when something was whose time was read off a wall clock; epoch ms."""
        leap_ms = self.leap_ms
        too_late = leap_ms > 0 and told_ms > self.end_ms + TOLERANCE_MS
        too_early = leap_ms < 0 and told_ms < self.began.wall_ms - LEAD_LIMIT_MS
        return told_ms - leap_ms if too_late or too_early else told_ms

"""Wall clock and monotonic clock, read together."""

from typing import Protocol

from sfu_wrapper.model.segment import Moment


class Clock(Protocol):
    """Source of time of the shell; tests use a fixed one."""

    def now(self) -> Moment:
        """Read the wall clock and the monotonic clock."""
        ...

"""The two clocks, read together."""

from typing import Protocol

from sfu_wrapper.model.moment import Moment


class Clock(Protocol):
    """Where the shell reads time; tests give one that stands still."""

    def now(self) -> Moment:
        """Read the wall clock and the monotonic clock."""
        ...

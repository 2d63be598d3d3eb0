"""Backoff: growing pauses between attempts at what is unavailable. Pure: waits nowhere.

The one rule of this house for such pauses. A module that retries keeps its values in a constant,
and takes the next pause of ``iter(BACKOFF)`` after each failure; a new iterator starts over. Pauses
after failed attempts at a recording are a table instead, since the state of a room keeps their
number (``core.segments``).

``Reminders`` keep the log of an outage short.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice


@dataclass(frozen=True, slots=True)
class Backoff:
    """Schedule of pauses, each a multiple of the one before, up to a limit.

    Attributes:
        first_s: first pause, in seconds.
        longest_s: upper limit of a pause, in seconds.
        factor: ratio of each pause to the one before.
        jitter: source of numbers from 0 to 1 that shorten each pause by up to a half, so that many
            that lost the same peer do not return at once; None: pauses are exact.
    """

    first_s: float
    longest_s: float
    factor: float = 2.0
    jitter: Callable[[], float] | None = None

    def __iter__(self) -> Iterator[float]:
        """Yield the pauses in seconds, without end."""
        pause_s = min(self.first_s, self.longest_s)
        while True:
            yield pause_s if self.jitter is None else pause_s * (1 - self.jitter() / 2)
            pause_s = min(pause_s * self.factor, self.longest_s)

    def after(self, failures: int) -> float:
        """Return the pause in seconds after that many consecutive failures, at least one."""
        return next(islice(self, failures - 1, None))


class Reminders:
    """Choice of the failed attempts of an outage that are logged: the first, then one a minute.

    Args:
        every_s: seconds between two that are logged.
    """

    def __init__(self, every_s: float = 60.0) -> None:
        self._every_s = every_s
        self._next_s: float | None = None

    def due(self, now_s: float) -> bool:
        """Return True if a failed attempt is to be logged now.

        Args:
            now_s: reading of any monotonic clock, in seconds; the same clock at each call.
        """
        if self._next_s is not None and now_s < self._next_s:
            return False
        self._next_s = now_s + self._every_s
        return True

    def over(self) -> bool:
        """End the outage. Returns True if there was one."""
        was, self._next_s = self._next_s is not None, None
        return was

"""Drift of a sender's clock against the recorder's, from timestamps and times of receipt.

A packet arrives after it was sent, later the busier the network. So only the packet with the least
delay in each stretch of time counts, and the result is the line through those packets with the
median slope of all pairs (Theil, Sen), which a stalled link or a burst hardly bends. The delay of
the fastest packet stays unknown. Pure arithmetic, in bounded memory.
"""

from dataclasses import dataclass
from itertools import combinations
from statistics import median

SHORTEST_MS = 30_000
"""Below this, the jitter of a common network looks like a clock that is 100 ppm off."""

_FEWEST = 8  # stretches
_MOST = 128  # more of them are joined by pairs
_FIRST_STRETCH_MS = 1_000

Point = tuple[int, float]
"""(ms of receipt, ms by which media time is ahead of it) of a stretch's fastest packet."""


@dataclass(frozen=True, slots=True)
class Drift:
    """Result of the measurement.

    Attributes:
        ahead_ms: ms by which media time was ahead of receipt at the beginning.
        ppm: parts per million by which the sender's clock runs fast; None: not measurable.
    """

    ahead_ms: float
    ppm: float | None


class DriftMeter:
    """Meter for the packets of one stream, in ticks of ``hz``."""

    def __init__(self, hz: int) -> None:
        self._ticks_a_ms = hz // 1000
        self._stretch_ms = _FIRST_STRETCH_MS
        self._end_ms = self._stretch_ms
        self._points: list[tuple[int, int]] = []  # in ticks
        self._best: tuple[int, int] | None = None

    def note(self, time: int, received_ms: int) -> None:
        """Record a packet; both times count from the recording's first packet.

        Args:
            time: media time in ticks.
            received_ms: time of receipt in ms.
        """
        ahead = time - received_ms * self._ticks_a_ms
        if self._best is not None and received_ms < self._end_ms:
            if ahead > self._best[1]:
                self._best = received_ms, ahead
            return
        self._close()
        self._best = received_ms, ahead
        self._end_ms = received_ms - received_ms % self._stretch_ms + self._stretch_ms

    def drift(self) -> Drift:
        """Return the drift over all recorded packets."""
        noted = self._points + ([self._best] if self._best else [])
        return fitted([(at_ms, ahead / self._ticks_a_ms) for at_ms, ahead in noted])

    def _close(self) -> None:
        if self._best is not None:
            self._points.append(self._best)
        if len(self._points) >= _MOST:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [max(pair, key=lambda point: point[1]) for pair in pairs]
            self._stretch_ms *= 2


def fitted(points: list[Point]) -> Drift:
    """Return the line through points of rising time."""
    if not points:
        return Drift(0.0, None)
    slope = 0.0
    steady = len(points) >= _FEWEST and points[-1][0] - points[0][0] >= SHORTEST_MS
    if steady:
        slope = median((b - a) / (t - s) for (s, a), (t, b) in combinations(points, 2) if t > s)
    ahead_ms = median(ahead - slope * at_ms for at_ms, ahead in points)
    return Drift(ahead_ms, slope * 1_000_000 if steady else None)

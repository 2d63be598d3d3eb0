"""Media time from 32-bit RTP timestamps, and the drift of the sender's clock.

``stream`` calls ``at`` for each new timestamp in order of sending, and ``restart`` when SSRC or
numbering change. The sender's clock decides, because it is free of network jitter; where its
timestamps jump, the recorder's clock corrects them. Time never falls.

The drift compares timestamps with times of receipt. A packet arrives after it was sent, later the
busier the network. So only the packet with the least delay in each stretch of time counts, and the
result is the line through those packets with the median slope of all pairs (Theil, Sen), which a
stalled link or a burst hardly bends. The delay of the fastest packet stays unknown. Pure
arithmetic, in bounded memory.
"""

from dataclasses import dataclass
from itertools import combinations
from statistics import median

AHEAD_MS = 3_000
"""Media further ahead of its receipt would come from the future: the timestamps jumped."""

BEHIND_MS = 10_000
"""A link may stall and then deliver late; connections do not outlive longer stalls than this."""

SETTLED_MS = 1_000
"""Within this the two clocks agree, and their slow drift apart is followed."""

SHIFT_AFTER_MS = 2_000
"""A stall's backlog arrives in one go; a difference that stays this long is a shifted clock."""

_FOLLOW = 1 / 256
_RANGE_MASK, _HALF = 0xFFFFFFFF, 0x80000000
_NOTHING_YET = -(1 << 62)


class MediaClock:
    """Time of one stream in ticks of ``hz``; 0 is the receipt of the first packet of the file.

    Args:
        hz: ticks a second.
        timed: True where times of receipt are known; without them timestamps are trusted.

    Attributes:
        jumps: number of corrections of the timestamps.
    """

    def __init__(self, hz: int, *, timed: bool) -> None:
        self._hz = hz
        self._timed = timed
        self._last_raw: int | None = None
        self._time = 0
        self._lead_ms = 0.0  # of media time over receipt, smoothed
        self._unsettled_since_ms: int | None = None
        self._given = _NOTHING_YET
        self._floor = _NOTHING_YET  # what was given out before the last correction
        self.jumps = 0

    def restart(self) -> None:
        """Place the next timestamp by its receipt alone, without relation to earlier ones."""
        self._last_raw = None

    def at(self, raw: int, received_ms: int) -> int:
        """Return the ticks of a timestamp. Call in order of sending.

        After a correction time keeps rising, if necessary by single ticks until it has caught up.

        Args:
            raw: 32-bit RTP timestamp.
            received_ms: time of receipt, ms since the first packet.
        """
        last, self._last_raw = self._last_raw, raw
        if last is None:
            self._place(received_ms)
        else:
            step = ((raw - last + _HALF) & _RANGE_MASK) - _HALF  # the shorter way round
            time = self._time = self._time + step
            if self._timed:
                off_ms = time * 1000 / self._hz - received_ms - self._lead_ms
                if -SETTLED_MS < off_ms < SETTLED_MS:  # nearly always
                    self._lead_ms += off_ms * _FOLLOW
                    self._unsettled_since_ms = None
                elif self._has_jumped(off_ms, received_ms):
                    self.jumps += 1
                    self._place(received_ms)
        given = self._time
        if given <= self._floor:
            given = self._floor = self._floor + 1
        self._given = given
        return given

    def _place(self, received_ms: int) -> None:
        """Set the time from receipt; without a time of receipt, continue from the last one."""
        self._floor = self._given
        self._unsettled_since_ms = None
        if self._timed:
            self._time = round((received_ms + self._lead_ms) * self._hz / 1000)

    def _has_jumped(self, off_ms: float, received_ms: int) -> bool:
        if self._unsettled_since_ms is None:
            self._unsettled_since_ms = received_ms
        stays = received_ms - self._unsettled_since_ms > SHIFT_AFTER_MS
        return stays or off_ms > AHEAD_MS or off_ms < -BEHIND_MS


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

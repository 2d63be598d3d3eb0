"""Media time from 32-bit RTP timestamps, and the drift of the sender's clock.

``stream`` calls ``at`` for each new timestamp in order of sending, and ``restart`` when SSRC or
numbering change. The sender's clock decides, because it is free of network jitter; where its
timestamps jump or stand still, the recorder's clock corrects them. Time never falls.

Packets that a stalled link delivered late look like a clock that stood still, until their backlog
has arrived. So where the two clocks differ, the packets that follow in the file decide: if any of
them agrees with what came before, the link was slow; if all keep the difference, the sender's clock
has moved, and time is corrected from the first packet after it.

The drift compares timestamps with times of receipt. A packet arrives after it was sent, later the
busier the network. So only the packet with the least delay in each stretch of time counts, and the
result is the line through those packets with the median slope of all pairs (Theil, Sen), which a
stalled link or a burst hardly bends. The delay of the fastest packet stays unknown. Pure
arithmetic, in bounded memory.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from statistics import median

BEHIND_MS = 10_000
"""A link may stall and then deliver late; connections do not outlive longer stalls than this."""

SETTLED_MS = 1_000
"""Within this the two clocks agree, and their slow drift apart is followed."""

LEAP_MS = 300
"""A difference between this and ``SETTLED_MS`` is a leap only if it is as steady as a clock."""

FORESIGHT_MS = 2_000
"""A stall's backlog arrives in one go; a difference that stays this long is a shifted clock."""

_STEADY_MS = 100  # by which offsets after a leap differ at most
_FEWEST_STEADY, _STEADY_FOR_MS = 3, 1_000  # later timestamps that show a small leap
_FOLLOW = 1 / 256
_RANGE_MASK, _HALF = 0xFFFFFFFF, 0x80000000
_NOTHING_YET = -(1 << 62)

Stamp = tuple[int, int]
"""(32-bit RTP timestamp, ms of receipt) of a packet."""


def _nothing() -> Iterable[Stamp]:
    return ()


class MediaClock:
    """Time of one stream in ticks of ``hz``; 0 is the receipt of the first packet of the file.

    Args:
        hz: ticks a second.
        timed: True where times of receipt are known; without them timestamps are trusted.
        upcoming: returns the packets that follow the current one in the file, a few seconds of
            them; called where the clocks differ.

    Attributes:
        jumps: number of corrections of the timestamps.
    """

    def __init__(
        self, hz: int, *, timed: bool, upcoming: Callable[[], Iterable[Stamp]] = _nothing
    ) -> None:
        self._hz = hz
        self._timed = timed
        self._upcoming = upcoming
        self._last_raw: int | None = None
        self._time = 0
        self._lead_ms = 0.0  # of media time over receipt, smoothed
        self._judged_until_ms = _NOTHING_YET  # of receipt; what differs until then is no leap
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
                if not -LEAP_MS < off_ms < LEAP_MS and received_ms >= self._judged_until_ms:
                    off_ms -= self._correct(raw, off_ms, received_ms)
                if -SETTLED_MS < off_ms < SETTLED_MS:  # nearly always
                    self._lead_ms += off_ms * _FOLLOW
        given = self._time
        if given <= self._floor:
            given = self._floor = self._floor + 1
        self._given = given
        return given

    def _place(self, received_ms: int) -> None:
        """Set the time from receipt; without a time of receipt, continue from the last one."""
        self._floor = self._given
        if self._timed:
            self._time = round((received_ms + self._lead_ms) * self._hz / 1000)

    def _correct(self, raw: int, off_ms: float, received_ms: int) -> float:
        """Correct the time where the sender's clock has moved; return by how many ms.

        The packets that follow decide. Where they leave it open, a difference of less than
        ``SETTLED_MS`` is taken for delay, a larger one for a clock that has moved.

        Args:
            raw: timestamp of the current packet.
            off_ms: ms by which its media time is ahead of its receipt, more than usual.
            received_ms: its time of receipt.
        """
        later = self._offsets(raw, off_ms, received_ms)
        if -SETTLED_MS < off_ms < SETTLED_MS:
            if not _is_steady(off_ms, later, received_ms):
                self._judged_until_ms = received_ms + FORESIGHT_MS
                return 0.0
        elif agrees_ms := [at_ms for at_ms, off in later if _returns(off_ms, off)]:
            if -BEHIND_MS < off_ms < 0:  # a stalled link
                self._judged_until_ms = agrees_ms[0]
                return 0.0
            later = []  # a single wrong timestamp
        by_ms = median([off_ms, *(off for _, off in later)])
        self.jumps += 1
        self._floor = self._given
        self._time -= round(by_ms * self._hz / 1000)
        return by_ms

    def _offsets(self, raw: int, off_ms: float, received_ms: int) -> list[tuple[int, float]]:
        """Return (ms of receipt, ms ahead of it) of the packets that follow."""
        found, last = [], raw
        for later, at_ms in self._upcoming():
            if later != last:
                last = later
                step = ((later - raw + _HALF) & _RANGE_MASK) - _HALF
                found.append((at_ms, off_ms + step * 1000 / self._hz - (at_ms - received_ms)))
        return found


def _returns(off_ms: float, later_ms: float) -> bool:
    """Return True if a later packet agrees with those before the difference."""
    return abs(later_ms) < SETTLED_MS and abs(later_ms - off_ms) > LEAP_MS


def _is_steady(off_ms: float, later: list[tuple[int, float]], received_ms: int) -> bool:
    """Return True if all that follows keeps the difference, as after a leap of a clock."""
    if len(later) < _FEWEST_STEADY or later[-1][0] - received_ms < _STEADY_FOR_MS:
        return False
    return all(abs(off - off_ms) < _STEADY_MS for _, off in later)


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

"""Media time from 32-bit RTP timestamps, verified against the time of receipt.

``stream`` calls ``at`` for each new timestamp in order of sending, and ``restart`` when SSRC or
numbering change. The sender's clock decides, because it is free of network jitter; where its
timestamps jump, the recorder's clock corrects them. Time never falls. Pure arithmetic.
"""

AHEAD_MS = 3_000
"""Media further ahead of its receipt would come from the future: the timestamps jumped."""

BEHIND_MS = 10_000
"""A link may stall and then deliver late; connections do not outlive longer stalls than this."""

SETTLED_MS = 1_000
"""Within this the two clocks agree, and their slow drift apart is followed."""

PATIENCE_MS = 2_000
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
        stays = received_ms - self._unsettled_since_ms > PATIENCE_MS
        return stays or off_ms > AHEAD_MS or off_ms < -BEHIND_MS

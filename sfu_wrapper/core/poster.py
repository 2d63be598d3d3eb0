"""Which moments of a segment may stand for the whole of it. Pure."""

from collections.abc import Sequence

from sfu_wrapper.core.intervals import Interval

_MOST = 5
_LONG_ENOUGH_US = 500_000
_SETTLED_US = 1_000_000  # a picture is at its best a while after it has appeared


def moments(cut: Sequence[Interval]) -> tuple[int, ...]:
    """Where to look for a poster, the best first: most people, lasting, early."""

    def rank(interval: Interval) -> tuple[bool, int]:
        lasting = interval.stop_us - interval.start_us >= _LONG_ENOUGH_US
        return not lasting, -len(interval.tracks)

    best = sorted((interval for interval in cut if interval.tracks), key=rank)[:_MOST]
    return tuple(one.start_us + min(_SETTLED_US, (one.stop_us - one.start_us) // 2) for one in best)

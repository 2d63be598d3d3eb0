"""Stretches of a segment in which nothing was recorded, and the segment without them. Pure.

A clock that was set forward makes an event hours longer than the call was: the end is told by the
new time, and files from before it seem to be open until then. Nothing in the event shows it; that
no file holds anything for hours does. Of such a stretch ``KEPT_US`` remain, and all that follows
moves forward by the rest. Shorter pauses stay as they are (recording-service.md, "The steps").
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sfu_wrapper.core.intervals import Span
from sfu_wrapper.model.recording import Presence, SegmentInfo

EMPTY_LIMIT_US: Final = 3_600_000_000
KEPT_US: Final = 10_000_000  # longer than ``intervals.FREEZE_US``


@dataclass(frozen=True, slots=True)
class Cut:
    """The stretch [start, start + length) is left out; microseconds of the segment."""

    start_us: int
    length_us: int


def cuts(duration_us: int, held: Iterable[tuple[int, int]]) -> tuple[Cut, ...]:
    """Find what to leave out.

    Args:
        duration_us: length of the segment as its event has it.
        held: for each file from where to where it holds media.

    Returns:
        Cuts in order; none where no file holds anything, as nothing is made of that then.
    """
    pieces = sorted(piece for piece in held if piece[1] > 0 and piece[0] < duration_us)
    if not pieces:
        return ()
    return tuple(_long_gaps([*pieces, (duration_us, duration_us)]))


def _long_gaps(pieces: Sequence[tuple[int, int]]) -> Iterator[Cut]:
    reached_us = 0
    for start_us, stop_us in pieces:
        if start_us - reached_us > EMPTY_LIMIT_US:
            # The last picture before it may stay for a while.
            yield Cut(reached_us + KEPT_US, start_us - reached_us - KEPT_US)
        reached_us = max(reached_us, stop_us)


def moved_us(left_out: Iterable[Cut], time_us: int) -> int:
    """Return where a time of the segment is once the cuts are left out."""
    return time_us - sum(min(max(0, time_us - cut.start_us), cut.length_us) for cut in left_out)


def moved_span(left_out: Sequence[Cut], span: Span) -> Span:
    """Return a track's time on screen once the cuts are left out; its file moves with its start."""
    start_us = moved_us(left_out, span.start_us)
    return replace(
        span,
        start_us=start_us,
        stop_us=moved_us(left_out, span.stop_us),
        shift_us=span.shift_us - (span.start_us - start_us),
    )


def moved_info(left_out: Sequence[Cut], info: SegmentInfo) -> SegmentInfo:
    """Return the segment as long as it is without the cuts, with everybody's stays in it."""

    def moved_ms(time_ms: int) -> int:
        offset_us = (time_ms - info.started_ms) * 1000
        return info.started_ms + moved_us(left_out, offset_us) // 1000

    stays = (
        Presence(stay.user, moved_ms(stay.joined_ms), moved_ms(stay.left_ms))
        for stay in info.presences
    )
    return replace(info, completed_ms=moved_ms(info.completed_ms), presences=tuple(stays))


def notes(left_out: Iterable[Cut]) -> Iterator[str]:
    """Return a sentence for each cut, for ``warnings``."""
    for cut in left_out:
        empty_s = (cut.length_us + KEPT_US) / 1_000_000
        from_s = (cut.start_us - KEPT_US) / 1_000_000
        yield (
            f"nothing was recorded for {empty_s:.0f} s from {from_s:.0f} s on: "
            f"{KEPT_US // 1_000_000} s of it are kept; a clock may have been set forward meanwhile"
        )

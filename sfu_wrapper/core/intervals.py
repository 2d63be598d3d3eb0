"""Tracks on screen over time, and removal of long empty stretches. Pure.

In: the event and the content of the video files (``Held``). Out: a ``Span`` for each track, and
the ``Interval``s between changes of the screen. Times are microseconds; those of spans and
intervals count from the start of the segment.

The times in the media overrule the event: a track is on screen from its first frame to the end of
its last one. Exception: if the frames end long before the event ends the track, the track is
frozen, and its last frame stays.

A clock that was set forward makes an event hours longer than the call: the end has the new time,
and earlier files seem to be open until then. The sign of it is that no file holds media for hours.
``KEPT_US`` of such a stretch remain, and all later times move forward by the rest. Shorter pauses
stay (recording-service.md, "The steps").
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

from sfu_wrapper.model.identity import UserId
from sfu_wrapper.model.media import RawFile
from sfu_wrapper.model.segment import Presence, SegmentInfo

FREEZE_US = 5_000_000  # the last frame of a frozen track stays for that long
FROZEN_AFTER_US = 1_000_000  # frames may end that much before their track without it being frozen
CLOCK_TOLERANCE_US = 2_000_000  # beyond this the SFU's clock is not the controller's


@dataclass(frozen=True, slots=True)
class Held:
    """Content of one video file, in epoch microseconds of the SFU's clock.

    Attributes:
        file: the file.
        first_us: start of its first frame.
        end_us: end of its last frame.
    """

    file: RawFile
    first_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class Span:
    """Time on screen of one track, [start, stop), from the start of the segment.

    Attributes:
        track: index of its file.
        start_us: first moment on screen.
        stop_us: end of the last frame.
        shift_us: correction of the file's epoch times; 0 unless clocks disagree.
    """

    track: int
    start_us: int
    stop_us: int
    shift_us: int = 0


@dataclass(frozen=True, slots=True)
class Interval:
    """Longest span with the same tracks on screen, [start, stop); tracks in tile order."""

    start_us: int
    stop_us: int
    tracks: tuple[int, ...]


def spans(info: SegmentInfo, held: Sequence[Held]) -> tuple[Span, ...]:
    """Return the time on screen of each track, in tile order, limited to the segment.

    Tile order is the order of first joining: by user, then by first frame.
    """
    found = [span for track, one in enumerate(held) if (span := _span(info, track, one))]
    joined = _first_joined(info, held)

    def order(span: Span) -> tuple[tuple[int, int], int, int]:
        return joined[_user(held[span.track])], span.start_us, span.track

    return tuple(sorted(found, key=order))


def intervals(shown: Sequence[Span], duration_us: int) -> tuple[Interval, ...]:
    """Cut [0, duration) wherever a track appears or disappears; keep the order of ``shown``.

    Neighbours differ in their tracks; together they cover the segment, without overlap.
    Takes memory for each track in each interval: check ``most_on_screen`` first.
    """
    comes: defaultdict[int, list[int]] = defaultdict(list)
    goes: defaultdict[int, list[int]] = defaultdict(list)
    for rank, span in enumerate(shown):
        start_us, stop_us = max(span.start_us, 0), min(span.stop_us, duration_us)
        if start_us < stop_us:
            comes[start_us].append(rank)
            goes[stop_us].append(rank)
    present: set[int] = set()
    found = []
    for start_us, stop_us in pairwise(sorted({0, duration_us, *comes, *goes})):
        present.difference_update(goes[start_us])
        present.update(comes[start_us])
        tracks = tuple(shown[rank].track for rank in sorted(present))
        found.append(Interval(start_us, stop_us, tracks))
    return tuple(found)


def most_on_screen(shown: Iterable[Span]) -> int:
    """Return the largest number of tracks on screen at once, in the time of one sort."""
    edges = sorted(edge for span in shown for edge in ((span.start_us, 1), (span.stop_us, -1)))
    return max(accumulate(change for _, change in edges), default=0)


def _span(info: SegmentInfo, track: int, one: Held) -> Span | None:
    start_of_segment = info.started_ms * 1000
    reported_start, reported_stop = one.file.started_ms * 1000, _reported_stop_us(info, one.file)
    agrees = (
        reported_start - CLOCK_TOLERANCE_US <= one.first_us <= reported_stop + CLOCK_TOLERANCE_US
    )
    shift = 0 if agrees else reported_start - one.first_us
    start, stop = one.first_us + shift, one.end_us + shift
    if reported_stop - stop > FROZEN_AFTER_US:
        stop = reported_stop
    start = max(start - start_of_segment, 0)
    stop = min(stop - start_of_segment, info.completed_ms * 1000 - start_of_segment)
    return Span(track, start, stop, shift) if start < stop else None


def _reported_stop_us(info: SegmentInfo, file: RawFile) -> int:
    return (info.completed_ms if file.stopped_ms is None else file.stopped_ms) * 1000


def _user(one: Held) -> UserId | None:
    return one.file.user


def _first_joined(info: SegmentInfo, held: Sequence[Held]) -> dict[UserId | None, tuple[int, int]]:
    """Return the time of joining of each user, with a number that orders equal times.

    Users that were present at the start keep the order of the event. A user that the event does
    not list has joined with its first file.
    """
    ranks: dict[UserId | None, tuple[int, int]] = {}
    for index, stay in enumerate(info.presences):
        rank = (stay.joined_ms, index)
        ranks[stay.user] = min(ranks.get(stay.user, rank), rank)
    listed = len(ranks)
    strangers = [one for one in held if _user(one) not in ranks]
    for one in sorted(strangers, key=lambda one: (one.file.started_ms, one.first_us)):
        ranks.setdefault(_user(one), (one.file.started_ms, listed + len(ranks)))
    return ranks


EMPTY_LIMIT_US: Final = 3_600_000_000
KEPT_US: Final = 10_000_000  # longer than ``intervals.FREEZE_US``


@dataclass(frozen=True, slots=True)
class Cut:
    """Removed stretch [start, start + length), in microseconds of the segment."""

    start_us: int
    length_us: int


def cuts(duration_us: int, held: Iterable[tuple[int, int]]) -> tuple[Cut, ...]:
    """Return the stretches to remove.

    Args:
        duration_us: length of the segment as its event has it.
        held: start and end of the media of each file.

    Returns:
        Cuts in order; none if no file holds media.
    """
    pieces = sorted(piece for piece in held if piece[1] > 0 and piece[0] < duration_us)
    if not pieces:
        return ()
    return tuple(_long_gaps([*pieces, (duration_us, duration_us)]))


def _long_gaps(pieces: Sequence[tuple[int, int]]) -> Iterator[Cut]:
    reached_us = 0
    for start_us, stop_us in pieces:
        if start_us - reached_us > EMPTY_LIMIT_US:
            # The last frame before it may stay for a while.
            yield Cut(reached_us + KEPT_US, start_us - reached_us - KEPT_US)
        reached_us = max(reached_us, stop_us)


def moved_us(left_out: Iterable[Cut], time_us: int) -> int:
    """Return a time of the segment after the removal of the cuts."""
    return time_us - sum(min(max(0, time_us - cut.start_us), cut.length_us) for cut in left_out)


def moved_span(left_out: Sequence[Cut], span: Span) -> Span:
    """Return a track's time on screen after the removal; its file moves with its start."""
    start_us = moved_us(left_out, span.start_us)
    return replace(
        span,
        start_us=start_us,
        stop_us=moved_us(left_out, span.stop_us),
        shift_us=span.shift_us - (span.start_us - start_us),
    )


def moved_info(left_out: Sequence[Cut], info: SegmentInfo) -> SegmentInfo:
    """Return the segment without the cuts, with all presences moved."""

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

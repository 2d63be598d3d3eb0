"""From the event and what the files turned out to hold to who is on screen when.

Pure. The media's own times rule: a track is on screen from its first picture until its last one
is over, whatever the event says. Only where pictures stop long before the event says the track
did, the track is taken for frozen and stays. Times are microseconds; those of spans and intervals
count from the start of the segment.

Stretches of a segment in which nothing was recorded, and the segment without them. Pure.

A clock that was set forward makes an event hours longer than the call was: the end is told by the
new time, and files from before it seem to be open until then. Nothing in the event shows it; that
no file holds anything for hours does. Of such a stretch ``KEPT_US`` remain, and all that follows
moves forward by the rest. Shorter pauses stay as they are (recording-service.md, "The steps").
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

from sfu_wrapper.model.identity import UserId
from sfu_wrapper.model.media import RawFile
from sfu_wrapper.model.segment import Presence, SegmentInfo

FREEZE_US = 5_000_000  # how long the last picture of a frozen track stays
FROZEN_AFTER_US = 1_000_000  # pictures may end this much before their track and still be its end
CLOCK_TOLERANCE_US = 2_000_000  # beyond this the SFU's clock is not the controller's


@dataclass(frozen=True, slots=True)
class Held:
    """What one video file turned out to hold, in epoch microseconds of the SFU's clock.

    first_us: when its first picture shows; end_us: when its last picture is over.
    """

    file: RawFile
    first_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class Span:
    """One track's time on screen, [start, stop), from the start of the segment.

    track: the index of its file among those held.
    shift_us: what its file's epoch times have to be moved by; not 0 only where clocks disagree.
    """

    track: int
    start_us: int
    stop_us: int
    shift_us: int = 0


@dataclass(frozen=True, slots=True)
class Interval:
    """The longest span with the same tracks on screen, [start, stop); tracks in tile order."""

    start_us: int
    stop_us: int
    tracks: tuple[int, ...]


def spans(info: SegmentInfo, held: Sequence[Held]) -> tuple[Span, ...]:
    """When each file's track is on screen, in tile order; what lies outside the segment is cut.

    Tile order is the order of first joining: by user, then by first picture.
    """
    found = [span for track, one in enumerate(held) if (span := _span(info, track, one))]
    joined = _first_joined(info, held)

    def order(span: Span) -> tuple[tuple[int, int], int, int]:
        return joined[_user(held[span.track])], span.start_us, span.track

    return tuple(sorted(found, key=order))


def intervals(shown: Sequence[Span], duration_us: int) -> tuple[Interval, ...]:
    """Cut [0, duration) wherever a track appears or goes; keeps the order of ``shown``.

    Neighbours differ in their tracks; together they cover the segment, without overlap.
    Takes memory for each track in each interval: look at ``most_on_screen`` first.
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
    """The largest number of tracks that are on screen at once; costs no more than sorting them."""
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
    """When each user came, and a number that parts those who came together.

    Who was there at the start keeps the event's order; who is not listed came with its first file.
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

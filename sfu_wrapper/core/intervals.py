"""Tracks on screen over time, and removal of long empty stretches. Pure.

In: the event and the content of the video files (``Held``). Out: a ``Span`` for each track, and
the ``Interval``s between changes of the screen. Times are microseconds; those of spans and
intervals count from the start of the segment.

The times in the media overrule the event: a track is on screen from its first frame to the end of
its last one. Exception: if the frames end long before the event ends the track, the track is
frozen, and its last frame stays. A screen is sent when it changes, so that it stays for as long as
it is published.

A clock that was set forward makes an event hours longer than the call: the end has the new time,
and earlier files seem to be open until then. The sign of it is that no file holds media for hours.
``KEPT_US`` of such a stretch remain, and all later times move forward by the rest. Shorter pauses
stay (recording-service.md, "The steps").
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain, pairwise
from typing import Final

from sfu_wrapper.model.identity import UserId
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import Presence, SegmentInfo

FREEZE_US = 5_000_000  # the last frame of a frozen camera stays for that long
FROZEN_AFTER_US = 1_000_000  # frames may end that much before their track without it being frozen
STILL_AFTER_US = 200_000  # the same of a screen: the time that the news of its end may take
LATE_BEAT = 1.5  # by this factor a sender may be later than in its longest pause
CLOCK_TOLERANCE_US = 2_000_000  # beyond this the SFU's clock is not the controller's
AT_ONCE_US = 100_000  # a first packet so soon after the file was opened did not come late


@dataclass(frozen=True, slots=True)
class Held:
    """Content of one video file, in epoch microseconds of the SFU's clock.

    Attributes:
        file: the file.
        first_us: start of its first frame.
        end_us: end of its last frame.
        beat_us: longest pause between its frames in which no packet is missing; 0: all are short.
        received_us: receipt of its last packet; None: unknown.
        single: True where it holds one frame only.
        begun_us: receipt of its first packet; None: that of the first frame.
        opened_us: opening of the file; None: the receipt of the first packet.
    """

    file: RawFile
    first_us: int
    end_us: int
    beat_us: int = 0
    received_us: int | None = None
    single: bool = False
    begun_us: int | None = None
    opened_us: int | None = None

    @property
    def is_screen(self) -> bool:
        """True for a shared screen."""
        return self.file.stream is Stream.SCREEN

    def ahead_us(self) -> tuple[int, ...]:
        """Return by how much the clock of the SFU may be ahead of the event's, likeliest first.

        The event has the time of the opening of the file, or of its first packet.
        """
        reported_us = self.file.started_ms * 1000
        begun_us = self.first_us if self.begun_us is None else self.begun_us
        opened_us = begun_us if self.opened_us is None else self.opened_us
        if begun_us - opened_us <= AT_ONCE_US:
            return (begun_us - reported_us,)
        return opened_us - reported_us, begun_us - reported_us

    def moved(self, shift_us: int) -> "Held":
        """Return the file with its times corrected."""
        received_us = None if self.received_us is None else self.received_us + shift_us
        first_us, end_us = self.first_us + shift_us, self.end_us + shift_us
        return replace(self, first_us=first_us, end_us=end_us, received_us=received_us)


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
    shifts = _shifts_us(held)
    moved = [one.moved(shift) if shift else one for one, shift in zip(held, shifts, strict=True)]
    ends = _reported_stops_us(info, moved)
    found = [
        span for n, one in enumerate(moved) if (span := _span(info, n, one, ends[n], shifts[n]))
    ]
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


def _shifts_us(held: Sequence[Held]) -> list[int]:
    """Return the correction of each file's times: 0 unless its clock disagrees with the event.

    All files of a segment come from one SFU, mostly: where a file has two possible offsets, that of
    the most files counts, then none, then that of its opening, so that a late camera stays late.
    """
    options = [one.ahead_us() for one in held]
    known = sorted(chain.from_iterable(map(_apart, options)))

    def likelihood(ahead_us: int) -> tuple[int, bool]:
        around = bisect_left(known, ahead_us - CLOCK_TOLERANCE_US)
        votes = bisect_right(known, ahead_us + CLOCK_TOLERANCE_US) - around
        return votes, abs(ahead_us) <= CLOCK_TOLERANCE_US

    chosen = (max(each, key=likelihood) for each in options)
    return [0 if abs(ahead_us) <= CLOCK_TOLERANCE_US else -ahead_us for ahead_us in chosen]


def _apart(options: tuple[int, ...]) -> tuple[int, ...]:
    """Return one of two offsets that are nearly the same, so that each file has one vote."""
    return options[:1] if options[-1] - options[0] <= CLOCK_TOLERANCE_US else options


def _span(info: SegmentInfo, track: int, one: Held, reported_stop: int, shift: int) -> Span | None:
    """Return the time on screen of a file whose times are corrected by ``shift``."""
    start_of_segment = info.started_ms * 1000
    start, stop = one.first_us, one.end_us
    if _stays(info, one, reported_stop, reported_stop - stop):
        stop = max(stop, reported_stop)
    start = max(start - start_of_segment, 0)
    stop = min(stop - start_of_segment, info.completed_ms * 1000 - start_of_segment)
    return Span(track, start, stop, shift) if start < stop else None


def _stays(info: SegmentInfo, one: Held, reported_stop: int, rest_us: int) -> bool:
    """Return True if a track stays on screen for the rest of its time, after its last frame."""
    until_the_end = reported_stop >= info.completed_ms * 1000
    if one.is_screen:
        return rest_us > STILL_AFTER_US or until_the_end
    # A disabled camera is sent once a second.
    beats = until_the_end and rest_us <= one.beat_us * LATE_BEAT
    return rest_us > FROZEN_AFTER_US or beats or _ends_with_its_last_packet(one)


def _reported_stops_us(info: SegmentInfo, held: Sequence[Held]) -> list[int]:
    """Return the end of each track as the event has it, in the order of ``held``.

    Controllers up to 0.1.0 report the last packet of a track as its end. A track of theirs whose
    next frame was not due yet by its own rhythm stays until the end of the segment or the leave of
    its user.
    """
    completed_us = info.completed_ms * 1000
    left_us = {stay.user: stay.left_ms * 1000 for stay in info.presences}
    latest: dict[tuple[UserId | None, Stream], int] = {}
    for file in (one.file for one in held):
        kind = file.user, file.stream
        latest[kind] = max(latest.get(kind, 0), file.started_ms)
    stops = []
    for one in held:
        file = one.file
        stop_us = completed_us if file.stopped_ms is None else file.stopped_ms * 1000
        again = file.started_ms < latest[file.user, file.stream]
        if not again and _ends_with_its_last_packet(one):
            end_us = min(completed_us, left_us.get(file.user or UserId(""), completed_us))
            due_us = one.end_us + max(one.beat_us * LATE_BEAT, STILL_AFTER_US)
            if due_us >= end_us or (one.single and one.is_screen):
                stop_us = max(stop_us, end_us)
        stops.append(stop_us)
    return stops


def _ends_with_its_last_packet(one: Held) -> bool:
    if one.received_us is None or one.file.stopped_ms is None:
        return False
    return abs(one.received_us // 1000 - one.file.stopped_ms) <= 1


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

"""What the parts of a merged file are called: who came and who went.

Pure. The first part is named after those on screen, each further one after what changed. Somebody
joins or leaves where the event's stays say so; a camera may come and go without.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence

from sfu_wrapper.core.intervals import Interval
from sfu_wrapper.core.plan import Chapter
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.recording import SegmentInfo

SHORTEST_US = 500_000  # nobody wants to jump to the moment between two joins
_SOON_MS = 5_000  # a camera that follows its owner after so long belongs to the joining

Shown = tuple[str, Stream]
"""Whose, and what."""


def chapters(
    info: SegmentInfo, files: Sequence[RawFile], cut: Sequence[Interval]
) -> tuple[Chapter, ...]:
    """Parts that cover the whole file; a moment that is too short begins the next one.

    files: of each track in ``cut``.
    """
    stays = _Stays(info)
    made: list[Chapter] = []
    before: list[Shown] = []
    start_us = 0
    for interval in cut:
        if interval.stop_us - start_us < SHORTEST_US and interval is not cut[-1]:
            continue
        now = [(files[track].user or "", files[track].stream) for track in interval.tracks]
        at_ms = info.started_ms + start_us // 1000
        title = ", ".join(_changes(stays, at_ms, before, now) if made else map(_name, now))
        too_short = interval.stop_us - start_us < SHORTEST_US
        if made and (too_short or not title):
            made[-1] = Chapter(made[-1].start_us, interval.stop_us, made[-1].title)
        else:
            made.append(Chapter(start_us, interval.stop_us, title or "nobody"))
        before, start_us = now, interval.stop_us
    return tuple(made)


def _name(shown: Shown) -> str:
    user, stream = shown
    return f"{user} (screen)" if stream is Stream.SCREEN else user


def _changes(
    stays: "_Stays", at_ms: int, before: Sequence[Shown], now: Sequence[Shown]
) -> Iterator[str]:
    for user, stream in (one for one in now if one not in before):
        if stream is Stream.SCREEN:
            yield f"{user} shares a screen"
        else:
            yield f"{user} joined" if stays.joined(user, at_ms) else f"{user} turns the camera on"
    gone = [one for one in before if one not in now]
    left = {user for user, stream in gone if stream is Stream.CAMERA and stays.left(user, at_ms)}
    for user, stream in gone:
        if stream is Stream.CAMERA:
            yield f"{user} left" if user in left else f"{user} turns the camera off"
        elif user not in left:
            yield f"{user} stops sharing"


class _Stays:
    """Joins and leaves of users in order, looked up without a walk over all of them."""

    def __init__(self, info: SegmentInfo) -> None:
        self._came: defaultdict[str, list[int]] = defaultdict(list)
        self._went: defaultdict[str, list[int]] = defaultdict(list)
        for stay in info.presences:
            self._came[stay.user].append(stay.joined_ms)
            if stay.left_ms < info.completed_ms:  # who is there until the end has not left
                self._went[stay.user].append(stay.left_ms)
        for times_ms in (*self._came.values(), *self._went.values()):
            times_ms.sort()

    def joined(self, user: str, at_ms: int) -> bool:
        """Tell whether the user came lately, or nobody says when."""
        return user not in self._came or _is_near(self._came[user], at_ms)

    def left(self, user: str, at_ms: int) -> bool:
        """Tell whether the user went about now, or nobody says when."""
        return user not in self._came or _is_near(self._went[user], at_ms)


def _is_near(times_ms: Sequence[int], at_ms: int) -> bool:
    first = bisect_left(times_ms, at_ms - _SOON_MS)
    return first < len(times_ms) and times_ms[first] <= at_ms + _SOON_MS

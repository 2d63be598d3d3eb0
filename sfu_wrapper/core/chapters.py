"""What the parts of a merged file are called: who came and who went.

Pure. The first part is named after those on screen, each further one after what changed. Somebody
joins or leaves where the event's stays say so; a camera may come and go without.
"""

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
    made: list[Chapter] = []
    before: list[Shown] = []
    start_us = 0
    for interval in cut:
        if interval.stop_us - start_us < SHORTEST_US and interval is not cut[-1]:
            continue
        now = [(files[track].user or "", files[track].stream) for track in interval.tracks]
        at_ms = info.started_ms + start_us // 1000
        title = ", ".join(_changes(info, at_ms, before, now) if made else map(_name, now))
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
    info: SegmentInfo, at_ms: int, before: Sequence[Shown], now: Sequence[Shown]
) -> Iterator[str]:
    for user, stream in (one for one in now if one not in before):
        if stream is Stream.SCREEN:
            yield f"{user} shares a screen"
        else:
            yield f"{user} joined" if _joined(info, user, at_ms) else f"{user} turns the camera on"
    gone = [one for one in before if one not in now]
    left = {user for user, stream in gone if stream is Stream.CAMERA and _left(info, user, at_ms)}
    for user, stream in gone:
        if stream is Stream.CAMERA:
            yield f"{user} left" if user in left else f"{user} turns the camera off"
        elif user not in left:
            yield f"{user} stops sharing"


def _joined(info: SegmentInfo, user: str, at_ms: int) -> bool:
    """Lately, or nobody says when."""
    stays = [stay for stay in info.presences if stay.user == user]
    return not stays or any(abs(stay.joined_ms - at_ms) <= _SOON_MS for stay in stays)


def _left(info: SegmentInfo, user: str, at_ms: int) -> bool:
    """About now, or nobody says when. Who is there until the end has not left."""
    stays = [stay for stay in info.presences if stay.user == user]
    ends = [stay.left_ms for stay in stays if stay.left_ms < info.completed_ms]
    return not stays or any(abs(left_ms - at_ms) <= _SOON_MS for left_ms in ends)

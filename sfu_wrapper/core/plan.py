"""What is to be made of one segment: which output, and the whole plan of a merged file.

Pure. Plans are complete: whoever carries one out decides nothing. Paths are plain text here, times
microseconds from the start of the segment.

Which moments of a segment may stand for the whole of it. Pure.

What the parts of a merged file are called: who came and who went.

Pure. The first part is named after those on screen, each further one after what changed. Somebody
joins or leaves where the event's stays say so; a camera may come and go without.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Literal

from sfu_wrapper.core.intervals import Interval, Span
from sfu_wrapper.core.layout import MAX_TILES, Tile, grid
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import SegmentInfo

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


CANVAS_WIDTH, CANVAS_HEIGHT = 640, 480
FRAMES_PER_S = 25
FRAME_US = 1_000_000 // FRAMES_PER_S

Codec = Literal["vp8", "vp9"]
Quality = Literal["low", "medium", "high"]

AUDIO_BITS_PER_S = 32_000
# With the sound and the container about 2, 3 and 4 MB a minute.
VIDEO_BITS_PER_S: dict[Quality, int] = {"low": 225_000, "medium": 360_000, "high": 495_000}


class Output(StrEnum):
    """What a segment becomes."""

    MERGED = "merged"
    SPLIT = "split"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class OutputRules:
    """What the configuration says about finished files (configuration.md, "recording.toml")."""

    codec: Codec
    quality: Quality
    fileformat: str
    split: bool
    mix_limit: int
    encrypt: bool = False


@dataclass(frozen=True, slots=True)
class Rotation:
    """By how many degrees clockwise pictures have to be turned from then on: 0, 90, 180, 270."""

    at_us: int
    degrees: int


@dataclass(frozen=True, slots=True)
class Source:
    """One video file. zero_us: when its own time 0 is; turns: in order, in its own time.

    pace: how long a second of its own time lasts; not 1 only where the sender's clock was off.
    """

    path: str
    zero_us: int
    turns: tuple[Rotation, ...] = ()
    pace: float = 1.0


@dataclass(frozen=True, slots=True)
class AudioSource:
    """One piece of the mix.

    Attributes:
        path: decoded file.
        start_us: time of its first sample, corrected by the delay of the mixer.
        pace: seconds that one second of its own time lasts; 1 unless the mixer's clock drifted.
    """

    path: str
    start_us: int
    pace: float = 1.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What the canvas shows during [start, stop): pairs of source index and tile."""

    start_us: int
    stop_us: int
    tiles: tuple[tuple[int, Tile], ...]


@dataclass(frozen=True, slots=True)
class Showing:
    """One source in one tile during the frames [first, stop)."""

    first: int
    stop: int
    tile: Tile


@dataclass(frozen=True, slots=True)
class Chapter:
    """A named part of the merged file."""

    start_us: int
    stop_us: int
    title: str


@dataclass(frozen=True, slots=True)
class Composition:
    """The whole plan of one merged file. Scenes cover [0, duration) without gap or overlap.

    poster_us: moments that may stand for the whole, the best first.
    """

    duration_us: int
    codec: Codec
    video_bits_per_s: int
    sources: tuple[Source, ...]
    scenes: tuple[Scene, ...]
    audio_sources: tuple[AudioSource, ...]
    chapters: tuple[Chapter, ...]
    poster_us: tuple[int, ...] = ()

    @property
    def frames(self) -> int:
        """How many frames cover the duration, at least one."""
        return max(1, -(-self.duration_us // FRAME_US))

    def scene_frames(self) -> tuple[range, ...]:
        """For each scene the frames that show it: those whose middle lies in it."""
        starts = [_first_frame(scene.start_us) for scene in self.scenes]
        return tuple(range(*edges) for edges in pairwise([*starts, self.frames]))

    def showings(self) -> tuple[tuple[Showing, ...], ...]:
        """For each source where it stands when, in order."""
        found: list[list[Showing]] = [[] for _ in self.sources]
        for scene, numbers in zip(self.scenes, self.scene_frames(), strict=True):
            for source, tile in scene.tiles if numbers else ():
                found[source].append(Showing(numbers.start, numbers.stop, tile))
        return tuple(map(tuple, found))


def choose(rules: OutputRules, *, video: bool, audio: bool, most_on_screen: int) -> Output:
    """Which output a segment gets.

    video, audio: whether there is any; ``why_split`` has the reason where it is not as configured.
    """
    if not video and not audio:
        return Output.NONE
    if rules.split or why_split(rules, most_on_screen) is not None:
        return Output.SPLIT
    return Output.MERGED


def why_split(rules: OutputRules, most_on_screen: int) -> str | None:
    """Why the output is split although merged is configured; None where that is not so."""
    if rules.split:
        return None
    if rules.mix_limit > MAX_TILES:
        return f"mix_limit {rules.mix_limit} is above {MAX_TILES}: split instead of merged"
    if most_on_screen > rules.mix_limit:
        return (
            f"{most_on_screen} streams at once, mix_limit {rules.mix_limit}: "
            "split instead of merged"
        )
    return None


def compose(
    rules: OutputRules,
    duration_us: int,
    sources: Sequence[Source],
    cut: Sequence[Interval],
    audio_sources: Sequence[AudioSource],
    chapters: Sequence[Chapter],
) -> Composition:
    """Lay out the merged file."""
    return Composition(
        duration_us=duration_us,
        codec=rules.codec,
        video_bits_per_s=VIDEO_BITS_PER_S[rules.quality],
        sources=tuple(sources),
        scenes=tuple(_scene(interval) for interval in cut),
        audio_sources=tuple(audio_sources),
        chapters=tuple(chapters),
        poster_us=moments(cut),
    )


def zero_us(started_ms: int, file_zero_us: int, span: Span) -> int:
    """Where a file's own time 0 (epoch microseconds) lies in the segment."""
    return file_zero_us + span.shift_us - started_ms * 1000


def audio_start_us(started_ms: int, audio_started_ms: int, delay_ms: int) -> int:
    """Where the first sample of a mix that lags by ``delay_ms`` belongs in the segment."""
    return (audio_started_ms - delay_ms - started_ms) * 1000


def _first_frame(time_us: int) -> int:
    """The first frame whose middle is not before that time."""
    return -(-(time_us - FRAME_US // 2) // FRAME_US)


def _scene(interval: Interval) -> Scene:
    tiles = grid(len(interval.tracks), CANVAS_WIDTH, CANVAS_HEIGHT)
    return Scene(
        interval.start_us, interval.stop_us, tuple(zip(interval.tracks, tiles, strict=True))
    )


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

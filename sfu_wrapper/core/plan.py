"""Plan of the output of one segment: which files, and what a merged file shows at each moment.

A plan is complete: the process that carries it out decides nothing. It holds the tiles of each
interval (recordings.md, "Merged"), the candidates for the poster, and the chapters, named after the
participants on screen and after each change. Paths are plain text; times are microseconds from the
start of the segment. Tiles have even edges, as yuv420p needs.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from math import isqrt
from typing import Literal

from sfu_wrapper.core.intervals import Interval, Span
from sfu_wrapper.model.codecs import MergedCodec
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import SegmentInfo

MAX_TILES = 9


@dataclass(frozen=True, slots=True)
class Tile:
    """Rectangle on the canvas, in px; (x, y) is its upper left corner."""

    x: int
    y: int
    width: int
    height: int


def grid(count: int, width: int, height: int) -> tuple[Tile, ...]:
    """Divide the canvas among ``count`` tracks, in reading order, the last row from the left.

    Columns are ceil(sqrt(count)), rows ceil(count / columns).

    Raises:
        ValueError: ``count`` is outside 0..9; the caller should have split instead.
    """
    if not 0 <= count <= MAX_TILES:
        raise ValueError(f"count must be 0..{MAX_TILES}, got {count}")
    if count == 0:
        return ()
    columns = isqrt(count - 1) + 1
    rows = -(-count // columns)
    xs = [_even_edge(i, columns, width) for i in range(columns + 1)]
    ys = [_even_edge(i, rows, height) for i in range(rows + 1)]
    cells = [divmod(i, columns) for i in range(count)]
    return tuple(Tile(xs[c], ys[r], xs[c + 1] - xs[c], ys[r + 1] - ys[r]) for r, c in cells)


def fit(tile: Tile, width: int, height: int) -> Tile:
    """Return the largest centred rectangle in the tile with the aspect ratio of the frame.

    Sides and position are rounded to even pixels; no side is below 2.
    """
    if width * tile.height >= height * tile.width:
        inner_width, inner_height = tile.width, _even(tile.width * height, width)
    else:
        inner_width, inner_height = _even(tile.height * width, height), tile.height
    x = tile.x + (tile.width - inner_width) // 4 * 2
    y = tile.y + (tile.height - inner_height) // 4 * 2
    return Tile(x, y, inner_width, inner_height)


def _even_edge(index: int, parts: int, length: int) -> int:
    return 2 * ((index * length + parts) // (2 * parts))


def _even(dividend: int, divisor: int) -> int:
    """Return the quotient rounded to an even number, at least 2."""
    return max(2, 2 * ((dividend + divisor) // (2 * divisor)))


_MOST = 5
_LONG_ENOUGH_US = 500_000
_SETTLED_US = 1_000_000  # the first frames of a stream are of low quality


def moments(cut: Sequence[Interval]) -> tuple[int, ...]:
    """Return moments for a poster, the best first: long intervals, many tracks, early."""

    def rank(interval: Interval) -> tuple[bool, int]:
        lasting = interval.stop_us - interval.start_us >= _LONG_ENOUGH_US
        return not lasting, -len(interval.tracks)

    best = sorted((interval for interval in cut if interval.tracks), key=rank)[:_MOST]
    return tuple(one.start_us + min(_SETTLED_US, (one.stop_us - one.start_us) // 2) for one in best)


CANVAS_WIDTH, CANVAS_HEIGHT = 640, 480
FRAMES_PER_S = 25
FRAME_US = 1_000_000 // FRAMES_PER_S

Quality = Literal["low", "medium", "high"]

AUDIO_BITS_PER_S = 32_000
# With audio and container about 2, 3 and 4 MB a minute.
VIDEO_BITS_PER_S: dict[Quality, int] = {"low": 225_000, "medium": 360_000, "high": 495_000}


class Output(StrEnum):
    """Kind of output of a segment."""

    MERGED = "merged"
    SPLIT = "split"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class OutputRules:
    """Configuration of finished files (configuration.md, "recording.toml")."""

    codec: MergedCodec
    quality: Quality
    fileformat: str
    split: bool
    mix_limit: int
    encrypt: bool = False


@dataclass(frozen=True, slots=True)
class Rotation:
    """Clockwise rotation of the frames from ``at_us`` on: 0, 90, 180 or 270 degrees."""

    at_us: int
    degrees: int


@dataclass(frozen=True, slots=True)
class Source:
    """Video file of a composition.

    Attributes:
        path: the file.
        zero_us: time of its own time 0.
        turns: rotations in order, in its own time.
        pace: seconds that one second of its own time lasts; 1 unless the sender's clock drifted.
        stays: True where a frame stays until the next one, however late; else ``FREEZE_US``.
    """

    path: str
    zero_us: int
    turns: tuple[Rotation, ...] = ()
    pace: float = 1.0
    stays: bool = False


@dataclass(frozen=True, slots=True)
class AudioSource:
    """Piece of the mix.

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
    """Content of the canvas during [start, stop): pairs of source index and tile."""

    start_us: int
    stop_us: int
    tiles: tuple[tuple[int, Tile], ...]


@dataclass(frozen=True, slots=True)
class Showing:
    """Display of a source in a tile during the frames [first, stop)."""

    first: int
    stop: int
    tile: Tile


@dataclass(frozen=True, slots=True)
class Chapter:
    """Named part of the merged file."""

    start_us: int
    stop_us: int
    title: str


@dataclass(frozen=True, slots=True)
class Composition:
    """Plan of one merged file. Scenes cover [0, duration) without gap or overlap.

    ``poster_us`` are moments for the poster, the best first.
    """

    duration_us: int
    codec: MergedCodec
    video_bits_per_s: int
    sources: tuple[Source, ...]
    scenes: tuple[Scene, ...]
    audio_sources: tuple[AudioSource, ...]
    chapters: tuple[Chapter, ...]
    poster_us: tuple[int, ...] = ()

    @property
    def frames(self) -> int:
        """Number of frames that cover the duration, at least one."""
        return max(1, -(-self.duration_us // FRAME_US))

    def scene_frames(self) -> tuple[range, ...]:
        """Return for each scene its frames: those whose middle lies in it."""
        starts = [_first_frame(scene.start_us) for scene in self.scenes]
        return tuple(range(*edges) for edges in pairwise([*starts, self.frames]))

    def showings(self) -> tuple[tuple[Showing, ...], ...]:
        """Return for each source its tiles over time, in order."""
        found: list[list[Showing]] = [[] for _ in self.sources]
        for scene, numbers in zip(self.scenes, self.scene_frames(), strict=True):
            for source, tile in scene.tiles if numbers else ():
                found[source].append(Showing(numbers.start, numbers.stop, tile))
        return tuple(map(tuple, found))


def choose(rules: OutputRules, *, video: bool, audio: bool, most_on_screen: int) -> Output:
    """Return the kind of output of a segment; ``why_split`` explains a deviation.

    Args:
        rules: the configuration.
        video: True if the segment has video.
        audio: True if the segment has audio.
        most_on_screen: largest number of streams at once.
    """
    if not video and not audio:
        return Output.NONE
    if rules.split or why_split(rules, most_on_screen) is not None:
        return Output.SPLIT
    return Output.MERGED


def why_split(rules: OutputRules, most_on_screen: int) -> str | None:
    """Return why the output is split although merged is configured; None: it is not."""
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
    """Return the plan of the merged file."""
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
    """Return the time in the segment of a file's own time 0 (epoch microseconds)."""
    return file_zero_us + span.shift_us - started_ms * 1000


def audio_start_us(started_ms: int, audio_started_ms: int, delay_ms: int) -> int:
    """Return the time in the segment of the first sample of a mix delayed by ``delay_ms``."""
    return (audio_started_ms - delay_ms - started_ms) * 1000


def _first_frame(time_us: int) -> int:
    """Return the first frame whose middle is not before that time."""
    return -(-(time_us - FRAME_US // 2) // FRAME_US)


def _scene(interval: Interval) -> Scene:
    tiles = grid(len(interval.tracks), CANVAS_WIDTH, CANVAS_HEIGHT)
    return Scene(
        interval.start_us, interval.stop_us, tuple(zip(interval.tracks, tiles, strict=True))
    )


SHORTEST_US = 500_000  # shorter chapters, as between two joins, are useless
_SOON_MS = 5_000  # a camera that starts that soon after a join is part of it

Shown = tuple[str, Stream]
"""User and stream."""


def chapters(
    info: SegmentInfo, files: Sequence[RawFile], cut: Sequence[Interval]
) -> tuple[Chapter, ...]:
    """Return chapters that cover the whole file; a short interval is part of the next one.

    Args:
        info: the event.
        files: the file of each track in ``cut``.
        cut: intervals on screen.
    """
    presences = _PresenceIndex(info)
    made: list[Chapter] = []
    before: list[Shown] = []
    start_us = 0
    for interval in cut:
        if interval.stop_us - start_us < SHORTEST_US and interval is not cut[-1]:
            continue
        now = [(files[track].user or "", files[track].stream) for track in interval.tracks]
        at_ms = info.started_ms + start_us // 1000
        title = ", ".join(_changes(presences, at_ms, before, now) if made else map(_name, now))
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
    presences: "_PresenceIndex", at_ms: int, before: Sequence[Shown], now: Sequence[Shown]
) -> Iterator[str]:
    for user, stream in (one for one in now if one not in before):
        if stream is Stream.SCREEN:
            yield f"{user} shares a screen"
        else:
            yield (
                f"{user} joined" if presences.joined(user, at_ms) else f"{user} turns the camera on"
            )
    gone = [one for one in before if one not in now]
    left = {
        user for user, stream in gone if stream is Stream.CAMERA and presences.left(user, at_ms)
    }
    for user, stream in gone:
        if stream is Stream.CAMERA:
            yield f"{user} left" if user in left else f"{user} turns the camera off"
        elif user not in left:
            yield f"{user} stops sharing"


class _PresenceIndex:
    """Times of joins and leaves by user, sorted for a binary search."""

    def __init__(self, info: SegmentInfo) -> None:
        self._came: defaultdict[str, list[int]] = defaultdict(list)
        self._went: defaultdict[str, list[int]] = defaultdict(list)
        for presence in info.presences:
            self._came[presence.user].append(presence.joined_ms)
            if presence.left_ms < info.completed_ms:  # presence until the end is no leave
                self._went[presence.user].append(presence.left_ms)
        for times_ms in (*self._came.values(), *self._went.values()):
            times_ms.sort()

    def joined(self, user: str, at_ms: int) -> bool:
        """Return True if the user joined near that time, or if the event does not list the user."""
        return user not in self._came or _is_near(self._came[user], at_ms)

    def left(self, user: str, at_ms: int) -> bool:
        """Return True if the user left near that time, or if the event does not list the user."""
        return user not in self._came or _is_near(self._went[user], at_ms)


def _is_near(times_ms: Sequence[int], at_ms: int) -> bool:
    first = bisect_left(times_ms, at_ms - _SOON_MS)
    return first < len(times_ms) and times_ms[first] <= at_ms + _SOON_MS

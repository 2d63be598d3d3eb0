"""What is to be made of one segment: which output, and the whole plan of a merged file.

Pure. Plans are complete: whoever carries one out decides nothing. Paths are plain text here, times
microseconds from the start of the segment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Literal

from sfu_wrapper.core.intervals import Interval, Span
from sfu_wrapper.core.layout import MAX_TILES, Tile, grid
from sfu_wrapper.core.poster import moments

CANVAS_WIDTH, CANVAS_HEIGHT = 640, 480
FRAMES_PER_S = 25
FRAME_US = 1_000_000 // FRAMES_PER_S

Codec = Literal["vp8", "vp9"]
Quality = Literal["low", "medium", "high"]

SOUND_BITS_PER_S = 32_000
# With the sound and the container about 2, 3 and 4 MB a minute.
PICTURE_BITS_PER_S: dict[Quality, int] = {"low": 225_000, "medium": 360_000, "high": 495_000}


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
class Turn:
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
    turns: tuple[Turn, ...] = ()
    pace: float = 1.0


@dataclass(frozen=True, slots=True)
class Sound:
    """One piece of the mix. start_us: when its first sample sounds, the mixer's lag taken off.

    pace: how long a second of its own time lasts; not 1 only where the mixer's clock was off.
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
    picture_bits_per_s: int
    sources: tuple[Source, ...]
    scenes: tuple[Scene, ...]
    sounds: tuple[Sound, ...]
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
    sounds: Sequence[Sound],
    chapters: Sequence[Chapter],
) -> Composition:
    """Lay out the merged file."""
    return Composition(
        duration_us=duration_us,
        codec=rules.codec,
        picture_bits_per_s=PICTURE_BITS_PER_S[rules.quality],
        sources=tuple(sources),
        scenes=tuple(_scene(interval) for interval in cut),
        sounds=tuple(sounds),
        chapters=tuple(chapters),
        poster_us=moments(cut),
    )


def zero_us(started_ms: int, file_zero_us: int, span: Span) -> int:
    """Where a file's own time 0 (epoch microseconds) lies in the segment."""
    return file_zero_us + span.shift_us - started_ms * 1000


def sound_start_us(started_ms: int, sound_started_ms: int, delay_ms: int) -> int:
    """Where the first sample of a mix that lags by ``delay_ms`` belongs in the segment."""
    return (sound_started_ms - delay_ms - started_ms) * 1000


def _first_frame(time_us: int) -> int:
    """The first frame whose middle is not before that time."""
    return -(-(time_us - FRAME_US // 2) // FRAME_US)


def _scene(interval: Interval) -> Scene:
    tiles = grid(len(interval.tracks), CANVAS_WIDTH, CANVAS_HEIGHT)
    return Scene(
        interval.start_us, interval.stop_us, tuple(zip(interval.tracks, tiles, strict=True))
    )

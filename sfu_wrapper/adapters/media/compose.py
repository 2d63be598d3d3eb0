"""Carry out the plan of a merged file: decode each input once, paint, encode, in one pass.

Decoding and scaling run in a pool of threads, a little ahead; painting and encoding in the calling
one. Each output picture shows what was to be seen in the middle of its time, so that nothing is
more than half a frame early or late.
"""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av

from sfu_wrapper.adapters.media.audio import timeline
from sfu_wrapper.adapters.media.encoder import PICTURE_TIME_BASE, SOUND_RATE, MergedWriter
from sfu_wrapper.adapters.media.frames import Canvas, Picture, PictureReader, Scaler, Still
from sfu_wrapper.adapters.media.prefetch import ahead
from sfu_wrapper.core.layout import Tile
from sfu_wrapper.core.plan import (
    CANVAS_HEIGHT,
    CANVAS_WIDTH,
    FRAME_US,
    FRAMES_PER_S,
    Composition,
    Showing,
    Source,
)

Progress = Callable[[float], None]

_BATCH = 25  # pictures of one source that are decoded in one go
_GOLDEN = 0.618  # its multiples lie evenly between 0 and 1, however many they are


def compose(plan: Composition, target: Path, progress: Progress) -> tuple[int, ...]:
    """Write the merged file. ``progress`` hears percents, once a second of media.

    Returns of each source in how many pictures its picture of before stands once more.

    Raises av.FFmpegError, OSError or Malformed where something cannot be read or written.
    """
    repeated = [0] * len(plan.sources)
    sound = timeline(plan.sounds, plan.duration_us, SOUND_RATE)
    bits_per_s = plan.picture_bits_per_s
    with MergedWriter(
        target, plan.codec, bits_per_s, sound=bool(plan.sounds), chapters=plan.chapters
    ) as writer:
        for number, frame in enumerate(frames(plan, repeated)):
            if number % FRAMES_PER_S == 0:
                if (second := next(sound, None)) is not None:
                    writer.add_sound(second)
                progress(100 * number / plan.frames)
            writer.add_picture(frame)
    return tuple(repeated)


def frames(plan: Composition, repeated: list[int]) -> Generator[av.VideoFrame]:
    """The pictures of the merged file, in order; each is good until the next is asked for.

    repeated: counts up, of each source, the pictures in which that of before stands once more.
    """
    canvas = Canvas(CANVAS_WIDTH, CANVAS_HEIGHT)
    scenes = list(zip(plan.scenes, plan.scene_frames(), strict=True))
    with _pool() as pool:
        strips = _Strips(plan, pool, repeated)
        for index, (scene, numbers) in enumerate(scenes):
            # Whoever comes next is decoded ahead as well.
            for soon, _ in scenes[index : index + 2]:
                strips.begin(source for source, _ in soon.tiles)
            canvas.clear()
            for number in numbers:
                for source, tile in scene.tiles:
                    if (change := strips.at(source, number)) is not None:
                        canvas.put(tile, change.still)
                yield canvas.frame(number, PICTURE_TIME_BASE)


@contextmanager
def _pool() -> Iterator[Executor]:
    """As many threads as there are cores for us; nothing waits for them longer than a batch."""
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Change:
    """What a tile shows from a frame on; nothing: it is black."""

    number: int
    still: Still | None


def _changes(
    source: Source, showings: Sequence[Showing], repeat: Callable[[], None]
) -> Iterator[_Change]:
    """Read a file once and tell what changes in its tile; each showing begins with a change.

    repeat: called wherever the picture of before is shown once more.
    """
    scaler = Scaler()
    before: Picture | None = None
    with PictureReader(source) as reader:
        for showing in showings:
            shown: Picture | None = None
            for number in range(showing.first, showing.stop):
                picture = reader.at(number * FRAME_US + FRAME_US // 2)
                if picture is not None and picture is before:
                    repeat()
                before = picture
                if picture is not shown or number == showing.first:
                    shown = picture
                    yield _Change(number, _still(scaler, showing.tile, picture))


def _still(scaler: Scaler, tile: Tile, picture: Picture | None) -> Still | None:
    return None if picture is None else scaler.fitted(tile, picture)


class _Strips:
    """What changes in the sources' tiles, by frame, made ahead.

    A file is open from the scene before its first one until its last one is over.
    """

    def __init__(self, plan: Composition, pool: Executor, repeated: list[int]) -> None:
        self._sources = list(zip(plan.sources, plan.showings(), strict=True))
        self._pool = pool
        self._repeated = repeated
        self._coming: dict[int, Iterator[_Change]] = {}
        self._next: dict[int, _Change | None] = {}

    def begin(self, sources: Iterator[int]) -> None:
        """Make ahead what these show, where that has not begun."""
        for source in sources:
            if source not in self._coming:
                changes = _changes(*self._sources[source], partial(self._repeat, source))
                first = 1 + int(_BATCH * (source * _GOLDEN % 1))
                self._coming[source] = ahead(changes, self._pool, _BATCH, first)

    def _repeat(self, source: int) -> None:
        self._repeated[source] += 1

    def at(self, source: int, number: int) -> _Change | None:
        """What changes at that frame, if anything; numbers must rise."""
        if source not in self._next:
            self._next[source] = next(self._coming[source], None)
        change = self._next[source]
        if change is None or change.number > number:
            return None
        del self._next[source]
        return change

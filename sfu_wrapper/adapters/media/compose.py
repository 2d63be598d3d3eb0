"""Composition of a merged file: decode each input once, paint, encode, in one pass.

Decoding and scaling run ahead in a pool of threads; painting and encoding run in the calling
thread. Each output frame shows the inputs as they were in the middle of its time, so that none is
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
from sfu_wrapper.adapters.media.demux import prefetch
from sfu_wrapper.adapters.media.encoder import AUDIO_RATE, FRAME_TIME_BASE, MergedWriter
from sfu_wrapper.adapters.media.frames import Canvas, DecodedFrame, FrameReader, ScaledFrame, Scaler
from sfu_wrapper.core.plan import (
    CANVAS_HEIGHT,
    CANVAS_WIDTH,
    FRAME_US,
    FRAMES_PER_S,
    Composition,
    Showing,
    Source,
    Tile,
)

Progress = Callable[[float], None]

_BATCH = 25  # frames of one source that are decoded in one go
_GOLDEN = 0.618  # fractions of its multiples spread evenly over 0 to 1, for any number of sources


def compose(plan: Composition, target: Path, progress: Progress) -> tuple[int, ...]:
    """Write the merged file.

    Args:
        plan: content of the file.
        target: path of the file.
        progress: called with the percentage done, once per second of media.

    Returns:
        For each source, the number of output frames that repeat its previous frame.

    Raises:
        av.FFmpegError, OSError, Malformed: a file cannot be read or written.
    """
    repeated = [0] * len(plan.sources)
    audio = timeline(plan.audio_sources, plan.duration_us, AUDIO_RATE)
    bits_per_s = plan.video_bits_per_s
    with MergedWriter(
        target, plan.codec, bits_per_s, audio=bool(plan.audio_sources), chapters=plan.chapters
    ) as writer:
        for number, frame in enumerate(frames(plan, repeated)):
            if number % FRAMES_PER_S == 0:
                if (second := next(audio, None)) is not None:
                    writer.add_audio(second)
                progress(100 * number / plan.frames)
            writer.add_frame(frame)
    return tuple(repeated)


def frames(plan: Composition, repeated: list[int]) -> Generator[av.VideoFrame]:
    """Yield the frames of the merged file, in order; each is valid until the next is taken.

    Args:
        plan: content of the file.
        repeated: for each source, incremented with every frame that repeats the previous one.
    """
    canvas = Canvas(CANVAS_WIDTH, CANVAS_HEIGHT)
    scenes = list(zip(plan.scenes, plan.scene_frames(), strict=True))
    with _pool() as pool:
        changes = _TileChanges(plan, pool, repeated)
        for index, (scene, numbers) in enumerate(scenes):
            # The sources of the next scene are decoded ahead as well.
            for soon, _ in scenes[index : index + 2]:
                changes.begin(source for source, _ in soon.tiles)
            canvas.clear()
            for number in numbers:
                for source, tile in scene.tiles:
                    if (change := changes.at(source, number)) is not None:
                        canvas.put(tile, change.still)
                yield canvas.frame(number, FRAME_TIME_BASE)


@contextmanager
def _pool() -> Iterator[Executor]:
    """Provide one thread per available core; the end waits for one batch at most."""
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Change:
    """New content of a tile from frame ``number`` on; ``still`` None: black."""

    number: int
    still: ScaledFrame | None


def _changes(
    source: Source, showings: Sequence[Showing], repeat: Callable[[], None]
) -> Iterator[_Change]:
    """Read a file once and yield the changes of its tile; each showing begins with a change.

    Args:
        source: the file.
        showings: periods in which it is on screen.
        repeat: called for each output frame that repeats the previous frame.
    """
    scaler = Scaler()
    previous: DecodedFrame | None = None
    with FrameReader(source) as reader:
        for showing in showings:
            shown: DecodedFrame | None = None
            for number in range(showing.first, showing.stop):
                frame = reader.at(number * FRAME_US + FRAME_US // 2)
                if frame is not None and frame is previous:
                    repeat()
                previous = frame
                if frame is not shown or number == showing.first:
                    shown = frame
                    yield _Change(number, _scaled(scaler, showing.tile, frame))


def _scaled(scaler: Scaler, tile: Tile, frame: DecodedFrame | None) -> ScaledFrame | None:
    return None if frame is None else scaler.fitted(tile, frame)


class _TileChanges:
    """Changes of the sources' tiles, by frame, prefetched.

    A file is open from the scene before its first one to the end of its last one.
    """

    def __init__(self, plan: Composition, pool: Executor, repeated: list[int]) -> None:
        self._sources = list(zip(plan.sources, plan.showings(), strict=True))
        self._pool = pool
        self._repeated = repeated
        self._coming: dict[int, Iterator[_Change]] = {}
        self._next: dict[int, _Change | None] = {}

    def begin(self, sources: Iterator[int]) -> None:
        """Start to prefetch the changes of these sources, where that has not started."""
        for source in sources:
            if source not in self._coming:
                changes = _changes(*self._sources[source], partial(self._repeat, source))
                first = 1 + int(_BATCH * (source * _GOLDEN % 1))
                self._coming[source] = prefetch(changes, self._pool, _BATCH, first)

    def _repeat(self, source: int) -> None:
        self._repeated[source] += 1

    def at(self, source: int, number: int) -> _Change | None:
        """Return the change at that frame, or None; numbers must rise."""
        if source not in self._next:
            self._next[source] = next(self._coming[source], None)
        change = self._next[source]
        if change is None or change.number > number:
            return None
        del self._next[source]
        return change

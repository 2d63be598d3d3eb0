"""Carry out the plan of a merged file: decode each input once, paint, encode, in one pass.

Painting and encoding run in a thread each, joined by a short queue. Each output picture shows what
was to be seen in the middle of its time, so that nothing is more than half a frame early or late.
"""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import av

from sfu_wrapper.adapters.media.ahead import ahead
from sfu_wrapper.adapters.media.encoder import PICTURE_TIME_BASE, SOUND_RATE, MergedWriter
from sfu_wrapper.adapters.media.pictures import Canvas, Picture, PictureReader
from sfu_wrapper.adapters.media.sound import timeline
from sfu_wrapper.core.plan import (
    CANVAS_HEIGHT,
    CANVAS_WIDTH,
    FRAME_US,
    FRAMES_PER_S,
    Composition,
    Scene,
    Source,
)

Progress = Callable[[float], None]

_FRAMES_AHEAD = 16


def compose(plan: Composition, target: Path, progress: Progress) -> None:
    """Write the merged file. ``progress`` hears percents, once a second of media.

    Raises av.FFmpegError, OSError or Malformed where something cannot be read or written.
    """
    sound = timeline(plan.sounds, plan.duration_us, SOUND_RATE)
    bits_per_s = plan.picture_bits_per_s
    with MergedWriter(
        target, plan.codec, bits_per_s, sound=bool(plan.sounds), chapters=plan.chapters
    ) as writer:
        for number, frame in enumerate(ahead(lambda: frames(plan), _FRAMES_AHEAD)):
            if number % FRAMES_PER_S == 0:
                if (second := next(sound, None)) is not None:
                    writer.add_sound(second)
                progress(100 * number / plan.frames)
            writer.add_picture(frame)


def frames(plan: Composition) -> Generator[av.VideoFrame]:
    """The pictures of the merged file, in order."""
    scenes = iter(plan.scenes)
    scene = next(scenes)
    with ExitStack() as stack:
        painter = _Painter(plan.sources, stack)
        for number in range(plan.frames):
            middle_us = number * FRAME_US + FRAME_US // 2
            while middle_us >= scene.stop_us and (following := next(scenes, None)) is not None:
                scene = following
            painter.show(scene, middle_us)
            yield painter.canvas.frame(number, PICTURE_TIME_BASE)


class _Painter:
    """Keeps the canvas as the scene wants it, painting only what has changed.

    A file is open while it is on screen; a track is on screen once.
    """

    def __init__(self, sources: tuple[Source, ...], stack: ExitStack) -> None:
        self.canvas = Canvas(CANVAS_WIDTH, CANVAS_HEIGHT)
        self._sources = sources
        self._stack = stack
        self._scene: Scene | None = None
        self._readers: dict[int, PictureReader] = {}
        self._shown: dict[int, Picture | None] = {}

    def show(self, scene: Scene, time_us: int) -> None:
        """Make the canvas show the scene as it is at that time; times must rise."""
        if scene is not self._scene:
            self._enter(scene)
        for source, tile in scene.tiles:
            picture = self._readers[source].at(time_us)
            if picture is self._shown[source]:
                continue
            self._shown[source] = picture
            if picture is None:
                self.canvas.blacken(tile)
            else:
                self.canvas.paint(tile, picture)

    def _enter(self, scene: Scene) -> None:
        self._scene = scene
        self.canvas.clear()
        self._shown = {source: None for source, _ in scene.tiles}
        for gone in self._readers.keys() - self._shown.keys():
            self._readers.pop(gone).close()
        for source in self._shown.keys() - self._readers.keys():
            self._readers[source] = PictureReader(self._sources[source])
            self._stack.callback(self._readers[source].close)

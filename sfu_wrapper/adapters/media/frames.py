"""Decoded frames of one file by segment time, the canvas they are painted on, and the poster.

A ``FrameReader`` returns the frame to show at rising times; a ``Scaler`` fits it into its tile; a
``Canvas`` paints tiles in place and touches only those that change. None of them knows scenes. The
poster is one frame of the merged file, as JPEG.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self, cast

import av
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray
from PIL import Image

from sfu_wrapper.adapters.media.demux import decoded, reading, video_of
from sfu_wrapper.core.intervals import FREEZE_US
from sfu_wrapper.core.plan import Source, Tile, fit
from sfu_wrapper.model.errors import JobCode, JobFailed, Stage

Plane = NDArray[np.uint8]

BLACK = (16, 128, 128)
SHRINK, ENLARGE = int(Interpolation.AREA), int(Interpolation.BICUBIC)
_US = 1_000_000
_BT709 = int(Colorspace.ITU709)
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A decoded frame.

    Attributes:
        at_us: start of its display, in segment time.
        frame: the decoded frame.
        degrees: clockwise rotation that makes it upright.
    """

    at_us: int
    frame: av.VideoFrame
    degrees: int = 0


class FrameReader:
    """Reads the frames of one file once, front to back; damaged packets are skipped."""

    def __init__(self, source: Source) -> None:
        self._container = reading(source.path)
        self._frames = self._decode(source)
        self._stays = source.stays
        self._shown: DecodedFrame | None = None
        self._next = next(self._frames, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def at(self, time_us: int) -> DecodedFrame | None:
        """Return the frame to show at that time; times must not decrease from call to call.

        None before the first frame, and where that of a camera is older than ``FREEZE_US``.
        """
        while self._next is not None and self._next.at_us <= time_us:
            self._shown, self._next = self._next, next(self._frames, None)
        if self._shown is None or self._stays or time_us - self._shown.at_us < FREEZE_US:
            return self._shown
        return None

    def _decode(self, source: Source) -> Iterator[DecodedFrame]:
        stream = video_of(self._container)
        base = cast("Fraction", stream.time_base) * _US
        turns, degrees = deque(source.turns), 0
        last_us: int | None = None
        for packet in self._container.demux(stream):
            # The layers of a VP9 frame have the same time, one packet each; the last is the best.
            shown = {frame.pts: frame for frame in decoded(packet) if frame.pts is not None}
            for pts, frame in shown.items():
                at_us = pts * base.numerator // base.denominator
                while turns and turns[0].at_us <= at_us:
                    degrees = turns.popleft().degrees
                if last_us is None or at_us > last_us:
                    last_us = at_us
                    yield DecodedFrame(source.zero_us + round(at_us * source.pace), frame, degrees)


@dataclass(frozen=True, slots=True)
class ScaledFrame:
    """A frame scaled for its tile: three planes, upright, and their place on the canvas."""

    place: Tile
    planes: tuple[Plane, ...]


class Scaler:
    """Scales the frames of one file; it reuses its tables for frames of the same size."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def fitted(self, tile: Tile, timed: DecodedFrame) -> ScaledFrame:
        """Return the frame centred in the tile, as large as its aspect ratio allows, upright."""
        frame, quarters = timed.frame, timed.degrees // 90 % 4
        swap = quarters % 2 == 1
        place = fit(tile, *((frame.height, frame.width) if swap else (frame.width, frame.height)))
        width, height = (place.height, place.width) if swap else (place.width, place.height)
        planes = (_pixels(plane) for plane in self._scaled(frame, width, height).planes)
        return ScaledFrame(place, tuple(np.rot90(p, -quarters) if quarters else p for p in planes))

    def _scaled(self, frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
        shrinks = width < frame.width and height < frame.height
        converts = frame.colorspace == _BT709
        return self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="yuv420p",
            src_colorspace=Colorspace.ITU709 if converts else None,
            dst_colorspace=Colorspace.ITU601 if converts else None,
            dst_color_range="MPEG" if frame.color_range == _FULL_RANGE else None,
            interpolation=SHRINK if shrinks else ENLARGE,
            threads=1,  # one is four times as fast as several for frames as small as these
        )


def _pixels(plane: VideoPlane) -> Plane:
    """Return a view of the plane's memory, without the padding of its lines."""
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return lines[: plane.height, : plane.width]


class Canvas:
    """A yuv420p frame that is painted tile by tile."""

    def __init__(self, width: int, height: int) -> None:
        self._whole = np.empty((height * 3 // 2, width), np.uint8)
        flat = self._whole.reshape(-1)
        luma, chroma = width * height, width * height // 4
        self._planes = (
            flat[:luma].reshape(height, width),
            flat[luma : luma + chroma].reshape(height // 2, width // 2),
            flat[luma + chroma :].reshape(height // 2, width // 2),
        )
        self._frame = av.VideoFrame.from_numpy_buffer(self._whole, format="yuv420p")
        self._places: dict[Tile, Tile] = {}
        self._views: dict[Tile, tuple[Plane, ...]] = {}
        self.clear()

    def clear(self) -> None:
        """Make everything black."""
        self._places.clear()
        self._views.clear()
        for plane, value in zip(self._planes, BLACK, strict=True):
            plane[:] = value

    def put(self, tile: Tile, still: ScaledFrame | None) -> None:
        """Paint a scaled frame, or black, into a tile and cover its earlier content."""
        if still is None or self._places.get(tile) != still.place:
            self._blacken(tile)
        if still is not None:
            self._places[tile] = still.place
            for target, plane in zip(self._within(still.place), still.planes, strict=True):
                target[:] = plane

    def frame(self, number: int, time_base: Fraction) -> av.VideoFrame:
        """Return the canvas itself as a frame: later painting changes that frame."""
        self._frame.pts, self._frame.time_base = number, time_base
        return self._frame

    def _blacken(self, tile: Tile) -> None:
        self._places.pop(tile, None)
        for plane, value in zip(self._within(tile), BLACK, strict=True):
            plane[:] = value

    def _within(self, tile: Tile) -> tuple[Plane, ...]:
        if (known := self._views.get(tile)) is None:
            known = self._views[tile] = tuple(
                plane[
                    tile.y // step : (tile.y + tile.height) // step,
                    tile.x // step : (tile.x + tile.width) // step,
                ]
                for plane, step in zip(self._planes, (1, 2, 2), strict=True)
            )
        return known


_QUALITY = 85
_BLACK = 24.0  # mean luma; nothing but black has 16
_MICROSECOND = Fraction(1, 1_000_000)


def write_poster(source: Path, moments_us: Sequence[int], target: Path) -> None:
    """Write the first frame at these moments that is not black; if all are, the brightest.

    Raises:
        JobFailed: the result cannot be read back.
        av.FFmpegError, OSError: a file cannot be read or written.
    """
    with reading(source) as container:
        best = _best(_frame(container, moment_us) for moment_us in moments_us or (0,))
        image = Image.fromarray(best.to_ndarray(format="rgb24"))
        image.save(target, "JPEG", quality=_QUALITY)
        size = best.width, best.height
    _verify(target, size)


def _best(frames: Iterable[av.VideoFrame]) -> av.VideoFrame:
    seen: list[tuple[float, av.VideoFrame]] = []
    for frame in frames:
        seen.append((float(np.asarray(frame.reformat(format="gray").to_ndarray()).mean()), frame))
        if seen[-1][0] > _BLACK:
            break
    return max(seen, key=lambda one: one[0])[1]


def _frame(container: av.container.InputContainer, moment_us: int) -> av.VideoFrame:
    """Return the frame displayed at that time, or the last one where the file ends before."""
    stream = container.streams.video[0]
    container.seek(moment_us, backward=True)
    shown: av.VideoFrame | None = None
    for frame in container.decode(stream):
        if shown is not None and _time_us(frame) > moment_us:
            break
        shown = frame
    if shown is None:
        raise JobFailed(
            Stage.COMPOSE, JobCode.BAD_RESULT, "no frame for the poster", permanent=False
        )
    return shown


def _time_us(frame: av.VideoFrame) -> Fraction:
    return (frame.pts or 0) * Fraction(frame.time_base or 0) / _MICROSECOND


def _verify(target: Path, size: tuple[int, int]) -> None:
    try:
        with Image.open(target) as image:
            image.load()
            found = image.size
    except OSError as exc:
        detail = f"{target.name} cannot be read back: {exc}"
        raise JobFailed(Stage.COMPOSE, JobCode.BAD_RESULT, detail, permanent=False) from exc
    if found != size:
        detail = f"{target.name} is {found} instead of {size}"
        raise JobFailed(Stage.COMPOSE, JobCode.BAD_RESULT, detail, permanent=False)

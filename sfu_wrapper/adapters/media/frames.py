"""Decoded pictures of one file by segment time, and the canvas they are put on.

A reader hands out what is to be seen at rising times; a scaler makes it fit its tile; a canvas
takes tiles in place and touches only what has changed. None of them knows about scenes.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Self, cast

import av
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from sfu_wrapper.adapters.media.demux import decoded, reading
from sfu_wrapper.core.intervals import FREEZE_US
from sfu_wrapper.core.layout import Tile, fit
from sfu_wrapper.core.plan import Source

Plane = NDArray[np.uint8]

BLACK = (16, 128, 128)
SHRINK, ENLARGE = int(Interpolation.AREA), int(Interpolation.BICUBIC)
_US = 1_000_000
_BT709 = int(Colorspace.ITU709)
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture.

    at_us: when it shows, in segment time. degrees: by how much it has to be turned clockwise.
    """

    at_us: int
    frame: av.VideoFrame
    degrees: int = 0


class PictureReader:
    """Reads one file once, front to back. What cannot be decoded is left out."""

    def __init__(self, source: Source) -> None:
        self._container = reading(source.path)
        self._pictures = self._decode(source)
        self._shown: Picture | None = None
        self._next = next(self._pictures, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def at(self, time_us: int) -> Picture | None:
        """What shows at that time, which must not be before the last one asked for.

        None before the first picture, and where the last one is older than a frozen track shows.
        """
        while self._next is not None and self._next.at_us <= time_us:
            self._shown, self._next = self._next, next(self._pictures, None)
        if self._shown is None or time_us - self._shown.at_us >= FREEZE_US:
            return None
        return self._shown

    def _decode(self, source: Source) -> Iterator[Picture]:
        stream = self._container.streams.video[0]
        stream.codec_context.thread_count = 1
        base = cast("Fraction", stream.time_base) * _US
        turns, degrees = deque(source.turns), 0
        last_us: int | None = None
        for packet in self._container.demux(stream):
            # The layers of a VP9 picture come one by one, all under its time; the last is the best.
            shown = {frame.pts: frame for frame in decoded(packet) if frame.pts is not None}
            for pts, frame in shown.items():
                at_us = pts * base.numerator // base.denominator
                while turns and turns[0].at_us <= at_us:
                    degrees = turns.popleft().degrees
                if last_us is None or at_us > last_us:
                    last_us = at_us
                    yield Picture(source.zero_us + round(at_us * source.pace), frame, degrees)


@dataclass(frozen=True, slots=True)
class Still:
    """A picture as it goes into a tile: its three planes, upright, and where they belong."""

    place: Tile
    planes: tuple[Plane, ...]


class Scaler:
    """Makes the pictures of one file fit; it keeps what it prepares for pictures of one size."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def fitted(self, tile: Tile, picture: Picture) -> Still:
        """The picture in the middle of the tile, as large as its aspect allows, upright."""
        frame, quarters = picture.frame, picture.degrees // 90 % 4
        lies = quarters % 2 == 1
        place = fit(tile, *((frame.height, frame.width) if lies else (frame.width, frame.height)))
        width, height = (place.height, place.width) if lies else (place.width, place.height)
        planes = (_pixels(plane) for plane in self._scaled(frame, width, height).planes)
        return Still(place, tuple(np.rot90(p, -quarters) if quarters else p for p in planes))

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
            threads=1,  # one is four times as fast for pictures as small as these
        )


def _pixels(plane: VideoPlane) -> Plane:
    """The plane's own memory, without what pads its lines."""
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return lines[: plane.height, : plane.width]


class Canvas:
    """A yuv420p picture that is painted tile by tile."""

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

    def put(self, tile: Tile, still: Still | None) -> None:
        """Show a picture in a tile, or black; nothing stays of what was there before."""
        if still is None or self._places.get(tile) != still.place:
            self._blacken(tile)
        if still is not None:
            self._places[tile] = still.place
            for target, plane in zip(self._within(still.place), still.planes, strict=True):
                target[:] = plane

    def frame(self, number: int, time_base: Fraction) -> av.VideoFrame:
        """The canvas itself as a frame: what is put on it later changes the frame."""
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

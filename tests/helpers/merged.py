"""Looks inside a merged recording: who stands in which tile when, and which tones are heard."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from sfu_wrapper.adapters.simulated.pattern import StripData, read
from sfu_wrapper.core.plan import grid

WIDTH, HEIGHT = 640, 480
BLACK = 40  # luma below which a tile shows nobody


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture: its time, s, and what each tile says, in reading order."""

    at_s: float
    tiles: tuple[StripData, ...]


def frames(file: Path, every: int = 5) -> Iterator[Frame]:
    """Every n-th picture, read for the number of people that it turns out to show."""
    with av.open(str(file)) as container:
        for index, picture in enumerate(container.decode(video=0)):
            if index % every == 0:
                luma = np.asarray(picture.to_ndarray()[:HEIGHT], np.uint8)
                yield Frame(float(picture.time or 0), _tiles(luma))


def _tiles(luma: NDArray[np.uint8]) -> tuple[StripData, ...]:
    for count in range(1, 10):
        cells = [
            luma[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
            for tile in grid(count, WIDTH, HEIGHT)
        ]
        found = [reading for reading in map(read, cells) if reading is not None]
        if len(found) == count:
            return tuple(found)
    return ()


def sound(file: Path) -> NDArray[np.float32]:
    """The whole sound, mono at 48 kHz, from -1 to 1."""
    resampler = av.AudioResampler("flt", "mono", 48_000)
    with av.open(str(file)) as container:
        parts = [
            resampled.to_ndarray()[0]
            for decoded in container.decode(audio=0)
            for resampled in resampler.resample(decoded)
        ]
    return np.concatenate(parts).astype(np.float32)


def loudness(samples: NDArray[np.float32], hz: float) -> float:
    """How strong one tone is in a stretch of sound, from 0 to about 1."""
    window = np.hanning(len(samples))
    times = np.arange(len(samples)) / 48_000
    wave = np.exp(-2j * np.pi * hz * times)
    return float(abs(np.sum(samples * window * wave)) * 2 / np.sum(window))

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
    """One decoded frame: its time, s, and what each tile says, in reading order."""

    at_s: float
    tiles: tuple[StripData, ...]


def frames(file: Path, every: int = 5) -> Iterator[Frame]:
    """Every n-th frame, read for the number of people that it turns out to show."""
    with av.open(str(file)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % every == 0:
                luma = np.asarray(frame.to_ndarray()[:HEIGHT], np.uint8)
                yield Frame(float(frame.time or 0), tiles_of(luma))


def tiles_of(luma: NDArray[np.uint8]) -> tuple[StripData, ...]:
    """What each tile of a picture says, in reading order."""
    for count in range(1, 10):
        cells = [
            luma[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
            for tile in grid(count, WIDTH, HEIGHT)
        ]
        found = [reading for reading in map(read, cells) if reading is not None]
        if len(found) == count:
            return tuple(found)
    return ()


def decode_audio(file: Path) -> NDArray[np.float32]:
    """The whole audio, mono at 48 kHz, from -1 to 1."""
    resampler = av.AudioResampler("flt", "mono", 48_000)
    with av.open(str(file)) as container:
        parts = [
            resampled.to_ndarray()[0]
            for decoded in container.decode(audio=0)
            for resampled in resampler.resample(decoded)
        ]
    return np.concatenate(parts).astype(np.float32)


def loudness(samples: NDArray[np.float32], hz: float) -> float:
    """How strong one tone is in a stretch of audio, from 0 to about 1."""
    window = np.hanning(len(samples))
    times = np.arange(len(samples)) / 48_000
    wave = np.exp(-2j * np.pi * hz * times)
    return float(abs(np.sum(samples * window * wave)) * 2 / np.sum(window))

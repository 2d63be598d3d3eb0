"""Reads what the samples' publishers drew into their frames, and measures their tones."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from sfu_wrapper.core.plan import Tile

COLOURS = {"alice": (198, 39, 39), "bob": (39, 168, 42), "carol": (38, 60, 200)}
TONES_HZ = {"alice": 440, "bob": 880, "carol": 660}
AUDIO_RATE = 16_000
_DRAWN = (320, 240)  # the size that the publishers drew at


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """One decoded frame as RGB, and its time in the file."""

    at_s: float
    rgb: NDArray[np.uint8]


def timed_frames(path: Path) -> Iterator[TimedFrame]:
    """All frames of a file."""
    with av.open(path) as reader:
        for frame in reader.decode(reader.streams.video[0]):
            assert frame.pts is not None
            assert frame.time_base is not None
            rgb = frame.to_ndarray(format="rgb24")
            yield TimedFrame(
                float(frame.pts * Fraction(frame.time_base)), np.asarray(rgb, np.uint8)
            )


def within(rgb: NDArray[np.uint8], tile: Tile) -> NDArray[np.uint8]:
    """A part of the frame."""
    return rgb[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]


def is_black(rgb: NDArray[np.uint8]) -> bool:
    """Whether nothing is to be seen."""
    return float(rgb.mean()) < 8


def whose(rgb: NDArray[np.uint8]) -> str | None:
    """Whose frame it is, by the colour of its middle; None: nobody's that we know."""
    height, width, _ = rgb.shape
    middle = rgb[height * 2 // 5 : height * 3 // 5, width // 8 : width * 7 // 8]
    seen = np.median(middle.reshape(-1, 3), axis=0)
    found = [who for who, colour in COLOURS.items() if np.abs(seen - colour).max() < 50]
    return found[0] if found else None


def counter(rgb: NDArray[np.uint8]) -> int:
    """The number that the publisher drew: 16 blocks along the bottom, lowest bit on the left."""
    height, width, _ = rgb.shape
    y = 228 * height // _DRAWN[1]
    row = rgb[y - 1 : y + 2].min(axis=2).mean(axis=0)
    return sum(1 << bit for bit in range(16) if row[(16 + 16 * bit) * width // _DRAWN[0]] > 140)


def decode_audio(path: Path) -> NDArray[np.float64]:
    """The sound of a file, at 16 kHz, mono, within -1..1, from the file's time 0."""
    resampler = AudioResampler(format="flt", layout="mono", rate=AUDIO_RATE)
    with av.open(path) as reader:
        frames = [f for one in reader.decode(audio=0) for f in resampler.resample(one)]
    frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]).astype(np.float64)


def audible_s(samples: NDArray[np.float64], tone_hz: float) -> tuple[float, float]:
    """From when to when a tone is heard at half its loudest at least."""
    width = AUDIO_RATE // 20
    step = width // 4
    wave = np.hanning(width) * np.exp(-2j * np.pi * tone_hz * np.arange(width) / AUDIO_RATE)
    levels = np.array(
        [abs(samples[i : i + width] @ wave) for i in range(0, len(samples) - width, step)]
    )
    loud = np.flatnonzero(levels > levels.max() / 2)
    half = width / 2
    return (loud[0] * step + half) / AUDIO_RATE, (loud[-1] * step + half) / AUDIO_RATE

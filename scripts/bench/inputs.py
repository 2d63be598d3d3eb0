"""Calls to measure with: drawn people before drawn walls, coded as browsers do, made once.

A call of n has n VP8 files of 640x480 at 30 pictures a second and 0.2 to 1 Mb/s with a key frame
every 10 s, whose owners come one after the other and leave one before the other; the second one's
pictures change their size twice. Beside them, a mix of one tone a person. All of it is the same on
every machine, and cached in a folder.
"""

import math
import os
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from sfu_wrapper.core.intervals import Interval
from sfu_wrapper.core.plan import (
    AudioSource,
    Composition,
    OutputRules,
    Quality,
    Source,
    compose,
)
from sfu_wrapper.model.codecs import MergedCodec

RATE = 30
WIDTH, HEIGHT = 640, 480
AUDIO_RATE = 16_000
_LOWEST_BITS_PER_S, _HIGHEST_BITS_PER_S = 200_000, 1_000_000
_KEY_FRAME_EVERY = 10 * RATE
_MS = Fraction(1, 1000)
_US = 1_000_000
_VERSION = "2"  # of what is drawn: a new one does not take the old one's cache

Plane = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Stay:
    """One person's file and when, in s of the segment, it begins and ends."""

    path: Path
    start_s: float
    stop_s: float


@dataclass(frozen=True, slots=True)
class Call:
    """One segment's inputs."""

    name: str
    seconds: int
    stays: tuple[Stay, ...]
    mix: Path

    def intervals(self) -> list[Interval]:
        """Cut wherever somebody comes or goes."""
        edges = sorted({0.0, float(self.seconds)} | {s.start_s for s in self.stays}
                       | {s.stop_s for s in self.stays})  # fmt: skip
        return [
            Interval(round(a * _US), round(b * _US), tuple(
                i for i, stay in enumerate(self.stays) if stay.start_s <= a and stay.stop_s >= b
            ))
            for a, b in pairwise(edges)
        ]  # fmt: skip

    def plan(self, codec: MergedCodec = "vp8", quality: Quality = "low") -> Composition:
        """What the service would be told to do."""
        rules = OutputRules(codec, quality, "{{uuid}}", split=False, mix_limit=9)
        sources = [Source(str(stay.path), round(stay.start_s * _US)) for stay in self.stays]
        sounds = [AudioSource(str(self.mix), 0)]
        return compose(rules, self.seconds * _US, sources, self.intervals(), sounds, ())


def cache() -> Path:
    """Where inputs are kept from one run to the next."""
    folder = Path(os.environ.get("BENCH_CACHE", Path(tempfile.gettempdir(), "sfu-wrapper-bench")))
    folder = folder / _VERSION
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def call(people: int, seconds: int) -> Call:
    """A call of that many people; what is not in the cache is made."""
    name = f"c{people}-{seconds}s"
    stays = []
    for number in range(people):
        start_s = _on_both_grids(number * seconds / 40)
        stop_s = _on_both_grids(seconds - (people - 1 - number) * seconds / 80)
        path = cache() / f"{name}-{number}.webm"
        share = number / max(people - 1, 1)
        bits_per_s = _LOWEST_BITS_PER_S + share * (_HIGHEST_BITS_PER_S - _LOWEST_BITS_PER_S)
        if not path.exists():
            _film(path, number, stop_s - start_s, round(bits_per_s), changes_size=number == 1)
        stays.append(Stay(path, start_s, stop_s))
    mix = cache() / f"{name}.wav"
    if not mix.exists():
        _record(mix, people, seconds)
    return Call(name, seconds, tuple(stays), mix)


def _on_both_grids(second: float) -> float:
    """A time at which a picture begins at 25 and at 30 a second, so that no method is favoured."""
    return round(second * 5) / 5


def _film(path: Path, seed: int, seconds: float, bits_per_s: int, *, changes_size: bool) -> None:
    part = path.with_suffix(".part")
    count = round(seconds * RATE)
    with av.open(part, "w", format="webm") as container:
        stream = container.add_mux_stream("vp8", width=WIDTH, height=HEIGHT, time_base=_MS)
        encoder: av.VideoCodecContext | None = None
        for number, planes in enumerate(_pictures(seed, count)):
            small = changes_size and count // 3 <= number < count * 2 // 3
            shown = [p[::2, ::2] for p in planes] if small else planes
            height, width = shown[0].shape
            if encoder is None or encoder.width != width:
                encoder = _encoder(width, height, bits_per_s)
            for packet in encoder.encode(_frame(shown, round(number * 1000 / RATE))):
                packet.stream = stream
                container.mux(packet)
    part.rename(path)


def _encoder(width: int, height: int, bits_per_s: int) -> av.VideoCodecContext:
    encoder = av.CodecContext.create("libvpx", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.bit_rate = _MS, bits_per_s
    encoder.gop_size, encoder.thread_count = _KEY_FRAME_EVERY, 1
    encoder.options = {"deadline": "realtime", "cpu-used": "-6", "error-resilient": "1"}
    encoder.open()
    return encoder


def _frame(planes: list[Plane], at_ms: int) -> av.VideoFrame:
    joined = np.concatenate([np.ascontiguousarray(p).reshape(-1) for p in planes])
    height, width = planes[0].shape
    frame = av.VideoFrame.from_ndarray(joined.reshape(height * 3 // 2, width), format="yuv420p")
    frame.pts, frame.time_base = at_ms, _MS
    return frame


def _pictures(seed: int, count: int) -> Iterator[list[Plane]]:
    """Luma and both chromas: somebody who moves, a wall seen by a hand-held camera, its noise."""
    dice = np.random.default_rng(seed)
    wall, person = (_planes(dice, size) for size in ((640, 800), (320, 240)))
    noise = [dice.normal(0, 2.0, (HEIGHT + 32, WIDTH + 32)).astype(np.int16) for _ in range(4)]
    outline = _oval(320, 240)
    for number in range(count):
        second = number / RATE + seed
        y, x = _sway(second, 0.11, 70, 0), _sway(second, 0.07, 70, 1)
        top, left = _sway(second, 0.31, 30, 2) + 80, _sway(second, 0.23, 80, 3) + 120
        picture = []
        for index, step in enumerate((1, 2, 2)):
            rows, columns = HEIGHT // step, WIDTH // step
            plane = wall[index][y // step :, x // step :][:rows, :columns].astype(np.int16)
            put = plane[top // step : top // step + 320 // step, left // step :][:, : 240 // step]
            mask = outline[::step, ::step]
            put[mask] = person[index][mask]
            shift = int(dice.integers(32))
            plane += noise[number % 4][shift:, shift:][:rows, :columns]
            picture.append(np.clip(plane, 16, 235).astype(np.uint8))
        yield picture


def _sway(second: float, hz: float, px: int, phase: float) -> int:
    """From 0 to 2 px, even, smooth, with a tremble."""
    angle = 2 * math.pi * hz * second + phase
    return round(px / 2 * (1 + 0.9 * math.sin(angle) + 0.1 * math.sin(angle * 7.3))) // 2 * 2


def _oval(height: int, width: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.asarray(x * x + y * y < 1)


def _planes(dice: np.random.Generator, size: tuple[int, int]) -> list[Plane]:
    height, width = size
    halved = (height // 2, width // 2)
    return [_texture(dice, size, 45), _texture(dice, halved, 14), _texture(dice, halved, 14)]


def _texture(dice: np.random.Generator, size: tuple[int, int], spread: float) -> Plane:
    """Clouds: like photographs, half as much detail at twice the fineness."""
    height, width = size
    y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    distance = np.maximum(np.hypot(x, y), 1 / max(size))
    waves = dice.normal(size=distance.shape) + 1j * dice.normal(size=distance.shape)
    clouds = np.fft.irfft2(waves / distance**1.6, size)
    clouds *= spread / clouds.std()
    return np.clip(clouds + 126, 16, 235).astype(np.uint8)


def _record(path: Path, people: int, seconds: int) -> None:
    dice = np.random.default_rng(0)
    times = np.arange(seconds * AUDIO_RATE) / AUDIO_RATE
    sound = dice.normal(0, 200, len(times))
    for number in range(people):
        speaks = np.sin(2 * np.pi * (0.13 + number * 0.02) * times + number) > 0
        hum = sum(np.sin(2 * np.pi * (110 + 17 * number) * k * times) / k for k in range(1, 9))
        sound += 1500 * speaks * hum
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(AUDIO_RATE)
        file.writeframes(np.clip(sound, -32768, 32767).astype(np.int16).tobytes())

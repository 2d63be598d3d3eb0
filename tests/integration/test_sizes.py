"""How large merged files become when people move: what ``quality`` promises a minute.

A minute of drawn calls of 1, 4 and 9 people is weighed by ``scripts/bench/sizes``; here it is a
frame that moves as much in every tile, for as long as a test may take.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from itertools import product
from typing import get_args

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from sfu_wrapper.adapters.media.encoder import AUDIO_RATE, MergedWriter
from sfu_wrapper.core.plan import (
    CANVAS_HEIGHT,
    CANVAS_WIDTH,
    FRAMES_PER_S,
    VIDEO_BITS_PER_S,
    Quality,
)
from sfu_wrapper.model.codecs import MergedCodec

pytestmark = pytest.mark.slow

SECONDS = 16
MB_A_MINUTE: dict[Quality, float] = {"low": 2.0, "medium": 3.0, "high": 4.0}
KINDS = tuple(product(get_args(MergedCodec), get_args(Quality)))

Sizes = dict[tuple[MergedCodec, Quality], float]


def clouds(dice: np.random.Generator) -> NDArray[np.uint8]:
    """A plane with detail at every fineness, as photographs have it."""
    height, width = CANVAS_HEIGHT * 2, CANVAS_WIDTH
    distance = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    waves = dice.normal(size=distance.shape) + 1j * dice.normal(size=distance.shape)
    plane = np.fft.irfft2(waves / np.maximum(distance, 1 / width) ** 1.6, (height, width))
    return np.asarray(np.clip(plane * 45 / plane.std() + 126, 16, 235), np.uint8)


def moving(dice: np.random.Generator) -> Iterator[av.VideoFrame]:
    """Four tiles, each of which sways in its own way before a noisy camera."""
    wall, half_w, half_h = clouds(dice), CANVAS_WIDTH // 2, CANVAS_HEIGHT // 2
    noise = dice.normal(0, 2, (CANVAS_HEIGHT + 32, CANVAS_WIDTH)).astype(np.int16)
    image = np.full((CANVAS_HEIGHT * 3 // 2, CANVAS_WIDTH), 128, np.uint8)
    for number in range(SECONDS * FRAMES_PER_S):
        for tile in range(4):
            phase = 2 * np.pi * (0.2 + 0.05 * tile) * number / FRAMES_PER_S + tile
            y, x = int(40 * (1 + np.sin(phase))) + 150 * tile, int(90 * (1 + np.cos(phase * 0.7)))
            top, left = tile // 2 * half_h, tile % 2 * half_w
            image[top : top + half_h, left : left + half_w] = wall[y:, x:][:half_h, :half_w]
        grain = noise[number * 7 % 32 :][:CANVAS_HEIGHT]
        image[:CANVAS_HEIGHT] = np.clip(image[:CANVAS_HEIGHT] + grain, 16, 235)
        frame = av.VideoFrame.from_ndarray(image, format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_S)
        yield frame


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> Sizes:
    """MB a minute of every codec and quality, sound included."""
    folder, dice = tmp_path_factory.mktemp("sizes"), np.random.default_rng(1)
    files = {kind: folder / f"{'-'.join(kind)}.webm" for kind in KINDS}
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                MergedWriter(file, codec, VIDEO_BITS_PER_S[quality], audio=True, chapters=())
            )
            for (codec, quality), file in files.items()
        ]
        for number, frame in enumerate(moving(dice)):
            second = dice.normal(0, 3000, AUDIO_RATE).astype(np.int16)
            for writer in writers:
                if number % FRAMES_PER_S == 0:
                    writer.add_audio(second)
                writer.add_frame(frame)
    return {kind: file.stat().st_size * 60 / SECONDS / 1e6 for kind, file in files.items()}


@pytest.mark.parametrize(("codec", "quality"), KINDS)
def test_a_minute_takes_what_its_quality_promises(
    sizes: Sizes, codec: MergedCodec, quality: Quality
) -> None:
    assert sizes[codec, quality] == pytest.approx(MB_A_MINUTE[quality], rel=0.1)

"""AV1 in layers, from a real Chromium over a real Janus: the largest layer is shown.

The canvas of 640x480 that was sent becomes brighter every second.
"""

from collections import Counter
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from sfu_wrapper.adapters.media.mux import copy_video
from sfu_wrapper.adapters.media.preprocess import preprocess
from sfu_wrapper.formats import mjr
from sfu_wrapper.formats.assemble import Assembler
from sfu_wrapper.formats.av1 import largest_layer
from sfu_wrapper.formats.depacketizers import depacketizer
from sfu_wrapper.formats.stream import MediaStream
from sfu_wrapper.model.codecs import VIDEO_CLOCK_HZ, VIDEO_INPUT
from sfu_wrapper.ports.media_tools import PreparedVideo
from tests.helpers.samples import SAMPLES

SMALL, LARGE = (320, 240), (640, 480)
SENT = {
    "l1t3": {SMALL: 60},
    "l2t3": {LARGE: 60, SMALL: 1},  # the stop cut the last frame's large layer
    "l2t3-without-the-large": {SMALL: 51},  # on a slow uplink
}
STEP = 20  # of the brightness, each second

Shown = tuple[float, tuple[int, int], float]
"""(time in ms, size, brightness) of a frame."""


def source(name: str) -> Path:
    return SAMPLES / "av1" / f"{name}.mjr"


def shown(path: Path, threads: int) -> list[Shown]:
    """Decode every frame; 0 threads: as many as the machine has processors, as in browsers."""
    found = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = threads
        for frame in container.decode(stream):
            assert frame.pts is not None
            gray = np.asarray(frame.reformat(format="gray").to_ndarray())
            ground = gray[frame.height // 2 : frame.height * 3 // 4, frame.width // 2 :]
            at_ms = float(frame.pts * Fraction(frame.time_base or 0)) * 1000
            found.append((at_ms, (frame.width, frame.height), float(ground.mean())))
    return found


def made(tmp_path: Path, name: str) -> PreparedVideo:
    found = preprocess(source(name), tmp_path)
    assert found is not None
    assert found.notes == ()
    return found


def sizes(frames: list[Shown]) -> Counter[tuple[int, int]]:
    return Counter(size for _, size, _ in frames)


@pytest.mark.parametrize("name", SENT)
def test_the_samples_hold_the_layers_that_they_are_for(name: str) -> None:
    reader = mjr.Reader(source(name).read_bytes())
    stream = MediaStream(reader, VIDEO_CLOCK_HZ)
    frames = list(Assembler(stream.places(), reader.buffer, depacketizer("av1")).frames())

    layers = Counter((SMALL, LARGE)[largest_layer(timed.frame.data)] for timed in frames)

    assert layers == SENT[name]


@pytest.mark.parametrize("name", SENT)
def test_a_merged_file_shows_the_largest_layer_that_there_is(tmp_path: Path, name: str) -> None:
    assert sizes(shown(made(tmp_path, name).path, threads=1)) == SENT[name]


@pytest.mark.parametrize("suffix", VIDEO_INPUT["av1"].suffixes)
@pytest.mark.parametrize("name", SENT)
def test_a_split_file_shows_every_frame_at_its_time_with_any_number_of_threads(
    tmp_path: Path, name: str, suffix: str
) -> None:
    target = tmp_path / f"copy{suffix}"
    copy_video(made(tmp_path, name).path, target, VIDEO_INPUT["av1"])

    frames, alone = shown(target, threads=2), shown(target, threads=1)

    assert sizes(alone) == SENT[name]
    largest = max(SENT[name])
    assert sizes(frames)[largest] == SENT[name][largest]
    risen_ms = [
        later[0] for earlier, later in pairwise(alone) if later[2] - earlier[2] > STEP * 0.8
    ]
    assert len(risen_ms) in (2, 3)
    assert all(
        later - earlier == pytest.approx(1000, abs=120) for earlier, later in pairwise(risen_ms)
    )

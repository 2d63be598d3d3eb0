"""Opus with redundancy (RED): lost packets are heard from the blocks of later ones."""

from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from sfu_wrapper.adapters.media.preprocess import convert
from sfu_wrapper.formats import mjr, rtp
from sfu_wrapper.model.media import TrackFile
from tests.helpers.frames import decode_audio
from tests.helpers.packetizers import red_payload
from tests.helpers.samples import Received, recorded

RATE, STEP = 48_000, 960
SECONDS = 4
OPUS, RED = 111, 63
LOST = {7, 40, 41, 90, 91, 92, 133}
HEADER = mjr.Header(mjr.Kind.AUDIO, "opus", 1, 2, red_type=RED)


@cache
def encoded() -> list[bytes]:
    """Packets of 20 ms of a tone that is higher in every second."""
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = RATE, "mono", "s16"
    encoder.bit_rate, encoder.time_base = 48_000, Fraction(1, RATE)
    times = np.arange(SECONDS * RATE) / RATE
    tone = 12_000 * np.sin(2 * np.pi * 300 * (1 + np.floor(times)) * times)
    frame = av.AudioFrame.from_ndarray(tone.astype(np.int16).reshape(1, -1), "s16", "mono")
    frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    return [bytes(packet) for packet in packets][: SECONDS * RATE // STEP]


def packet(number: int, payload: bytes, kind: int) -> Received:
    stamp = 5_000 + number * STEP
    return number * 20, rtp.Packet(payload, number, stamp, ssrc=1, payload_type=kind)


def redundant(depth: int, kind: int = RED) -> list[Received]:
    """Each packet with copies of as many before it; the first and every tenth are plain."""
    sent = []
    for number, data in enumerate(encoded()):
        if number % 10 == 0 and kind == RED:
            sent.append(packet(number, data, OPUS))
            continue
        before = range(max(number - depth, 0), number)
        older = [((number - one) * STEP, encoded()[one]) for one in before]
        sent.append(packet(number, red_payload(older, data, OPUS), kind))
    return sent


def converted(
    folder: Path, packets: list[Received], header: mjr.Header = HEADER
) -> tuple[TrackFile, NDArray[np.float64]]:
    folder.mkdir()
    track = convert(recorded(folder / "audio.mjr", header, packets), folder)
    assert isinstance(track, TrackFile)
    return track, decode_audio(track.path)


@pytest.fixture
def whole(tmp_path: Path) -> NDArray[np.float64]:
    plain = [packet(number, data, OPUS) for number, data in enumerate(encoded())]
    _, samples = converted(tmp_path / "whole", plain)
    return samples


def test_red_sounds_as_the_opus_in_it(tmp_path: Path, whole: NDArray[np.float64]) -> None:
    track, samples = converted(tmp_path / "red", redundant(1))

    assert (track.path.suffix, track.frames, track.warnings) == (".opus", len(encoded()), ())
    assert np.array_equal(samples, whole)


def test_lost_packets_are_heard_from_the_blocks_of_later_ones(
    tmp_path: Path, whole: NDArray[np.float64]
) -> None:
    kept = [one for one in redundant(3) if one[1].sequence not in LOST]
    track, samples = converted(tmp_path / "red", kept)

    assert track.frames == len(encoded())
    assert track.packets_lost == len(LOST)
    assert np.array_equal(samples, whole)


def test_a_hole_longer_than_the_redundancy_keeps_its_place(tmp_path: Path) -> None:
    kept = [one for one in redundant(2) if not 101 <= one[1].sequence <= 120]
    track, _ = converted(tmp_path / "red", kept)

    assert track.frames == len(encoded()) - 18
    with av.open(track.path) as container:
        times = [float(one.pts * one.time_base) for one in container.demux() if one.pts is not None]
    steps = [round(1000 * (later - earlier)) for earlier, later in pairwise(times)]
    assert sorted(steps) == [20] * 180 + [380]


def test_without_redundancy_lost_packets_are_silent(tmp_path: Path) -> None:
    kept = [one for one in redundant(0) if one[1].sequence not in LOST]
    track, _ = converted(tmp_path / "red", kept)

    assert track.frames == len(encoded()) - len(LOST)


def test_a_file_all_in_red_says_so_by_its_codec(tmp_path: Path, whole: NDArray[np.float64]) -> None:
    header = mjr.Header(mjr.Kind.AUDIO, "red", 1, 2)
    kept = [one for one in redundant(1, kind=OPUS) if one[1].sequence != 40]
    _, samples = converted(tmp_path / "red", kept, header)

    assert np.array_equal(samples, whole)


def test_payloads_that_are_cut_are_left_out(tmp_path: Path) -> None:
    packets = redundant(1)
    ms, cut = packets[51]
    packets[51] = ms, rtp.Packet(cut.payload[:30], cut.sequence, cut.timestamp, 1, RED)
    track, _ = converted(tmp_path / "red", packets)

    assert track.frames == len(encoded()) - 1

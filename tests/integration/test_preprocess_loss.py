"""Loss, codecs and sounds of which there is no sample, from recordings made for the purpose."""

import random
import wave
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from sfu_wrapper.adapters.media.preprocess import convert
from sfu_wrapper.formats import mjr, rtp
from sfu_wrapper.model.media import EmptyTrack, Gap, TrackFile
from tests.helpers.samples import Received, recorded, watch
from tests.helpers.senders import FPS, FRAMES, GOP, NAMES, sent


def converted(tmp_path: Path, encoder: str, packets: list[Received]) -> TrackFile:
    header = mjr.Header(mjr.Kind.VIDEO, NAMES[encoder], 1, 2)
    track = convert(recorded(tmp_path / "made.mjr", header, packets), tmp_path)
    assert isinstance(track, TrackFile)
    return track


@pytest.mark.parametrize("encoder", sorted(NAMES))
def test_every_codec_comes_through_whole(tmp_path: Path, encoder: str) -> None:
    track = converted(tmp_path, encoder, sent(encoder))
    seen = watch(track.path)
    assert [one.counter for one in seen] == list(range(FRAMES))
    assert all(abs(one.at_ms - one.counter * 1000 / FPS) <= 1 for one in seen)
    assert len(track.key_frames_ms) == FRAMES // GOP
    assert track.packets_lost == 0
    assert track.warnings == ()


@pytest.mark.parametrize("encoder", sorted(NAMES))
@pytest.mark.parametrize("loss", [0.005, 0.03])
def test_after_loss_nothing_but_whole_frames_is_shown_at_their_times(
    tmp_path: Path, encoder: str, loss: float
) -> None:
    packets, chance = sent(encoder), random.Random(7)  # noqa: S311 - nothing secret in a test
    kept = [one for one in packets if chance.random() > loss or one[1].timestamp == 0]
    track = converted(tmp_path, encoder, kept)
    seen = watch(track.path)
    numbers = [one.counter for one in seen]
    assert 0 < len(numbers) < FRAMES
    assert len(numbers) == track.frames
    assert numbers == sorted(set(numbers))
    assert all(abs(one.at_ms - one.counter * 1000 / FPS) <= 1 for one in seen)
    assert set(range(0, FRAMES, GOP)) & set(numbers)
    assert all(later % GOP == 0 for earlier, later in pairwise(numbers) if later != earlier + 1)
    assert track.packets_lost == len(packets) - len(kept)


def test_where_no_key_frame_comes_the_whole_frames_after_a_loss_are_kept(tmp_path: Path) -> None:
    packets = [one for one in sent("libvpx") if one[1].timestamp < GOP * 90_000 // FPS]
    last = packets[-1][1]
    for number in range(GOP, 5 * FPS):  # frames that only repeat what is there
        repeat = rtp.Packet(
            last.payload if number == GOP else packets[-1][1].payload,
            sequence=(last.sequence + number - GOP + 1) % 65_536,
            timestamp=number * 90_000 // FPS,
            ssrc=5,
            payload_type=96,
            marker=True,
        )
        packets.append((number * 1000 // FPS, repeat))
    whole = converted(tmp_path, "libvpx", packets)
    lost = [one for one in packets if one[1].timestamp != 10 * 90_000 // FPS]
    track = converted(tmp_path, "libvpx", lost)
    assert track.frames == whole.frames - 1
    assert any("kept although they refer to lost frames" in text for text in track.warnings)


def test_a_hole_of_eight_seconds_of_loss_is_a_gap(tmp_path: Path) -> None:
    packets = sent("libvpx", 10 * FPS)
    kept = [one for one in packets if not 1000 <= one[0] < 9000]
    track = converted(tmp_path, "libvpx", kept)
    assert track.gaps == (Gap(967, 9000),)
    assert [one.counter for one in watch(track.path)] == [*range(30), *range(270, 300)]


def audio(codec: str, payloads: list[tuple[int, bytes]]) -> tuple[mjr.Header, list[Received]]:
    """payloads: (RTP timestamp, payload)."""
    hz = 48 if codec == "opus" else 8
    packets = [
        (stamp // hz, rtp.Packet(payload, number, stamp, ssrc=1, payload_type=0))
        for number, (stamp, payload) in enumerate(payloads)
    ]
    return mjr.Header(mjr.Kind.AUDIO, codec, 1, 2), packets


@pytest.mark.parametrize(("codec", "loud"), [("pcmu", b"\x80"), ("pcma", b"\xaa")])
def test_g711_becomes_pcm_with_silence_where_nothing_came(
    tmp_path: Path, codec: str, loud: bytes
) -> None:
    stamps = [*range(0, 8000, 160), *range(24_000, 32_000, 160)]
    header, packets = audio(codec, [(stamp, loud * 160) for stamp in stamps])
    track = convert(recorded(tmp_path / "call.mjr", header, packets), tmp_path)
    assert isinstance(track, TrackFile)
    assert (track.path.name, track.duration_ms, track.frames) == ("call.wav", 4000, 100)
    assert track.gaps == (Gap(1000, 3000),)
    with wave.open(str(track.path)) as file:
        assert file.getparams()[:4] == (1, 2, 8000, 32_000)
        samples = np.frombuffer(file.readframes(32_000), "<i2")
    assert samples[:8000].min() > 32_000
    assert not samples[8000:24_000].any()
    assert samples[24_000:].min() > 32_000


def test_a_hole_in_opus_keeps_its_length(tmp_path: Path) -> None:
    silence = b"\xf8\xff\xfe"
    stamps = [*range(0, 48_000, 960), *range(192_000, 240_000, 960)]
    payloads = [(stamp, silence) for stamp in stamps]
    payloads[7] = (payloads[7][0], b"")  # no packet of Opus
    payloads.insert(20, (payloads[20][0] - 10, silence))  # overlaps the one before
    header, packets = audio("opus", payloads)
    track = convert(recorded(tmp_path / "call.mjr", header, packets), tmp_path)
    assert isinstance(track, TrackFile)
    assert (track.frames, track.duration_ms) == (99, 5000)
    assert track.gaps == (Gap(1000, 4000),)
    with av.open(str(track.path)) as container:
        times = [float(p.pts * p.time_base) for p in container.demux() if p.pts is not None]
    assert len(times) == 99
    assert max(later - earlier for earlier, later in pairwise(times)) == pytest.approx(3.02)


@pytest.mark.parametrize("codec", ["opus", "pcmu"])
def test_a_recording_without_audio_gives_the_reason(tmp_path: Path, codec: str) -> None:
    header, packets = audio(codec, [(0, b"")])
    source = recorded(tmp_path / "call.mjr", header, packets)
    assert convert(source, tmp_path / "out") == EmptyTrack(source, "it holds no audio")

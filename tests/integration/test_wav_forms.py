"""Mixes in the less common forms of WAV are heard: RF64, BW64, many channels, wide samples."""

import struct
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.drawn import Result, Segment, encode, packets
from tests.helpers.frames import audible_s, decode_audio

SECONDS, RATE = 3, 16_000
FLOAT, PCM = 3, 1
UNKNOWN = 0xFFFFFFFF


def samples(channels: int, tone_in: tuple[int, ...], tag: int, bits: int) -> bytes:
    """A tone of 440 Hz from 1 s to 2 s in some of the channels."""
    times = np.arange(SECONDS * RATE) / RATE
    tone = np.where((times >= 1) & (times < 2), np.sin(2 * np.pi * 440 * times) * 0.5, 0)
    wave = np.zeros((len(times), channels))
    wave[:, list(tone_in)] = tone[:, np.newaxis]
    if tag == FLOAT:
        return wave.astype(f"<f{bits // 8}").tobytes()
    if bits == 8:
        return np.round(wave * 127 + 128).astype(np.uint8).tobytes()
    whole = np.round(wave * ((1 << bits - 1) - 1)).astype("<i8" if bits > 32 else "<i4")
    return whole.reshape(-1, 1).view(np.uint8)[:, : bits // 8].tobytes()


def write(
    path: Path,
    form: str,
    *,
    channels: int = 1,
    tone_in: tuple[int, ...] = (0,),
    tag: int = PCM,
    bits: int = 16,
    declared: int | None = None,
) -> None:
    """Write a file; ``declared``: the length of the audio in ``ds64``."""
    audio = samples(channels, tone_in, tag, bits)
    block = channels * bits // 8
    fmt = struct.pack("<HHIIHH", tag, channels, RATE, RATE * block, block, bits)
    long = b""
    length = len(audio)
    if form != "RIFF":
        size = length if declared is None else declared
        long = b"ds64" + struct.pack("<IQQQI", 28, size + 100, size, size // block, 0)
        length = UNKNOWN
    body = long + b"fmt " + struct.pack("<I", len(fmt)) + fmt
    body += b"data" + struct.pack("<I", length) + audio
    path.write_bytes(form.encode() + struct.pack("<I", UNKNOWN) + b"WAVE" + body)


def heard(done: Result, kind: str) -> tuple[float, float]:
    """From when to when the tone is heard in the result."""
    (name,) = [one.filename for one in done.processed.files if one.kind == kind]
    return audible_s(decode_audio(Path(name)), 440)


def call(folder: Path, *, video: bool = False) -> Segment:
    made = Segment(folder, SECONDS)
    made.mix("mix.wav")
    if video:
        made.track("vp8", packets("vp8", encode("vp8", range(0, 3000, 100))))
    return made


ALL_OF_3, ALL_OF_6, ALL_OF_8 = tuple(range(3)), tuple(range(6)), tuple(range(8))


@pytest.mark.parametrize(
    ("form", "channels", "tone_in", "tag", "bits"),
    [
        ("RF64", 1, (0,), PCM, 16),
        ("BW64", 1, (0,), PCM, 16),
        ("RF64", 2, (0, 1), PCM, 24),
        ("RIFF", 3, ALL_OF_3, PCM, 16),
        ("RIFF", 3, (2,), PCM, 16),
        ("RIFF", 4, (3,), PCM, 8),
        ("RIFF", 6, ALL_OF_6, PCM, 16),
        ("RIFF", 6, (3,), PCM, 24),  # by most layouts the one for low frequencies alone
        ("BW64", 8, ALL_OF_8, PCM, 32),
        ("RIFF", 1, (0,), FLOAT, 64),
        ("RF64", 6, (0, 5), FLOAT, 64),
        ("BW64", 8, (7,), FLOAT, 32),
    ],
)
def test_the_tone_is_heard_when_it_was_played(
    tmp_path: Path, form: str, channels: int, tone_in: tuple[int, ...], tag: int, bits: int
) -> None:
    path = tmp_path / "mix.wav"
    write(path, form, channels=channels, tone_in=tone_in, tag=tag, bits=bits)

    done = call(tmp_path).process()

    assert heard(done, "audio") == pytest.approx((1, 2), abs=0.05)
    assert done.processed.warnings == ()


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(("form", "channels"), [("RF64", 1), ("BW64", 6)])
def test_it_is_heard_with_video_in_merged_and_split_output(
    tmp_path: Path, form: str, channels: int, split: bool
) -> None:
    write(tmp_path / "mix.wav", form, channels=channels, tone_in=tuple(range(channels)))

    done = call(tmp_path, video=True).process(split=split)

    assert heard(done, "audio" if split else "merged") == pytest.approx((1, 2), abs=0.06)
    assert done.processed.warnings == ()


@pytest.mark.parametrize("declared", [0, 1 << 40])
def test_a_long_length_that_is_wrong_is_read_to_the_real_end(tmp_path: Path, declared: int) -> None:
    write(tmp_path / "mix.wav", "RF64", declared=declared)

    done = call(tmp_path).process()

    assert heard(done, "audio") == pytest.approx((1, 2), abs=0.05)
    assert done.processed.warnings == ()


def test_more_channels_than_eight_are_named(tmp_path: Path) -> None:
    write(tmp_path / "mix.wav", "RIFF", channels=9)

    done = call(tmp_path).process()

    assert "WAV format 1 with 9 x 16 bits is not supported" in done.notes

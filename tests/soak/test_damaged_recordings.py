"""Raw recordings damaged at random, thousands of times: a result or a typed failure, never more."""

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from sfu_wrapper.adapters.media.audio import audio_us
from sfu_wrapper.adapters.media.preprocess import convert
from sfu_wrapper.model.errors import JobFailed, Malformed
from tests.helpers.samples import ALICE, ALICE_AUDIO, CHROMIUM_H264, CHROMIUM_VP8, SAMPLES

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]

SECONDS = 60.0
MIX = SAMPLES / "seg-1/mix.wav"


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """Cut, overwritten, doubled or turned over somewhere, up to eight times."""
    data = bytearray(whole)
    for _ in range(chance.randint(1, 8)):
        at, length = chance.randrange(len(data)), chance.choice((1, 1, 2, 4, 40, 4000))
        match chance.randrange(4):
            case 0:
                data[at : at + length] = chance.randbytes(len(data[at : at + length]))
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length]
            case _:
                data[at] ^= 1 << chance.randrange(8)
        data = data or bytearray(b"\0")
    return bytes(data)


def outcome(work: Callable[[], object]) -> str:
    """What it came to, in a word."""
    try:
        return type(work()).__name__
    except JobFailed as exc:
        return exc.code
    except Malformed:
        return "Malformed"


@pytest.mark.parametrize("source", [ALICE, ALICE_AUDIO, CHROMIUM_H264, CHROMIUM_VP8],
                         ids=["vp8", "opus", "chromium h264", "chromium vp8"])  # fmt: skip
def test_any_damage_to_an_mjr_is_survived(
    tmp_path: Path, source: Path, record_property: Callable[[str, object], None]
) -> None:
    whole, found, seed = source.read_bytes(), Counter[str](), 0
    raw = tmp_path / "raw.mjr"
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        seed += 1
        raw.write_bytes(damaged(whole, random.Random(seed)))  # noqa: S311 - nothing secret
        found[outcome(lambda: convert(raw, tmp_path))] += 1

    record_property("seeds", seed)
    record_property("outcomes", dict(found.most_common()))
    assert set(found) <= {"TrackFile", "EmptyTrack", "UNREADABLE_MJR", "UNSUPPORTED_CODEC",
                          "ENCRYPTED_MJR", "PICTURE_TOO_LARGE"}  # fmt: skip
    assert found["TrackFile"] > seed / 4


def test_any_damage_to_a_wav_is_survived(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    whole, found, seed = MIX.read_bytes(), Counter[str](), 0
    raw = tmp_path / "raw.wav"
    end = time.monotonic() + SECONDS / 4
    while time.monotonic() < end:
        seed += 1
        raw.write_bytes(damaged(whole[:200], random.Random(seed)))  # noqa: S311 - nothing secret
        found[outcome(lambda: audio_us(raw))] += 1

    record_property("seeds", seed)
    record_property("outcomes", dict(found.most_common()))
    assert set(found) <= {"int", "Malformed"}

"""WAV files: what is really there counts, whatever the lengths in the header claim."""

import io
import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.formats import wav
from sfu_wrapper.model.errors import Malformed

SAMPLES = Path(__file__).parents[2] / "samples"


@given(
    st.sampled_from([8000, 16000, 48000]),
    st.sampled_from([1, 2]),
    st.sampled_from([8, 16]),
    st.integers(0, 200),
)
def test_our_header_is_read_by_others_and_by_us(
    rate: int, channels: int, bits: int, blocks: int
) -> None:
    size = blocks * channels * bits // 8
    data = wav.header(size, rate=rate, channels=channels, bits=bits) + bytes(size + (size & 1))
    with wave.open(io.BytesIO(data)) as other:
        assert other.getparams()[:4] == (channels, bits // 8, rate, blocks)
    found = wav.parse(data[: wav.HEADER_BYTES + size])
    assert found is not None
    assert (found.data_start, found.data_bytes, found.truthful) == (wav.HEADER_BYTES, size, True)
    assert (found.rate, found.channels, found.bits, found.tag) == (rate, channels, bits, wav.PCM)


@given(st.binary(max_size=100) | st.binary(max_size=100).map(lambda t: b"RIFF----WAVE" + t))
def test_any_bytes_give_a_result_or_a_typed_error(data: bytes) -> None:
    try:
        found = wav.parse(data)
    except Malformed:
        return
    assert found is None or found.data_start + found.data_bytes <= len(data)


@given(st.binary(max_size=80), st.integers(0, 2**32 - 1))
def test_the_audio_reaches_to_the_end_whatever_length_is_declared(
    audio: bytes, declared: int
) -> None:
    head = bytearray(wav.header(0, rate=16000))
    head[40:44] = declared.to_bytes(4, "little")
    found = wav.parse(bytes(head) + b"\x01" + audio)  # \x01: never the name of a chunk
    assert found is not None
    if declared > 0:  # within the audio, names of chunks can only be met by chance
        assert found.data_bytes <= len(audio) + 1
    else:
        assert found.data_bytes == (len(audio) + 1) // 2 * 2


def test_silence_after_a_stale_length_is_audio_too() -> None:
    data = wav.header(100, rate=16000) + bytes(500)
    found = wav.parse(data)
    assert found is not None
    assert (found.data_bytes, found.declared_bytes, found.truthful) == (500, 100, False)


@pytest.mark.parametrize("tail", [b"LIST\4\0\0\0INFO", b"id3 \3\0\0\0abc", b"id3 \3\0\0\0abc\0"])
def test_chunks_after_the_audio_are_not_audio(tail: bytes) -> None:
    found = wav.parse(wav.header(100, rate=16000) + bytes(100) + tail)
    assert found is not None
    assert found.data_bytes == 100


def test_chunks_before_the_audio_are_passed_over() -> None:
    head = wav.header(4, rate=8000)
    data = head[:36] + b"LIST\3\0\0\0abc\0" + head[36:] + b"\1\2\3\4"
    found = wav.parse(data)
    assert found is not None
    assert data[found.data_start : found.data_start + found.data_bytes] == b"\1\2\3\4"


def test_the_extensible_form_names_its_format_further_on() -> None:
    fmt = wav.header(0, rate=8000)[20:36]
    fmt = b"\xfe\xff" + fmt[2:] + b"\x16\0\x10\0\4\0\0\0" + b"\1\0" + bytes(14)
    found = wav.parse(b"RIFF\0\0\0\0WAVEfmt \x28\0\0\0" + fmt + b"data\0\0\0\0")
    assert found is not None
    assert found.tag == wav.PCM


@pytest.mark.parametrize("length", [0, 1, 8, 12, 20, 36, 43])
def test_a_file_that_ends_before_its_audio_holds_none(length: int) -> None:
    assert wav.parse(wav.header(0, rate=16000)[:length]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"MJR00002",
        b"RIFF\0\0\0\0AVI ",
        b"RIFF\0\0\0\0WAVEdata\0\0\0\0",
        b"RIFF\0\0\0\0WAVEfmt \4\0\0\0\1\0\1\0",
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + bytes(16),
    ],
)
def test_what_is_no_wav_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        wav.parse(data)


@pytest.mark.parametrize(
    ("name", "duration_ms", "declared"),
    [("seg-1/mix.wav", None, 44), ("gap-empty-room-2s-missing.wav", 2060, 44)],
)
def test_the_length_of_a_mixer_that_ended_well_is_44_too_many(
    name: str, duration_ms: int | None, declared: int
) -> None:
    found = wav.parse((SAMPLES / name).read_bytes())
    assert found is not None
    assert found.declared_bytes == found.data_bytes + declared
    assert duration_ms is None or found.duration_ms == duration_ms


def test_the_audio_after_the_last_length_before_a_crash_is_found() -> None:
    data = (SAMPLES / "crash/mix.wav").read_bytes()
    found = wav.parse(data)
    assert found is not None
    assert found.declared_bytes // 32 in range(4_900, 5_100)
    assert found.duration_ms in range(6_100, 6_300)
    audio = data[found.data_start : found.data_start + found.data_bytes]
    with wave.open(io.BytesIO(wav.repaired_header(found) + audio)) as repaired:
        assert repaired.getnframes() == found.data_bytes // 2


def test_a_length_beyond_the_field_is_written_as_the_largest() -> None:
    head = wav.header(wav.MAX_DATA_BYTES + 1, rate=16000)
    assert (head[4:8], head[40:44]) == (b"\xff" * 4, b"\xff" * 4)
    assert wav.header(wav.MAX_DATA_BYTES, rate=16000)[40:44] != b"\xff" * 4


@pytest.mark.parametrize("bits", [4, 24])
def test_only_pcm_of_8_or_16_bits_is_written(bits: int) -> None:
    with pytest.raises(ValueError, match="bits"):
        wav.header(0, rate=16000, bits=bits)


def test_audio_that_is_not_pcm_gets_no_pcm_header() -> None:
    law = wav.Wav(7, 1, 8000, 8, 44, 0, 0)
    with pytest.raises(ValueError, match="not PCM"):
        wav.repaired_header(law)


@pytest.mark.parametrize("form", [b"RF64", b"BW64"])
@pytest.mark.parametrize(("long", "found_bytes"), [(6, 6), (4, 10), (0, 10), (1 << 40, 10)])
def test_lengths_of_64_bits_are_read(form: bytes, long: int, found_bytes: int) -> None:
    sizes = long.to_bytes(8, "little")
    ds64 = b"ds64\x1c\0\0\0" + bytes(8) + sizes + sizes + bytes(4)
    head = wav.header(0, rate=8000)
    data = form + b"\xff" * 4 + b"WAVE" + ds64 + head[12:40] + b"\xff" * 4
    audio = b"\1\2\3\4\5\6" if found_bytes == 6 else b"\1\2\3\4\5\6\7\x08\x09\x0a"
    found = wav.parse(data + audio)
    assert found is not None
    assert (found.data_start, found.data_bytes) == (len(data), found_bytes)
    assert (found.declared_bytes, found.truthful) == (long, long == found_bytes)


def test_a_cut_length_of_64_bits_leaves_the_end_of_the_file() -> None:
    head = wav.header(0, rate=8000)
    data = b"RF64\xff\xff\xff\xffWAVEds64\4\0\0\0abcd" + head[12:40] + b"\xff" * 4 + b"\1\2"
    found = wav.parse(data)
    assert found is not None
    assert (found.data_bytes, found.truthful) == (2, False)
    assert wav.parse(b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0abc") is None

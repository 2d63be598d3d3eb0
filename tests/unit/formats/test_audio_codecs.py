"""Opus packets tell how long they sound; G.711 decodes to what the standard's tables say."""

from struct import iter_unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.formats import g711, opus
from sfu_wrapper.formats.depacketizers import depacketizer
from sfu_wrapper.formats.h264 import H264
from tests.helpers.packetizers import red_payload


@pytest.mark.parametrize(
    ("packet", "ms"),
    [
        (b"\x00", 10),
        (b"\x18", 60),
        (b"\x60", 10),
        (b"\x68", 20),
        (b"\x80", 2.5),
        (b"\xf8abc", 20),
        (b"\xf9abc", 40),
        (b"\xfaabc", 40),
        (b"\xfb\x03", 60),
        (b"\xfb\x06", 120),
    ],
)
def test_a_packet_tells_how_long_it_sounds(packet: bytes, ms: float) -> None:
    assert opus.packet_samples(packet) == ms * 48


@pytest.mark.parametrize("packet", [b"", b"\xfb", b"\xfb\x00", b"\xfb\x07", b"\x1b\x3f"])
def test_what_is_no_opus_has_no_length(packet: bytes) -> None:
    assert opus.packet_samples(packet) is None


@given(st.binary(max_size=5))
def test_no_packet_is_longer_than_opus_allows(packet: bytes) -> None:
    samples = opus.packet_samples(packet)
    assert samples is None or 0 < samples <= opus.MAX_SAMPLES


def decoded(codec: str, *codes: int) -> list[int]:
    return [sample for (sample,) in iter_unpack("<h", g711.decode(codec, bytes(codes)))]


def test_g711_decodes_to_the_values_of_the_standard() -> None:
    assert decoded("pcmu", 0xFF, 0x7F, 0x80, 0x00, 0xFE, 0xEF) == [0, 0, 32124, -32124, 8, 132]
    assert decoded("pcma", 0xD5, 0x55, 0xAA, 0x2A, 0xD4) == [8, -8, 32256, -32256, 24]


@pytest.mark.parametrize("codec", sorted(g711.CODECS))
def test_both_laws_are_odd_functions_that_rise(codec: str) -> None:
    flip = 0x80
    assert all(decoded(codec, code)[0] == -decoded(codec, code ^ flip)[0] for code in range(256))
    assert len(set(decoded(codec, *range(256)))) >= 255


def test_h264_gets_the_parameters_of_the_description() -> None:
    assert isinstance(depacketizer("h264", "x=y"), H264)


@given(
    st.lists(st.tuples(st.integers(0, (1 << 14) - 1), st.binary(max_size=60)), max_size=4),
    st.binary(min_size=1, max_size=60),
    st.integers(0, 127),
)
def test_blocks_of_redundant_audio_are_found_again(
    older: list[tuple[int, bytes]], own: bytes, payload_type: int
) -> None:
    assert opus.red_blocks(red_payload(older, own, payload_type)) == [*older, (0, own)]


@given(st.binary(max_size=60))
def test_any_bytes_are_blocks_or_none(payload: bytes) -> None:
    blocks = opus.red_blocks(payload)
    assert sum(len(data) for _, data in blocks) <= len(payload)
    assert not blocks or blocks[-1][1]


@pytest.mark.parametrize(
    "payload", [b"", b"\x6f", b"\xef", b"\xef\x0f\x00\x01", b"\xef\x0f\x00\x02\x6fab"]
)
def test_redundant_audio_that_is_cut_has_no_blocks(payload: bytes) -> None:
    assert opus.red_blocks(payload) == []

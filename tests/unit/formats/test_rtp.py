"""RTP packets: writing is reading's inverse, and no byte string leads out of itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.formats import rtp
from sfu_wrapper.model.errors import Malformed

numbers32 = st.integers(0, 2**32 - 1)
packets = st.builds(
    rtp.Packet,
    payload=st.binary(max_size=40),
    sequence=st.integers(0, 2**16 - 1),
    timestamp=numbers32,
    ssrc=numbers32,
    payload_type=st.integers(0, 127),
    marker=st.booleans(),
    csrc=st.lists(numbers32, max_size=15).map(tuple),
    extensions=st.lists(
        st.tuples(st.integers(1, 14), st.binary(min_size=1, max_size=16))
        | st.tuples(st.integers(1, 255), st.binary(max_size=255)),
        max_size=4,
    ).map(tuple),
)
PLAIN = rtp.Packet(b"payload", sequence=7, timestamp=8, ssrc=9, payload_type=96)


@given(packets)
def test_what_is_written_is_read_again(packet: rtp.Packet) -> None:
    assert rtp.parse(rtp.encode(packet)) == packet


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"\x90" + tail))
def test_any_bytes_give_a_packet_or_a_typed_error(data: bytes) -> None:
    start, stop = rtp.payload_span(data, 0, len(data))
    if start < 0:
        with pytest.raises(Malformed):
            rtp.parse(data)
    else:
        assert 12 <= start <= stop <= len(data)
        assert rtp.parse(data).payload == data[start:stop]


@given(packets, st.data())
def test_a_packet_cut_short_never_has_more_payload(packet: rtp.Packet, data: st.DataObject) -> None:
    whole = rtp.encode(packet)
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    start, stop = rtp.payload_span(cut, 0, len(cut))
    assert packet.payload.startswith(cut[start:stop])


def test_padding_is_left_out() -> None:
    padded = bytearray(rtp.encode(PLAIN) + b"\0\0\3")
    padded[0] |= 0x20
    assert rtp.parse(bytes(padded)).payload == b"payload"


@pytest.mark.parametrize("count", [0, 11])
def test_padding_longer_than_the_payload_or_of_no_length_is_no_packet(count: int) -> None:
    padded = bytearray(rtp.encode(PLAIN) + b"\0\0" + bytes([count]))
    padded[0] |= 0x20
    with pytest.raises(Malformed):
        rtp.parse(bytes(padded))


@pytest.mark.parametrize("data", [b"", b"\x80" * 11, b"\x40" + bytes(20), b"\x90" + bytes(13)])
def test_too_short_or_another_version_is_no_packet(data: bytes) -> None:
    with pytest.raises(Malformed):
        rtp.parse(data)


def extended(profile: int, data: bytes) -> bytes:
    head = bytearray(rtp.encode(PLAIN)[:12])
    head[0] |= 0x10
    words = len(data) // 4
    return bytes(head) + profile.to_bytes(2, "big") + words.to_bytes(2, "big") + data


@pytest.mark.parametrize(
    ("profile", "data", "elements"),
    [
        (0xBEDE, b"\x00\x30\x01\x00", ((3, b"\1"),)),
        (0xBEDE, b"\x30\x01\xf0\x30", ((3, b"\1"),)),
        (0xBEDE, b"\x30\x01\x47\x02", ((3, b"\1"),)),
        (0x1000, b"\x00\x03\x01\x05", ((3, b"\5"),)),
        (0x100F, b"\x03\x00\x04\x09", ((3, b""),)),
        (0xABCD, b"\x03\x01\x05\x00", ()),
    ],
)
def test_extension_elements_survive_padding_stop_marks_and_cut_elements(
    profile: int, data: bytes, elements: tuple[tuple[int, bytes], ...]
) -> None:
    assert rtp.parse(extended(profile, data)).extensions == elements


@pytest.mark.parametrize(
    "packet",
    [
        rtp.Packet(b"", 65536, 0, 0, 0),
        rtp.Packet(b"", 0, 2**32, 0, 0),
        rtp.Packet(b"", 0, 0, -1, 0),
        rtp.Packet(b"", 0, 0, 0, 128),
        rtp.Packet(b"", 0, 0, 0, 0, csrc=(0,) * 16),
        rtp.Packet(b"", 0, 0, 0, 0, csrc=(2**32,)),
        rtp.Packet(b"", 0, 0, 0, 0, extensions=((0, b""),)),
        rtp.Packet(b"", 0, 0, 0, 0, extensions=((1, bytes(256)),)),
    ],
)
def test_a_field_that_does_not_fit_is_refused(packet: rtp.Packet) -> None:
    with pytest.raises(ValueError, match=r"RTP packet|header extension"):
        rtp.encode(packet)


@given(st.integers(-(2**15), 2**15 - 1), st.integers(0, 2**16 - 1))
def test_a_step_is_the_same_across_the_wrap(step: int, sequence: int) -> None:
    assert rtp.signed((sequence + step) % 2**16 - sequence, 16) == step


@pytest.mark.parametrize(("value", "turn"), [(b"\0", 0), (b"\1", 90), (b"\x0b", 270), (b"", None)])
def test_orientation_is_told_in_degrees(value: bytes, turn: int | None) -> None:
    assert rtp.rotation_degrees(value) == turn


@given(packets, st.integers(1, 14), st.binary(max_size=8))
def test_one_extension_is_found_as_among_all_of_them(
    packet: rtp.Packet, number: int, garbage: bytes
) -> None:
    written = rtp.encode(packet)
    data = written[:16] + garbage + written[16 + len(garbage) :]
    if rtp.payload_span(data, 0, len(data))[0] < 0:
        return
    found = [value for one, value in rtp.extensions(data, 0) if one == number]

    assert rtp.extension(data, 0, number) == (found[0] if found else None)


def test_no_extension_is_looked_for_behind_a_stop_mark() -> None:
    assert rtp.extension(extended(0xBEDE, b"\xf0\x30\x01\x00"), 0, 3) is None

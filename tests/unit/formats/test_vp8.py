"""VP8 payloads: cut and joined again, descriptors of every shape, sizes of key frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.formats import vp8
from sfu_wrapper.formats.frame import CodedFrame

DELTA = b"\x31" + bytes(range(99))
KEY = b"\x10\x00\x00\x9d\x01\x2a\x80\x42\xe0\x01" + bytes(50)  # 640x480, scaled: 0x4280 & 0x3fff


def join(payloads: list[bytes]) -> CodedFrame | None:
    return vp8.Vp8().frame([memoryview(payload) for payload in payloads])


@given(st.binary(max_size=300), st.integers(6, 100), st.none() | st.integers(0, 70_000))
def test_a_frame_cut_into_payloads_is_joined_again(
    tail: bytes, mtu: int, picture_id: int | None
) -> None:
    payloads = vp8.packetise(b"\x01" + tail, mtu, picture_id)
    assert all(len(payload) <= mtu for payload in payloads)
    frame = join(payloads)
    assert frame is not None
    assert frame.data == b"\x01" + tail
    assert frame.serial == (None if picture_id is None else picture_id % 2**15)


@given(st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=4))
def test_any_payloads_give_a_frame_or_none(payloads: list[bytes]) -> None:
    frame = join(payloads)
    assert frame is None or frame.data


def test_a_key_frame_tells_its_size_without_the_scaling_bits() -> None:
    frame = join(vp8.packetise(KEY))
    assert frame is not None
    assert (frame.key, frame.size) == (True, (640, 480))


@pytest.mark.parametrize(
    "data", [KEY[:9], b"\x10\x00\x00\x00\x00\x00" + KEY[6:], KEY[:6] + bytes(9)]
)
def test_a_key_frame_without_its_header_is_no_frame(data: bytes) -> None:
    assert join([b"\x10" + data]) is None


@pytest.mark.parametrize(
    ("descriptor", "serial"),
    [
        (b"\x10", None),
        (b"\x90\x00", None),
        (b"\x90\x80\x05", 5),
        (b"\x90\x80\x81\x02", 0x102),
        (b"\x90\x40\x07", None),
        (b"\x90\x20\x40", None),
        (b"\x90\x10\x01", None),
        (b"\x90\xf0\x81\x02\x07\x40", 0x102),
    ],
)
def test_descriptors_of_every_shape_are_removed(descriptor: bytes, serial: int | None) -> None:
    frame = join([descriptor + DELTA])
    assert frame is not None
    assert (frame.data, frame.serial, frame.key) == (DELTA, serial, False)


@pytest.mark.parametrize("payload", [b"\x10", b"\x90\x80", b"\x90\x80\x05", b"\x00abc", b"\x11abc"])
def test_a_payload_that_does_not_begin_a_frame_is_no_frame(payload: bytes) -> None:
    assert join([payload]) is None


def test_a_later_payload_without_data_spoils_the_frame() -> None:
    assert join([b"\x10" + DELTA, b"\x80\x80\x05"]) is None


@pytest.mark.parametrize(("frame", "mtu"), [(b"", 1200), (b"x", 1)])
def test_what_cannot_be_cut_is_refused(frame: bytes, mtu: int) -> None:
    with pytest.raises(ValueError, match="cannot cut"):
        vp8.packetise(frame, mtu)


@pytest.mark.parametrize(
    ("before", "after", "follows"),
    [(4, 5, True), (127, 0, True), (4, 6, False), (None, 5, False), (5, None, False)],
)
def test_picture_numbers_tell_whether_one_is_missing(
    before: int | None, after: int | None, follows: bool
) -> None:
    earlier = CodedFrame(b"x", False, None, before, 128)
    assert CodedFrame(b"x", False, None, after, 128).follows(earlier) is follows

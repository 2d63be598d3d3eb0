"""VP9 payloads: descriptors of every shape, layers, sizes of key frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.formats import vp9
from sfu_wrapper.formats.frame import CodedFrame


def key(width: int, height: int, profile: int = 0, srgb: bool = False) -> bytes:
    bits = "10" + f"{profile & 1}{profile >> 1}" + ("0" if profile == 3 else "")
    bits += "0" + "0" + "10" + f"{0x498342:024b}" + ("0" if profile >= 2 else "")
    if srgb:
        bits += "111" + ("0" if profile & 1 else "")
    else:
        bits += "010" + "0" + ("000" if profile & 1 else "")
    bits += f"{width - 1:016b}{height - 1:016b}"
    return int(bits.ljust(128, "1"), 2).to_bytes(16, "big") + b"data"


DELTA = b"\x86\x00abcdef"


def join(payloads: list[bytes]) -> CodedFrame | None:
    return vp9.Vp9().frame([memoryview(payload) for payload in payloads])


@given(st.binary(min_size=1, max_size=200), st.integers(4, 60), st.integers(0, 70_000))
def test_a_frame_cut_into_payloads_is_joined_again(frame: bytes, mtu: int, number: int) -> None:
    payloads = vp9.packetise(frame, mtu, number)
    assert all(len(payload) <= mtu for payload in payloads)
    joined = join(payloads)
    assert joined is not None
    assert (joined.data, joined.serial) == (frame, number % 2**15)


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4))
def test_any_payloads_give_a_frame_or_none(payloads: list[bytes]) -> None:
    frame = join(payloads)
    assert frame is None or frame.data


@pytest.mark.parametrize(
    ("profile", "srgb"), [(0, False), (1, False), (2, False), (3, False), (1, True), (2, True)]
)
def test_a_key_frame_tells_its_size_in_every_profile(profile: int, srgb: bool) -> None:
    frame = join(vp9.packetise(key(1280, 720, profile, srgb), key=True))
    assert frame is not None
    assert (frame.key, frame.size) == (True, (1280, 720))


@pytest.mark.parametrize(
    "frame", [DELTA, b"\x42" + bytes(20), b"\x82" + bytes(20), b"\x88", b"\x80"]
)
def test_what_is_no_key_frame_has_no_size(frame: bytes) -> None:
    assert vp9.frame_size(frame) is None


@pytest.mark.parametrize(
    ("descriptor", "serial"),
    [
        ("0c", None),
        ("8c05", 5),
        ("8c8102", 0x102),
        ("2c0007", None),
        ("bc0501", 5),
        ("fc050103 02", 5),
        ("fc0501010101", 5),
        ("0e18" + "0140 00f0" + "01" + "04" + "01", None),
        ("0e00", None),
    ],
)
def test_descriptors_of_every_shape_are_removed(descriptor: str, serial: int | None) -> None:
    frame = join([bytes.fromhex(descriptor.replace(" ", "")) + DELTA])
    assert frame is not None
    assert (frame.data, frame.serial) == (DELTA, serial)


@pytest.mark.parametrize(
    "payload", ["0c", "8c", "8c81", "fc0501010101", "0e", "0e08", "0e0802", "08616263", "04616263"]
)
def test_a_descriptor_that_is_cut_or_out_of_place_is_no_frame(payload: str) -> None:
    assert join([bytes.fromhex(payload)]) is None


def test_the_layers_of_a_picture_become_one_superframe_with_its_index() -> None:
    low, high = key(320, 180), DELTA
    frame = join([b"\x08" + low[:5], b"\x04" + low[5:], b"\x0c" + high])
    assert frame is not None
    mark = b"\xd9"
    sizes = len(low).to_bytes(4, "little") + len(high).to_bytes(4, "little")
    assert frame.data == low + high + mark + sizes + mark
    assert frame.key


@pytest.mark.parametrize(
    ("sizes", "size"),
    [
        ("38" + "0140 00b4" + "0280 0168" + "00", (640, 360)),
        ("58" + "0140 00b4" + "0280 0168" + "0500 02d0" + "00", (640, 360)),
        ("28" + "00", (320, 180)),
    ],
    ids=["all of them", "one that is not sent", "none"],
)
def test_a_picture_in_layers_is_as_large_as_the_highest_of_them(
    sizes: str, size: tuple[int, int]
) -> None:
    frame = join([b"\x0e" + bytes.fromhex(sizes) + key(320, 180), b"\x0c" + DELTA])
    assert frame is not None
    assert frame.size == size


def test_more_layers_than_a_superframe_holds_are_no_frame() -> None:
    assert join([b"\x0c" + DELTA] * 9) is None


@pytest.mark.parametrize(("frame", "mtu"), [(b"", 1200), (b"x", 3)])
def test_what_cannot_be_cut_is_refused(frame: bytes, mtu: int) -> None:
    with pytest.raises(ValueError, match="cannot cut"):
        vp9.packetise(frame, mtu)

"""H.265 payloads: single, aggregated and fragmented units, parameter sets, sizes."""

from base64 import b64encode
from fractions import Fraction
from functools import cache

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.formats import h265
from sfu_wrapper.formats.frame import CodedFrame
from sfu_wrapper.formats.h264 import START_CODE, split_annex_b
from tests.helpers.packetizers import h265_aggregated, h265_payloads

VPS, PPS = b"\x40\x01\x0c\x01", b"\x44\x01\xc1\x72"
IDR = b"\x28\x01\xaf" + bytes(range(1, 60))
CRA = b"\x2a\x01\xaf" + bytes(range(1, 30))
SLICE = b"\x02\x01\xd0" + bytes(range(1, 40))
LATER_SLICE = b"\x02\x01\x50" + bytes(range(1, 40))
DELIMITER = b"\x46\x01\x50"


def join(payloads: list[bytes], codec: h265.H265 | None = None) -> CodedFrame | None:
    return (codec or h265.H265()).frame([memoryview(payload) for payload in payloads])


def annex_b(*units: bytes) -> bytes:
    return b"".join(START_CODE + unit for unit in units)


@cache
def encoded_sps(width: int, height: int, pixels: str = "yuv420p", layers: int = 1) -> bytes:
    context = av.CodecContext.create("libx265", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, pixels
    context.framerate = context.time_base = Fraction(25)
    parameters = f"log-level=none:pools=1:repeat-headers=1:temporal-layers={layers}"
    context.options = {"preset": "ultrafast", "x265-params": parameters}
    frame = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), format="rgb24")
    data = b"".join(
        bytes(packet)
        for given in (frame.reformat(format=pixels), None)
        for packet in context.encode(given)
    )
    return next(unit for unit in split_annex_b(data) if unit[0] >> 1 == 33)


@pytest.mark.parametrize(
    ("width", "height", "pixels", "layers"),
    [
        (640, 480, "yuv420p", 1),
        (178, 146, "yuv420p", 1),
        (1920, 1080, "yuv420p", 1),
        (98, 50, "yuv422p", 1),
        (98, 50, "yuv444p", 1),
        (320, 240, "yuv420p", 3),
    ],
)
def test_the_size_is_read_from_the_parameter_set(
    width: int, height: int, pixels: str, layers: int
) -> None:
    assert h265.frame_size(encoded_sps(width, height, pixels, layers)) == (width, height)


def ue(value: int) -> str:
    code = f"{value + 1:b}"
    return "0" * (len(code) - 1) + code


def written_sps(sub_layers: str, rest: str) -> bytes:
    """A parameter set, written bit by bit. sub_layers: the flags and what they announce."""
    count = {"": 0, "00" + "0" * 14: 1, "11" + "0" * 14 + "1" * 96: 1}[sub_layers]
    bits = "0000" + f"{count:03b}" + "1" + "10" * 48 + sub_layers + ue(0) + rest
    size = -(-len(bits) // 8)
    return b"\x42\x01" + int(bits.ljust(8 * size, "0"), 2).to_bytes(size, "big")


@pytest.mark.parametrize("sub_layers", ["", "00" + "0" * 14, "11" + "0" * 14 + "1" * 96])
@pytest.mark.parametrize(
    ("rest", "size"),
    [
        (ue(1) + ue(64) + ue(48) + "0", (64, 48)),
        (ue(1) + ue(64) + ue(48) + "1" + ue(1) + ue(2) + ue(3) + ue(4), (58, 34)),
        (ue(2) + ue(64) + ue(48) + "1" + ue(1) + ue(2) + ue(3) + ue(4), (58, 41)),
        (ue(3) + "0" + ue(64) + ue(48) + "1" + ue(1) + ue(2) + ue(3) + ue(4), (61, 41)),
        (ue(3) + "1" + ue(64) + ue(48) + "1" + ue(1) + ue(2) + ue(3) + ue(4), (61, 41)),
        (ue(1) + ue(0) + ue(48) + "0", None),
    ],
)
def test_layers_and_borders_of_a_parameter_set_are_passed_over(
    sub_layers: str, rest: str, size: tuple[int, int] | None
) -> None:
    assert h265.frame_size(written_sps(sub_layers, rest)) == size


@given(st.binary(max_size=60))
def test_any_parameter_set_gives_a_size_or_none(tail: bytes) -> None:
    size = h265.frame_size(b"\x42\x01" + tail)
    assert size is None or (0 < size[0] <= 0xFFFF and 0 < size[1] <= 0xFFFF)


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4))
def test_any_payloads_give_a_frame_or_none(payloads: list[bytes]) -> None:
    frame = join(payloads)
    assert frame is None or not frame.key


nal_units = st.builds(
    lambda kind, tail: bytes((kind << 1, 1)) + b"\x80" + tail + b"\x01",
    st.sampled_from([0, 1, 39, 40]),
    st.binary(max_size=120).filter(lambda tail: b"\0\0" not in tail and not tail.endswith(b"\0")),
)


@given(st.lists(nal_units, min_size=1, max_size=6), st.integers(6, 90), st.booleans())
def test_units_are_the_same_however_they_were_cut(
    units: list[bytes], mtu: int, aggregate: bool
) -> None:
    units = [*units, SLICE]
    payloads = h265_payloads(annex_b(*units), mtu, aggregate=aggregate)
    assert all(len(payload) <= mtu for payload in payloads)
    assert join(payloads) == CodedFrame(annex_b(*units), key=False)


@pytest.mark.parametrize("mtu", [8, 20, 1200])
@pytest.mark.parametrize("aggregate", [False, True])
@pytest.mark.parametrize("begin", [IDR, CRA])
def test_a_key_frame_cut_into_payloads_is_joined_again(
    mtu: int, aggregate: bool, begin: bytes
) -> None:
    whole = annex_b(VPS, encoded_sps(320, 240), PPS, begin)
    frame = join(h265_payloads(whole, mtu, aggregate=aggregate))
    assert frame == CodedFrame(whole, key=True, size=(320, 240))


def test_delimiters_are_left_out() -> None:
    sps = encoded_sps(320, 240)
    frame = join([*h265_aggregated([DELIMITER, VPS, sps, PPS]), IDR, b"\x4c\x01\xff"])
    assert frame == CodedFrame(annex_b(VPS, sps, PPS, IDR), key=True, size=(320, 240))


def test_parameter_sets_of_before_are_put_before_a_key_frame_that_came_without() -> None:
    codec, sps, further = h265.H265(), encoded_sps(320, 240), PPS + b"\x01"
    assert join(h265_aggregated([VPS, sps, PPS, further]), codec) == CodedFrame(b"", key=False)
    assert join([SLICE], codec) == CodedFrame(annex_b(SLICE), key=False)
    frame = join([IDR], codec)
    assert frame is not None
    assert frame.data == annex_b(VPS, sps, PPS, further, IDR)


def test_parameter_sets_may_come_in_the_description() -> None:
    named = {"vps": VPS, "sps": encoded_sps(320, 240), "pps": PPS}
    fmtp = ";".join(f" sprop-{name}={b64encode(unit).decode()}" for name, unit in named.items())
    frame = join([IDR], h265.H265("level-id=93;" + fmtp))
    assert frame is not None
    assert (frame.key, frame.size) == (True, (320, 240))


@pytest.mark.parametrize("fmtp", [None, "sprop-sps=?", "sprop-vps=é", "a;=;"])
def test_a_key_frame_without_parameter_sets_is_no_frame(fmtp: str | None) -> None:
    assert join([IDR], h265.H265(fmtp)) is None


def test_a_key_frame_whose_size_cannot_be_read_is_no_frame() -> None:
    assert join([VPS, b"\x42\x01\x01", PPS, IDR]) is None


def test_a_further_slice_of_a_frame_follows_the_first() -> None:
    whole = annex_b(SLICE, LATER_SLICE)
    assert join(h265_payloads(whole, 30)) == CodedFrame(whole, key=False)


@pytest.mark.parametrize(
    "payloads",
    [
        [LATER_SLICE],  # not the frame's first slice
        [b"\x02\x01"],
        [b"\x02"],
        [b"\x62\x01\x01abc"],  # a fragment without its beginning
        [b"\x62\x01\x81abc"],  # without its end
        [b"\x62\x01\x81abc", SLICE],
        [b"\x62\x01\x81abc", b"\x62\x01\x81abc", b"\x62\x01\x41abc"],
        [b"\x62\x01\x81"],
        [b"\x60\x01\x00\x09abc"],
        [b"\x60\x01\x00\x00"],
        [b"\x60\x01\x00\x01\x02"],  # a slice of one byte
        [b"\x64\x01abc"],
    ],
)
def test_a_frame_with_a_part_missing_is_none(payloads: list[bytes]) -> None:
    assert join(payloads) is None

"""H.264 payloads: single, aggregated and fragmented units, parameter sets, sizes."""

from base64 import b64encode
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.formats import h264
from sfu_wrapper.formats.bits import BitReader
from sfu_wrapper.formats.frame import CodedFrame
from sfu_wrapper.model.errors import Malformed

PPS = b"\x68\xce\x0f\xc8"
IDR = b"\x65\x88" + bytes(range(1, 60))
SLICE = b"\x41\x9a" + bytes(range(1, 40))
MARK = h264.START_CODE


def join(payloads: list[bytes], codec: h264.H264 | None = None) -> CodedFrame | None:
    return (codec or h264.H264()).frame([memoryview(payload) for payload in payloads])


def stap(*units: bytes) -> bytes:
    return b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)


def encoded_sps(width: int, height: int, **options: str) -> bytes:
    context = av.CodecContext.create("libx264", "w")
    assert isinstance(context, av.VideoCodecContext)
    pixels = options.pop("pix_fmt", "yuv420p")
    context.width, context.height, context.pix_fmt = width, height, pixels
    context.framerate = Fraction(25)
    context.options = {"threads": "1", **options}
    frame = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), format="rgb24")
    data = b"".join(
        bytes(packet)
        for given in (frame.reformat(format=pixels), None)
        for packet in context.encode(given)
    )
    return next(unit for unit in h264.split_annex_b(data) if unit[0] & 31 == 7)


@pytest.mark.parametrize(
    ("width", "height", "options"),
    [
        (640, 480, {}),
        (178, 146, {"profile": "baseline"}),
        (1920, 1080, {"profile": "main"}),
        (320, 244, {"x264-params": "interlaced=1"}),
        (320, 240, {"pix_fmt": "yuv422p"}),
        (98, 50, {"pix_fmt": "yuv444p"}),
        (320, 240, {"x264-params": "cqm=jvt"}),
    ],
)
def test_the_size_is_read_from_the_parameter_set(
    width: int, height: int, options: dict[str, str]
) -> None:
    assert h264.frame_size(encoded_sps(width, height, **options)) == (width, height)


@given(st.binary(max_size=60))
def test_any_parameter_set_gives_a_size_or_none(tail: bytes) -> None:
    size = h264.frame_size(b"\x67" + tail)
    assert size is None or (0 < size[0] <= 0xFFFF and 0 < size[1] <= 0xFFFF)


def ue(value: int) -> str:
    code = f"{value + 1:b}"
    return "0" * (len(code) - 1) + code


def written_sps(profile: int, chroma: str = "", order: str = ue(2)) -> bytes:
    """A parameter set of 4 x 4 macroblocks, written bit by bit."""
    bits = f"{profile:08b}" + "0" * 16 + ue(0) + chroma
    bits += ue(0) + order + ue(1) + "0" + ue(3) + ue(3) + "1" + "0" + "0" + "1"
    size = -(-len(bits) // 8)
    return b"\x67" + int(bits.ljust(8 * size, "0"), 2).to_bytes(size, "big")


@pytest.mark.parametrize(
    "order", [ue(0) + ue(4), ue(2), ue(1) + "0" + ue(1) + ue(2) + ue(2) + ue(5) + ue(6)]
)
def test_every_order_of_pictures_is_passed_over(order: str) -> None:
    assert h264.frame_size(written_sps(66, order=order)) == (64, 64)


@pytest.mark.parametrize("chroma", [1, 3])
def test_scaling_lists_are_passed_over(chroma: int) -> None:
    lists = "1" + ue(0) * 16  # a list in which nothing changes
    lists += "1" + ue(16)  # -8: the rest is as by default
    lists += "0" * (10 if chroma == 3 else 6)
    text = ue(chroma) + ("0" if chroma == 3 else "") + ue(0) + ue(0) + "0" + "1" + lists
    assert h264.frame_size(written_sps(100, chroma=text)) == (64, 64)


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4))
def test_any_payloads_give_a_picture_or_none(payloads: list[bytes]) -> None:
    frame = join(payloads)
    assert frame is None or not frame.key


@pytest.mark.parametrize("mtu", [8, 20, 1200])
def test_a_picture_cut_into_payloads_is_joined_again(mtu: int) -> None:
    sps = encoded_sps(320, 240)
    whole = b"".join(MARK + unit for unit in (sps, PPS, IDR))
    payloads = h264.packetise(whole, mtu)
    assert all(len(payload) <= mtu for payload in payloads)
    frame = join(payloads)
    assert frame == CodedFrame(whole, key=True, size=(320, 240))


def test_aggregated_units_are_taken_apart_and_delimiters_left_out() -> None:
    sps = encoded_sps(320, 240)
    frame = join([stap(b"\x09\xf0", sps, PPS), IDR, b"\x0c\xff"])
    assert frame is not None
    assert frame.data == MARK + sps + MARK + PPS + MARK + IDR


def test_parameter_sets_of_before_are_put_before_a_key_frame_that_came_without() -> None:
    codec, sps = h264.H264(), encoded_sps(320, 240)
    alone = join([stap(sps, PPS)], codec)
    assert alone == CodedFrame(b"", key=False)
    frame = join([IDR], codec)
    assert frame is not None
    assert frame.data == MARK + sps + MARK + PPS + MARK + IDR


def test_parameter_sets_may_come_in_the_description() -> None:
    sps = encoded_sps(320, 240)
    sets = ",".join(b64encode(unit).decode() for unit in (sps, PPS))
    frame = join([IDR], h264.H264(f"packetization-mode=1; sprop-parameter-sets={sets}"))
    assert frame is not None
    assert (frame.key, frame.size) == (True, (320, 240))


@pytest.mark.parametrize("fmtp", ["", "sprop-parameter-sets=?", "sprop-parameter-sets=é", "a;=;"])
def test_a_key_frame_without_parameter_sets_is_no_picture(fmtp: str) -> None:
    assert join([IDR], h264.H264(fmtp)) is None


def test_other_pictures_are_no_key_frames() -> None:
    assert join([SLICE]) == CodedFrame(MARK + SLICE, key=False)


@pytest.mark.parametrize(
    "payloads",
    [
        [b"\x41\x1a" + SLICE[2:]],  # not the picture's first slice
        [b"\x41"],
        [b"\x7c\x05abc"],  # a fragment without its beginning
        [b"\x7c\x85abc"],  # without its end
        [b"\x7c\x85abc", SLICE],
        [b"\x7c\x85abc", b"\x7c\x85abc", b"\x7c\x45abc"],
        [b"\x7c\x85"],
        [b"\x78\x00\x09abc"],
        [b"\x78\x00\x00"],
        [b"\x79abc"],
        [b"\x60"],
    ],
)
def test_a_picture_with_a_part_missing_is_none(payloads: list[bytes]) -> None:
    assert join(payloads) is None


def test_numbers_past_the_end_or_without_end_are_malformed() -> None:
    with pytest.raises(Malformed):
        BitReader(b"\0").bits(9)
    with pytest.raises(Malformed):
        BitReader(bytes(9)).unsigned()
    assert [BitReader(bytes([code])).signed() for code in (0x80, 0x40, 0x60)] == [0, 1, -1]

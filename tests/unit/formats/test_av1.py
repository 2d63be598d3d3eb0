"""AV1 payloads: units in elements and fragments, with and without sizes, layers."""

from contextlib import suppress
from fractions import Fraction
from functools import cache

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.formats import av1
from sfu_wrapper.formats.frame import CodedFrame
from sfu_wrapper.model.errors import Malformed
from tests.helpers.packetizers import av1_payloads, av1_units

DELIMITER = b"\x10"
FRAME = b"\x30" + bytes(range(1, 60))
METADATA = b"\x28\x04abc"
PADDING = b"\x78\x00\x80"
TILE_LIST = b"\x40abc"
FRAME_HEADER, TILE_GROUP = b"\x18abc", b"\x20defg"
LAYER = b"\x34\x28" + bytes(range(1, 50))  # a frame of temporal layer 1, spatial layer 1


def join(payloads: list[bytes]) -> CodedFrame | None:
    return av1.Av1().frame([memoryview(payload) for payload in payloads])


def with_size(unit: bytes, size: int | None = None) -> bytes:
    """The unit with its size, or with another one."""
    length = 2 if unit[0] & 4 else 1
    size = len(unit) - length if size is None else size
    return bytes((unit[0] | 2,)) + unit[1:length] + av1.leb128(size) + unit[length:]


def stored(*units: bytes) -> bytes:
    return b"".join(map(with_size, units))


@cache
def encoded(width: int, height: int) -> tuple[bytes, ...]:
    """The units of a key frame."""
    context = av.CodecContext.create("libsvtav1", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.framerate = context.time_base = Fraction(25)
    context.options = {"preset": "12", "svtav1-params": "lp=1"}
    frame = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), format="rgb24")
    given = frame.reformat(format="yuv420p")
    (packet,) = [*context.encode(given), *context.encode(None)]
    return tuple(av1_units(bytes(packet)))


@pytest.mark.parametrize(("width", "height"), [(64, 64), (178, 146), (640, 480), (1920, 1080)])
def test_a_key_frame_tells_its_size(width: int, height: int) -> None:
    units = list(encoded(width, height))
    frame = join(av1_payloads(units, key=True))
    assert frame == CodedFrame(stored(*units), key=True, size=(width, height))


def sequence_header(middle: str, size: tuple[int, int] = (640, 480)) -> bytes:
    """A sequence header written bit by bit. middle: from its profile to its size."""
    bits = "0000" + middle + f"{9:04b}{8:04b}{size[0] - 1:010b}{size[1] - 1:09b}1"
    count = -(-len(bits) // 8)
    return b"\x08" + int(bits.ljust(8 * count, "0"), 2).to_bytes(count, "big")


POINT = "0" * 12 + "00100"
TIERED_POINT = "0" * 12 + "01000" + "1"
TIMING = "1" + "01" * 32
MODEL = "1" + "00010" + "01" * 16 + "00011" + "00100"
DELAYS = "101" * 2 + "1"


@pytest.mark.parametrize(
    "middle",
    [
        "1" + "00100",  # a still frame
        "0" + "0" + "0" + "00000" + POINT,
        "0" + "0" + "0" + "00010" + POINT + TIERED_POINT + POINT,
        "0" + TIMING + "0" + "0" + "1" + "00000" + POINT + "1" + "0111",
        "0" + TIMING + "1" + "00101" + "0" + "1" + "00000" + POINT + "0",
        "0" + TIMING + "0" + MODEL + "1" + "00001" + (POINT + "1" + DELAYS + "1" + "0000")
        + (POINT + "0" + "0"),
    ],
)  # fmt: skip
def test_times_and_operating_points_of_a_sequence_header_are_passed_over(middle: str) -> None:
    header = sequence_header(middle)
    assert av1.frame_size(header) == (640, 480)
    assert av1.frame_size(header[:2]) is None
    assert av1.frame_size(b"\x0c\x00" + header[1:]) == (640, 480)


@given(st.binary(max_size=60))
def test_any_sequence_header_gives_a_size_or_none(tail: bytes) -> None:
    size = av1.frame_size(b"\x08" + tail)
    assert size is None or (0 < size[0] <= 1 << 16 and 0 < size[1] <= 1 << 16)


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4))
def test_any_payloads_give_a_frame_or_none(payloads: list[bytes]) -> None:
    frame = join(payloads)
    assert frame is None or frame.data or not frame.key


obus = st.builds(
    lambda head, layers, body: (bytes((head | 4, layers)) if layers else bytes((head,))) + body,
    st.sampled_from([0x18, 0x20, 0x28, 0x30, 0x38]),
    st.integers(0, 255),
    st.binary(max_size=300),
)


@given(st.lists(obus, min_size=1, max_size=6), st.integers(5, 400), st.booleans(), st.booleans())
def test_units_are_the_same_however_they_were_cut(
    units: list[bytes], mtu: int, counted: bool, sized: bool
) -> None:
    units = [*units, FRAME]
    sent = [with_size(unit) if sized else unit for unit in units]
    payloads = av1_payloads(sent, mtu, counted=counted)
    assert all(len(payload) <= mtu for payload in payloads)
    assert join(payloads) == CodedFrame(stored(*units), key=False)


@given(st.integers(0, (1 << 56) - 1), st.binary(max_size=4))
def test_a_size_is_read_as_it_was_written(number: int, tail: bytes) -> None:
    data = b"x" + av1.leb128(number)
    assert av1.read_leb128(data + tail, 1) == (number, len(data))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80" * 9])
def test_a_size_without_end_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        av1.read_leb128(data, 0)


def test_delimiters_padding_and_lists_of_tiles_are_left_out() -> None:
    units = [DELIMITER, METADATA, PADDING, TILE_LIST, FRAME_HEADER, TILE_GROUP]
    frame = join(av1_payloads(units))
    assert frame == CodedFrame(stored(METADATA, FRAME_HEADER, TILE_GROUP), key=False)


def test_layers_of_one_time_are_one_frame_and_keep_their_numbers() -> None:
    units = [*encoded(640, 480), LAYER]
    frame = join(av1_payloads(units, 30, key=True))
    assert frame is not None
    assert (frame.key, frame.size) == (True, (640, 480))
    assert frame.data.endswith(b"\x36\x28" + av1.leb128(len(LAYER) - 2) + LAYER[2:])


def test_a_frame_begins_a_sequence_only_with_the_mark_and_the_header_of_one() -> None:
    units = list(encoded(64, 64))
    unmarked, headless = join(av1_payloads(units)), join(av1_payloads([FRAME], key=True))
    assert unmarked is not None
    assert headless is not None
    assert not unmarked.key
    assert not headless.key


def test_a_key_frame_whose_size_cannot_be_read_is_no_frame() -> None:
    assert join(av1_payloads([b"\x08\x00", FRAME], key=True)) is None


def test_packets_without_a_frame_give_none() -> None:
    assert join(av1_payloads([METADATA])) == CodedFrame(b"", key=False)
    assert join(av1_payloads([encoded(64, 64)[0]], key=True)) == CodedFrame(b"", key=False)


@pytest.mark.parametrize(
    "payloads",
    [
        [b"\x90" + FRAME],  # the end of a unit without its beginning
        [b"\x50" + FRAME],  # the beginning without its end
        [b"\x50" + FRAME, b"\x10" + FRAME],
        [b"\x10" + FRAME, b"\x90" + FRAME],
        [b"\x00"],
        [b"\x10"],
        [b"\x20"],
        [b"\x20\x05abc"],
        [b"\x30\x01\x30\x80"],
        [b"\x00\x05abc"],
        [b"\x10\xb0abc"],  # the forbidden bit
        [b"\x10\x34"],  # without the byte of its layers
        [b"\x10" + with_size(b"\x30abc", 4)],
        [b"\x10\x32"],
    ],
)
def test_a_frame_with_a_part_missing_is_none(payloads: list[bytes]) -> None:
    assert join(payloads) is None


def test_bytes_after_a_unit_that_has_its_size_are_none_of_its() -> None:
    assert join([b"\x10" + with_size(b"\x30abc", 2)]) == CodedFrame(b"\x32\x02ab", key=False)


@pytest.mark.parametrize(
    ("units", "largest"),
    [
        ((), 0),
        ((METADATA,), 0),
        ((FRAME,), 0),
        ((FRAME, LAYER), 1),
        ((b"\x34\x58abc", LAYER, b"\x2c\x18abc"), 3),  # metadata of layer 3 is no frame
    ],
)
def test_the_largest_layer_is_that_of_a_frame(units: tuple[bytes, ...], largest: int) -> None:
    assert av1.largest_layer(stored(*units)) == largest


def points(*layers: str) -> str:
    """The middle of a sequence header with these operating points, spatial layers first."""
    return "0" + "0" + "0" + f"{len(layers) - 1:05b}" + "".join(one + "00100" for one in layers)


ALL, LARGE, SMALL, NONE = "001100000111", "001000000111", "000100000111", "0" * 12


@pytest.mark.parametrize(
    ("declared", "largest", "left"),
    [
        ((ALL, SMALL), 1, (ALL, SMALL)),
        ((ALL, SMALL), 0, (SMALL, SMALL)),
        ((LARGE, ALL), 0, (SMALL, SMALL)),
        (("011100000001", "000100000001"), 1, ("001100000001", "000100000001")),
        ((NONE,), 0, (NONE,)),
    ],
)
def test_a_header_declares_only_the_layers_that_there_are(
    declared: tuple[str, ...], largest: int, left: tuple[str, ...]
) -> None:
    whole = stored(sequence_header(points(*declared)), FRAME)
    fewer = stored(sequence_header(points(*left)), FRAME)
    assert av1.narrowed(whole, largest) == fewer


def test_a_header_without_operating_points_stays_as_it_is() -> None:
    still = stored(sequence_header("1" + "00100"), FRAME)
    assert av1.narrowed(still, 0) == still


@given(st.binary(max_size=60), st.integers(0, 3))
def test_any_bytes_have_a_largest_layer_or_are_malformed(data: bytes, largest: int) -> None:
    with suppress(Malformed):
        assert 0 <= av1.largest_layer(data) <= 3
        av1.narrowed(data, largest)

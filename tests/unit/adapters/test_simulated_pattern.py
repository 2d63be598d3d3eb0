"""The pattern of a simulated participant is read back as it was drawn, also after ill treatment."""

from fractions import Fraction
from math import ceil, isqrt

import numpy as np
import pytest
from av import VideoFrame
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sfu_wrapper.adapters.simulated.pattern import Pattern, StripData, label, read

NOW_MS = 1_795_484_876_572
ALICE = StripData("alice", "c0ffee01", screen=False, clock_ms=NOW_MS)
USER_IDS = st.text("abcXYZ019._@+:-", min_size=1, max_size=128)

Plane = NDArray[np.uint8]


def drawn(who: StripData, width_px: int = 320) -> Plane:
    """The luma of one frame at its clock."""
    image = Pattern(who, "room-1", 0, width_px).frame(who.clock_ms)
    return image[: width_px * 3 // 4]


def fitted(luma: Plane, width: int, height: int) -> Plane:
    """Scaled into a cell with its aspect kept, centred on black."""
    scale = min(width / luma.shape[1], height / luma.shape[0])
    w, h = int(luma.shape[1] * scale) & ~1, int(luma.shape[0] * scale) & ~1
    small = VideoFrame.from_ndarray(luma, format="gray").reformat(w, h).to_ndarray()
    cell = np.full((height, width), 16, np.uint8)
    top, left = (height - h) // 2, (width - w) // 2
    cell[top : top + h, left : left + w] = small
    return cell


def codec(name: str, mode: str) -> VideoCodecContext:
    context = CodecContext.create(name, mode)  # type: ignore[call-overload]  # PyAV lists names
    assert isinstance(context, VideoCodecContext)
    return context


def encoded_again(canvases: list[Plane], bit_rate: int) -> list[Plane]:
    """Through VP8 at the settings of a merged recording, 640x480 at 25 fps."""
    encoder, decoder = codec("libvpx", "w"), codec("vp8", "r")
    encoder.width, encoder.height, encoder.pix_fmt = 640, 480, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
    encoder.bit_rate, encoder.gop_size, encoder.thread_count = bit_rate, 250, 1
    encoder.options = {"deadline": "realtime", "cpu-used": "-8"}
    out: list[Plane] = []
    for index, canvas in enumerate(canvases):
        chroma = np.full((240, 640), 128, np.uint8)
        frame = VideoFrame.from_ndarray(np.concatenate([canvas, chroma]), format="yuv420p")
        frame.pts = index
        for packet in encoder.encode(frame):
            decoded = decoder.decode(packet)
            out += [np.asarray(one.to_ndarray()[:480], np.uint8) for one in decoded]
    return out


@given(user=USER_IDS, screen=st.booleans(), clock_ms=st.integers(0, 2**42 - 1))
def test_what_is_drawn_is_read(user: str, screen: bool, clock_ms: int) -> None:
    who = StripData(user, "00ff00aa", screen=screen, clock_ms=clock_ms)

    assert read(drawn(who)) == StripData(label(user), "00ff00aa", screen, clock_ms)


@given(USER_IDS, USER_IDS)
def test_two_users_never_share_a_label(one: str, other: str) -> None:
    assert (label(one) == label(other)) is (one == other)


def test_the_users_of_the_product_keep_their_names() -> None:
    assert label("5dde2b2fbd53a5c690") == "5dde2b2fbd53a5c690"


@pytest.mark.parametrize("size", [(640, 480), (320, 240), (213, 160), (320, 480), (640, 160)])
def test_it_is_read_in_a_cell_of_another_size_or_aspect(size: tuple[int, int]) -> None:
    assert read(fitted(drawn(ALICE), *size)) == ALICE


@pytest.mark.parametrize("shift", [-2, -1, 1, 2])
def test_a_frame_a_pixel_or_two_off_its_place_is_read(shift: int) -> None:
    assert read(np.roll(drawn(ALICE), shift, axis=(0, 1))) == ALICE


@pytest.mark.parametrize("count", [1, 4, 9])
def test_it_is_read_in_every_tile_of_a_low_quality_composition(count: int) -> None:
    columns = isqrt(count - 1) + 1
    width, height = 640 // columns & ~1, 480 // ceil(count / columns) & ~1
    patterns = [
        Pattern(StripData(f"participant-{n}", "c0ffee01", False, 0), "r", n, 320)
        for n in range(count)
    ]
    places = [(n // columns * height, n % columns * width) for n in range(count)]
    canvases = []
    for index in range(25):
        canvas = np.full((480, 640), 16, np.uint8)
        for pattern, (top, left) in zip(patterns, places, strict=True):
            luma = pattern.frame(NOW_MS + 40 * index)[:240]
            canvas[top : top + height, left : left + width] = fitted(luma, width, height)
        canvases.append(canvas)

    for index, canvas in enumerate(encoded_again(canvases, 235_000)):
        for n, (top, left) in enumerate(places):
            tile = canvas[top : top + height, left : left + width]
            assert read(tile) == StripData(
                f"participant-{n}", "c0ffee01", False, NOW_MS + 40 * index
            )


def test_a_damaged_strip_is_not_read_as_something_else() -> None:
    luma = drawn(ALICE).copy()
    luma[170:180, 100:110] = 255 - luma[170:180, 100:110]

    assert read(luma) is None


@pytest.mark.parametrize("level", [0, 16, 235])
def test_a_blank_frame_says_nothing(level: int) -> None:
    assert read(np.full((240, 320), level, np.uint8)) is None


def test_noise_says_nothing() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (20, 240, 320), dtype=np.uint8)

    assert [read(luma) for luma in noise] == [None] * 20


def test_the_frame_moves_and_positions_differ_in_colour() -> None:
    first, second = (Pattern(ALICE, "room-1", position, 320) for position in (0, 1))

    assert (first.frame(NOW_MS)[:150] != first.frame(NOW_MS + 500)[:150]).any()
    assert (first.frame(NOW_MS)[240:] != second.frame(NOW_MS)[240:]).any()


def test_a_room_name_that_never_fits_is_cut() -> None:
    pattern = Pattern(ALICE, "r" * 200, 0, 320)

    assert read(pattern.frame(NOW_MS)[:240]) == ALICE


@pytest.mark.parametrize("width_px", [0, 300, -320])
def test_an_odd_width_is_refused(width_px: int) -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        Pattern(ALICE, "room-1", 0, width_px)

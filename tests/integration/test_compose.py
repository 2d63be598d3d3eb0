"""Merged files made of drawn inputs: what is on the canvas when, whatever the inputs do."""

import asyncio
import wave
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from sfu_wrapper.adapters.media.audio import write_audio
from sfu_wrapper.adapters.media.mux import copy_video, write_video
from sfu_wrapper.adapters.media.tools import MediaProcesses
from sfu_wrapper.adapters.media.verify import Expected, verify
from sfu_wrapper.core.intervals import Interval
from sfu_wrapper.core.plan import (
    AudioSource,
    Composition,
    OutputRules,
    Quality,
    Rotation,
    Source,
    compose,
    fit,
    grid,
)
from sfu_wrapper.formats.assemble import TimedFrame as Coded
from sfu_wrapper.formats.frame import CodedFrame
from sfu_wrapper.formats.vp9 import Vp9, frame_size
from sfu_wrapper.model.codecs import VIDEO_INPUT, MergedCodec
from sfu_wrapper.model.errors import JobFailed, Stage
from tests.helpers.frames import TimedFrame, audible_s, decode_audio, is_black, timed_frames, within
from tests.helpers.shared_media import shared_media

RED, GREEN, BLUE = (200, 30, 30), (30, 180, 30), (30, 30, 200)
S = 1_000_000
MS = Fraction(1, 1000)

Colour = tuple[int, int, int]
Drawn = tuple[float, Colour, tuple[int, int]]  # s, colour, size


def video(path: Path, drawn: Iterable[Drawn]) -> Path:
    """A VP8 file whose frames are of one colour each, at their times; the size may change."""
    encoder: av.VideoCodecContext | None = None
    with av.open(path, "w") as container:
        stream = container.add_mux_stream("vp8", width=320, height=240, time_base=MS)
        for at_s, colour, (width, height) in drawn:
            if encoder is None or (encoder.width, encoder.height) != (width, height):
                encoder = _encoder(width, height)
            for packet in encoder.encode(_frame(at_s, colour, (width, height))):
                packet.stream = stream
                container.mux(packet)
    return path


def h264(path: Path, drawn: Sequence[Drawn]) -> Path:
    """The same in H.264, of one size."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", 10)
        (stream.width, stream.height), stream.pix_fmt = drawn[0][2], "yuv420p"
        stream.codec_context.time_base = MS
        stream.codec_context.thread_count = 1
        for at_s, colour, size in drawn:
            container.mux(stream.encode(_frame(at_s, colour, size)))
        container.mux(stream.encode(None))
    return path


def _frame(at_s: float, colour: Colour, size: tuple[int, int]) -> av.VideoFrame:
    image = np.full((size[1], size[0], 3), colour, np.uint8)
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
    frame.pts, frame.time_base = round(at_s * 1000), MS
    return frame


def vp9_key(colour: Colour, size: tuple[int, int]) -> bytes:
    """One key frame in VP9."""
    encoder = av.CodecContext.create("libvpx-vp9", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    (encoder.width, encoder.height), encoder.pix_fmt = size, "yuv420p"
    encoder.time_base = MS
    encoder.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
    (packet,) = encoder.encode(_frame(0, colour, size))
    return bytes(packet)


def _encoder(width: int, height: int) -> av.VideoCodecContext:
    encoder = av.CodecContext.create("libvpx", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.bit_rate = MS, 500_000
    encoder.options = {"deadline": "realtime", "cpu-used": "-8"}
    encoder.thread_count = 1
    encoder.open()
    return encoder


def steady(colour: Colour, stop_s: float, size: tuple[int, int] = (320, 240)) -> list[Drawn]:
    return [(n / 10, colour, size) for n in range(round(stop_s * 10))]


def tone(path: Path, hz: float, seconds: float, rate: int = 16_000) -> Path:
    samples = 8000 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype(np.int16).tobytes())
    return path


def plan(
    duration_s: float,
    cut: Sequence[tuple[float, float, tuple[int, ...]]],
    sources: Sequence[Source] = (),
    mixes: Sequence[AudioSource] = (),
    codec: MergedCodec = "vp8",
    quality: Quality = "low",
) -> Composition:
    rules = OutputRules(codec, quality, "{{uuid}}", split=False, mix_limit=9)
    intervals = [Interval(round(a * S), round(b * S), tracks) for a, b, tracks in cut]
    return compose(rules, round(duration_s * S), sources, intervals, mixes, chapters=())


async def merged(wanted: Composition, folder: Path) -> list[TimedFrame]:
    target = folder / "merged.webm"
    with shared_media() as media:
        await media.compose(wanted, target, lambda _: None, timeout_s=50)
    return await asyncio.to_thread(lambda: list(timed_frames(target)))


def colour_of(timed: TimedFrame, count: int = 1, place: int = 0) -> Colour | None:
    """What is in the middle of a tile."""
    tile = within(timed.rgb, grid(count, 640, 480)[place])
    height, width, _ = tile.shape
    middle = tile[height * 2 // 5 : height * 3 // 5, width * 2 // 5 : width * 3 // 5]
    seen = np.median(middle.reshape(-1, 3), axis=0)
    near = [c for c in (RED, GREEN, BLUE) if np.abs(seen - c).max() < 40]
    return near[0] if near else None


async def test_a_frozen_track_shows_its_last_frame_for_five_seconds_then_black(
    tmp_path: Path,
) -> None:
    file = video(tmp_path / "a.webm", steady(RED, 1.0))

    seen = await merged(plan(7, [(0, 7, (0,))], [Source(str(file), 0)]), tmp_path)

    assert {colour_of(timed) for timed in seen if timed.at_s < 5.84} == {RED}  # 0.9 s + 5 s
    assert all(is_black(timed.rgb) for timed in seen if timed.at_s > 5.94)


async def test_a_change_of_size_leaves_nothing_of_the_frame_before(tmp_path: Path) -> None:
    drawn = steady(RED, 1.0, (640, 480)) + [
        (1 + at_s, GREEN, (240, 320)) for at_s, _, _ in steady(GREEN, 1.0)
    ]
    file = video(tmp_path / "a.webm", drawn)

    seen = await merged(plan(2, [(0, 2, (0,))], [Source(str(file), 0)]), tmp_path)

    assert [colour_of(timed) for timed in seen[2:24]] == [RED] * 22
    assert [colour_of(timed) for timed in seen[27:]] == [GREEN] * 23
    assert is_black(seen[40].rgb[:, :130])
    assert is_black(seen[40].rgb[:, 510:])


@pytest.mark.parametrize(("degrees", "corner"), [(0, (0, 0)), (90, (0, -1)), (180, (-1, -1)),
                                                 (270, (-1, 0))])  # fmt: skip
async def test_a_turned_frame_is_put_upright(
    tmp_path: Path, degrees: int, corner: tuple[int, int]
) -> None:
    file = tmp_path / "a.webm"
    image = np.zeros((240, 320, 3), np.uint8)
    image[:120, :160] = RED  # the upper left corner; turned clockwise it goes to the right
    encoder = _encoder(320, 240)
    with av.open(file, "w") as container:
        stream = container.add_mux_stream("vp8", width=320, height=240, time_base=MS)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = 0, MS
        for packet in encoder.encode(frame):
            packet.stream = stream
            container.mux(packet)
    source = Source(str(file), 0, (Rotation(0, degrees),))

    seen = await merged(plan(0.4, [(0, 0.4, (0,))], [source]), tmp_path)

    size = (240, 320) if degrees % 180 else (320, 240)
    upright = within(seen[5].rgb, fit(grid(1, 640, 480)[0], *size))
    quarter = upright[10:-10, 10:-10][corner]
    assert np.abs(quarter.astype(int) - RED).max() < 40
    opposite = upright[10:-10, 10:-10][-1 - corner[0], -1 - corner[1]]
    assert opposite.max() < 40


async def test_of_a_picture_in_layers_the_largest_is_shown(tmp_path: Path) -> None:
    layers = [vp9_key(RED, (160, 120)), vp9_key(GREEN, (320, 240))]
    image = Vp9().frame([memoryview(b"\x0c" + layer) for layer in layers])  # B and E
    assert image is not None
    file = tmp_path / "a.webm"
    write_video(file, VIDEO_INPUT["vp9"], (320, 240), [Coded(n * 9_000, image) for n in range(4)])

    seen = await merged(plan(0.4, [(0, 0.4, (0,))], [Source(str(file), 0)]), tmp_path)

    assert {colour_of(timed) for timed in seen} == {GREEN}


async def test_a_frame_that_no_decoder_takes_is_left_out(tmp_path: Path) -> None:
    """Of a size beyond all limits; the copy of such a track stands too."""
    good = vp9_key(GREEN, (320, 240))
    bad = good[:4] + b"\x0f\xff\xff\xff" + bytes([good[8] | 0xF0]) + good[9:]
    assert frame_size(bad) == (65_536, 65_536)
    file = tmp_path / "a.webm"
    coded = [Coded(n * 9_000, CodedFrame(bad if n == 2 else good, key=n != 2)) for n in range(4)]
    write_video(file, VIDEO_INPUT["vp9"], (320, 240), coded)

    seen = await merged(plan(0.4, [(0, 0.4, (0,))], [Source(str(file), 0)]), tmp_path)
    copy_video(file, tmp_path / "copy.webm", VIDEO_INPUT["vp9"])
    verify(
        Stage.SPLIT, tmp_path / "copy.webm", Expected(400_000, 100_000, "vp9", None, copied=True)
    )

    assert {colour_of(timed) for timed in seen} == {GREEN}


async def test_nine_tracks_stand_in_reading_order(tmp_path: Path) -> None:
    colours = [RED, GREEN, BLUE, GREEN, BLUE, RED, BLUE, RED, GREEN]
    files = [video(tmp_path / f"{n}.webm", steady(c, 0.4)) for n, c in enumerate(colours)]
    sources = [Source(str(file), 0) for file in files]

    seen = await merged(plan(0.4, [(0, 0.4, tuple(range(9)))], sources), tmp_path)

    assert [colour_of(seen[5], 9, place) for place in range(9)] == colours


async def test_a_track_comes_and_goes_within_a_frame_and_others_move(tmp_path: Path) -> None:
    red = video(tmp_path / "r.webm", steady(RED, 3.0))
    green = h264(tmp_path / "g.mp4", steady(GREEN, 1.0))
    sources = [Source(str(red), 0), Source(str(green), S)]
    cut = [(0, 1, (0,)), (1, 2, (0, 1)), (2, 2.5, ()), (2.5, 3, (0,))]

    seen = await merged(plan(3, cut, sources), tmp_path)

    assert [colour_of(timed) for timed in seen[:25]] == [RED] * 25
    assert [colour_of(s, 2, 0) for s in seen[25:50]] == [RED] * 25
    assert [colour_of(s, 2, 1) for s in seen[26:50]] == [GREEN] * 24
    assert all(is_black(timed.rgb) for timed in seen[51:62])
    assert [colour_of(timed) for timed in seen[64:]] == [RED] * 11


async def test_vp9_is_made_where_it_is_asked_for(tmp_path: Path) -> None:
    file = video(tmp_path / "a.webm", steady(RED, 1.0))
    wanted = plan(1, [(0, 1, (0,))], [Source(str(file), 0)], codec="vp9")

    seen = await merged(wanted, tmp_path)

    assert {colour_of(timed) for timed in seen} == {RED}
    with av.open(tmp_path / "merged.webm") as reader:
        assert reader.streams.video[0].codec_context.name == "vp9"


@pytest.mark.parametrize("start_s", [-0.5, 0.0, 0.7])
async def test_audio_that_starts_early_or_late_is_heard_at_its_time(
    tmp_path: Path, start_s: float
) -> None:
    mix = AudioSource(str(tone(tmp_path / "a.wav", 500, 1.5)), round(start_s * S))

    await merged(plan(3, [(0, 3, ())], mixes=[mix]), tmp_path)

    samples = decode_audio(tmp_path / "merged.webm")
    first_s, last_s = audible_s(samples, 500)
    assert abs(first_s - max(start_s, 0)) < 0.04
    assert abs(last_s - (start_s + 1.5)) < 0.04
    assert abs(len(samples) / 16_000 - 3) < 0.03


@pytest.mark.parametrize("rate", [8_000, 48_000])
@pytest.mark.parametrize("ppm", [1_000, -987.654321, 0])
def test_audio_of_a_clock_that_was_off_is_stretched(tmp_path: Path, rate: int, ppm: float) -> None:
    path = tone(tmp_path / "a.wav", 500, 40.0, rate)
    samples = path.read_bytes()
    silent = bytes(len(samples) - 44 - 2 * rate)
    path.write_bytes(samples[:44] + silent + samples[44 : 44 + 2 * rate])  # its last second sounds

    write_audio([AudioSource(str(path), 0, pace=1 + ppm / 1e6)], 41 * S, tmp_path / "out.wav")

    first_s, last_s = audible_s(decode_audio(tmp_path / "out.wav"), 500)
    assert first_s == pytest.approx(39 * (1 + ppm / 1e6), abs=0.015)
    assert last_s == pytest.approx(40 * (1 + ppm / 1e6), abs=0.015)


async def test_pieces_of_a_mix_that_was_interrupted_are_put_together(tmp_path: Path) -> None:
    pieces = [
        AudioSource(str(tone(tmp_path / "a.wav", 500, 1.0)), 0),
        AudioSource(str(tone(tmp_path / "b.wav", 900, 1.0, rate=8_000)), round(1.5 * S)),
    ]

    with MediaProcesses() as media:
        await media.write_audio(pieces, 3 * S, tmp_path / "out.wav", timeout_s=50)

    samples = decode_audio(tmp_path / "out.wav")
    assert abs(audible_s(samples, 500)[1] - 1.0) < 0.04
    assert abs(audible_s(samples, 900)[0] - 1.5) < 0.04
    assert np.abs(samples[16_000 + 800 : 24_000 - 800]).max() < 0.01


async def test_what_hangs_is_ended_and_may_be_tried_again(tmp_path: Path) -> None:
    file = video(tmp_path / "a.webm", steady(RED, 1.0))
    hours = plan(7200, [(0, 7200, (0,))], [Source(str(file), 0)])

    with MediaProcesses() as media, pytest.raises(JobFailed) as caught:
        await media.compose(hours, tmp_path / "m.webm", lambda _: None, timeout_s=2)

    assert (caught.value.stage, caught.value.code) == ("compose", "TIMEOUT")
    assert not caught.value.permanent


async def test_a_source_that_is_no_video_fails_the_composition(tmp_path: Path) -> None:
    file = tmp_path / "a.webm"
    file.write_bytes(b"no media")

    with pytest.raises(JobFailed) as caught:
        await merged(plan(1, [(0, 1, (0,))], [Source(str(file), 0)]), tmp_path)

    assert caught.value.code == "MEDIA_ERROR"


async def test_composing_never_holds_up_the_event_loop(tmp_path: Path) -> None:
    file = video(tmp_path / "a.webm", steady(RED, 4.0, (640, 480)))
    heard: list[float] = []
    beats = 0
    wanted = plan(4, [(0, 4, (0,))], [Source(str(file), 0)])

    with MediaProcesses() as media:
        async with asyncio.TaskGroup() as group:
            work = group.create_task(
                media.compose(wanted, tmp_path / "m.webm", heard.append, timeout_s=50)
            )
            while not work.done():
                await asyncio.sleep(0.001)
                beats += 1

    assert heard == [0, 25, 50, 75]
    assert beats > 5, "it turned meanwhile"

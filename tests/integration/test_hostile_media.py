"""Raw files made to hurt: each ends as a failure that says why, or as what can be saved of it.

Whole segments, through the real processes. What a file names is never opened, and no worker dies.
"""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from sfu_wrapper.adapters.media.audio import audio_us
from sfu_wrapper.adapters.media.demux import decoded, reading, video_of
from sfu_wrapper.adapters.media.preprocess import preprocess
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.app.worker import processor
from sfu_wrapper.config.processing import Recording
from sfu_wrapper.formats import mjr, rtp, wav
from sfu_wrapper.model.errors import JobFailed, Malformed
from sfu_wrapper.model.segment import Processed
from sfu_wrapper.wire.recording_info import parse_event
from tests.helpers.deathpoints import record
from tests.helpers.packetizers import av1_payloads, av1_units
from tests.helpers.samples import ALICE, Received, received, recorded

VP8_START = b"\x9d\x01\x2a"
SECRET = "what nobody but its owner may read"
LISTS = {
    "ffconcat": "ffconcat version 1.0\nfile {secret}\n",
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{secret}\n#EXT-X-ENDLIST\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
}


class Case:
    """One second of good media, of which some is about to be replaced."""

    def __init__(self, folder: Path) -> None:
        self.raw, self.out = folder / "raw", folder / "out"
        self.event = record(self.raw, self.raw)
        self.secret = folder / "secret.txt"
        self.secret.write_text(SECRET)

    def video(self, change: Callable[[list[Received]], list[Received]]) -> None:
        header, packets = received(ALICE)
        first = [(ms, packet) for ms, packet in packets if ms < 1000]
        recorded(self.raw / "a.mjr", header, change(first))

    async def process(self, **settings: Any) -> Processed | JobFailed:  # noqa: ANN401 any of them
        recording = Recording(
            recordings_path=self.raw, audio_path=self.raw, destination_path=self.out, **settings
        )
        with processor(recording, SystemClock()) as worker:
            try:
                done = await worker.process(parse_event(json.dumps(self.event).encode()))
            except JobFailed as failure:
                assert not [path for path in self.out.glob("*") if path.is_file()]
                return failure
        for path in self.out.rglob("*"):
            assert path.is_dir() or SECRET.encode() not in path.read_bytes()
        return done.result


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def sized(width: int, height: int) -> Callable[[list[Received]], list[Received]]:
    """The key frame claims to be of that size."""
    size = width.to_bytes(2, "little") + height.to_bytes(2, "little")

    def change(packets: list[Received]) -> list[Received]:
        ms, key = packets[0]
        at = key.payload.index(VP8_START) + len(VP8_START)
        payload = key.payload[:at] + size + key.payload[at + 4 :]
        return [(ms, replace(key, payload=payload)), *packets[1:]]

    return change


def scrambled(packets: list[Received]) -> list[Received]:
    """Nothing is left but what the size of a frame is read from."""
    noise = random.Random(1)  # noqa: S311 the same every time
    return [
        (ms, replace(p, payload=p.payload[:20] + noise.randbytes(len(p.payload[20:]))))
        for ms, p in packets
    ]


def at_once(packets: list[Received]) -> list[Received]:
    """A frame each 1/90000 s."""
    start = packets[0][1].timestamp
    return [(0, replace(p, timestamp=start + n)) for n, (_, p) in enumerate(packets)]


def leaping(packets: list[Received]) -> list[Received]:
    """Hours between frames, forth and back."""
    return [
        (ms, replace(p, timestamp=(p.timestamp + n * 2**31) % 2**32))
        for n, (ms, p) in enumerate(packets)
    ]


async def test_a_frame_beyond_any_camera_costs_nothing_but_its_own_file(case: Case) -> None:
    case.video(sized(16_000, 16_000))

    result = await case.process()

    assert isinstance(result, Processed)
    (missing,) = result.missing
    assert (missing.code, missing.filename) == ("PICTURE_TOO_LARGE", "a.mjr")
    assert "16000x16000" in missing.reason


@pytest.mark.parametrize("split", [False, True])
async def test_a_large_frame_that_is_none_hurts_nobody(case: Case, split: bool) -> None:
    case.video(sized(4096, 4096))

    result = await case.process(split_recording_output=split)

    if isinstance(result, JobFailed):
        assert result.code in {"BAD_RESULT", "MEDIA_ERROR", "LIMIT_EXCEEDED"}


@pytest.mark.parametrize("split", [False, True])
async def test_of_frames_that_nobody_can_decode_it_is_said_that_there_are_none(
    case: Case, split: bool
) -> None:
    case.video(scrambled)

    result = await case.process(split_recording_output=split)

    assert isinstance(result, Processed)
    assert any("it holds no frame that can be decoded" in one for one in result.warnings)


@pytest.mark.parametrize("change", [at_once, leaping])
async def test_times_that_cannot_be_true_make_no_long_file(
    case: Case, change: Callable[[list[Received]], list[Received]]
) -> None:
    case.video(change)

    result = await case.process()

    assert isinstance(result, Processed)
    with reading(result.files[0].filename) as container:
        assert container.duration is not None
        assert container.duration / av.time_base == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("content", ["ffconcat", "m3u8"])
async def test_a_mix_that_is_a_list_of_files_is_no_mix(case: Case, content: str) -> None:
    (case.raw / "mix.wav").write_text(LISTS[content].format(secret=case.secret))

    result = await case.process()

    assert isinstance(result, Processed)
    assert any(warning.startswith("no audio from mix.wav") for warning in result.warnings)


@pytest.mark.parametrize("content", ["ffconcat", "m3u8"])
async def test_a_recording_that_is_a_list_of_files_is_no_recording(
    case: Case, content: str
) -> None:
    (case.raw / "a.mjr").write_text(LISTS[content].format(secret=case.secret))

    result = await case.process()

    assert isinstance(result, Processed)
    assert [(one.code, one.filename) for one in result.missing] == [("UNREADABLE_MJR", "a.mjr")]


@pytest.mark.parametrize("content", ["ffconcat", "m3u8"])
async def test_where_nothing_else_is_recorded_it_fails_for_good(case: Case, content: str) -> None:
    (case.raw / "a.mjr").write_text(LISTS[content].format(secret=case.secret))
    (case.raw / "mix.wav").unlink()

    failure = await case.process()

    assert isinstance(failure, JobFailed)
    assert (failure.code, failure.permanent) == ("UNREADABLE_MJR", True)


@pytest.mark.parametrize("name", ["concat:a.mjr|b.mjr", "-rf $(id).mjr"])
async def test_a_name_is_only_ever_a_name(case: Case, name: str) -> None:
    (case.raw / "a.mjr").rename(case.raw / name)
    case.event["recordingInfo"]["video"]["alice"]["sfuvideo"]["1"]["filename"] = name

    assert isinstance(await case.process(split_recording_output=True), Processed)


@pytest.mark.parametrize(
    "header",
    [
        wav.header(32_000, rate=1),
        wav.header(32_000, rate=2**30),
        wav.header(32_000, rate=16_000, channels=2**10),
    ],
    ids=["one sample a second", "a billion a second", "a thousand channels"],
)
def test_a_mix_that_lies_about_itself_is_no_mix(case: Case, header: bytes) -> None:
    (case.raw / "mix.wav").write_bytes(header + bytes(32_000))

    with pytest.raises(Malformed, match="is not supported"):
        audio_us(case.raw / "mix.wav")


async def test_ten_thousand_tiny_packets_are_read_in_time(case: Case) -> None:
    def tiny(packets: list[Received]) -> list[Received]:
        last = packets[-1][1]
        return packets + [
            (
                999,
                rtp.Packet(b"\x90", (last.sequence + n) % 2**16, last.timestamp + n, last.ssrc, 96),
            )
            for n in range(1, 10_000)
        ]

    case.video(tiny)

    assert isinstance(await case.process(), Processed)


@pytest.mark.parametrize("name", ["a.webm", "a.mp4", "a.wav"])
@pytest.mark.parametrize("content", LISTS)
def test_a_media_file_that_is_a_list_of_files_is_not_followed(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / name).write_text(LISTS[content].format(secret=tmp_path / "secret"))

    with pytest.raises(av.FFmpegError):
        reading(tmp_path / name)


def av1_frame(side: int) -> list[bytes]:
    """The units of a key frame as large as that, in px."""
    encoder = av.CodecContext.create("libsvtav1", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = side, side, "yuv420p"
    encoder.time_base = encoder.framerate = Fraction(25)
    encoder.options = {"preset": "12", "svtav1-params": "lp=1"}
    frame = av.VideoFrame.from_ndarray(np.zeros((side * 3 // 2, side), np.uint8), "yuv420p")
    (packet,) = [*encoder.encode(frame), *encoder.encode(None)]
    return av1_units(bytes(packet))


def test_a_frame_that_is_larger_than_its_key_frame_said_is_not_decoded(tmp_path: Path) -> None:
    sent: list[Received] = []
    for number, side in enumerate((64, 4160, 64)):
        (payload,) = av1_payloads(av1_frame(side), 60_000, key=side == 64)
        sent.append((number * 100, rtp.Packet(payload, number, number * 9_000, 1, 96, marker=True)))
    header = mjr.Header(mjr.Kind.VIDEO, "av1", 1, 2)

    made = preprocess(recorded(tmp_path / "a.mjr", header, sent), tmp_path)

    assert made is not None
    with reading(made.path) as container:
        packets = list(container.demux(video_of(container)))
        frames = [[frame.width for frame in decoded(packet)] for packet in packets]
    assert frames == [[64], [], [64], []]

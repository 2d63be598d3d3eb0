"""Recordings of plain fields whose brightness is 16 + 10 x second of their own time.

``encode`` makes the coded frames, ``packets`` cuts them as a sender does, ``Segment`` writes them
as the raw files of a call and has them processed, and ``levels`` says what a finished file shows.
"""

import asyncio
import wave
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.storage.local import Folders, LocalStorage
from sfu_wrapper.core.plan import OutputRules
from sfu_wrapper.formats import h264, mjr, rtp, vp8, vp9
from sfu_wrapper.model.identity import UserId
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import Processed, SegmentInfo
from sfu_wrapper.service.worker.processor import Processor
from sfu_wrapper.wire.recording_info import parse_event
from tests.helpers.builders import segment_info
from tests.helpers.packetizers import h265_payloads
from tests.helpers.samples import SAMPLES, Received, recorded
from tests.helpers.shared_media import shared_media

START_MS = 1_795_500_000_000
SIZE = (160, 120)
ENCODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9", "h264": "libx264", "h265": "libx265"}
_OPTIONS = {
    "vp8": {"deadline": "realtime", "cpu-used": "-12", "lag-in-frames": "0"},
    "vp9": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"},
    "h264": {"preset": "ultrafast"},
    "h265": {"preset": "ultrafast"},
}
_QUICK = {
    "h264": {"tune": "zerolatency"},
    "h265": {"x265-params": "bframes=0:log-level=none:repeat-headers=1"},
}  # where no other options are given
_CUT: dict[str, Callable[[bytes, int, bool, int], list[bytes]]] = {
    "vp8": lambda data, number, _key, mtu: vp8.packetise(data, mtu, number),
    "vp9": lambda data, number, key, mtu: vp9.packetise(data, mtu, number, key),
    "h264": lambda data, _number, _key, mtu: h264.packetise(data, mtu),
    "h265": lambda data, _number, _key, mtu: h265_payloads(data, mtu),
}


@dataclass(frozen=True, slots=True)
class CodedImage:
    """Coded frame: shown at ``at_ms``, sent as the ``number``-th of all."""

    at_ms: int
    number: int
    data: bytes
    key: bool


def level(at_s: float) -> int:
    """Return the brightness of the field that is shown at that second."""
    return 16 + 10 * int(at_s)


def field(at_ms: int, size: tuple[int, int] = SIZE, rough: int = 0) -> av.VideoFrame:
    """Return a field; ``rough`` adds an unquiet pattern of that height, so that it takes bytes."""
    width, height = size
    pixels = np.full((height * 3 // 2, width), 128, np.uint8)
    pixels[:height] = level(at_ms / 1000)
    if rough:
        noise = np.random.default_rng(at_ms).integers(-rough, rough + 1, (height, width))
        pixels[:height] = np.clip(pixels[:height] + noise, 16, 235)
    frame = av.VideoFrame.from_ndarray(pixels, format="yuv420p")
    frame.pts, frame.time_base = at_ms, Fraction(1, 1000)
    return frame


def encode(
    codec: str,
    times_ms: Iterable[int],
    *,
    keys_ms: Sequence[int] = (),
    size: tuple[int, int] = SIZE,
    rough: int = 0,
    options: Mapping[str, str] | None = None,
    draw: Callable[[int], av.VideoFrame] | None = None,
) -> list[CodedImage]:
    """Return the frames of these times as they are sent; the first and ``keys_ms`` are keys."""
    context = av.CodecContext.create(ENCODERS[codec], "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = *size, "yuv420p"
    context.time_base, context.framerate = Fraction(1, 1000), Fraction(30)
    context.bit_rate, context.gop_size, context.thread_count = 400_000, 10_000, 1
    context.options = {**_OPTIONS[codec], **(options or _QUICK.get(codec, {}))}
    made = []
    for at_ms in times_ms:
        frame = draw(at_ms) if draw else field(at_ms, size, rough)
        if at_ms in keys_ms:
            frame.pict_type = 1  # I: the encoders make it a key frame
        made += context.encode(frame)
    made += context.encode(None)
    return [CodedImage(p.pts or 0, n, bytes(p), p.is_keyframe) for n, p in enumerate(made)]


def packets(
    codec: str,
    images: Iterable[CodedImage],
    *,
    mtu: int = 1_100,
    sequence: int = 1_000,
    payload_type: int = 96,
    delay_ms: int = 0,
    rotation: bytes | None = None,
) -> list[Received]:
    """Return the packets as received, each frame when it was taken but in order of sending.

    Args:
        codec: of the frames.
        frames: in order of sending.
        mtu: longest payload.
        sequence: number of the first packet.
        payload_type: as in the packets.
        delay_ms: from the taking of a frame to its receipt.
        rotation: content of the orientation's header extension, id 3, on the last packet.
    """
    made: list[Received] = []
    now_ms = 0
    for coded in images:
        now_ms = max(now_ms, coded.at_ms + delay_ms)
        payloads = _CUT[codec](coded.data, coded.number, coded.key, mtu)
        for index, payload in enumerate(payloads):
            last = index == len(payloads) - 1
            packet = rtp.Packet(
                payload,
                sequence=(sequence + len(made)) % 65_536,
                timestamp=(5_000_000 + coded.at_ms * 90) % 2**32,
                ssrc=5,
                payload_type=payload_type,
                marker=last,
                extensions=((3, rotation),) if last and rotation is not None else (),
            )
            made.append((now_ms, packet))
    return made


def renumbered(received: Iterable[Received], sequence: int = 1_000) -> list[Received]:
    """Return the packets without a hole in their numbers."""
    return [
        (ms, replace(packet, sequence=(sequence + n) % 65_536))
        for n, (ms, packet) in enumerate(received)
    ]


@dataclass(frozen=True, slots=True)
class Result:
    """Finished segment: what was reported, and its files."""

    processed: Processed
    folder: Path

    def video(self, number: int = 0) -> Path:
        """Return a video file, merged or split."""
        kinds = ("merged", "video")
        return [Path(one.filename) for one in self.processed.files if one.kind in kinds][number]

    @property
    def notes(self) -> str:
        """All warnings as one text."""
        return "\n".join(self.processed.warnings)


class Segment:
    """Raw files of one segment.

    Args:
        folder: for the raw files, and ``out`` below it.
        seconds: length of the segment.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self.seconds = seconds
        self.video: list[RawFile] = []
        self.audio: list[RawFile] = []

    def at(self, second: float) -> int:
        """Return a time of the segment, epoch ms."""
        return START_MS + round(second * 1000)

    def track(
        self,
        codec: str,
        received: Sequence[Received],
        *,
        user: str = "alice",
        stream: Stream = Stream.CAMERA,
        stop_s: float | None = None,
        turnable: bool = False,
        ahead_s: float = 0,
        late_s: float = 0,
    ) -> None:
        """Write a raw file that was opened with the segment and is published until ``stop_s``.

        Args:
            codec: of the packets.
            received: packets, with the times of receipt from the begin of the segment.
            user: sender.
            stream: camera or screen.
            stop_s: end by the event, in seconds of the segment; None: with it.
            turnable: True for a header with the orientation's extension.
            ahead_s: by how much the clock of the SFU is ahead of the event's.
            late_s: time between the opening of the file and its first packet, which
                the times of receipt count from.
        """
        name = f"{len(self.video)}.mjr"
        from_ms = received[0][0]
        opened_us = self.at(ahead_s) * 1000
        began_us = opened_us + round((from_ms + late_s * 1000) * 1000)
        extensions = ((3, rtp.VIDEO_ORIENTATION),) if turnable else ()
        header = mjr.Header(mjr.Kind.VIDEO, codec, opened_us, began_us, extensions=extensions)
        recorded(self.folder / name, header, [(ms - from_ms, one) for ms, one in received])
        stopped_ms = self.at(self.seconds if stop_s is None else stop_s)
        started_ms = START_MS + from_ms
        self.video.append(RawFile(name, stream, started_ms, stopped_ms, user=UserId(user)))

    def tone(self) -> None:
        """Write a mix of one steady tone of 440 Hz as long as the segment."""
        rate = 16_000
        times = np.arange(round(self.seconds * rate)) / rate
        with wave.open(str(self.folder / "mix.wav"), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes((np.sin(2 * np.pi * 440 * times) * 8_000).astype("<i2").tobytes())
        self.mix("mix.wav")

    def mix(self, name: str) -> None:
        """Name a sound file that lasts as long as the segment."""
        self.audio.append(
            RawFile(name, Stream.AUDIO, START_MS, self.at(self.seconds), mixer="simulated")
        )

    @property
    def info(self) -> SegmentInfo:
        """The event of the segment."""
        return segment_info(
            started_ms=START_MS,
            length_ms=round(self.seconds * 1000),
            video=tuple(self.video),
            audio=tuple(self.audio),
        )

    def process(self, *, split: bool = False) -> Result:
        """Have the segment processed by the recording service."""
        return process(self.info, self.folder, self.folder / "out", split=split)


def process(info: SegmentInfo, raw: Path, out: Path, *, split: bool = False) -> Result:
    """Process a segment whose raw files are in one folder."""
    rules = OutputRules("vp8", "low", "rec-{{uuid}}", split=split, mix_limit=9)
    storage = LocalStorage(Folders(raw, raw, out))
    with shared_media() as media:
        service = Processor(media, storage, rules, SystemClock())
        return Result(asyncio.run(service.process(info)).result, out)


def process_sample(name: str, out: Path, *, split: bool = False) -> Result:
    """Process a recording of a real browser, from tests/samples/browser."""
    raw = SAMPLES / "browser" / name
    event = parse_event((raw / "recordingInfo.json").read_bytes())
    return process(event, raw, out, split=split)


def levels(path: Path) -> list[tuple[float, float]]:
    """Return (second, brightness of the middle) of each frame of a file."""
    found = []
    with av.open(str(path)) as reader:
        for frame in reader.decode(video=0):
            height, width = frame.height, frame.width
            luma = np.asarray(frame.to_ndarray())[:height]
            middle = luma[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4]
            found.append((float(frame.time or 0), float(middle.mean())))
    return found


def level_at(shown: Sequence[tuple[float, float]], second: float) -> float:
    """Return the brightness that is on screen at a second."""
    return [level for at_s, level in shown if at_s <= second + 1e-6][-1]

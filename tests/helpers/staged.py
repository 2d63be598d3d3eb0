"""Calls that were never held: raw files as an SFU and a mixer leave them, known to the frame.

Every frame says who and when (the simulated plane's pattern); every second of the mix begins with
a beep whose pitch says which second it is. Seconds count from the start of the segment.
"""

import random
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, inf
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from sfu_wrapper.adapters.media.tools import MediaProcesses
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.simulated.pattern import PALETTE, Pattern, StripData
from sfu_wrapper.adapters.storage.local import Folders, LocalStorage
from sfu_wrapper.core.plan import OutputRules
from sfu_wrapper.formats import h264, mjr, rtp, vp8, vp9, wav
from sfu_wrapper.model.codecs import MergedCodec
from sfu_wrapper.model.identity import ConfbridgeId, RoomId, RoomUuid, SegmentNo, UserId
from sfu_wrapper.model.media import RawFile, Stream
from sfu_wrapper.model.segment import Presence, Processed, SegmentInfo
from sfu_wrapper.service.worker.processor import Processor
from tests.helpers.packetizers import av1_payloads, av1_units, h265_payloads
from tests.helpers.shared_media import shared_media

START_MS = 1_795_484_878_000
TOKEN = "0badcafe"
MIX_HZ = 16_000
BEEP_S = 0.12
BEEPS_HZ = tuple(range(600, 3000, 200))
"""The pitch of second n is that at n modulo their number."""

_HZ = 90_000
# Without a key frame; H.264 decoders show nothing that refers to what is missing.
_MAX_WAIT_S = {"vp8": 3.0, "vp9": 3.0, "h264": inf, "h265": inf, "av1": 3.0}
_H264_SETS = (6, 7, 8)  # enhancement information, sequence and picture parameters
_H265_SETS = (32, 33, 34, 39)  # the same, and those of the whole video
_MTU = 1_100
_ENCODERS = {
    "vp8": "libvpx",
    "vp9": "libvpx-vp9",
    "h264": "libx264",
    "h265": "libx265",
    "av1": "libsvtav1",
}
_OPTIONS = {
    "vp8": {"deadline": "realtime", "cpu-used": "-12", "lag-in-frames": "0"},
    "vp9": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"},
    "h264": {"preset": "ultrafast", "tune": "zerolatency"},
    "h265": {"preset": "ultrafast", "tune": "zerolatency"},
    "av1": {"preset": "12", "svtav1-params": "pred-struct=1:rtc=1:lp=1:rc=2:tbr=600"},
}
_CUT: dict[str, Callable[[bytes, int, bool], list[bytes]]] = {
    "vp8": lambda data, number, _key: vp8.packetise(data, _MTU, number),
    "vp9": lambda data, number, key: vp9.packetise(data, _MTU, number, key),
    "h264": lambda data, _number, _key: h264.packetise(data, _MTU),
    "h265": lambda data, _number, _key: h265_payloads(data, _MTU),
    "av1": lambda data, _number, key: av1_payloads(av1_units(data), _MTU, key=key),
}


@dataclass(frozen=True)
class Role:
    """One track: who, from when to when, and what befalls it on the way.

    widths: (seconds after its start, px) in order. loss: the share of packets that never arrive.
    jitter_s: by how much at most a packet comes later than it might. clock_ppm: by how much the
    sender's clock runs fast. wraps: whether numbers and timestamps go beyond their end.
    """

    user: str
    start_s: float
    stop_s: float
    stream: Stream = Stream.CAMERA
    codec: str = "vp8"
    fps: int = 10
    key_every_s: float = 10.0
    widths: tuple[tuple[float, int], ...] = ((0.0, 320),)
    loss: float = 0.0
    jitter_s: float = 0.0
    clock_ppm: float = 0.0
    wraps: bool = False


@dataclass(frozen=True)
class Track:
    """A role that was played. shown_ms: when each frame that can be decoded was taken."""

    role: Role
    file: RawFile
    position: int
    shown_ms: tuple[int, ...]
    packets: int
    lost: int


@dataclass(frozen=True)
class MixRole:
    """The mix. Its first sample is of ``start_s``; its audio lags; told as the event tells it."""

    start_s: float
    stop_s: float
    lag_s: float = 0.0
    clock_ppm: float = 0.0


@dataclass(frozen=True)
class Staged:
    """A whole segment. info: its event. tracks: in the order of the roles."""

    folder: Path
    info: SegmentInfo
    tracks: tuple[Track, ...]
    seconds: float
    mix: MixRole | None = field(default=None)


def stage(
    folder: Path, seconds: float, roles: Sequence[Role], mix: MixRole | None = None
) -> Staged:
    """Write the raw files of a segment."""
    folder.mkdir(exist_ok=True)
    positions = {
        user: position for position, user in enumerate(dict.fromkeys(role.user for role in roles))
    }
    tracks = tuple(
        _video_track(folder, n, role, positions[role.user]) for n, role in enumerate(roles)
    )
    audio: tuple[RawFile, ...] = ()
    if mix is not None:
        write_mix(folder / "mix.wav", mix)
        audio = (
            RawFile("mix.wav", Stream.AUDIO, _ms(mix.start_s), _ms(mix.stop_s), mixer="simulated",
                    delay_ms=round(mix.lag_s * 1000)),
        )  # fmt: skip
    info = SegmentInfo(
        room=RoomId("room"),
        uuid=RoomUuid("uuid"),
        confbridge_id=ConfbridgeId("bridge"),
        segment=SegmentNo(1),
        started_ms=START_MS,
        completed_ms=_ms(seconds),
        video=tuple(sorted((track.file for track in tracks), key=lambda file: file.started_ms)),
        audio=audio,
        presences=tuple(_stays(roles)),
    )
    return Staged(folder, info, tracks, seconds, mix)


async def processed(
    call: Staged,
    codec: MergedCodec = "vp8",
    tools: MediaProcesses | None = None,
    *,
    split: bool = False,
) -> tuple[Processed, Path]:
    """What the recording service tells of the call, and the file or the folder that it makes."""
    out = call.folder / "out"
    rules = OutputRules(codec, "low", "rec-{{uuid}}", split=split, mix_limit=9)
    storage = LocalStorage(Folders(call.folder, call.folder, out))
    with tools or shared_media() as media:
        service = Processor(media, storage, rules, SystemClock())
        done = await service.process(call.info)
    return done.result, out / ("uuid-bridge" if split else "rec-uuid-1.webm")


async def merged(call: Staged, codec: MergedCodec = "vp8") -> Path:
    """The call's one file, as the recording service makes it."""
    _, file = await processed(call, codec)
    return file


def write_mix(path: Path, mix: MixRole) -> Path:
    """A second's beep begins ``lag_s`` after the second did."""
    rate = MIX_HZ * (1 + mix.clock_ppm / 1_000_000)
    total = round((mix.stop_s - mix.start_s) * rate)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(MIX_HZ)
        for first in range(0, total, MIX_HZ):
            samples = np.arange(first, min(first + MIX_HZ, total))
            at_s = mix.start_s + samples / rate - mix.lag_s
            file.writeframes(_beeps(at_s).tobytes())
    return path


def spoil_lengths(path: Path, declared: int) -> None:
    """Make the header of a WAV file say another length, as a killed mixer leaves it."""
    content = bytearray(path.read_bytes())
    content[: wav.HEADER_BYTES] = wav.header(declared, rate=MIX_HZ)
    path.write_bytes(bytes(content))


def beep_hz(second: int) -> int:
    """Which pitch that second begins with."""
    return BEEPS_HZ[second % len(BEEPS_HZ)]


def colour(position: int) -> tuple[int, int, int]:
    """What the frames of a position are coloured in, RGB."""
    return PALETTE[position % len(PALETTE)]


def _beeps(at_s: NDArray[np.float64]) -> NDArray[np.int16]:
    second = np.floor(at_s)
    pitch = np.asarray(BEEPS_HZ)[second.astype(int) % len(BEEPS_HZ)]
    since = at_s - second
    loud = 12_000 * ((since < BEEP_S) & (at_s >= 0))
    return np.asarray(np.sin(2 * np.pi * pitch * since) * loud, np.int16)


def _video_track(folder: Path, number: int, role: Role, position: int) -> Track:
    name = f"{number}-{role.user}-{role.stream}.mjr"
    file = RawFile(name, role.stream, _ms(role.start_s), _ms(role.stop_s), UserId(role.user))
    chance = random.Random(number)  # noqa: S311 - nothing secret in a test
    header = mjr.Header(
        mjr.Kind.VIDEO, role.codec, created_us=_us(role.start_s), started_us=_us(role.start_s)
    )
    first = (65_500, 2**32 - _HZ) if role.wraps else (1_000, 5_000)
    seen, sequence, lost = _Seen(_MAX_WAIT_S[role.codec]), 0, 0
    with (folder / name).open("wb") as raw:
        raw.write(mjr.encode_header(header))
        for at_s, clock_ms, data, key, fresh in _encoded(role, position):
            payloads = _CUT[role.codec](data, sequence, key)
            stamp = first[1] + round(at_s * (1 + role.clock_ppm / 1e6) * _HZ)
            whole, begun = True, False
            for index, payload in enumerate(payloads):
                packet = rtp.Packet(
                    payload,
                    sequence=(first[0] + sequence) % 2**16,
                    timestamp=stamp % 2**32,
                    ssrc=7 + number,
                    payload_type=96,
                    marker=index == len(payloads) - 1,
                )
                sequence += 1
                if not fresh and chance.random() < role.loss:
                    lost += 1
                    whole = whole and not begun and _said_before(role.codec, payload)
                    continue
                begun = True
                late_s = chance.random() * role.jitter_s if at_s else 0.0
                raw.write(mjr.encode_frame(int((at_s + late_s) * 1000), rtp.encode(packet)))
            seen.note(at_s, clock_ms, key=key, whole=whole)
    return Track(role, file, position, tuple(seen.shown_ms), sequence, lost)


class _Seen:
    """Which frames are to be seen, by the rules of recording-service.md."""

    def __init__(self, max_wait_s: float) -> None:
        self.shown_ms: list[int] = []
        self._max_wait_s = max_wait_s
        self._pending_ms: list[int] = []
        self._broken_s: float | None = None

    def note(self, at_s: float, clock_ms: int, *, key: bool, whole: bool) -> None:
        """What follows a loss refers to what is missing, up to a key frame, or for a while."""
        if not whole:
            self._broken_s = at_s if self._broken_s is None else self._broken_s
            return
        self._pending_ms = [] if key else self._pending_ms
        self._pending_ms.append(clock_ms)
        if key or self._broken_s is None or at_s - self._broken_s > self._max_wait_s:
            self.shown_ms += self._pending_ms
            self._pending_ms, self._broken_s = [], None


def _said_before(codec: str, payload: bytes) -> bool:
    """Whether it only repeats what describes all frames, which a reader remembers.

    Only before a frame's first packet can a reader know that nothing else is missing.
    """
    if codec == "h265":
        return payload[0] >> 1 in _H265_SETS
    return codec == "h264" and payload[0] & 0x1F in _H264_SETS


def _encoded(role: Role, position: int) -> Iterator[tuple[float, int, bytes, bool, bool]]:
    """Each frame: seconds after the track's start, its clock, data, whether a key frame, and
    whether the first of its size.
    """
    who = StripData(role.user, TOKEN, role.stream is Stream.SCREEN, START_MS)
    ends = [at_s for at_s, _ in role.widths[1:]] + [role.stop_s - role.start_s]
    for (first_s, width), end_s in zip(role.widths, ends, strict=True):
        numbers = range(ceil(first_s * role.fps), ceil(min(end_s, ends[-1]) * role.fps))
        image = Pattern(who, "room", position, width)
        frames = (image.frame(_ms(role.start_s + n / role.fps)) for n in numbers)
        for number, (data, key) in zip(numbers, _packets(role, frames), strict=True):
            at_s = number / role.fps
            yield at_s, _ms(role.start_s + at_s), data, key, number == numbers[0]


def _packets(role: Role, frames: Iterator[NDArray[np.uint8]]) -> Iterator[tuple[bytes, bool]]:
    """Of each frame, some of them later: its data, and whether it is a key frame."""
    encoder: av.VideoCodecContext | None = None
    for number, image in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(image, format="yuv420p")
        frame.pts = number
        encoder = encoder or _encoder(role, frame.width, frame.height)
        yield from ((bytes(packet), packet.is_keyframe) for packet in encoder.encode(frame))
    if encoder is not None:
        yield from ((bytes(packet), packet.is_keyframe) for packet in encoder.encode(None))


def _encoder(role: Role, width: int, height: int) -> av.VideoCodecContext:
    encoder = av.CodecContext.create(_ENCODERS[role.codec], "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, role.fps), Fraction(role.fps)
    every = round(role.key_every_s * role.fps)
    encoder.bit_rate, encoder.gop_size, encoder.thread_count = 600_000, every, 1
    encoder.options = {"keyint_min": str(every), **_OPTIONS[role.codec]}
    if role.codec == "h265":
        parameters = f"log-level=none:pools=1:slices=2:repeat-headers=1:keyint={every}"
        encoder.options = {**encoder.options, "x265-params": parameters}
    return encoder


def _stays(roles: Sequence[Role]) -> Iterator[Presence]:
    """A role with video is present; what follows without a pause is one stay."""
    for user in dict.fromkeys(role.user for role in roles):
        stays: list[list[float]] = []
        for role in sorted((one for one in roles if one.user == user), key=lambda r: r.start_s):
            if stays and role.start_s <= stays[-1][1]:
                stays[-1][1] = max(stays[-1][1], role.stop_s)
            else:
                stays.append([role.start_s, role.stop_s])
        for start_s, stop_s in stays:
            yield Presence(UserId(user), _ms(start_s), _ms(stop_s))


def _ms(seconds: float) -> int:
    return START_MS + round(seconds * 1000)


def _us(seconds: float) -> int:
    return START_MS * 1000 + round(seconds * 1_000_000)

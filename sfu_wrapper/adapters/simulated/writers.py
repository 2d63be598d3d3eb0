"""The mix of a simulated room: 16 kHz, 16 bit, mono, one sine tone per audible participant.

Position 0 has 440 Hz, each further position 440 Hz more up to 7480 Hz; the next ones have the
frequencies half-way between, from 660 Hz on. Every tone has a tenth of full scale, so that nine do
not clip. Sample n belongs to the time n / 16000 s after the start; without participants it is 0.

Writer of one simulated video track as Janus would record it: VP8 in RTP in a growing .mjr.

Frame k is due k / fps seconds after the first one and shows that time; a machine that is too slow
skips frames, and never delays them. Each frame is written to the file in one call, so that a crash
costs the last one at most.
"""

import os
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
from av import VideoFrame
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from sfu_wrapper.adapters.os.beneath import open_plain
from sfu_wrapper.adapters.simulated.pattern import Pattern
from sfu_wrapper.formats import mjr, rtp, vp8, wav

RATE_HZ: Final = 16_000
TONES_HZ: Final[tuple[int, ...]] = (*range(440, 7481, 440), *range(660, 7480, 440))

_AMPLITUDE: Final = 0.1 * 32767
_BYTES: Final = 2  # a sample
_PORTION: Final = RATE_HZ  # samples computed at once
_HEADER_EVERY_US: Final = 1_000_000


def tone_hz(position: int) -> int:
    """Return the frequency of a position; positions beyond the last tone start again."""
    return TONES_HZ[position % len(TONES_HZ)]


class Mix:
    """A growing .wav. Raises OSError from every method that writes.

    Attributes:
        positions: positions of the audible participants; call ``advance`` before changing them.
    """

    def __init__(self, path: Path, start_us: int) -> None:
        self.positions: frozenset[int] = frozenset()
        self._start_us = start_us
        self._samples = 0
        self._header_us = start_us
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.pwrite(self._fd, wav.header(0, rate=RATE_HZ), 0)

    @property
    def written_ms(self) -> int:
        """The end of the samples written so far, epoch ms."""
        return (self._start_us + self._samples * 1_000_000 // RATE_HZ) // 1000

    def advance(self, now_us: int) -> None:
        """Write all samples up to ``now_us``, epoch µs."""
        due = (now_us - self._start_us) * RATE_HZ // 1_000_000
        while self._samples < due:
            count = min(due - self._samples, _PORTION)
            data = _tones(self._samples, count, self.positions).tobytes()
            os.pwrite(self._fd, data, wav.HEADER_BYTES + self._samples * _BYTES)
            self._samples += count
        if now_us - self._header_us >= _HEADER_EVERY_US:
            self._header_us = now_us
            self._write_lengths()

    def seal(self) -> None:
        """Write the final lengths and make the file durable; slow."""
        self._write_lengths()
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _write_lengths(self) -> None:
        os.pwrite(self._fd, wav.header(self._samples * _BYTES, rate=RATE_HZ), 0)


def repair_lengths(path: Path) -> float:
    """Correct the lengths in a .wav left by a crash; return its duration in seconds."""
    with os.fdopen(open_plain(path, write=True), "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        samples = max(size - wav.HEADER_BYTES, 0) // _BYTES
        header = wav.header(samples * _BYTES, rate=RATE_HZ)
        file.seek(0)
        if file.read(wav.HEADER_BYTES) != header:
            file.seek(0)
            file.write(header)
            file.truncate(wav.HEADER_BYTES + samples * _BYTES)
            file.flush()
            os.fsync(file.fileno())
    return samples / RATE_HZ


def _tones(first: int, count: int, positions: frozenset[int]) -> NDArray[np.int16]:
    seconds = np.arange(first, first + count) / RATE_HZ
    total = np.zeros(count)
    for position in positions:
        total += np.sin(2 * np.pi * tone_hz(position) * seconds)
    return np.clip(total * _AMPLITUDE, -32768, 32767).astype("<i2")


RTP_HZ: Final = 90_000
_PAYLOAD_TYPE: Final = 96
_KEY_EVERY_S: Final = 10
_OPTIONS: Final = {"deadline": "realtime", "cpu-used": "-8", "lag-in-frames": "0"}


class VideoWriter:
    """A growing .mjr. Raises OSError and av errors from every method that writes.

    Args:
        path: path of the new file.
        pattern: draws the frames.
        start_us: epoch µs of the first frame.
        fps: frames per second.
        rate: bit rate, bit/s.
    """

    def __init__(self, path: Path, pattern: Pattern, start_us: int, fps: int, rate: int) -> None:
        self.start_us = start_us
        self._pattern = pattern
        self._fps = fps
        self._last = -1  # index of the frame written last
        self._serial = 0  # frames written
        self._sequence = int.from_bytes(sha256(path.name.encode()).digest()[:2], "big")
        self._ssrc = int.from_bytes(sha256(path.name.encode()).digest()[2:6], "big")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        self._encoder: VideoCodecContext | None = None
        self._bit_rate = rate
        header = mjr.Header(mjr.Kind.VIDEO, "vp8", created_us=start_us, started_us=start_us)
        os.write(self._fd, mjr.encode_header(header))

    def advance(self, now_us: int) -> int:
        """Write the frame that is due, if any; return the time of the next one, epoch µs."""
        index = (now_us - self.start_us) * self._fps // 1_000_000
        if index > self._last:
            self._write(index, now_us)
        return self._at_us(self._last + 1)

    def seal(self) -> None:
        """Make the file durable; slow."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _at_us(self, index: int) -> int:
        return self.start_us + -(-index * 1_000_000 // self._fps)

    def _write(self, index: int, now_us: int) -> None:
        image = self._pattern.frame(self._at_us(index) // 1000)
        frame = VideoFrame.from_ndarray(image, format="yuv420p")
        frame.pts = index
        if self._encoder is None:
            self._encoder = _encoder(frame.width, frame.height, self._fps, self._bit_rate)
        offset_ms = (now_us - self.start_us) // 1000
        for packet in self._encoder.encode(frame):
            os.write(self._fd, self._pack(bytes(packet), index, offset_ms))
        self._last = index

    def _pack(self, data: bytes, index: int, offset_ms: int) -> bytes:
        """Pack one encoded frame into RTP packets, as records of the .mjr container."""
        payloads = vp8.packetise(data, picture_id=self._serial)
        self._serial += 1
        frames = []
        for left, payload in enumerate(payloads, 1 - len(payloads)):
            packet = rtp.Packet(
                payload=payload,
                sequence=self._sequence,
                timestamp=index * RTP_HZ // self._fps % 2**32,
                ssrc=self._ssrc,
                payload_type=_PAYLOAD_TYPE,
                marker=left == 0,
            )
            self._sequence = (self._sequence + 1) % 2**16
            frames.append(mjr.encode_frame(offset_ms, rtp.encode(packet)))
        return b"".join(frames)


def _encoder(width: int, height: int, fps: int, bit_rate: int) -> VideoCodecContext:
    encoder = CodecContext.create("libvpx", "w")
    assert isinstance(encoder, VideoCodecContext)  # noqa: S101 - narrows for mypy
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate = Fraction(1, fps), Fraction(fps)
    encoder.bit_rate = bit_rate
    encoder.gop_size = _KEY_EVERY_S * fps
    encoder.thread_count = 1  # one is fast enough, and several would spin
    encoder.options = _OPTIONS
    return encoder

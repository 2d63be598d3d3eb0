"""One simulated video track as Janus would record it: VP8 in RTP in an .mjr that grows.

Frame k is due k / fps seconds after the first and shows that moment; where the machine is too
slow, frames are left out, never late. Each frame reaches the file in one write, so that a crash
costs the last one at most.
"""

import os
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Final

from av import VideoFrame
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext

from sfu_wrapper.adapters.simulated.pattern import Picture
from sfu_wrapper.formats import mjr, rtp, vp8

RTP_HZ: Final = 90_000
_PAYLOAD_TYPE: Final = 96
_KEY_EVERY_S: Final = 10
_OPTIONS: Final = {"deadline": "realtime", "cpu-used": "-8", "lag-in-frames": "0"}


class VideoWriter:
    """One growing .mjr. Raises OSError and av errors from every method that writes.

    start_us: epoch µs of the first frame, which is written at once.
    """

    def __init__(self, path: Path, picture: Picture, start_us: int, fps: int, rate: int) -> None:
        self.start_us = start_us
        self._picture = picture
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
        """Write the frame that is due, if one is; returns when the next one is, epoch µs."""
        index = (now_us - self.start_us) * self._fps // 1_000_000
        if index > self._last:
            self._write(index, now_us)
        return self._at_us(self._last + 1)

    def seal(self) -> None:
        """Make everything durable; slow."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Release the file."""
        os.close(self._fd)

    def _at_us(self, index: int) -> int:
        return self.start_us + -(-index * 1_000_000 // self._fps)

    def _write(self, index: int, now_us: int) -> None:
        image = self._picture.frame(self._at_us(index) // 1000)
        frame = VideoFrame.from_ndarray(image, format="yuv420p")
        frame.pts = index
        if self._encoder is None:
            self._encoder = _encoder(frame.width, frame.height, self._fps, self._bit_rate)
        offset_ms = (now_us - self.start_us) // 1000
        for packet in self._encoder.encode(frame):
            os.write(self._fd, self._pack(bytes(packet), index, offset_ms))
        self._last = index

    def _pack(self, data: bytes, index: int, offset_ms: int) -> bytes:
        """One encoded frame as frames of the container."""
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
    encoder.thread_count = 1  # more of them spin, and one is fast enough
    encoder.options = _OPTIONS
    return encoder

"""The real recordings in tests/samples: reading what their frames say, and damaging copies.

The aiortc publishers' frames are 320x240 of one colour, with a white square that moves 4 px a
frame and the number of the frame along the bottom, 16 blocks of 12x16 px, least bit first.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from sfu_wrapper.formats import mjr, rtp

SAMPLES = Path(__file__).parents[1] / "samples"
ALICE = SAMPLES / "seg-1/videoroom-conf-1-user-alice-1795484876572728-video-1.mjr"
BOB = SAMPLES / "seg-1/videoroom-conf-1-user-bob-1795484876573190-video-1.mjr"
CAROL = SAMPLES / "seg-1/videoroom-conf-1-user-carol-1795484878695706-video-1.mjr"
ALICE_AUDIO = SAMPLES / "seg-1/videoroom-conf-1-user-alice-1795484876572580-audio-0.mjr"
CHROMIUM_VP8 = SAMPLES / "chromium/videoroom-room-x-user-c1-1795484660904529-video-0.mjr"
CHROMIUM_H264 = SAMPLES / "chromium/videoroom-room-x-user-c2-1795484660905389-video-0.mjr"
CRASH_VP8 = SAMPLES / "crash/videoroom-conf-1-user-alice-1795484888626998-video-1.mjr"
CRASH_H264 = SAMPLES / "crash/videoroom-conf-1-user-carol-1795484888627095-video-1.mjr"

COUNTER_BITS = 16
_FIRST_BLOCK_PX, _BLOCK_STEP_PX, _BLOCK_WIDTH_PX = 10, 16, 12
_BLOCK_TOP_PX, _BLOCK_HEIGHT_PX = 220, 16
_COLOURS = {"red": (198, 40, 40), "green": (46, 160, 67), "blue": (30, 80, 200)}

Rgb = NDArray[np.uint8]
Received = tuple[int, rtp.Packet]
"""(ms since the first packet, packet)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One decoded frame of a publisher: when it shows, its number, its colour."""

    at_ms: float
    counter: int
    colour: str


def counter(image: Rgb) -> int:
    """The number of a frame, of height, width, RGB."""
    blocks = (_FIRST_BLOCK_PX + _BLOCK_STEP_PX * bit for bit in range(COUNTER_BITS))
    return sum(_is_white(image, left) << bit for bit, left in enumerate(blocks))


def colour(image: Rgb) -> str:
    """``red``, ``green`` or ``blue``: that of the ground, read from the top left corner."""
    ground = image[:16, :16].reshape(-1, 3).mean(axis=0)
    return min(_COLOURS, key=lambda name: float(np.abs(ground - _COLOURS[name]).sum()))


def draw_counter(image: Rgb, number: int) -> None:
    """Put a number on a frame of 320x240, as the publishers do."""
    image[_BLOCK_TOP_PX:] = 0
    for bit in range(COUNTER_BITS):
        if number >> bit & 1:
            left = _FIRST_BLOCK_PX + _BLOCK_STEP_PX * bit
            image[_BLOCK_TOP_PX : _BLOCK_TOP_PX + _BLOCK_HEIGHT_PX, left : left + 12] = 255


def watch(path: Path) -> list[Seen]:
    """Decode every frame of a media file, in order."""
    with av.open(str(path)) as container:
        return [_seen(frame) for frame in container.decode(video=0)]


def received(path: Path) -> tuple[mjr.Header, list[Received]]:
    """Header and packets of a recording, in the order of receipt."""
    reader = mjr.Reader(path.read_bytes())
    assert reader.header is not None
    data = bytes(reader.buffer[:])
    frames = [(ms, rtp.parse(data[start:end])) for ms, start, end in reader.frames()]
    return reader.header, frames


def recorded(path: Path, header: mjr.Header, packets: Iterable[Received]) -> Path:
    """Write a recording of these packets, and say where."""
    frames = (mjr.encode_frame(ms, rtp.encode(packet)) for ms, packet in packets)
    path.write_bytes(mjr.encode_header(header) + b"".join(frames))
    return path


def _is_white(image: Rgb, left: int) -> bool:
    rows = slice(_BLOCK_TOP_PX + 4, _BLOCK_TOP_PX + _BLOCK_HEIGHT_PX - 4)
    columns = slice(left + 3, left + _BLOCK_WIDTH_PX - 3)
    return bool(image[rows, columns].min(axis=2).mean() > 150)


def _seen(frame: av.VideoFrame) -> Seen:
    image = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    assert frame.pts is not None
    assert frame.time_base is not None
    at_ms = float(frame.pts * frame.time_base * 1000)
    return Seen(at_ms, counter(image), colour(image))

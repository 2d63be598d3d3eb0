"""Publishers of every codec that never were: numbered frames, encoded, cut into RTP packets."""

from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np

from sfu_wrapper.formats import h264, rtp, vp8, vp9
from tests.helpers.packetizers import av1_payloads, av1_units, h265_payloads
from tests.helpers.samples import Received, draw_counter

Cut = Callable[[bytes, int, bool], list[bytes]]
"""(data, number, whether a key frame) of a frame to payloads."""

FRAMES, FPS, GOP = 120, 30, 30
MTU = 300  # small, so that frames take several packets
X265 = f"log-level=none:pools=1:slices=3:repeat-headers=1:keyint={GOP}:min-keyint={GOP}"
SVT_AV1 = "pred-struct=1:rtc=1:lp=1:tile-columns=1:tile-rows=1:rc=2:tbr=400"
_OPTIONS = {
    "libvpx": {"deadline": "realtime", "cpu-used": "-8"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "libx264": {"preset": "ultrafast", "tune": "zerolatency"},
    "libx265": {"preset": "ultrafast", "tune": "zerolatency", "x265-params": X265},
    "libsvtav1": {"preset": "12", "svtav1-params": SVT_AV1},
}
_CUT: dict[str, Cut] = {
    "libvpx": lambda data, _number, _key: vp8.packetise(data, MTU),
    "libvpx-vp9": lambda data, number, key: vp9.packetise(data, MTU, number, key),
    "libx264": lambda data, _number, _key: h264.packetise(data, MTU),
    "libx265": lambda data, number, _key: h265_payloads(data, MTU, aggregate=number % 2 == 0),
    "libsvtav1": lambda data, number, key: av1_payloads(
        av1_units(data), MTU, key=key, counted=number % 2 == 0
    ),
}
NAMES = {
    "libvpx": "vp8",
    "libvpx-vp9": "vp9",
    "libx264": "h264",
    "libx265": "h265",
    "libsvtav1": "av1",
}


def image(number: int) -> av.VideoFrame:
    """One frame of 320x240 with its number."""
    pixels = np.full((240, 320, 3), (198, 40, 40), np.uint8)
    left = number * 4 % 280
    pixels[20:60, left : left + 40] = 255
    draw_counter(pixels, number)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    frame.pts, frame.time_base = number, Fraction(1, FPS)
    return frame


def encoded(encoder: str, frames: int = FRAMES) -> list[tuple[int, bytes, bool]]:
    """(number, data, whether a key frame) of each frame."""
    context = av.CodecContext.create(encoder, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 320, 240, "yuv420p"
    context.time_base, context.framerate = Fraction(1, FPS), Fraction(FPS)
    context.bit_rate, context.gop_size, context.thread_count = 400_000, GOP, 1
    context.options = {"keyint_min": str(GOP), "g": str(GOP), **_OPTIONS[encoder]}
    made = []
    for number in [*range(frames), None]:
        for packet in context.encode(None if number is None else image(number)):
            assert packet.pts is not None
            made.append((packet.pts, bytes(packet), packet.is_keyframe))
    return made


def sent(encoder: str, frames: int = FRAMES, cut: Cut | None = None) -> list[Received]:
    """The packets of a publisher, from number 65500 on, so that they wrap."""
    cut = cut or _CUT[encoder]
    packets: list[Received] = []
    for number, data, key in encoded(encoder, frames):
        payloads = cut(data, number, key)
        for index, payload in enumerate(payloads):
            packet = rtp.Packet(
                payload,
                sequence=(65_500 + len(packets)) % 65_536,
                timestamp=number * 90_000 // FPS,
                ssrc=5,
                payload_type=96,
                marker=index == len(payloads) - 1,
            )
            packets.append((number * 1000 // FPS, packet))
    return packets

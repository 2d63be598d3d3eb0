"""The depacketizer of each video codec.

``assemble`` knows the interface alone (``frame.VideoCodec``), and audio needs none: every packet is
a frame.
"""

from collections.abc import Iterable
from typing import Final, assert_never

from sfu_wrapper.formats.av1 import Av1
from sfu_wrapper.formats.frame import VideoCodec
from sfu_wrapper.formats.h264 import H264
from sfu_wrapper.formats.h265 import H265
from sfu_wrapper.formats.vp8 import Vp8
from sfu_wrapper.formats.vp9 import Vp9
from sfu_wrapper.model.codecs import VIDEO_INPUT, VideoInput

_RECOGNISED_FRAMES: Final = 30


def depacketizer(codec: VideoInput, fmtp: str | None = None) -> VideoCodec:
    """Return a new depacketizer; ``fmtp`` holds the SDP parameters of the codec."""
    match codec:
        case "vp8":
            return Vp8()
        case "vp9":
            return Vp9()
        case "h264":
            return H264(fmtp)
        case "av1":
            return Av1()
        case "h265":
            return H265(fmtp)
    assert_never(codec)


def recognised(payloads: Iterable[tuple[int, memoryview]]) -> str | None:
    """Return the codec of packets: that of which most frames can be read, with a key frame.

    Args:
        payloads: timestamp and payload of each packet, in order.
    """
    groups: dict[int, list[memoryview]] = {}
    for stamp, payload in payloads:
        if stamp not in groups and len(groups) > _RECOGNISED_FRAMES:
            break
        groups.setdefault(stamp, []).append(payload)
    scores: dict[str, tuple[bool, int]] = {}
    for name, codec in VIDEO_INPUT.items():
        reader = depacketizer(codec.name)
        frames = [frame for group in groups.values() if (frame := reader.frame(group))]
        read = sum(bool(frame.data) for frame in frames)
        if 2 * read >= len(groups) and read:
            scores[name] = any(frame.key for frame in frames), read
    return max(scores, key=lambda name: scores[name], default=None)

"""The depacketizer of each video codec.

``assemble`` knows the interface alone (``frame.VideoCodec``), and audio needs none: every packet is
a frame.
"""

from typing import assert_never

from sfu_wrapper.formats.av1 import Av1
from sfu_wrapper.formats.frame import VideoCodec
from sfu_wrapper.formats.h264 import H264
from sfu_wrapper.formats.h265 import H265
from sfu_wrapper.formats.vp8 import Vp8
from sfu_wrapper.formats.vp9 import Vp9
from sfu_wrapper.model.codecs import VideoInput


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

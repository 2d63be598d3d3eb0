"""Table of the video depacketizers, by the codec name in a recording's header."""

from collections.abc import Callable

from sfu_wrapper.formats.frame import VideoCodec
from sfu_wrapper.formats.h264 import H264
from sfu_wrapper.formats.vp8 import Vp8
from sfu_wrapper.formats.vp9 import Vp9

_VIDEO: dict[str, Callable[[str | None], VideoCodec]] = {
    "vp8": lambda _fmtp: Vp8(),
    "vp9": lambda _fmtp: Vp9(),
    "h264": H264,
}


def video_codec(name: str, fmtp: str | None = None) -> VideoCodec | None:
    """Return a new depacketizer; None for an unknown codec."""
    make = _VIDEO.get(name)
    return make(fmtp) if make else None

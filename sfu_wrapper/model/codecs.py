"""Table of codecs: what raw files may hold, what becomes of it, and the codecs of merged files.

Whatever else differs by codec is matched exhaustively over these names, or held to this table by a
test (CONTRIBUTING.md, "Five common additions").
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

VideoInput = Literal["vp8", "vp9", "h264", "av1", "h265"]
AudioInput = Literal["opus", "red", "pcmu", "pcma"]
MergedCodec = Literal["vp8", "vp9"]

VIDEO_CLOCK_HZ: Final = 90_000
"""RTP clock of every video codec."""


@dataclass(frozen=True, slots=True)
class VideoInputCodec:
    """Video codec of raw files, and of the rooms of Janus.

    Attributes:
        name: lower case, as in SDP and in the header of an .mjr.
        title: name for people.
        suffixes: containers into which it is copied, the preferred one first.
        libav: name in libavcodec.
        mp4_tag: its four characters in an MP4, where players expect others than libavformat writes.
        janus_pp_rec: False where version 1.1.2 of that program writes frames that lack bytes, or
            files that cannot be read.
    """

    name: VideoInput
    title: str
    suffixes: tuple[str, ...]
    libav: str
    mp4_tag: str = ""
    janus_pp_rec: bool = True


@dataclass(frozen=True, slots=True)
class AudioInputCodec:
    """Audio codec of raw files.

    Attributes:
        name: lower case, as in SDP and in the header of an .mjr.
        title: name for people.
        clock_hz: RTP clock.
        suffix: container.
    """

    name: AudioInput
    title: str
    clock_hz: int
    suffix: str


VIDEO_INPUT: Final[Mapping[str, VideoInputCodec]] = {
    codec.name: codec
    for codec in (
        VideoInputCodec("vp8", "VP8", (".webm",), "vp8"),
        VideoInputCodec("vp9", "VP9", (".webm",), "vp9"),
        VideoInputCodec("h264", "H.264", (".mp4",), "h264"),
        VideoInputCodec("av1", "AV1", (".webm", ".mp4"), "av1", janus_pp_rec=False),
        VideoInputCodec("h265", "H.265", (".mp4",), "hevc", "hvc1", janus_pp_rec=False),
    )
}
AUDIO_INPUT: Final[Mapping[str, AudioInputCodec]] = {
    codec.name: codec
    for codec in (
        AudioInputCodec("opus", "Opus", 48_000, ".opus"),
        AudioInputCodec("red", "Opus in RED", 48_000, ".opus"),
        AudioInputCodec("pcmu", "G.711 mu-law", 8_000, ".wav"),
        AudioInputCodec("pcma", "G.711 A-law", 8_000, ".wav"),
    )
}
MERGED_ENCODERS: Final[Mapping[MergedCodec, str]] = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Encoders in libavcodec, by codec of merged files."""

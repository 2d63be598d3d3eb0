"""Opens media files for reading: as what their name says, and nothing but them.

Left to itself libavformat goes by the content: a file that calls itself a video may be a playlist
that has other files, or other machines, read in its name.
"""

from pathlib import Path

import av
from av.container import InputContainer

_DEMUXERS = {".webm": "matroska", ".mp4": "mov", ".wav": "wav", ".opus": "ogg"}

_OPTIONS = {
    "protocol_whitelist": "file",
    # Of an edit list the offset counts; janus-pp-rec's cut off the last picture.
    "advanced_editlist": "0",
}


def reading(path: Path | str) -> InputContainer:
    """Open it. Raises av.FFmpegError, or KeyError where the ending is none of ours."""
    return av.open(
        f"file:{path}",
        format=_DEMUXERS[Path(path).suffix],
        options=_OPTIONS,
        metadata_errors="replace",
    )


def decoded(packet: "av.Packet[av.VideoStream]") -> list[av.VideoFrame]:
    """The pictures that come of a packet of video; none where it cannot be decoded.

    libav has many words for that. Raises MemoryError alone, which is no fault of the packet's.
    """
    try:
        return packet.decode()
    except MemoryError:
        raise
    except av.FFmpegError:
        return []

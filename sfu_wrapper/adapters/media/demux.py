"""Opening media files for reading, in the format of their name only.

By default libavformat detects the format from the content: a file named as a video may be a
playlist that makes the library read other files, or connect to other machines.
"""

from pathlib import Path

import av
from av.container import InputContainer

_DEMUXERS = {".webm": "matroska", ".mp4": "mov", ".wav": "wav", ".opus": "ogg"}

_OPTIONS = {
    "protocol_whitelist": "file",
    # Use only the offset of an edit list; those of janus-pp-rec cut off the last frame.
    "advanced_editlist": "0",
}


def reading(path: Path | str) -> InputContainer:
    """Open a media file. Raises av.FFmpegError, or KeyError for an unknown file extension."""
    return av.open(
        f"file:{path}",
        format=_DEMUXERS[Path(path).suffix],
        options=_OPTIONS,
        metadata_errors="replace",
    )


def decoded(packet: "av.Packet[av.VideoStream]") -> list[av.VideoFrame]:
    """Return the frames decoded from a packet; none where it cannot be decoded.

    libav has many errors for damaged packets. Raises MemoryError, which the packet does not cause.
    """
    try:
        return packet.decode()
    except MemoryError:
        raise
    except av.FFmpegError:
        return []

"""Opens media files for reading: as what their name says, and nothing but them.

Left to itself libavformat goes by the content: a file that calls itself a video may be a playlist
that has other files, or other machines, read in its name.
"""

from pathlib import Path

import av
from av.container import InputContainer

_DEMUXERS = {".webm": "matroska", ".mp4": "mov", ".wav": "wav", ".opus": "ogg"}


def reading(path: Path | str) -> InputContainer:
    """Open it. Raises av.FFmpegError, or KeyError where the ending is none of ours."""
    return av.open(
        f"file:{path}",
        format=_DEMUXERS[Path(path).suffix],
        options={"protocol_whitelist": "file"},
        metadata_errors="replace",
    )

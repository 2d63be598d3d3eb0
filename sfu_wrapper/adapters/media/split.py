"""Split output: video copied packet by packet, the mix as a WAV of 16 kHz, mono, 8 bits."""

import os
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from sfu_wrapper.adapters.media.audio import timeline
from sfu_wrapper.adapters.media.demux import reading
from sfu_wrapper.adapters.media.encoder import WEBM_OPTIONS
from sfu_wrapper.core.plan import Sound
from sfu_wrapper.formats import wav

WAV_RATE = 16_000
_CONTAINERS = {
    ".webm": ("webm", WEBM_OPTIONS),
    ".mp4": ("mp4", {"movflags": "+faststart", "fflags": "+bitexact"}),
}


def copy_video(source: Path, target: Path, pace: float = 1.0) -> None:
    """Copy the frames without re-encoding into a seekable file with its index in front.

    The first frame is at time 0, so that the file begins at the time given in the JSON file.
    Raises av.FFmpegError or OSError.

    Args:
        source: converted video file.
        target: path of the copy.
        pace: duration of a second of the sender's clock; times are stretched by this factor.
    """
    container_format, options = _CONTAINERS[target.suffix]
    with (
        reading(source) as reader,
        av.open(target, "w", format=container_format, options=options) as writer,
    ):
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        first: int | None = None
        last = -1
        for packet in reader.demux(stream):
            if packet.pts is None:  # the end
                continue
            first = packet.pts if first is None else first
            last = max(round((packet.pts - first) * pace), last + 1)
            packet.pts = packet.dts = last  # real-time video has no frames that refer to later ones
            packet.stream = copy
            writer.mux(packet)


def write_audio(sounds: Sequence[Sound], duration_us: int, target: Path) -> None:
    """Write the mix from the segment's start to its end.

    Raises OSError, or Malformed where a file is no WAV.
    """
    with target.open("wb") as file:
        file.write(wav.header(0, rate=WAV_RATE, channels=1, bits=8))
        count = 0
        for samples in timeline(sounds, duration_us, WAV_RATE):
            rounded = (samples.astype(np.int32) + 128 >> 8) + 128
            file.write(np.clip(rounded, 0, 255).astype(np.uint8).tobytes())
            count += len(samples)
        if count % 2:
            file.write(b"\0")
        file.seek(0, os.SEEK_SET)
        file.write(wav.header(count, rate=WAV_RATE, channels=1, bits=8))

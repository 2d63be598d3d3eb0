"""Whether a finished media file is what it should be: nobody's exit code is believed.

All packets are demuxed, the first and the last group of pictures decoded, the length compared.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from sfu_wrapper.adapters.media.reading import reading
from sfu_wrapper.model.errors import JobFailed

_US = Fraction(1, 1_000_000)


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be found. Codecs as libavcodec names them, None where there is to be none.

    copied: pictures come as they were sent, so that some may be damaged; not all may be.
    """

    duration_us: int
    tolerance_us: int
    video: str | None
    audio: str | None
    copied: bool = False


def verify(stage: str, path: Path, expected: Expected) -> None:
    """Raises JobFailed (``BAD_RESULT``, another attempt may help) where anything is amiss."""
    try:
        with reading(path) as reader:
            _check_streams(stage, path, reader, expected)
            end_us = _demux(reader)
        if expected.video is not None:
            _decode_ends(stage, path, expected)
    except (av.FFmpegError, OSError) as exc:
        raise _bad(stage, path, f"cannot be read back: {exc}") from exc
    if abs(end_us - expected.duration_us) > expected.tolerance_us:
        detail = f"lasts {end_us / 1e6:.3f} s instead of {expected.duration_us / 1e6:.3f} s"
        raise _bad(stage, path, detail)


def _check_streams(
    stage: str, path: Path, reader: av.container.InputContainer, expected: Expected
) -> None:
    for kind, wanted in (("video", expected.video), ("audio", expected.audio)):
        found = [s.codec_context.name for s in reader.streams if s.type == kind]
        if found != ([wanted] if wanted else []):
            raise _bad(stage, path, f"holds {kind} {found}, expected {wanted}")


def _demux(reader: av.container.InputContainer) -> int:
    """Read every packet; the time at which the last one ends."""
    end = Fraction(0)
    for packet in reader.demux():
        if packet.pts is not None:
            end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
    return int(end / _US)


def _decode_ends(stage: str, path: Path, expected: Expected) -> None:
    with reading(path) as reader:
        stream = reader.streams.video[0]
        keys = [p.pts for p in reader.demux(stream) if p.is_keyframe and p.pts is not None]
        if not keys:
            raise _bad(stage, path, "holds no key frame")
        for start in dict.fromkeys((keys[0], keys[-1])):
            reader.seek(start, stream=stream)
            if _decode_group(reader, stream, start, expected.copied) == 0:
                raise _bad(stage, path, "holds pictures that cannot be decoded")


def _decode_group(
    reader: av.container.InputContainer, stream: av.VideoStream, start: int, copied: bool
) -> int:
    """Decode from the key frame at ``start`` up to the next one; how many pictures that gave."""
    pictures = 0
    for packet in reader.demux(stream):
        if packet.is_keyframe and packet.pts is not None and packet.pts > start:
            # What the decoder still holds; at the end of the file an empty packet asks for it.
            return pictures + len(stream.decode(None))
        try:
            pictures += len(packet.decode())
        except av.error.InvalidDataError:
            if not copied:
                raise
    return pictures


def _bad(stage: str, path: Path, detail: str) -> JobFailed:
    return JobFailed(stage, "BAD_RESULT", f"{path.name} {detail}", permanent=False, file=path.name)

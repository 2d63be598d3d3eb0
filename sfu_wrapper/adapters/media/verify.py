"""Verification of a finished media file by its content; exit codes are not trusted.

All packets are demuxed, the first and the last group of frames decoded, the durations compared.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av

from sfu_wrapper.adapters.media.demux import decoded, reading, video_of
from sfu_wrapper.model.errors import JobCode, JobFailed, Stage

_US = Fraction(1, 1_000_000)


@dataclass(frozen=True, slots=True)
class Expected:
    """Expected content of a media file.

    Attributes:
        duration_us: duration of each stream.
        tolerance_us: allowed difference of the duration.
        video: codec as libavcodec names it; None: no video stream.
        audio: codec as libavcodec names it; None: no audio stream.
        copied: frames are copied as they were received; some of them may be damaged, not all.
    """

    duration_us: int
    tolerance_us: int
    video: str | None
    audio: str | None
    copied: bool = False


def verify(stage: Stage, path: Path, expected: Expected) -> None:
    """Check a file. Raises JobFailed (``BAD_RESULT``, temporary) where it is not as expected."""
    try:
        with reading(path) as reader:
            _check_streams(stage, path, reader, expected)
            ends_us, keys = _demux(reader)
        if expected.video is not None:
            _decode_ends(stage, path, keys, expected)
    except (av.FFmpegError, OSError) as exc:
        raise _bad(stage, path, f"cannot be read back: {exc}") from exc
    for kind, end_us in ends_us.items():
        if abs(end_us - expected.duration_us) > expected.tolerance_us:
            wanted = f"{end_us / 1e6:.3f} s instead of {expected.duration_us / 1e6:.3f} s"
            raise _bad(stage, path, f"holds {kind} that lasts {wanted}")


def shows_anything(path: Path) -> bool:
    """Return True if a frame of the file can be decoded; reading stops at the first one.

    Raises av.FFmpegError where the file is no media file.
    """
    with reading(path) as reader:
        stream = video_of(reader)
        return any(decoded(packet) for packet in reader.demux(stream))


def _check_streams(
    stage: Stage, path: Path, reader: av.container.InputContainer, expected: Expected
) -> None:
    for kind, wanted in (("video", expected.video), ("audio", expected.audio)):
        found = [s.codec_context.codec.canonical_name for s in reader.streams if s.type == kind]
        if found != ([wanted] if wanted else []):
            raise _bad(stage, path, f"holds {kind} {found}, expected {wanted}")


def _demux(reader: av.container.InputContainer) -> tuple[dict[str, int], list[int]]:
    """Read every packet; return the end of each stream and the times of the key frames."""
    ends_us: dict[str, int] = {stream.type: 0 for stream in reader.streams}
    keys: list[int] = []
    scales = {stream.index: stream.time_base / _US for stream in reader.streams if stream.time_base}
    for packet in reader.demux():
        if packet.pts is not None:
            scale = scales[packet.stream_index]
            end = (packet.pts + (packet.duration or 0)) * scale.numerator // scale.denominator
            kind = packet.stream.type
            ends_us[kind] = max(ends_us[kind], end)
            if packet.is_keyframe and kind == "video":
                keys.append(packet.pts)
    return ends_us, keys


def _decode_ends(stage: Stage, path: Path, keys: list[int], expected: Expected) -> None:
    if not keys:
        raise _bad(stage, path, "holds no key frame")
    with ThreadPoolExecutor(2) as pool:
        starts = dict.fromkeys((keys[0], keys[-1]))
        if not all(pool.map(partial(_decode_group, path, expected.copied), starts)):
            raise _bad(stage, path, "holds frames that cannot be decoded")


def _decode_group(path: Path, copied: bool, start: int) -> int:
    """Decode from the key frame at ``start`` up to the next one; return the number of frames."""
    frames = 0
    with reading(path) as reader:
        stream = video_of(reader)
        reader.seek(start, stream=stream)
        for packet in reader.demux(stream):
            if packet.is_keyframe and packet.pts is not None and packet.pts > start:
                # Flush the decoder; at the end of the file the last, empty packet does so.
                return frames + len(stream.decode(None))
            frames += len(decoded(packet) if copied else packet.decode())
    return frames


def _bad(stage: Stage, path: Path, detail: str) -> JobFailed:
    return JobFailed(
        stage, JobCode.BAD_RESULT, f"{path.name} {detail}", permanent=False, file=path.name
    )

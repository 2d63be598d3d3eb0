"""Conversion of one raw .mjr into one media file by Janus' own ``janus-pp-rec``.

Its exit code is not reliable: it can be 0 without a file, or with an incomplete one. Our own reader
therefore reads the recording first to know the expected result, and the output is read back. The
program runs in the process group, under the limits and in the confinement of this process.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import cast

import av

from sfu_wrapper.adapters.media.demux import reading
from sfu_wrapper.adapters.media.mux import base_name, finished
from sfu_wrapper.adapters.media.preprocess import (
    Recording,
    failures,
    noted_frames,
    prepared,
    recording,
)
from sfu_wrapper.adapters.media.track_stats import TrackStats, frame_warnings, stream_warnings
from sfu_wrapper.adapters.media.verify import Expected, verify
from sfu_wrapper.adapters.os.files import is_full, no_space
from sfu_wrapper.adapters.os.rlimits import end_with
from sfu_wrapper.formats.assemble import Assembler
from sfu_wrapper.formats.depacketizers import depacketizer
from sfu_wrapper.formats.stream import MediaPacket, MediaStream
from sfu_wrapper.model.codecs import VIDEO_CLOCK_HZ, VideoInputCodec
from sfu_wrapper.model.errors import JobCode, JobFailed, Stage
from sfu_wrapper.model.media import TrackKind
from sfu_wrapper.ports.media_tools import PreparedVideo

PROGRAM = "janus-pp-rec"

_STAGE = Stage.PREPROCESS
_MAX_OUTPUT_BYTES = 1 << 12  # of the program's last output, for messages
_TOLERANCE_MS = 1_000
_END_US = 200_000  # the duration of the last frame is unknown


def preprocess(source: Path, target_dir: Path, program: str = PROGRAM) -> PreparedVideo | None:
    """Convert as ``preprocess.preprocess`` does. None: the recording holds no frame.

    Raises:
        JobFailed: as ``preprocess.convert``; also ``NO_PREPROCESSOR`` (permanent), and
            ``PREPROCESSOR_FAILED`` where the output does not match the recording.
    """
    with failures(source):
        target_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = recording(source)
        if found is None or not isinstance(found.codec, VideoInputCodec):
            return None
        return _convert(found, found.codec, target_dir, program)


def _convert(
    found: Recording, codec: VideoInputCodec, target_dir: Path, program: str
) -> PreparedVideo | None:
    stream = MediaStream(found.reader, VIDEO_CLOCK_HZ)
    sent = TrackStats(VIDEO_CLOCK_HZ // 1000)
    frames_of = depacketizer(codec.name, found.header.fmtp)
    assembler = Assembler(_noted(stream.packets(), sent), found.reader.buffer, frames_of)
    whole = TrackStats(VIDEO_CLOCK_HZ // 1000, lambda: assembler.lost_at)
    noted = noted_frames(assembler.frames(), whole, found.source)
    whole_bytes = sum(len(timed.frame.data) for timed in noted)
    if not whole.frames:
        return None
    target = target_dir / f"{base_name(found.source)}{_suffix(codec)}"
    with finished(target) as part, _copied(found, target_dir) as copy:
        output = _run(program, copy, part)
        with _judged(found, part):
            got, got_bytes = _measured(part, found, output)
        if got.end_ms > sent.end_ms + _TOLERANCE_MS:
            lasts = f"wrote {got.end_ms / 1000:.3f} s instead of {sent.end_ms / 1000:.3f} s"
            raise _failed(found, lasts, part)
        warnings = stream_warnings(found.reader, stream) + _differences(found, part, got, whole)
        # Of VP9 in layers it keeps some, and the decoder misses the others.
        damaged = codec.name == "vp9" or bool(frame_warnings(assembler))
        if not codec.janus_pp_rec and not damaged and got_bytes < whole_bytes:
            raise _failed(found, f"left out {whole_bytes - got_bytes} bytes of the frames", part)
        length = Expected(got.end_ms * 1000, _END_US, codec.libav, None, copied=damaged)
        with _judged(found, part):
            verify(_STAGE, part, length)
    got.take_pauses(whole)
    track = got.track(target, found.header, stream, TrackKind.VIDEO, assembler.turns, warnings)
    return prepared(track, found.source)


def _suffix(codec: VideoInputCodec) -> str:
    """Return the container: MP4 where possible, as the program writes AV1 in no other."""
    return ".mp4" if ".mp4" in codec.suffixes else codec.suffixes[0]


@contextmanager
def _judged(found: Recording, part: Path) -> Iterator[None]:
    """Convert errors of reading the output back into PREPROCESSOR_FAILED."""
    try:
        yield
    except av.FFmpegError as exc:
        raise _failed(found, f"wrote a file that cannot be read ({exc})", part) from exc
    except JobFailed as exc:
        if exc.code is not JobCode.BAD_RESULT:
            raise
        raise _failed(found, f"wrote a file that is no good: {exc.detail}", part) from exc


@contextmanager
def _copied(found: Recording, folder: Path) -> Iterator[Path]:
    """Provide a private copy of the recording that we have open: the program needs a path.

    Raises OSError.
    """
    copy = folder / f".raw.{base_name(found.source)}.mjr"
    copy.unlink(missing_ok=True)
    number = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(found.reader.buffer)
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _noted(packets: Iterable[MediaPacket], stats: TrackStats) -> Iterator[MediaPacket]:
    """Pass packets on, and note the time of each, even of those that yield no frame."""
    for packet in packets:
        stats.note(packet.time)
        yield packet


def _run(program: str, source: Path, target: Path) -> str:
    """Run the program and return the last line of its output. Raises JobFailed if it is missing."""
    found = shutil.which(program)
    if found is None:
        detail = f"{program} is not installed: install it, or set preprocessor to builtin"
        raise JobFailed(_STAGE, JobCode.NO_PREPROCESSOR, detail, permanent=True)
    arguments = [found, "-o", "-d", "3", str(source.absolute()), str(target)]
    kept = b""
    with subprocess.Popen(  # noqa: S603 a list, no shell
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
        preexec_fn=partial(end_with, os.getpid()),
    ) as process:
        stdout = cast("BufferedReader", process.stdout)
        while chunk := stdout.read1(_MAX_OUTPUT_BYTES):
            kept = (kept + chunk)[-_MAX_OUTPUT_BYTES:]
    output = kept.decode(errors="replace").strip()
    return output.rsplit("\n", 1)[-1] or f"exit code {process.returncode}"


def _measured(part: Path, found: Recording, output: str) -> tuple[TrackStats, int]:
    """Return statistics and bytes from the first key frame on.

    Raises JobFailed where the file holds no frame.
    """
    stats, size = TrackStats(VIDEO_CLOCK_HZ // 1000), 0
    if part.stat().st_size:
        with reading(part) as container:
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                if packet.pts is None or not (stats.frames or packet.is_keyframe):
                    continue
                time = round(Fraction(packet.pts * packet.time_base) * VIDEO_CLOCK_HZ)
                stats.note(time)
                size += packet.size
                if packet.is_keyframe:
                    stats.note_key(time, None)
    if not stats.frames:
        raise _failed(found, f"wrote no frame ({output})", part)
    return stats, size


def _differences(found: Recording, part: Path, got: TrackStats, whole: TrackStats) -> list[str]:
    """Return warnings where the file lacks frames that the recording holds whole."""
    missing_ms = whole.end_ms - got.end_ms
    if missing_ms > _TOLERANCE_MS:
        if is_full(part.parent):
            raise no_space(_STAGE, part.name, found.source.name)
        return [f"{PROGRAM} left out the last {missing_ms / 1000:.3f} s"]
    if got.frames != whole.frames:
        return [f"{PROGRAM} wrote {got.frames} frames, the recording holds {whole.frames}"]
    return []


def _failed(found: Recording, what: str, part: Path) -> JobFailed:
    if is_full(part.parent):
        return no_space(_STAGE, part.name, found.source.name)
    detail = f"{PROGRAM} {what}; retry with preprocessor = builtin"
    return JobFailed(
        _STAGE, JobCode.PREPROCESSOR_FAILED, detail, permanent=False, file=found.source.name
    )

"""One raw .mjr into one media file by Janus' own ``janus-pp-rec``.

Its exit code says nothing: 0 with no file at all, 0 with half of one. So the recording is read by
our own reader first, which says what must come out, and what came out is read back. The program is
in the group and under the limits of the process that we run in, and as confined as that.
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

from sfu_wrapper.adapters.media.demux import reading
from sfu_wrapper.adapters.media.mux import VIDEO_SUFFIX, base_name, finished
from sfu_wrapper.adapters.media.preprocess import (
    Recording,
    failures,
    noted_shots,
    prepared,
    recording,
)
from sfu_wrapper.adapters.media.track_stats import Account, stream_warnings
from sfu_wrapper.adapters.media.verify import Expected, verify
from sfu_wrapper.adapters.os.os_errors import is_full, no_space
from sfu_wrapper.adapters.os.rlimits import end_with
from sfu_wrapper.formats.assemble import CLOCK_HZ, Assembler
from sfu_wrapper.formats.picture import VideoCodec
from sfu_wrapper.formats.stream import MediaPacket, MediaStream
from sfu_wrapper.model.errors import JobFailed
from sfu_wrapper.model.track import TrackKind
from sfu_wrapper.ports.media import PreparedVideo

PROGRAM = "janus-pp-rec"

_STAGE = "preprocess"
_MOST_WORDS = 1 << 12  # bytes of what it says that are kept
_TOLERANCE_MS = 1_000
_END_US = 200_000  # nobody knows how long a last picture is


def preprocess(source: Path, target_dir: Path, program: str = PROGRAM) -> PreparedVideo | None:
    """As ``preprocess.preprocess`` does it. None: the recording holds no picture.

    Raises:
        JobFailed: as ``preprocess.convert``; also ``NO_PREPROCESSOR`` for good, and
            ``PREPROCESSOR_FAILED`` where what came out is not what the recording holds.
    """
    with failures(source):
        target_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = recording(source)
        if found is None or found.codec is None:
            return None
        return _convert(found, found.codec, target_dir, program)


def _convert(
    found: Recording, codec: VideoCodec, target_dir: Path, program: str
) -> PreparedVideo | None:
    stream = MediaStream(found.reader, CLOCK_HZ)
    whole, sent = Account(CLOCK_HZ // 1000), Account(CLOCK_HZ // 1000)
    assembler = Assembler(_noted(stream.packets(), sent), found.reader.buffer, codec)
    for _ in noted_shots(assembler.shots(), whole, found.source):
        pass
    if not whole.frames:
        return None
    target = target_dir / f"{base_name(found.source)}{VIDEO_SUFFIX[found.header.codec]}"
    with finished(target) as part, _copied(found, target_dir) as copy:
        words = _run(program, copy, part)
        got = _measured(part, found, words)
        if got.end_ms > sent.end_ms + _TOLERANCE_MS:
            lasts = f"wrote {got.end_ms / 1000:.3f} s instead of {sent.end_ms / 1000:.3f} s"
            raise _failed(found, lasts, part)
        warnings = stream_warnings(found.reader, stream) + _differences(found, part, got, whole)
        length = Expected(got.end_ms * 1000, _END_US, found.header.codec, None, copied=True)
        verify(_STAGE, part, length)
    return prepared(
        got.track(target, found.header, stream, TrackKind.VIDEO, assembler.turns, warnings)
    )


@contextmanager
def _copied(found: Recording, folder: Path) -> Iterator[Path]:
    """A private copy of the recording: the program opens files by name, and we have opened it.

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


def _noted(packets: Iterable[MediaPacket], account: Account) -> Iterator[MediaPacket]:
    """The same; account: hears when each was sent, whether a picture comes of it or not."""
    for packet in packets:
        account.note(packet.time)
        yield packet


def _run(program: str, source: Path, target: Path) -> str:
    """Its last words. Raises JobFailed where there is no such program."""
    found = shutil.which(program)
    if found is None:
        detail = f"{program} is not installed: install it, or set preprocessor to builtin"
        raise JobFailed(_STAGE, "NO_PREPROCESSOR", detail, permanent=True)
    faststart = ["-t"] if target.suffix == ".mp4" else []
    arguments = [found, "-o", "-d", "3", *faststart, str(source.absolute()), str(target)]
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
        while chunk := stdout.read1(_MOST_WORDS):
            kept = (kept + chunk)[-_MOST_WORDS:]
    words = kept.decode(errors="replace").strip()
    return words.rsplit("\n", 1)[-1] or f"exit code {process.returncode}"


def _measured(part: Path, found: Recording, words: str) -> Account:
    """What the file holds from its first key frame on. Raises JobFailed where that is nothing."""
    account = Account(CLOCK_HZ // 1000)
    if part.stat().st_size:
        with reading(part) as container:
            stream = container.streams.video[0]
            for packet in container.demux(stream):
                if packet.pts is None or not (account.frames or packet.is_keyframe):
                    continue
                time = round(Fraction(packet.pts * packet.time_base) * CLOCK_HZ)
                account.note(time)
                if packet.is_keyframe:
                    account.note_key(time, None)
    if not account.frames:
        raise _failed(found, f"wrote no picture ({words})", part)
    return account


def _differences(found: Recording, part: Path, got: Account, whole: Account) -> list[str]:
    """What to tell people where it holds other pictures than the whole ones of the recording."""
    missing_ms = whole.end_ms - got.end_ms
    if missing_ms > _TOLERANCE_MS:
        if is_full(part.parent):
            raise no_space(_STAGE, part.name, found.source.name)
        return [f"{PROGRAM} left out the last {missing_ms / 1000:.3f} s"]
    if got.frames != whole.frames:
        return [f"{PROGRAM} wrote {got.frames} pictures where {whole.frames} are whole"]
    return []


def _failed(found: Recording, what: str, part: Path) -> JobFailed:
    if is_full(part.parent):
        return no_space(_STAGE, part.name, found.source.name)
    detail = f"{PROGRAM} {what}; try again with preprocessor = builtin"
    return JobFailed(_STAGE, "PREPROCESSOR_FAILED", detail, permanent=False, file=found.source.name)

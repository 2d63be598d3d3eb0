"""Which files belong to a capture: written down as soon as they exist, read after a crash.

One file a capture below ``recordings_path/.simulated``, a line for each file when it is opened
and when it is closed, the last line of a name wins. Its modification time says when the capture
was last known to be alive, its lock that somebody still writes it. It stays until none of the
files that it names is left, so that a stop can be answered again at any time.
"""

import fcntl
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sfu_wrapper.adapters.simulated.audio import mend
from sfu_wrapper.adapters.simulated.json_lines import Lines, dump
from sfu_wrapper.core.facts import CaptureRef
from sfu_wrapper.model.errors import Broken, Unavailable
from sfu_wrapper.model.media import RawFile, Stream

_LINES = Lines((RawFile,))
_LOCK_WAIT_S = 3.0  # a writer whose controller died notices within a fraction of that
_MJR_MAGIC_BYTES = 8
_KEPT_S = 3600.0  # in which a controller that died may ask for a capture of which nothing is left


@dataclass(frozen=True, slots=True)
class Folders:
    """Where things lie."""

    recordings: Path
    audio: Path

    def file(self, raw: RawFile) -> Path:
        """A raw file on disk."""
        base = self.audio if raw.stream is Stream.AUDIO else self.recordings
        return base / raw.filename.lstrip("/")

    def journal(self, capture: CaptureRef) -> Path:
        """The journal of a capture."""
        name = f"{capture.room}-{capture.segment}-{capture.medium}.jsonl"
        return self.recordings / ".simulated" / name


class Journal:
    """The journal of one capture, locked. ``files`` is the whole list so far."""

    def __init__(self, folders: Folders, capture: CaptureRef) -> None:
        """Open or take up again. Raises OSError, Unavailable when another process holds it."""
        self._folders = folders
        path = folders.journal(capture)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _lock(self._fd)
            self._files = _parse(os.pread(self._fd, os.fstat(self._fd).st_size, 0))
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def files(self) -> tuple[RawFile, ...]:
        """Every file of the capture, in order of opening."""
        return tuple(self._files.values())

    def note(self, *files: RawFile) -> None:
        """Write down files that were opened (before any media is in them) or closed."""
        os.write(self._fd, b"".join(dump(file) for file in files))
        self._files |= {file.filename: file for file in files}

    def settle(self, known: tuple[RawFile, ...] = ()) -> int:
        """Close what a crash left open, forget what is not there.

        Args:
            known: files that the caller knows of, to be taken in.

        Returns:
            The last time known to be written, epoch ms.
        """
        alive_ns = os.fstat(self._fd).st_mtime_ns
        before = self._files
        taken = {file.filename: file for file in known} | before
        settled = _settled(self._folders, taken.values())
        self._files = {}
        self.note(*(file for file in settled if before.get(file.filename) != file))
        self._files = {file.filename: file for file in settled}
        os.utime(self._fd, ns=(alive_ns, alive_ns))
        return max((file.stopped_ms or 0 for file in settled), default=alive_ns // 1_000_000)

    def touch(self) -> None:
        """Still alive."""
        os.utime(self._fd)

    def sync(self) -> None:
        """Make it durable."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Give up the lock; whoever still writes after that gets an OSError."""
        fd, self._fd = self._fd, -1
        os.close(fd)


def salvage(
    folders: Folders, capture: CaptureRef, known: tuple[RawFile, ...] = ()
) -> tuple[int, tuple[RawFile, ...]]:
    """What the disk holds of a capture that nobody writes any more, its files closed.

    Args:
        known: files that the caller knows of, journal or not.

    Returns:
        The last time known to be written (epoch ms, 0 where nothing is known), and the files.

    Raises:
        OSError, Unavailable: they cannot be read now.
    """
    if not folders.journal(capture).exists():
        files = _settled(folders, known)
        return max((file.stopped_ms or 0 for file in files), default=0), files
    journal = Journal(folders, capture)
    try:
        return journal.settle(known), journal.files
    finally:
        journal.close()


def sweep(folders: Folders) -> None:
    """Forget captures that nobody writes and of which no file is left."""
    for path in (folders.recordings / ".simulated").glob("*.jsonl"):
        with suppress(FileNotFoundError):
            _forget_unless_used(folders, path)


def _forget_unless_used(folders: Folders, path: Path) -> None:
    with path.open("rb") as journal:
        young = time.time() - os.fstat(journal.fileno()).st_mtime < _KEPT_S
        try:
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # a capture that runs, whatever its age by a clock that was set
            return
        files = _parse(journal.read()).values()
        if not young and not any(folders.file(file).exists() for file in files):
            path.unlink(missing_ok=True)


def _settled(folders: Folders, files: Iterable[RawFile]) -> tuple[RawFile, ...]:
    """The files that exist, those left open as the crash left them."""
    there = [file for file in files if folders.file(file).is_file()]
    return tuple(file if file.stopped_ms else _measure(folders.file(file), file) for file in there)


def _measure(path: Path, file: RawFile) -> RawFile:
    status = path.stat()
    if file.stream is Stream.AUDIO:
        seconds = mend(path)
        stopped_ms = file.started_ms + round(seconds * 1000)
        return replace(file, stopped_ms=stopped_ms, holds_media=seconds > 0)
    stopped_ms = max(status.st_mtime_ns // 1_000_000, file.started_ms)
    holds_media = status.st_size > _MJR_MAGIC_BYTES
    return replace(file, stopped_ms=stopped_ms, holds_media=holds_media)


def _lock(fd: int) -> None:
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise Unavailable("another process still writes this capture") from None
            time.sleep(0.02)
        else:
            return


def _parse(data: bytes) -> dict[str, RawFile]:
    files: dict[str, RawFile] = {}
    for line in data.splitlines():
        try:
            file = _LINES.load(line)
        except Broken:
            continue  # cut by a crash: the file it speaks of holds nothing yet
        files[file.filename] = file
    return files

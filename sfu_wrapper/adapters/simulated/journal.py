"""Journal of a capture's files, written as soon as they exist and read after a crash.

One journal per capture below ``recordings_path/.simulated``, with a line for each file when it is
opened and when it is closed; the last line of a name wins. Its modification time is the last time
at which the capture was known to be alive; its lock is held while a process writes the capture. The
journal stays until none of its files is left, so that a stop can be answered again at any time.
"""

import fcntl
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sfu_wrapper.adapters.simulated.messages import Lines, dump
from sfu_wrapper.adapters.simulated.writers import repair_lengths
from sfu_wrapper.core.media_plane import CaptureRef
from sfu_wrapper.model.errors import Broken, Unavailable
from sfu_wrapper.model.media import RawFile, Stream

_LINES = Lines((RawFile,))
_LOCK_WAIT_S = 3.0  # a writer ends within a fraction of that after its controller died
_MJR_MAGIC_BYTES = 8
_KEPT_S = 3600.0  # a restarted controller may request a capture of which no file is left


@dataclass(frozen=True, slots=True)
class Folders:
    """Folders of raw video and raw audio files."""

    recordings: Path
    audio: Path

    def file(self, raw: RawFile) -> Path:
        """Return the path of a raw file."""
        base = self.audio if raw.stream is Stream.AUDIO else self.recordings
        return base / raw.filename.lstrip("/")

    def journal(self, capture: CaptureRef) -> Path:
        """Return the path of a capture's journal."""
        name = f"{capture.room}-{capture.segment}-{capture.medium}.jsonl"
        return self.recordings / ".simulated" / name


class Journal:
    """The journal of one capture, locked while it is open."""

    def __init__(self, folders: Folders, capture: CaptureRef) -> None:
        """Make or reopen a journal. Raises OSError, Unavailable when another process holds it."""
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
        """Record files that were opened (before any media is in them) or closed."""
        os.write(self._fd, b"".join(dump(file) for file in files))
        self._files |= {file.filename: file for file in files}

    def settle(self, known: tuple[RawFile, ...] = ()) -> int:
        """Record the end of files left open by a crash, and drop files that do not exist.

        Args:
            known: further files that the caller knows of.

        Returns:
            The last time at which the capture is known to have been written, epoch ms.
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
        """Record that the capture is alive."""
        os.utime(self._fd)

    def sync(self) -> None:
        """Make the journal durable."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the journal and release its lock; later writes raise OSError."""
        fd, self._fd = self._fd, -1
        os.close(fd)


def salvage(
    folders: Folders, capture: CaptureRef, known: tuple[RawFile, ...] = ()
) -> tuple[int, tuple[RawFile, ...]]:
    """Recover the files of a capture whose writer has ended, and close them.

    Args:
        folders: folders of the raw files.
        capture: the capture.
        known: files that the caller knows of, in the journal or not.

    Returns:
        The last time at which the capture is known to have been written (epoch ms, 0 where
        unknown), and the files.

    Raises:
        OSError, Unavailable: journal or files cannot be read now.
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
    """Remove journals that no process writes and of which no file is left."""
    for path in (folders.recordings / ".simulated").glob("*.jsonl"):
        with suppress(FileNotFoundError):
            _forget_unless_used(folders, path)


def _forget_unless_used(folders: Folders, path: Path) -> None:
    with path.open("rb") as journal:
        young = time.time() - os.fstat(journal.fileno()).st_mtime < _KEPT_S
        try:
            fcntl.flock(journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # the capture runs; its age may be wrong after a clock change
            return
        files = _parse(journal.read()).values()
        if not young and not any(folders.file(file).exists() for file in files):
            path.unlink(missing_ok=True)


def _settled(folders: Folders, files: Iterable[RawFile]) -> tuple[RawFile, ...]:
    """Return the files that exist; those left open get the end that is found on disk."""
    there = [file for file in files if folders.file(file).is_file()]
    return tuple(file if file.stopped_ms else _measure(folders.file(file), file) for file in there)


def _measure(path: Path, file: RawFile) -> RawFile:
    status = path.stat()
    if file.stream is Stream.AUDIO:
        seconds = repair_lengths(path)
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
            continue  # cut by a crash: its file holds no media yet
        files[file.filename] = file
    return files

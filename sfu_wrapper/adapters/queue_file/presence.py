"""Presence of processes: one locked file per open broker, in a folder next to the queue file.

The kernel releases the lock when the process dies, so that others requeue its messages at once,
without trust in clocks or process ids. A process that hangs keeps its lock but misses its beats:
after ``LEASE_S`` others remove its file, which it notices at its next beat.
"""

import fcntl
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Final

BEAT_S: Final = 1.0
LEASE_S: Final = 15.0
_STALE_S: Final = 3600.0  # age of an unlocked file that no message refers to


class Presence:
    """Holder of messages. The constructor raises OSError if the folder cannot be written.

    Attributes:
        id: unique; marks the messages that this process holds.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.id = uuid.uuid4().hex
        self._path = folder / self.id
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        self.beat()

    def beat(self) -> bool:
        """Refresh the presence. Returns False if others have removed it."""
        os.pwrite(self._fd, b"%020d" % _now_ms(), 0)
        return os.fstat(self._fd).st_nlink > 0

    def close(self) -> None:
        """End the presence: others may requeue the messages that it still holds."""
        self._path.unlink(missing_ok=True)
        os.close(self._fd)


def is_alive(folder: Path, holder: str, lease_s: float = LEASE_S) -> bool:
    """Return True if the holder is alive and beating; else remove its file."""
    path = folder / holder
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if _is_locked(fd) and _age_s(fd) < lease_s:
            return True
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(fd)


def sweep(folder: Path) -> None:
    """Remove old files of killed processes that held no messages."""
    oldest = time.time() - _STALE_S
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < oldest:
                is_alive(folder, path.name)


def _is_locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _age_s(fd: int) -> float:
    """Return seconds since the last beat; processes of one machine share the monotonic clock."""
    written = os.pread(fd, 20, 0)
    return (_now_ms() - int(written)) / 1000 if written.isdigit() else 0.0


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000

"""Who is alive: one locked file a connection, beside the queue file.

The lock goes with the process, however that dies, so its messages come back at once and no clock
or process number is trusted. A process that hangs keeps its lock but misses its beats: after
``LEASE_S`` its file is removed, by which it notices, when it goes on, that it was given up.
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
_STALE_S: Final = 3600.0  # a file of nobody's that no message mentions


class Presence:
    """One holder of messages. Raises OSError where the folder cannot be written.

    id: what the messages that it holds are marked with; never used again.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.id = uuid.uuid4().hex
        self._path = folder / self.id
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        self.beat()

    def beat(self) -> bool:
        """Say that this process goes on. False when it was given up meanwhile."""
        os.pwrite(self._fd, b"%020d" % _now_ms(), 0)
        return os.fstat(self._fd).st_nlink > 0

    def close(self) -> None:
        """Nobody any more: whatever it still holds may be given to others."""
        self._path.unlink(missing_ok=True)
        os.close(self._fd)


def is_alive(folder: Path, holder: str, lease_s: float = LEASE_S) -> bool:
    """Whether that process lives and goes on; removes its file where not."""
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
    """Remove what killed processes left that held nothing."""
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
    """Since the last beat. The monotonic clock is one for all processes of a machine."""
    written = os.pread(fd, 20, 0)
    return (_now_ms() - int(written)) / 1000 if written.isdigit() else 0.0


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000

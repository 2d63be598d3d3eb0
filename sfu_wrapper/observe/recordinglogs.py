"""A log of its own for each recording, beside the log of the process: the lines of its job.

``of_recording`` says whose lines follow; a ``RecordingLogs`` handler, where one is installed, puts
them into ``<folder>/<name>.log``. A log that cannot be written never stops what it is about: one
thread writes them all, nobody waits for it, and where it falls behind lines are left out.
"""

import errno
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from typing import Final

from sfu_wrapper.core.naming import safe_user

MAX_BYTES: Final = 1 << 20
MAX_WAITING: Final = 10_000  # lines that the disk may be behind
_LAST_LINES_S: Final = 2.0  # for what waits at the end
_FULL: Final = b"... nothing more is written here: this log is as long as it may be\n"

_name: ContextVar[str | None] = ContextVar("recording", default=None)

log = logging.getLogger(__name__)


@contextmanager
def of_recording(name: str) -> Iterator[None]:
    """What is logged within, and in tasks and threads begun within, is of that recording."""
    token = _name.set(name)
    try:
        yield
    finally:
        _name.reset(token)


class RecordingLogs(logging.Handler):
    """Files for our own user alone, of at most ``max_bytes``; a later job of that name goes on."""

    def __init__(
        self,
        folder: Path,
        formatter: logging.Formatter,
        max_bytes: int = MAX_BYTES,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._folder = folder
        self._max_bytes = max_bytes
        self._behind = False
        self._lines: Queue[tuple[str, str] | None] = Queue(max_waiting)
        self._thread = Thread(target=self._write, name="recording-logs", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Have one line appended, if it is of a recording."""
        name = _name.get()
        if name is None:
            return
        try:
            self._lines.put_nowait((f"{safe_user(name)}.log", self.format(record) + "\n"))
        except Full:
            if not self._behind:
                self._behind = True
                _tell_apart(f"{name}.log", "the disk does not keep up")

    def close(self) -> None:
        """Write what waits, as far as that is done soon: a disk that hangs holds up no end."""
        with suppress(Full):
            self._lines.put(None, timeout=_LAST_LINES_S)
        self._thread.join(_LAST_LINES_S)
        super().close()

    def _write(self) -> None:
        """The thread's own work: it may hang, and nobody waits for it."""
        while (line := self._lines.get()) is not None:
            name, text = line
            try:
                self._append(self._folder / name, text)
            except OSError as exc:
                _tell_apart(name, str(exc))
            else:
                self._behind = False

    def _append(self, file: Path, line: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        flags |= os.O_NONBLOCK  # a pipe in its place must not hold up the others
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = os.open(file, flags, 0o600)
        try:
            found = os.fstat(number)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
                raise OSError(errno.EEXIST, "something else has its name", file.name)
            room = self._max_bytes - found.st_size - len(_FULL)
            if room > 0:
                text = line.encode(errors="replace")
                if len(text) > room:
                    text = text[: room - 1].decode(errors="ignore").encode() + b"\n" + _FULL
                os.write(number, text)
        finally:
            os.close(number)


def _tell_apart(name: str, error: str) -> None:
    """In the log of the process, and not in a log that cannot be written."""
    token = _name.set(None)
    with suppress(Exception):
        log.warning("log.notWritten", extra={"file": name, "error": error})
    _name.reset(token)


@contextmanager
def recording_logs(folder: Path, formatter: logging.Formatter) -> Iterator[None]:
    """Recordings have logs of their own meanwhile."""
    handler = RecordingLogs(folder, formatter)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()

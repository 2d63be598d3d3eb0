"""Log file for each recording, in addition to the log of the process: the lines of its job.

``of_recording`` assigns lines to a recording; a ``RecordingLogs`` handler, where installed, appends
them to ``<folder>/<name>.log``. A log that cannot be written never delays its job: one thread
writes all files, no task waits for it, and a full queue drops lines.
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
MAX_WAITING: Final = 10_000  # queued lines
_LAST_LINES_S: Final = 2.0  # for the queue to empty at the end
_FULL: Final = b"... log truncated: it has reached its maximum size\n"

_name: ContextVar[str | None] = ContextVar("recording", default=None)

log = logging.getLogger(__name__)


@contextmanager
def of_recording(name: str) -> Iterator[None]:
    """Assign the lines logged in this context, its tasks and its threads to a recording."""
    token = _name.set(name)
    try:
        yield
    finally:
        _name.reset(token)


class RecordingLogs(logging.Handler):
    """Handler with one private file a recording, of at most ``max_bytes``; later jobs append."""

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
        """Queue one line, if it belongs to a recording."""
        name = _name.get()
        if name is None:
            return
        try:
            self._lines.put_nowait((f"{safe_user(name)}.log", self.format(record) + "\n"))
        except Full:
            if not self._behind:
                self._behind = True
                _log_to_process(f"{name}.log", "the disk does not keep up")

    def close(self) -> None:
        """Write the queued lines, within seconds: a disk that hangs does not delay the exit."""
        with suppress(Full):
            self._lines.put(None, timeout=_LAST_LINES_S)
        self._thread.join(_LAST_LINES_S)
        super().close()

    def _write(self) -> None:
        """Write queued lines; runs in the handler's thread, and may hang with the disk."""
        while (line := self._lines.get()) is not None:
            name, text = line
            try:
                self._append(self._folder / name, text)
            except OSError as exc:
                _log_to_process(name, str(exc))
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
                raise OSError(errno.EEXIST, "not a plain file, or a hard link", file.name)
            room = self._max_bytes - found.st_size - len(_FULL)
            if room > 0:
                text = line.encode(errors="replace")
                if len(text) > room:
                    text = text[: room - 1].decode(errors="ignore").encode() + b"\n" + _FULL
                os.write(number, text)
        finally:
            os.close(number)


def _log_to_process(name: str, error: str) -> None:
    """Log a failure to the log of the process, not to the log that cannot be written."""
    token = _name.set(None)
    with suppress(Exception):
        log.warning("log.notWritten", extra={"file": name, "error": error})
    _name.reset(token)


@contextmanager
def recording_logs(folder: Path, formatter: logging.Formatter) -> Iterator[None]:
    """Install the handler while the context lasts."""
    handler = RecordingLogs(folder, formatter)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        handler.close()

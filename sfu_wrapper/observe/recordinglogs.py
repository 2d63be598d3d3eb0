"""A log of its own for each recording, beside the log of the process: the lines of its job.

``of_recording`` says whose lines follow; a ``RecordingLogs`` handler, where one is installed, puts
them into ``<folder>/<name>.log``. A log that cannot be written never stops what it is about.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from sfu_wrapper.core.naming import safe_user

MAX_BYTES: Final = 1 << 20
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
        self, folder: Path, formatter: logging.Formatter, max_bytes: int = MAX_BYTES
    ) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._folder = folder
        self._max_bytes = max_bytes
        self._failing = False

    def emit(self, record: logging.LogRecord) -> None:
        """Append one line, if it is of a recording."""
        name = _name.get()
        if name is None or self._failing:
            return
        try:
            self._append(self._folder / f"{safe_user(name)}.log", self.format(record) + "\n")
        except OSError as exc:
            self._failing = True  # for this line alone, and the one that says so
            with suppress(Exception):
                log.warning("log.notWritten", extra={"file": f"{name}.log", "error": str(exc)})
            self._failing = False

    def _append(self, file: Path, line: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = os.open(file, flags, 0o600)
        try:
            room = self._max_bytes - os.fstat(number).st_size - len(_FULL)
            if room > 0:
                text = line.encode(errors="replace")
                if len(text) > room:
                    text = text[: room - 1].decode(errors="ignore").encode() + b"\n" + _FULL
                os.write(number, text)
        finally:
            os.close(number)


@contextmanager
def recording_logs(folder: Path, formatter: logging.Formatter) -> Iterator[None]:
    """Recordings have logs of their own meanwhile."""
    handler = RecordingLogs(folder, formatter)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)

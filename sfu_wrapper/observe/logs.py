"""Logs on standard error: one event, one line.

The message of a line is a stable action name (``segment.started``) or one of the product's promised
sentences; values are fields: ``log.info("segment.started", extra={"room": room, "segment": 1})``.
No text of a client can end a line or colour a terminal, and no message contains a user's name.

Log file for each recording, in addition to the log of the process: the lines of its job.

``of_recording`` assigns lines to a recording; a ``RecordingLogs`` handler, where installed, appends
them to ``<folder>/<name>.log``. A log that cannot be written never delays its job: one thread
writes all files, no task waits for it, and a full queue drops lines.
"""

import errno
import json
import logging
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import Full, Queue
from threading import Thread
from typing import Final, Literal, Protocol

from sfu_wrapper.core.naming import quote_filename
from sfu_wrapper.model.trace import TraceContext

ROOT = "sfu_wrapper"  # the logger above all of ours

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
# Standard attributes of a record; all others are the fields of the event.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_PLAIN = re.compile(r"[^\s\"=\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_Write = Callable[[str, str, str, Mapping[str, object]], str]


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Settings of the log.

    Attributes:
        level: ``debug``, ``info``, ``warn``, ``warning`` or ``error``; libraries log warnings only.
        format: readable lines or JSON.
        folders: folders to strip from the beginning of paths.
    """

    level: str = "debug"
    format: Literal["text", "json"] = "text"
    folders: tuple[Path, ...] = ()


class Stream(Protocol):
    """Destination of log lines."""

    def write(self, text: str, /) -> object:
        """Write text."""
        ...

    def flush(self) -> object:
        """Flush written text."""
        ...


def set_up(settings: LogSettings, stream: Stream | None = None) -> None:
    """Log to ``stream`` (default: standard error), in place of any earlier set-up."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter(settings))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(ROOT).setLevel(_LEVELS[settings.level])


def formatter(settings: LogSettings) -> logging.Formatter:
    """Return a formatter as configured, for further handlers (the log of one recording)."""
    shorten = _Shortener(settings.folders)
    return _Lines(shorten, _json if settings.format == "json" else _text)


class _Shortener:
    """Makes paths relative to their configured folders."""

    def __init__(self, folders: Iterable[Path]) -> None:
        names = {str(form) for path in folders for form in (path, path.absolute())} - {".", "/"}
        longest_first = sorted(names, key=len, reverse=True)
        choice = "|".join(re.escape(name) for name in longest_first)
        self._folder = re.compile(rf"(?<![\w./-])(?:{choice})/") if names else None

    def __call__(self, text: str) -> str:
        return self._folder.sub("", text) if self._folder else text


class _Lines(logging.Formatter):
    """Formatter that passes the parts of a record to ``write``, which joins them to one line."""

    def __init__(self, shorten: _Shortener, write: _Write) -> None:
        super().__init__()
        self._shorten = shorten
        self._write = write

    def format(self, record: logging.LogRecord) -> str:
        fields = {k: self._value(v) for k, v in vars(record).items() if k not in _OWN}
        trace_id = _trace_id.get()
        if trace_id is not None:
            fields["trace_id"] = trace_id
        if record.exc_info:
            fields["exception"] = self._shorten(self.formatException(record.exc_info))
        message = self._shorten(record.getMessage())
        return self._write(_time(record.created), _level(record.levelno), message, fields)

    def _value(self, value: object) -> object:
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self._value(entry) for entry in value]
        if isinstance(value, Mapping):
            return {str(key): self._value(entry) for key, entry in value.items()}
        return self._shorten(str(value))


def _text(time: str, level: str, message: str, fields: Mapping[str, object]) -> str:
    """Format ``2020-05-25T07:42:28.633Z info  segment.started room=60315b4f segment=1``."""
    words = [time, level.ljust(5), one_line(message)]
    words += [f"{name}={_word(value)}" for name, value in fields.items()]
    return " ".join(words)


def _json(time: str, level: str, message: str, fields: Mapping[str, object]) -> str:
    """Format one JSON object; a field named as one of ours gets an underscore."""
    line = {"time": time, "level": level, "message": message}
    extra = {f"{name}_" if name in line else name: fields[name] for name in fields}
    return json.dumps({**line, **extra}, default=str)


def _time(created_s: float) -> str:
    moment = datetime.fromtimestamp(created_s, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def _level(number: int) -> str:
    return "warn" if number == logging.WARNING else logging.getLevelName(number).lower()


def one_line(text: str) -> str:
    """Escape control characters, so that the text is safe for a terminal and stays on one line."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _word(value: object) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return one_line(value)
    return one_line(json.dumps(value, ensure_ascii=False, default=str))


MAX_BYTES: Final = 1 << 20
MAX_WAITING: Final = 10_000  # queued lines
_LAST_LINES_S: Final = 2.0  # for the queue to empty at the end
_FULL: Final = b"... log truncated: it has reached its maximum size\n"

_name: ContextVar[str | None] = ContextVar("recording", default=None)
_trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)

log = logging.getLogger(__name__)


@contextmanager
def of_recording(name: str, trace: TraceContext | None = None) -> Iterator[None]:
    """Assign the lines logged in this context, its tasks and its threads to a recording.

    With ``trace`` they have the id of that trace as ``trace_id``.
    """
    token = _name.set(name)
    trace_token = _trace_id.set(None if trace is None else trace.trace_id)
    try:
        yield
    finally:
        _trace_id.reset(trace_token)
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
            self._lines.put_nowait((f"{quote_filename(name)}.log", self.format(record) + "\n"))
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

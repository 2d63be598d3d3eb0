"""Flags, settings and output common to all commands.

Progress bar on the last line of a terminal; log lines appear above it.

Signals that request a stop.
"""

import asyncio
import json
import logging
import os
import signal
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sfu_wrapper.config.catalogue import known_keys
from sfu_wrapper.config.load import Loaded, read
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.core.estimate import ProgressSnapshot
from sfu_wrapper.model.errors import Misconfigured
from sfu_wrapper.observe import logs
from sfu_wrapper.observe.logs import Stream

DONE: Final = 0
FAILED: Final = 1  # refused or failed
USAGE: Final = 2
TRY_AGAIN: Final = 75  # EX_TEMPFAIL of sysexits.h

log = logging.getLogger(__name__)


def add_common(parser: ArgumentParser) -> None:
    """Add ``--config`` and ``--json``, accepted anywhere on the command line."""
    parser.add_argument(
        "--config",
        metavar="DIR",
        type=Path,
        default=SUPPRESS,
        help="folder of the configuration (default: config/, then /etc/sfu-wrapper/)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        default=SUPPRESS,
        help="one JSON object a line on standard output, and nothing else there",
    )


def config_dir(args: Namespace) -> Path | None:
    """Return the folder given with ``--config``, or None."""
    wished: Path | None = getattr(args, "config", None)
    return wished


def wants_json(args: Namespace) -> bool:
    """Return True for JSON on standard output."""
    return bool(getattr(args, "json", False))


def configured(args: Namespace) -> Loaded:
    """Read the configuration, with what ``--set`` changes. Raises Misconfigured."""
    overrides = getattr(args, "set", None) or ()
    _refuse_secrets(overrides)
    return read(config_dir(args), os.environ, overrides)


def _refuse_secrets(overrides: Sequence[str]) -> None:
    """Raise Misconfigured for a secret: every user of this machine can read command lines."""
    secrets = {key.name.lower(): key for key in known_keys().values() if key.secret}
    for name in (each.partition("=")[0].strip().lower() for each in overrides):
        if name in secrets:
            key = secrets[name]
            raise Misconfigured(
                f"--set {key.name}: every user of this machine can read command lines; "
                f"name a file in {key.variable}_FILE"
            )


def start(args: Namespace, stream: logs.Stream | None = None) -> Settings:
    """Read the configuration and set up logging; log notes about the configuration first.

    Args:
        args: the parsed command line.
        stream: destination of the log; None: standard error.
    """
    loaded = configured(args)
    logs.set_up(log_settings(loaded.settings), stream)
    for note in loaded.notes:
        log.warning("config.note", extra={"note": note})
    return loaded.settings


def log_settings(settings: Settings) -> logs.LogSettings:
    """Return the settings of the log."""
    recording = settings.recording
    folders = (
        recording.recordings_path,
        recording.audio_path,
        recording.destination_path,
        recording.logs_path,
    )
    relative = folders if settings.log.relative_paths else ()
    return logs.LogSettings(settings.log.level, settings.log.format, relative)


def emit(args: Namespace, text: str, /, **fields: object) -> None:
    """Print one item on standard output: ``text``, or ``fields`` as JSON with ``--json``."""
    shown = "\n".join(map(plain, text.split("\n")))
    print(json.dumps(fields, default=str) if wants_json(args) else shown, flush=True)


def plain(text: str) -> str:
    """Return a text with every unprintable character escaped.

    Ids, names and reasons come from clients: they must neither control the terminal of an operator
    nor write lines of their own.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


_PLAIN_WIDTH: Final = 200  # columns of a table that is not shown on a terminal


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table. Cells are wrapped, never cut, so that an id can be copied."""
    from rich.console import Console  # here: it takes a quarter of a second to load
    from rich.table import Table

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=number == 0)
    for row in rows:
        table.add_row(*map(plain, row))
    console.print(table)


_WIDTH: Final = 30
_CLEAR: Final = "\r\033[K"  # back to the beginning of the line, and erase it


class ProgressBar:
    """Progress bar, and a stream for log lines meanwhile."""

    def __init__(self, terminal: Stream) -> None:
        self._terminal = terminal
        self._line = ""

    def show(self, standing: ProgressSnapshot) -> None:
        """Draw the bar for this progress of a segment."""
        self.draw(standing.stage, standing.percent, standing.eta_s)

    def draw(self, what: str, percent: float, eta_s: float) -> None:
        """Draw the bar: what is done, its share in percent, and the seconds that are left."""
        filled = int(_WIDTH * percent / 100)
        bar = "#" * filled + "." * (_WIDTH - filled)
        self._draw(f"{what:<10} [{bar}] {percent:3.0f} %, {clock(eta_s)} left")

    def clear(self) -> None:
        """Erase the bar."""
        self._draw("")

    def write(self, text: str, /) -> object:
        """Write whole lines above the bar."""
        return self._terminal.write(f"{_CLEAR}{text}{self._line}" if self._line else text)

    def flush(self) -> object:
        """Flush the terminal."""
        return self._terminal.flush()

    def _draw(self, line: str) -> None:
        if line != self._line:
            self._terminal.write(f"{_CLEAR}{line}")
            self._terminal.flush()
        self._line = line


def clock(seconds: float) -> str:
    """Format seconds as ``5:09`` or ``1:05:09``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Yield an event that SIGTERM or SIGINT sets; a second one ends the process at once.

    Enter it before anything reports that it is ready: until then a signal ends the process as it
    would by default, without draining.
    """
    loop = asyncio.get_running_loop()
    requested = asyncio.Event()

    def request() -> None:
        requested.set()
        restore()

    def restore() -> None:
        for number in _SIGNALS:
            with suppress(ValueError):
                loop.remove_signal_handler(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, request)
    try:
        yield requested
    finally:
        restore()


async def stop_requested() -> None:
    """Wait for SIGTERM or SIGINT."""
    with stop_signals() as requested:
        await requested.wait()

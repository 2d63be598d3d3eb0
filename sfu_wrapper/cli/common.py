"""Flags, settings and output common to all commands."""

import json
import logging
import os
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sfu_wrapper.config.catalogue import known_keys
from sfu_wrapper.config.load import Loaded, read
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Misconfigured
from sfu_wrapper.observe import logs

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
    line = json.dumps(fields, default=str) if wants_json(args) else text
    print(line, flush=True)

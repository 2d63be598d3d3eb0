"""``sfu-wrapper``: find the command, run it, map errors to exit codes.

A command is a module with ``add_arguments(parser)`` and ``run(args) -> exit code``. Only the
modules of commands named on the command line are imported, so that light commands start fast.
"""

import gc
import os
import sys
import warnings
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final, Protocol, cast

from sfu_wrapper import __version__
from sfu_wrapper.cli import common
from sfu_wrapper.model.errors import RecordingError

_PRIVATE: Final = 0o077  # what we write is for our own user alone: files 0600, folders 0700


class CommandModule(Protocol):
    """Interface of a command's module."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments; ``--config`` and ``--json`` exist already."""
        ...

    def run(self, args: Namespace) -> int:
        """Run the command and return its exit code. Raises RecordingError."""
        ...


@dataclass(frozen=True, slots=True)
class Command:
    """Command; its module is ``sfu_wrapper.cli.<name>``."""

    name: str
    help: str

    def module(self) -> CommandModule:
        """Import the module without garbage collections: imports leave hardly any garbage."""
        gc.disable()
        try:
            return cast("CommandModule", import_module(f"sfu_wrapper.cli.{self.name}"))
        finally:
            gc.enable()


COMMANDS = (
    Command("serve", "the controller: decides and drives recording"),
    Command("worker", "the recording service: turns raw media into finished files"),
    Command("demo", "a recorded call from beginning to end, on this machine only"),
    Command("simulate", "play scenarios of calls, and check what comes"),
    Command("process", "post-process one recordingInfo without a broker"),
    Command("token", "create a token for tests and scripts"),
    Command("explain", "explain why a call of a user would or would not be recorded"),
    Command("queues", "show the queues of the broker, and empty those of results"),
    Command("permissions", "get, set or delete stored permissions to record"),
    Command("webhooks", "list webhooks and their deliveries, test them, send again"),
    Command("audit", "show, verify and export the log of who asked for what"),
    Command("recordings", "delete, hold or erase recordings, verify their evidence"),
    Command("doctor", "check an installation and print the actions to take"),
    Command("config", "check, show or describe the configuration"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        Exit code: 0 done, 1 refused or failed, 75 try again later.

    Raises:
        SystemExit: with 2 for wrong usage, with 0 after ``--help`` and ``--version``.
    """
    # ``config.rules`` reports short keys, in ``config check`` and at start-up.
    warnings.filterwarnings("ignore", message="The HMAC key is .* bytes long")
    args = parser(sys.argv[1:] if argv is None else argv).parse_args(argv)
    before = os.umask(_PRIVATE)
    try:
        return cast("CommandModule", args.command).run(args)
    except RecordingError as exc:
        return _failed(args, exc)
    except KeyboardInterrupt:
        print("sfu-wrapper: interrupted", file=sys.stderr)
        return common.FAILED
    except BrokenPipeError:
        # The reader of our output has exited; the interpreter would raise on closing it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return common.FAILED
    finally:
        os.umask(before)


def parser(argv: Sequence[str]) -> ArgumentParser:
    """Return the parser for this command line, with the arguments of the named commands."""
    top = ArgumentParser(
        prog="sfu-wrapper",
        description="The recording side of a WebRTC calling platform.",
        epilog="exit codes: 0 done, 1 refused or failed, 2 wrong usage, 75 try again later",
        formatter_class=RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"sfu-wrapper {__version__}")
    common.add_common(top)
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        inner = commands.add_parser(command.name, help=command.help, description=command.help)
        common.add_common(inner)
        if command.name in argv:
            module = command.module()
            module.add_arguments(inner)
            inner.set_defaults(command=module)
    return top


def _failed(args: Namespace, error: RecordingError) -> int:
    print(f"sfu-wrapper: {error.code}: {error.detail}", file=sys.stderr)
    if common.wants_json(args):
        common.emit(args, "", error={"code": error.code, "message": error.detail})
    return common.TRY_AGAIN if error.retryable else common.FAILED

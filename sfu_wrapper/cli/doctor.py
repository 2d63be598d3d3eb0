"""``sfu-wrapper doctor``: looks at an installation and says, line by line, what is to be done.

What it looks at stands in ``checks.catalogue``.
"""

import asyncio
import os
from argparse import ArgumentParser, Namespace

from sfu_wrapper.cli import common
from sfu_wrapper.cli.checks.catalogue import CHECKS
from sfu_wrapper.cli.checks.examine import examine
from sfu_wrapper.cli.checks.finding import Finding, Status, good, odd, wrong
from sfu_wrapper.config.load import Loaded, inspect
from sfu_wrapper.config.settings import Settings


def add_arguments(parser: ArgumentParser) -> None:
    """Nothing of its own: everything is configuration."""


def run(args: Namespace) -> int:
    """Look at everything; 1 where something is wrong."""
    result = inspect(common.config_dir(args), os.environ)
    if not isinstance(result, Loaded):
        for problem in result:
            _tell(args, "configuration", wrong(str(problem), "mend it; the rest waits for that"))
        return common.FAILED
    if result.folder is None:
        _tell(args, "configuration", odd("no folder found", "built-in defaults count; --config"))
    else:
        _tell(args, "configuration", good(f"read from {result.folder}"))
    return asyncio.run(_look(args, result.settings))


async def _look(args: Namespace, settings: Settings) -> int:
    code = common.DONE
    async for name, finding in examine(settings, CHECKS):
        _tell(args, name, finding)
        if finding.status is Status.WRONG:
            code = common.FAILED
    return code


def _tell(args: Namespace, name: str, finding: Finding) -> None:
    advice = f" -> {finding.advice}" if finding.advice else ""
    text = " ".join(f"{finding.text}{advice}".split())  # a line, whatever others put into it
    common.emit(
        args,
        f"{finding.status:<8} {name:<13} {text}",
        check=name,
        status=finding.status,
        text=finding.text,
        advice=finding.advice,
    )

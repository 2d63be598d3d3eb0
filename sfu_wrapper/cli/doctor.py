"""``sfu-wrapper doctor``: check an installation and print the actions to take, line by line.

``checks.catalogue`` lists the checks.
"""

import asyncio
import os
from argparse import ArgumentParser, Namespace

from sfu_wrapper.cli import common
from sfu_wrapper.cli.checks.catalogue import CHECKS
from sfu_wrapper.cli.checks.report import Finding, Status, examine, good, odd, wrong
from sfu_wrapper.config.load import Loaded, inspect
from sfu_wrapper.config.settings import Settings


def add_arguments(parser: ArgumentParser) -> None:
    """Add no arguments: the configuration defines everything."""


def run(args: Namespace) -> int:
    """Run all checks; return 1 if any finding is ``wrong``."""
    result = inspect(common.config_dir(args), os.environ)
    if not isinstance(result, Loaded):
        for problem in result:
            _report(args, "configuration", wrong(str(problem), "fix it; no other check has run"))
        return common.FAILED
    if result.folder is None:
        advice = "built-in defaults apply; set --config to change that"
        _report(args, "configuration", odd("no folder found", advice))
    else:
        _report(args, "configuration", good(f"read from {result.folder}"))
    return asyncio.run(_check(args, result.settings))


async def _check(args: Namespace, settings: Settings) -> int:
    code = common.DONE
    async for name, finding in examine(settings, CHECKS):
        _report(args, name, finding)
        if finding.status is Status.WRONG:
            code = common.FAILED
    return code


def _report(args: Namespace, name: str, finding: Finding) -> None:
    advice = f" -> {finding.advice}" if finding.advice else ""
    text = " ".join(f"{finding.text}{advice}".split())  # peers may send line breaks
    common.emit(
        args,
        f"{finding.status:<8} {name:<13} {text}",
        check=name,
        status=finding.status,
        text=finding.text,
        advice=finding.advice,
    )

"""``sfu-wrapper doctor``: check an installation and print the actions to take, line by line.

``CHECKS`` lists the checks in the order of the report. To add one, write
``async def check_subject(settings) -> AsyncIterator[Finding]`` in the module of its topic and
append it here; the check of a media server comes from ``app.planes``. No check leaves a change at a
peer.
"""

import asyncio
import os
from argparse import ArgumentParser, Namespace
from typing import Final

from sfu_wrapper.app.planes import server_checks
from sfu_wrapper.cli import common
from sfu_wrapper.cli.doctor import brokers, clock, media, services, settings
from sfu_wrapper.cli.doctor.report import Check, run_checks
from sfu_wrapper.config.load import Loaded, inspect
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.observe.findings import Finding, Status, ok, warning, wrong

CHECKS: Final = (
    Check("tools", settings.check_runtime),
    Check("configuration", settings.check_combinations),
    Check("clock", clock.check_clock),
    Check("tokens", settings.check_token_keys),
    Check("database", services.check_database),
    Check("broker", brokers.check_broker),
    Check("media", media.check_planes),
    *(Check(name, run) for name, run in server_checks().items()),
    Check("callpage", settings.check_browser_access),
    Check("folders", services.check_folders),
    Check("storage", services.check_object_store),
    Check("encryption", settings.check_encryption),
    Check("audit", settings.check_audit_key),
    Check("confinement", media.check_confinement),
)


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
        _report(args, "configuration", warning("no folder found", advice))
    else:
        _report(args, "configuration", ok(f"read from {result.folder}"))
    return asyncio.run(_run(args, result.settings))


async def _run(args: Namespace, configured: Settings) -> int:
    code = common.DONE
    async for name, finding in run_checks(configured, CHECKS):
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

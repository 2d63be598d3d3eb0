"""Check of the configuration as a whole: combinations that deserve a warning."""

from collections.abc import AsyncIterator

from sfu_wrapper.cli.checks.report import Finding, good, odd
from sfu_wrapper.config import rules
from sfu_wrapper.config.settings import Settings


async def look(settings: Settings) -> AsyncIterator[Finding]:
    """Report warnings; conflicts prevent a start and were reported before."""
    found = list(rules.warnings(settings))
    for text in found:
        yield odd(text, "see docs/reference/configuration.md")
    if settings.permissions.user_may_write:
        yield odd(
            "permissions.userMayWrite = true: a user's own permission overrides its domain's",
            "set it to false if the domain must decide",
        )
    if settings.media.simulated_faults:
        yield odd("media.simulatedFaults is set: recording fails on purpose", "unset it")
    if not found:
        yield good("no conflicts")

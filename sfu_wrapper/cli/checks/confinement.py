"""Check of the confinement of processes that read media, as this system allows it."""

from collections.abc import AsyncIterator, Iterator

from sfu_wrapper.adapters.os.confinement import Confinement, Policy, probe
from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.cli.checks.report import Finding, good, odd, wrong
from sfu_wrapper.config.settings import Settings

_WITHOUT = {
    "files": "can open every file of this user",
    "network": "can use the network",
    "privileges": "can gain privileges",
}
_ADVICE = 'see docs/explanation/security.md, "Media processes"'


async def look(settings: Settings) -> AsyncIterator[Finding]:
    """Confine a test process the way a media process would be."""
    policy = settings.worker.confinement
    if policy == "off":
        text = "media processes are not confined (worker.confinement = off)"
        yield odd(text, "set it to prefer or require")
        return
    for finding in judge(policy, await run_in_daemon_thread(probe)):
        yield finding


def judge(policy: Policy, found: Confinement) -> Iterator[Finding]:
    """Yield one finding for each restriction, in force or not."""
    kept = {"files": found.files, "network": found.network, "privileges": found.privileges}
    for name, means in kept.items():
        if means:
            yield good(f"media processes, {name}: restricted by {', '.join(means)}")
            continue
        text = f"media processes {_WITHOUT[name]} ({'; '.join(found.refused)})"
        yield wrong(text, _ADVICE) if policy == "require" else odd(text, _ADVICE)

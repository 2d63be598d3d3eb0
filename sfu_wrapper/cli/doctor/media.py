"""Checks of the media planes and of the confinement of the processes that read their files.

Media servers are checked by ``app.planes``, which knows all planes.
"""

from collections.abc import AsyncIterator, Iterator

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.os.confinement import Confinement, Policy, probe
from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.app.planes import PLANES, media_plane
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Misconfigured
from sfu_wrapper.observe.findings import Finding, ok, warning, wrong

_UNCONFINED = {
    "files": "can open every file of this user",
    "network": "can use the network",
    "privileges": "can gain privileges",
}
_SEE = 'see docs/explanation/security.md, "Media processes"'


async def check_planes(settings: Settings) -> AsyncIterator[Finding]:
    """Create both as the controller does, without any connection."""
    media = settings.media
    try:
        media_plane(settings, SystemClock())
    except Misconfigured as error:
        yield wrong(error.detail, "change media.sfu or media.mixer")
        return
    for key, name in (("sfu", media.sfu), ("mixer", media.mixer)):
        caution = PLANES[name].caution
        if caution is None:
            yield ok(f"{key} {name}")
        else:
            text, advice = caution
            yield warning(f"{key} {text}", advice)


async def check_confinement(settings: Settings) -> AsyncIterator[Finding]:
    """Confine a test process the way a media process would be."""
    policy = settings.worker.confinement
    if policy == "off":
        text = "media processes are not confined (worker.confinement = off)"
        yield warning(text, "set it to prefer or require")
        return
    for finding in judge_confinement(policy, await run_in_daemon_thread(probe)):
        yield finding


def judge_confinement(policy: Policy, found: Confinement) -> Iterator[Finding]:
    """Yield one finding for each restriction, in force or not."""
    kept = {"files": found.files, "network": found.network, "privileges": found.privileges}
    for name, means in kept.items():
        if means:
            yield ok(f"media processes, {name}: restricted by {', '.join(means)}")
            continue
        text = f"media processes {_UNCONFINED[name]} ({'; '.join(found.refused)})"
        yield wrong(text, _SEE) if policy == "require" else warning(text, _SEE)

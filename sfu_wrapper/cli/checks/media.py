"""Check of the configured SFU and mixer: supported by this version.

The checks of each plane inspect the servers themselves.
"""

from collections.abc import AsyncIterator
from typing import Final

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.app.planes import media_plane
from sfu_wrapper.cli.checks.report import Finding, good, odd, wrong
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Misconfigured

_NOT_REAL: Final = {
    "simulated": ("is simulated: its media are synthetic", "configure a real one for real calls"),
    "none": ("is managed by another system, which must record", "verify that it records"),
}


async def look(settings: Settings) -> AsyncIterator[Finding]:
    """Create both as the controller does, without any connection."""
    media = settings.media
    try:
        media_plane(settings, SystemClock())
    except Misconfigured as error:
        yield wrong(error.detail, "change media.sfu or media.mixer")
        return
    for key, name in (("sfu", media.sfu), ("mixer", media.mixer)):
        if name in _NOT_REAL:
            text, advice = _NOT_REAL[name]
            yield odd(f"{key} {text}", advice)
        else:
            yield good(f"{key} {name}")

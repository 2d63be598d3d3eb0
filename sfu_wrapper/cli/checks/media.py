"""What carries and writes the media: whether this version drives it. What it is like itself, the
checks of the planes say.
"""

from collections.abc import AsyncIterator
from typing import Final

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.cli.checks.finding import Finding, good, odd, wrong
from sfu_wrapper.cli.planes import media_plane
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Misconfigured

_NOT_REAL: Final = {
    "simulated": ("is simulated: what it writes was never said", "name a real one for real calls"),
    "none": ("is another system's: nothing is recorded by us", "see that it records"),
}


async def look(settings: Settings) -> AsyncIterator[Finding]:
    """Both as the controller would make them; nothing is contacted."""
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

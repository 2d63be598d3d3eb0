"""Asterisk, where it is the mixer: reachable, permitted, and set up so that it writes files."""

from collections.abc import AsyncIterator
from typing import Final

from sfu_wrapper.adapters.asterisk.ami import Declined
from sfu_wrapper.adapters.asterisk.inspect import inspect
from sfu_wrapper.cli.checks.finding import Finding, good, odd, wrong
from sfu_wrapper.cli.planes import asterisk_settings
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Unavailable

_NEEDED: Final = {
    "ConfbridgeStopRecord": "nothing can be recorded -> write = system",
    "ConfbridgeListRooms": "calls that came without a link are not found -> write = reporting",
    "Hangup": "phones stay when their room has ended -> write = call",
}


async def look(settings: Settings) -> AsyncIterator[Finding]:
    """Nothing is recorded and nothing changed."""
    if settings.media.mixer != "asterisk":
        return
    asterisk = asterisk_settings(settings)
    where = f"{asterisk.ami.host}:{asterisk.ami.port}"
    try:
        found = await inspect(asterisk.ami)
    except Declined as declined:
        yield wrong(f"{where}: {declined.detail}", "compare asterisk.user and secret, manager.conf")
        return
    except (Unavailable, OSError) as error:
        yield wrong(f"{where}: {error}", "start it, or mend asterisk.host and asterisk.port")
        return
    yield good(f"Asterisk {found.version or '(version not told)'} answers at {where}")
    for action in found.denied:
        what, _, advice = _NEEDED[action].partition(" -> ")
        yield wrong(f"may not {action}: {what}", f"manager.conf: {advice}")
    for module in found.missing:
        yield wrong(f"{module}.so is not loaded", "load it in modules.conf")
    for setting in found.misset:
        yield wrong(f"confbridge.conf, {setting}", "set it to no")
    yield _folder(settings)


def _folder(settings: Settings) -> Finding:
    ours = settings.recording.audio_path.absolute()
    theirs = settings.asterisk.audio_path or str(ours)
    if not settings.asterisk.folder_shared:
        text = f"its files in {theirs} are not seen, so its word is taken for them"
        return odd(text, "share the folder, and set asterisk.folderShared")
    if not ours.is_dir():
        return wrong(f"audio_path {ours} is not there", f"share Asterisk's folder {theirs} there")
    return good(f"audio_path {ours} is its {theirs}; a recording shows whether that is so")

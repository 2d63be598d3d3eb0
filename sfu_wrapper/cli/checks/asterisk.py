"""Check of Asterisk as the mixer: reachable, permitted, configured to write files."""

from collections.abc import AsyncIterator
from typing import Final

from sfu_wrapper.adapters.asterisk.ami import Declined
from sfu_wrapper.adapters.asterisk.inspect import inspect
from sfu_wrapper.app.planes import asterisk_settings
from sfu_wrapper.cli.checks.report import Finding, good, odd, wrong
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Unavailable

_NEEDED: Final = {
    "ConfbridgeStopRecord": "recording is impossible -> write = system",
    "ConfbridgeListRooms": "calls that arrived during an outage stay unknown -> write = reporting",
    "Hangup": "phones stay connected after the end of their room -> write = call",
}


async def look(settings: Settings) -> AsyncIterator[Finding]:
    """Inspect Asterisk without recording or changing anything."""
    if settings.media.mixer != "asterisk":
        return
    asterisk = asterisk_settings(settings)
    where = f"{asterisk.ami.host}:{asterisk.ami.port}"
    try:
        found = await inspect(asterisk.ami)
    except Declined as declined:
        yield wrong(
            f"{where}: {declined.detail}",
            "compare asterisk.user and asterisk.secret with manager.conf",
        )
        return
    except (Unavailable, OSError) as error:
        yield wrong(f"{where}: {error}", "start it, or correct asterisk.host and asterisk.port")
        return
    yield good(f"Asterisk {found.version or '(unknown version)'} answers at {where}")
    for action in found.denied:
        what, _, advice = _NEEDED[action].partition(" -> ")
        yield wrong(f"action {action} is not permitted: {what}", f"manager.conf: {advice}")
    for module in found.missing:
        yield wrong(f"{module}.so is not loaded", "load it in modules.conf")
    for setting in found.misset:
        yield wrong(f"confbridge.conf, {setting}", "set it to no")
    yield _folder(settings)


def _folder(settings: Settings) -> Finding:
    ours = settings.recording.audio_path.absolute()
    theirs = settings.asterisk.audio_path or str(ours)
    if not settings.asterisk.folder_shared:
        text = f"folder {theirs} is not shared: the reports of Asterisk are not verified"
        return odd(text, "share the folder, and set asterisk.folderShared")
    if not ours.is_dir():
        return wrong(f"audio_path {ours} not found", f"mount Asterisk's folder {theirs} there")
    return good(f"audio_path {ours} is {theirs} at Asterisk; a test recording verifies that")

"""Checks of the media planes and of the confinement of the processes that read their files.

The check of a plane yields nothing where the plane is not configured, and records nothing.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from sfu_wrapper.adapters.asterisk.ami import Declined
from sfu_wrapper.adapters.asterisk.inspect import inspect as inspect_asterisk
from sfu_wrapper.adapters.janus.errors import JanusRefused, Trouble
from sfu_wrapper.adapters.janus.room import MakeRoom, try_room, version
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.os.confinement import Confinement, Policy, probe
from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.app.planes import asterisk_settings, janus_address, janus_room_makers, media_plane
from sfu_wrapper.cli.doctor.report import Finding, ok, warning, wrong
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Misconfigured, Unavailable

_NOT_REAL: Final = {
    "simulated": ("is simulated: its media are synthetic", "configure a real one for real calls"),
    "none": ("is managed by another system, which must record", "verify that it records"),
}
_NO_PLUGIN: Final = 460
_MISSING_ELEMENT: Final = (429, 483)
_INVALID_ELEMENT: Final = (430, 484)
_UNAUTHORIZED: Final = "compare janus.apiSecret with api_secret in janus.jcfg"
_ASTERISK_ACTIONS: Final = {
    "ConfbridgeStopRecord": "recording is impossible -> write = system",
    "ConfbridgeListRooms": "calls that arrived during an outage stay unknown -> write = reporting",
    "Hangup": "phones stay connected after the end of their room -> write = call",
}
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
        if name in _NOT_REAL:
            text, advice = _NOT_REAL[name]
            yield warning(f"{key} {text}", advice)
        else:
            yield ok(f"{key} {name}")


async def check_janus(settings: Settings) -> AsyncIterator[Finding]:
    """Create and destroy a room, without recording anything."""
    makers = janus_room_makers(settings)
    if not makers:
        return
    address = janus_address(settings)
    try:
        found = await version(address)
    except Unavailable as error:
        yield wrong(f"{address.url}: {error.detail}", "start Janus, or correct janus.url")
        return
    except JanusRefused as refused:
        yield wrong(f"{address.url}: {refused.detail}", _UNAUTHORIZED)
        return
    yield ok(f"Janus {found or '(unknown version)'} answers at {address.url}")
    for name, (make_room, ours, theirs) in makers.items():
        yield await _janus_room(settings, name, make_room)
        yield _janus_folder(name, ours, theirs)


async def _janus_room(settings: Settings, name: str, make_room: MakeRoom) -> Finding:
    try:
        await try_room(janus_address(settings), make_room)
    except JanusRefused as refused:
        return wrong(f"{name}: {refused.detail}", _janus_advice(name, refused))
    except Unavailable as error:
        return wrong(f"{name}: {error.detail}", "see the log of Janus")
    return ok(f"{name}: a room can be created, joined and destroyed")


def _janus_advice(name: str, refused: JanusRefused) -> str:
    file = f"janus.plugin.{name.lower()}.jcfg"
    if refused.number == _NO_PLUGIN:
        return "install and enable the plugin"
    if refused.number in _INVALID_ELEMENT:
        return f"{file}: string_ids = true"
    if refused.trouble is Trouble.UNAUTHORIZED or refused.number in _MISSING_ELEMENT:
        return f"compare janus.adminKey with admin_key in {file}"
    return "see the log of Janus"


def _janus_folder(name: str, ours: Path, theirs: Path) -> Finding:
    if not ours.is_dir():
        return wrong(f"{name}: {ours} not found", f"mount the folder {theirs} of Janus there")
    text = f"{name}: {ours} is {theirs} at Janus; a test recording verifies that"
    return ok(text)


async def check_asterisk(settings: Settings) -> AsyncIterator[Finding]:
    """Inspect Asterisk without recording or changing anything."""
    if settings.media.mixer != "asterisk":
        return
    asterisk = asterisk_settings(settings)
    where = f"{asterisk.ami.host}:{asterisk.ami.port}"
    try:
        found = await inspect_asterisk(asterisk.ami)
    except Declined as declined:
        yield wrong(
            f"{where}: {declined.detail}",
            "compare asterisk.user and asterisk.secret with manager.conf",
        )
        return
    except (Unavailable, OSError) as error:
        yield wrong(f"{where}: {error}", "start it, or correct asterisk.host and asterisk.port")
        return
    yield ok(f"Asterisk {found.version or '(unknown version)'} answers at {where}")
    for action in found.denied:
        what, _, advice = _ASTERISK_ACTIONS[action].partition(" -> ")
        yield wrong(f"action {action} is not permitted: {what}", f"manager.conf: {advice}")
    for module in found.missing:
        yield wrong(f"{module}.so is not loaded", "load it in modules.conf")
    for setting in found.misset:
        yield wrong(f"confbridge.conf, {setting}", "set it to no")
    yield _asterisk_folder(settings)


def _asterisk_folder(settings: Settings) -> Finding:
    ours = settings.recording.audio_path.absolute()
    theirs = settings.asterisk.audio_path or str(ours)
    if not settings.asterisk.folder_shared:
        text = f"folder {theirs} is not shared: the reports of Asterisk are not verified"
        return warning(text, "share the folder, and set asterisk.folderShared")
    if not ours.is_dir():
        return wrong(f"audio_path {ours} not found", f"mount Asterisk's folder {theirs} there")
    return ok(f"audio_path {ours} is {theirs} at Asterisk; a test recording verifies that")


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

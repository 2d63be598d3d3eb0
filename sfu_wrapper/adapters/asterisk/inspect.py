"""Checks of a running Asterisk for ``doctor``: rights of the user, modules, bridge profiles.

Nothing is recorded, hung up or changed: the probes name a conference and a channel that do not
exist.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Final

from sfu_wrapper.adapters.asterisk.ami import Ami, AmiNews, AmiSettings, Answer, Declined
from sfu_wrapper.adapters.asterisk.folder import Folder
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.observe.findings import Finding, ok, warning, wrong

MODULES: Final = ("app_confbridge", "app_mixmonitor", "format_wav", "app_userevent")
_NOT_PERMITTED: Final = "Permission denied"
_LOADED_S: Final = 3.0  # a module that is not loaded by then is a finding
_PROBE_NAME: Final = "sfu-wrapper-doctor"
_LINE: Final = re.compile(r"Line-(\d+)-\d+", re.IGNORECASE)
_CATEGORY: Final = re.compile(r"Category-(\d+)", re.IGNORECASE)
_REQUIRED_IN_BRIDGE: Final = (("record_file_timestamp", "no"), ("record_conference", "no"))
_DEFAULTS: Final = {"record_file_timestamp": "yes", "record_conference": "no"}  # of Asterisk

# Action: effect of a missing right -> remedy.
_ACTIONS: Final = {
    "ConfbridgeStopRecord": "recording is impossible -> write = system",
    "ConfbridgeListRooms": "calls that arrived during an outage stay unknown -> write = reporting",
    "Hangup": "phones stay connected after the end of their room -> write = call",
}


@dataclass(frozen=True, slots=True)
class Found:
    """Result of ``inspect``.

    Attributes:
        version: Version of Asterisk.
        denied: Actions that the user has no right to.
        missing: Modules that are not loaded.
        wrong_settings: Settings of confbridge.conf that break recordings, as
            ``profile: key = value``.
    """

    version: str
    denied: tuple[str, ...]
    missing: tuple[str, ...]
    wrong_settings: tuple[str, ...]


async def check(ami: AmiSettings, folder: Folder) -> AsyncIterator[Finding]:
    """Yield the findings of ``doctor``, without recording or changing anything."""
    where = f"{ami.host}:{ami.port}"
    try:
        found = await inspect(ami)
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
        what, _, advice = _ACTIONS[action].partition(" -> ")
        yield wrong(f"action {action} is not permitted: {what}", f"manager.conf: {advice}")
    for module in found.missing:
        yield wrong(f"{module}.so is not loaded", "load it in modules.conf")
    for setting in found.wrong_settings:
        yield wrong(f"confbridge.conf, {setting}", "set it to no")
    yield _check_folder(folder)


def _check_folder(folder: Folder) -> Finding:
    if folder.ours is None:
        text = f"folder {folder.theirs} is not shared: the reports of Asterisk are not verified"
        return warning(text, "share the folder, and set asterisk.folderShared")
    if not folder.ours.is_dir():
        return wrong(
            f"audio_path {folder.ours} not found",
            f"mount Asterisk's folder {folder.theirs} there",
        )
    return ok(
        f"audio_path {folder.ours} is {folder.theirs} at Asterisk; a test recording verifies that"
    )


async def inspect(settings: AmiSettings) -> Found:
    """Log in and run all checks.

    Raises:
        Unavailable, Declined, OSError: The login failed.
    """
    ami = Ami(replace(settings, loaded_s=_LOADED_S))
    link = asyncio.create_task(ami.link())
    up = asyncio.create_task(_first(ami.news()))
    try:
        await asyncio.wait((link, up), return_when=asyncio.FIRST_COMPLETED)
        if link.done():
            link.result()
        return await _check(ami)
    finally:
        for task in (link, up):
            task.cancel()
        await asyncio.gather(link, up, return_exceptions=True)


async def _first(news: AsyncIterator[AmiNews]) -> AmiNews:
    return await anext(news)


async def _check(ami: Ami) -> Found:
    settings = await _try(ami, "CoreSettings")
    version = settings.message.get("AsteriskVersion") if isinstance(settings, Answer) else ""
    probes = (
        ("ConfbridgeStopRecord", ("Conference", _PROBE_NAME)),
        ("ConfbridgeListRooms", None),
        ("Hangup", ("Channel", _PROBE_NAME)),
    )
    denied = []
    for action, field in probes:
        if await _try(ami, action, *(() if field is None else (field,))) == _NOT_PERMITTED:
            denied.append(action)
    missing = [
        module
        for module in MODULES
        if (answer := await _try(ami, "ModuleCheck", ("Module", module))) != _NOT_PERMITTED
        and not isinstance(answer, Answer)
    ]
    config = await _try(ami, "GetConfig", ("Filename", "confbridge.conf"))
    wrong_settings = _wrong_settings(config) if isinstance(config, Answer) else ()
    return Found(version, tuple(denied), tuple(missing), wrong_settings)


async def _try(ami: Ami, action: str, *fields: tuple[str, str]) -> Answer | str:
    """Return the answer, or the text of a refusal."""
    try:
        return await ami.act(action, *fields)
    except Declined as declined:
        return declined.detail


def _wrong_settings(config: Answer) -> tuple[str, ...]:
    """Return the settings of bridge profiles that would change names or content of recordings."""
    names: dict[str, str] = {}
    values: dict[str, dict[str, str]] = {}
    for key, value in config.message.fields:
        if found := _CATEGORY.fullmatch(key):
            names[found[1]] = value
        elif found := _LINE.fullmatch(key):
            name, _, text = value.partition("=")
            values.setdefault(found[1], {})[name.strip().lower()] = text.strip().lower()
    return tuple(
        f"{names.get(number, number)}: {key} = {lines.get(key, _DEFAULTS[key])}"
        for number, lines in values.items()
        if lines.get("type") == "bridge"
        for key, wanted in _REQUIRED_IN_BRIDGE
        if lines.get(key, _DEFAULTS[key]) != wanted
    )

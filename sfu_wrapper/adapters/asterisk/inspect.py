"""A look at an Asterisk for ``doctor``: may we do what we have to, is it set up as it must be.

Nothing is recorded, hung up or changed: what is not there is asked to stop and to hang up.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.adapters.asterisk.ami import Ami, AmiNews, AmiSettings, Answer, Declined

MODULES: Final = ("app_confbridge", "app_mixmonitor", "format_wav", "app_userevent")
_NOT_PERMITTED: Final = "Permission denied"
_NOWHERE: Final = "sfu-wrapper-doctor"
_LINE: Final = re.compile(r"Line-(\d+)-\d+", re.IGNORECASE)
_CATEGORY: Final = re.compile(r"Category-(\d+)", re.IGNORECASE)
_WRONG_IN_BRIDGE: Final = (("record_file_timestamp", "no"), ("record_conference", "no"))
_DEFAULTS: Final = {"record_file_timestamp": "yes", "record_conference": "no"}


@dataclass(frozen=True, slots=True)
class Found:
    """What a look came to.

    version: of Asterisk. denied: actions that the user may not do. missing: modules that are not
    loaded. misset: settings of confbridge.conf that spoil recordings, as ``profile: key = value``.
    """

    version: str
    denied: tuple[str, ...]
    missing: tuple[str, ...]
    misset: tuple[str, ...]


async def inspect(settings: AmiSettings) -> Found:
    """Log in and look.

    Raises:
        Unavailable, Declined, OSError: no link, and why.
    """
    ami = Ami(settings)
    link = asyncio.create_task(ami.link())
    up = asyncio.create_task(_first(ami.news()))
    try:
        await asyncio.wait((link, up), return_when=asyncio.FIRST_COMPLETED)
        if link.done():
            link.result()
        return await _look(ami)
    finally:
        for task in (link, up):
            task.cancel()
        await asyncio.gather(link, up, return_exceptions=True)


async def _first(news: AsyncIterator[AmiNews]) -> AmiNews:
    return await anext(news)


async def _look(ami: Ami) -> Found:
    settings = await _try(ami, "CoreSettings")
    version = settings.message.get("AsteriskVersion") if isinstance(settings, Answer) else ""
    probes = (
        ("ConfbridgeStopRecord", ("Conference", _NOWHERE)),
        ("ConfbridgeListRooms", None),
        ("Hangup", ("Channel", _NOWHERE)),
    )
    denied = []
    for action, field in probes:
        if await _try(ami, action, *(() if field is None else (field,))) == _NOT_PERMITTED:
            denied.append(action)
    missing = [
        module
        for module in MODULES
        if (said := await _try(ami, "ModuleCheck", ("Module", module))) != _NOT_PERMITTED
        and not isinstance(said, Answer)
    ]
    config = await _try(ami, "GetConfig", ("Filename", "confbridge.conf"))
    misset = _misset(config) if isinstance(config, Answer) else ()
    return Found(version, tuple(denied), tuple(missing), misset)


async def _try(ami: Ami, action: str, *fields: tuple[str, str]) -> Answer | str:
    """The answer, or the words of a refusal."""
    try:
        return await ami.act(action, *fields)
    except Declined as declined:
        return declined.detail


def _misset(config: Answer) -> tuple[str, ...]:
    """Bridge profiles whose recordings would come out otherwise than they are asked for."""
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
        for key, wanted in _WRONG_IN_BRIDGE
        if lines.get(key, _DEFAULTS[key]) != wanted
    )

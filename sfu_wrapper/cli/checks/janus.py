"""Janus, where it is the SFU or the mixer: reachable, and rooms can be made there as for calls."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from sfu_wrapper.adapters.janus.errors import JanusRefused, Trouble
from sfu_wrapper.adapters.janus.inspect import MakeRoom, try_room, version
from sfu_wrapper.cli.checks.finding import Finding, good, wrong
from sfu_wrapper.cli.planes import janus_address, janus_room_makers
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Unavailable

_NO_PLUGIN: Final = 460
_MISSING_ELEMENT: Final = (429, 483)
_INVALID_ELEMENT: Final = (430, 484)
_UNAUTHORIZED: Final = "compare janus.apiSecret with api_secret in janus.jcfg"


async def look(settings: Settings) -> AsyncIterator[Finding]:
    """A room is made and destroyed; nothing is recorded."""
    makers = janus_room_makers(settings)
    if not makers:
        return
    address = janus_address(settings)
    try:
        found = await version(address)
    except Unavailable as error:
        yield wrong(f"{address.url}: {error.detail}", "start Janus, or mend janus.url")
        return
    except JanusRefused as refused:
        yield wrong(f"{address.url}: {refused.detail}", _UNAUTHORIZED)
        return
    yield good(f"Janus {found or '(version not told)'} answers at {address.url}")
    for name, (make_room, ours, theirs) in makers.items():
        yield await _room(settings, name, make_room)
        yield _folder(name, ours, theirs)


async def _room(settings: Settings, name: str, make_room: MakeRoom) -> Finding:
    try:
        await try_room(janus_address(settings), make_room)
    except JanusRefused as refused:
        return wrong(f"{name}: {refused.detail}", _advice(name, refused))
    except Unavailable as error:
        return wrong(f"{name}: {error.detail}", "look at the log of Janus")
    return good(f"{name}: a room can be made, entered and destroyed")


def _advice(name: str, refused: JanusRefused) -> str:
    file = f"janus.plugin.{name.lower()}.jcfg"
    if refused.number == _NO_PLUGIN:
        return "install and enable the plugin"
    if refused.number in _INVALID_ELEMENT:
        return f"{file}: string_ids = true"
    if refused.trouble is Trouble.UNAUTHORIZED or refused.number in _MISSING_ELEMENT:
        return f"compare janus.adminKey with admin_key in {file}"
    return "look at the log of Janus"


def _folder(name: str, ours: Path, theirs: Path) -> Finding:
    if not ours.is_dir():
        return wrong(f"{name}: {ours} is not there", f"share the folder {theirs} of Janus there")
    text = f"{name}: {ours} is {theirs} at Janus; a recording shows whether that is so"
    return good(text)

"""Check of Janus as the SFU or mixer: reachable, and rooms can be created as for calls."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from sfu_wrapper.adapters.janus.errors import JanusRefused, Trouble
from sfu_wrapper.adapters.janus.room import MakeRoom, try_room, version
from sfu_wrapper.app.planes import janus_address, janus_room_makers
from sfu_wrapper.cli.checks.report import Finding, good, wrong
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.model.errors import Unavailable

_NO_PLUGIN: Final = 460
_MISSING_ELEMENT: Final = (429, 483)
_INVALID_ELEMENT: Final = (430, 484)
_UNAUTHORIZED: Final = "compare janus.apiSecret with api_secret in janus.jcfg"


async def look(settings: Settings) -> AsyncIterator[Finding]:
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
    yield good(f"Janus {found or '(unknown version)'} answers at {address.url}")
    for name, (make_room, ours, theirs) in makers.items():
        yield await _room(settings, name, make_room)
        yield _folder(name, ours, theirs)


async def _room(settings: Settings, name: str, make_room: MakeRoom) -> Finding:
    try:
        await try_room(janus_address(settings), make_room)
    except JanusRefused as refused:
        return wrong(f"{name}: {refused.detail}", _advice(name, refused))
    except Unavailable as error:
        return wrong(f"{name}: {error.detail}", "see the log of Janus")
    return good(f"{name}: a room can be created, joined and destroyed")


def _advice(name: str, refused: JanusRefused) -> str:
    file = f"janus.plugin.{name.lower()}.jcfg"
    if refused.number == _NO_PLUGIN:
        return "install and enable the plugin"
    if refused.number in _INVALID_ELEMENT:
        return f"{file}: string_ids = true"
    if refused.trouble is Trouble.UNAUTHORIZED or refused.number in _MISSING_ELEMENT:
        return f"compare janus.adminKey with admin_key in {file}"
    return "see the log of Janus"


def _folder(name: str, ours: Path, theirs: Path) -> Finding:
    if not ours.is_dir():
        return wrong(f"{name}: {ours} not found", f"mount the folder {theirs} of Janus there")
    text = f"{name}: {ours} is {theirs} at Janus; a test recording verifies that"
    return good(text)

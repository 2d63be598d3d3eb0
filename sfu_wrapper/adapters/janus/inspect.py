"""Checks of a running Janus for ``doctor``: address, secrets, plugins and folders.

A room of each plugin in use is created, entered and destroyed; nothing is recorded.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.adapters.janus.errors import JanusRefused, Trouble
from sfu_wrapper.adapters.janus.room import MakeRoom, try_room, version
from sfu_wrapper.adapters.janus.session import JanusAddress
from sfu_wrapper.adapters.janus.settings import Folder
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.observe.findings import Finding, ok, wrong

_NO_PLUGIN: Final = 460
_MISSING_ELEMENT: Final = (429, 483)
_INVALID_ELEMENT: Final = (430, 484)
_UNAUTHORIZED: Final = "compare janus.apiSecret with api_secret in janus.jcfg"


@dataclass(frozen=True, slots=True)
class Plugin:
    """Plugin in use.

    Attributes:
        name: Its name, as in the name of its configuration file.
        make_room: Factory of a room, by the name of the room.
        folder: Folder for its recordings.
    """

    name: str
    make_room: MakeRoom
    folder: Folder


async def check(address: JanusAddress, plugins: Iterable[Plugin]) -> AsyncIterator[Finding]:
    """Yield the findings of ``doctor``: create and destroy a room, without recording anything."""
    try:
        found = await version(address)
    except Unavailable as error:
        yield wrong(f"{address.url}: {error.detail}", "start Janus, or correct janus.url")
        return
    except JanusRefused as refused:
        yield wrong(f"{address.url}: {refused.detail}", _UNAUTHORIZED)
        return
    yield ok(f"Janus {found or '(unknown version)'} answers at {address.url}")
    for plugin in plugins:
        yield await _check_room(address, plugin)
        yield _check_folder(plugin)


async def _check_room(address: JanusAddress, plugin: Plugin) -> Finding:
    name = plugin.name
    try:
        await try_room(address, plugin.make_room)
    except JanusRefused as refused:
        return wrong(f"{name}: {refused.detail}", _advice(name, refused))
    except Unavailable as error:
        return wrong(f"{name}: {error.detail}", "see the log of Janus")
    return ok(f"{name}: a room can be created, joined and destroyed")


def _advice(name: str, refused: JanusRefused) -> str:
    file = f"janus.plugin.{name.lower()}.jcfg"
    if refused.number == _NO_PLUGIN:
        return "install and enable the plugin"
    if refused.number in _INVALID_ELEMENT:
        return f"{file}: string_ids = true"
    if refused.trouble is Trouble.UNAUTHORIZED or refused.number in _MISSING_ELEMENT:
        return f"compare janus.adminKey with admin_key in {file}"
    return "see the log of Janus"


def _check_folder(plugin: Plugin) -> Finding:
    ours, theirs = plugin.folder.ours, plugin.folder.janus
    if not ours.is_dir():
        text, advice = f"{ours} not found", f"mount the folder {theirs} of Janus there"
        return wrong(f"{plugin.name}: {text}", advice)
    return ok(f"{plugin.name}: {ours} is {theirs} at Janus; a test recording verifies that")

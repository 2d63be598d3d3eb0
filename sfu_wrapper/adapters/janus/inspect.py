"""Checks of a running Janus for ``doctor``: read its version, create and destroy a room."""

import secrets
from collections.abc import Callable

from sfu_wrapper.adapters.janus.room import JanusRoom
from sfu_wrapper.adapters.janus.session import JanusAddress, open_session

MakeRoom = Callable[[str], JanusRoom]


async def version(address: JanusAddress) -> str:
    """Return the version of Janus. Raises Unavailable, JanusRefused."""
    async with open_session(address) as session:
        answer = await session.server_info()
    return str(answer.get("version_string", ""))


async def try_room(address: JanusAddress, make_room: MakeRoom) -> None:
    """Create a room as for a call, enter it and destroy it. Raises Unavailable, JanusRefused."""
    room = make_room(f"doctor-{secrets.token_hex(8)}")
    async with open_session(address) as session:
        handle = await session.attach(room.plugin)
        await room.make(handle)
        try:
            await room.watch(handle)
        finally:
            await room.destroy(handle)

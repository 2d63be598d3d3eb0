"""Ownership tags: the description of a room at Janus holds the uuid of our room that it is for.

A controller that is killed between the end of a call and the destruction of its room leaves the
room behind, and this is how it is found. What has no mark of ours is never touched; what has one
is destroyed only with the secret that we made it with.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from sfu_wrapper.adapters.janus.session import Json, open_session
from sfu_wrapper.adapters.janus.settings import JanusSettings
from sfu_wrapper.model.ids import RoomUuid

_MARK: Final = "sfu-wrapper "
LIST_BYTES: Final = 67_108_864  # of 100,000 rooms


def tag(uuid: RoomUuid) -> Json:
    """What a room made for this one of ours says of itself."""
    return {"description": f"{_MARK}{uuid}"}


Marked = dict[RoomUuid, tuple[str, ...]]
"""Rooms of ours, and what the plugin calls the rooms that are marked as theirs."""


async def marked_rooms(settings: JanusSettings, plugin: str) -> Marked:
    """The rooms there that have a mark of ours.

    Over a connection of its own, since nothing else is to wait for so long an answer. Our rooms are
    private, so that they are listed only for whoever has the admin key.

    Raises:
        Unavailable, JanusRefused: they cannot be listed.
    """
    async with open_session(replace(settings.address, max_bytes=LIST_BYTES)) as session:
        handle = await session.attach(plugin)
        answer = await handle.ask({"request": "list"} | settings.to_make_rooms)
    found: Marked = {}
    for uuid, name in _marked(answer.get("list")):
        found[uuid] = (*found.get(uuid, ()), name)
    return found


def _marked(rooms: object) -> Iterator[tuple[RoomUuid, str]]:
    for room in rooms if isinstance(rooms, list) else ():
        match room:
            case {"room": str(name), "description": str(text)} if text.startswith(_MARK):
                yield RoomUuid(text.removeprefix(_MARK)), name

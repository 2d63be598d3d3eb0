"""Ownership tags: we store our room's uuid in the Janus room description.

A controller that is killed between the end of a call and the destruction of its Janus room leaves
that room behind; the tag lets the next controller find it. Rooms without a tag are never touched,
and a tagged room is destroyed only with the secret that it was created with.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from sfu_wrapper.adapters.janus.session import Json, open_session
from sfu_wrapper.adapters.janus.settings import JanusSettings
from sfu_wrapper.model.identity import RoomUuid

_MARK: Final = "sfu-wrapper "
LIST_BYTES: Final = 67_108_864  # of 100,000 rooms


def tag(uuid: RoomUuid) -> Json:
    """Return the ``create`` fields that mark a Janus room as belonging to our room."""
    return {"description": f"{_MARK}{uuid}"}


Marked = dict[RoomUuid, tuple[str, ...]]
"""Our rooms, each with the ids of the plugin rooms that carry its tag."""


async def marked_rooms(settings: JanusSettings, plugin: str) -> Marked:
    """Return the rooms of a plugin that carry one of our tags.

    The list has its own connection, because the answer may be large and must not delay other
    requests. Our rooms are private: Janus lists them only for clients with the admin key.

    Raises:
        Unavailable, JanusRefused: The rooms cannot be listed.
    """
    async with open_session(replace(settings.address, max_bytes=LIST_BYTES)) as session:
        handle = await session.attach(plugin)
        answer = await handle.request({"request": "list"} | settings.admin_fields)
    found: Marked = {}
    for uuid, name in _marked(answer.get("list")):
        found[uuid] = (*found.get(uuid, ()), name)
    return found


def _marked(rooms: object) -> Iterator[tuple[RoomUuid, str]]:
    for room in rooms if isinstance(rooms, list) else ():
        match room:
            case {"room": str(name), "description": str(text)} if text.startswith(_MARK):
                yield RoomUuid(text.removeprefix(_MARK)), name

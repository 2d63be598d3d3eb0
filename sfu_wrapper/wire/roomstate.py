"""A room as it is stored: one JSON document with a version, opaque to the store."""

from pydantic import TypeAdapter, ValidationError

from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Broken

VERSION = b"1"

_ROOM = TypeAdapter(Room)


def encode_room(room: Room) -> bytes:
    """The stored form: the version, a space, the document."""
    return VERSION + b" " + _ROOM.dump_json(room, exclude_defaults=True)


def decode_room(state: bytes) -> Room:
    """Read it back.

    Raises:
        Broken: it was written by another version, or is damaged. Nothing is guessed.
    """
    version, _, document = state.partition(b" ")
    if version != VERSION:
        raise Broken(f"a stored room has format {version[:8]!r}, this version reads {VERSION!r}")
    try:
        return _ROOM.validate_json(document)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Broken(f"a stored room is damaged at {place}: {first['msg']}") from error

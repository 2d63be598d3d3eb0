"""Walk over the stored rooms of a time span, by pages.

Rooms that are not settled come first, by their creation, then settled ones, by their end: a room
that settles between two pages is found twice rather than never. With a domain only its rooms are
read, so that neither a page nor its end shows rooms of others.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Broken
from sfu_wrapper.model.identity import DomainId, RoomUuid
from sfu_wrapper.ports.store import RoomQuery, RoomRow, RoomRows
from sfu_wrapper.service.rooms.messages import stored_room
from sfu_wrapper.wire.room_state import decode_room

READ: Final = 500  # rooms that one page looks at, at most
_BATCH: Final = 100

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RoomPlace:
    """Place of a room in the list; fields as in ``RoomQuery``."""

    settled: bool
    at_ms: int
    uuid: RoomUuid


class RoomWalk:
    """Reads of rooms in the order of ``RoomPlace``.

    Args:
        store: the rooms.
    """

    def __init__(self, store: RoomRows) -> None:
        self._store = store

    def rows(
        self, domain: DomainId | None, from_ms: int, to_ms: int, after: RoomPlace | None
    ) -> Iterator[RoomRow]:
        """Yield the rooms after a place: those that are not settled, then the settled ones.

        Args:
            domain: the domain; None: all.
            from_ms: epoch ms; settled rooms that ended at or after it.
            to_ms: epoch ms; settled rooms that ended before it, others created before it.
            after: place of the last room of the page before.
        """
        last = None if after is None else (after.at_ms, after.uuid)
        if after is None or not after.settled:
            yield from self._pages(RoomQuery(False, 0, to_ms, last, _BATCH, domain))
            last = None
        yield from self._pages(RoomQuery(True, from_ms, to_ms, last, _BATCH, domain))

    def room(self, row: RoomRow) -> Room | None:
        """Return the whole room; None where it is damaged, which must not hide the others."""
        try:
            return decode_room(stored_room(self._store, row))
        except Broken as broken:
            log.critical("room.unreadable", extra={"room": row.uuid, "error": broken.detail})
            return None

    def _pages(self, query: RoomQuery) -> Iterator[RoomRow]:
        while rows := self._store.rooms_by_time(query):
            yield from rows
            last = place_of(rows[-1])
            query = replace(query, after=(last.at_ms, last.uuid))


def place_of(row: RoomRow) -> RoomPlace:
    """Return the place of a room."""
    at_ms = (row.ended_ms or 0) if row.settled else row.created_ms
    return RoomPlace(row.settled, at_ms, row.uuid)

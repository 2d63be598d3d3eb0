"""Rooms as they were last committed, for whoever only looks: one by its id, or a page of them.

Changes nothing and never waits for a room. Rooms that have ended and are settled are found by their
id for a day, and stand in no page.
"""

import heapq
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sfu_wrapper.core.access import NOT_FOUND, require_visible, sees
from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.ids import RoomId, SegmentNo, UserKey
from sfu_wrapper.model.outcome import News
from sfu_wrapper.model.permission import OwnerPermissions
from sfu_wrapper.ports.clock import Clock
from sfu_wrapper.service.actor import RoomActor
from sfu_wrapper.service.directory import Directory
from sfu_wrapper.service.finder import Finder

PAGE = 100  # rooms, where no limit is asked for


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One room, with what is stored for its owner at this moment.

    news: of the recording service's work on its segments, as far as is known.
    """

    room: Room
    permissions: OwnerPermissions
    news: Mapping[SegmentNo, News]


@dataclass(frozen=True, slots=True)
class Page:
    """Rooms, the youngest first. next: what to ask for to go on; None at the end."""

    rooms: tuple[Snapshot, ...]
    next: str | None


class RoomReader:
    """Looks at the rooms of this controller. policy: what their decisions go by."""

    def __init__(
        self,
        directory: Directory,
        finder: Finder,
        clock: Clock,
        policy: PolicySettings,
        permissions: Callable[[UserKey], OwnerPermissions],
        news: Callable[[Room], Mapping[SegmentNo, News]],
    ) -> None:
        self.policy = policy
        self._directory = directory
        self._finder = finder
        self._clock = clock
        self._permissions = permissions
        self._news = news

    def created_by(self, creator: UserKey) -> tuple[Room, ...]:
        """The rooms of one room service that have not ended."""
        rooms = (actor.room for actor in self._directory if actor.room is not None)
        return tuple(r for r in rooms if r.creator == creator and r.life is not Life.ENDED)

    def snapshot(self, by: Requester, room_id: RoomId) -> Snapshot:
        """One room.

        Raises:
            Refused: ROOM_NOT_FOUND: there is none, or none for the requester.
            Unavailable: the store cannot be read.
        """
        now_ms = self._clock.now().wall_ms
        room = self._finder.by_id(room_id, now_ms, by.key.domain).room
        if room is None:  # being created; nobody has been told of it
            raise Refused(Code.ROOM_NOT_FOUND, NOT_FOUND, room=room_id)
        require_visible(room, by)
        return self.snapshot_of(room)

    def snapshot_of(self, room: Room) -> Snapshot:
        """A room that is at hand. Raises Unavailable: the store cannot be read."""
        return Snapshot(room, self._permissions(room.owner_key), self._news(room))

    def page(
        self,
        by: Requester,
        *,
        limit: int | None = None,
        after: str | None = None,
        state: Life | None = None,
    ) -> Page:
        """The rooms that the requester sees.

        after: ``next`` of the page before. state: None for any.

        Raises:
            Refused: BAD_REQUEST: ``after`` is none of ours.
            Unavailable: the store cannot be read.
        """
        limit = limit or PAGE
        before = None if after is None else _parse(after)
        seen = (
            actor.room
            for actor in self._candidates(by)
            if actor.room is not None
            and (state is None or actor.room.life is state)
            and (before is None or _place(actor.room) < before)
            and sees(actor.room, by)
        )
        found = heapq.nlargest(limit + 1, seen, key=_place)
        rooms = tuple(self.snapshot_of(room) for room in found[:limit])
        return Page(rooms, _cursor(found[limit - 1]) if len(found) > limit else None)

    def _candidates(self, by: Requester) -> Iterable[RoomActor]:
        """What is worth a look: a user's page must not cost a look at everybody's rooms."""
        return self._directory if by.service or by.admin else self._directory.known_to(by.key)


def _place(room: Room) -> tuple[int, str]:
    return room.created.wall_ms, room.uuid


def _cursor(room: Room) -> str:
    return f"{room.created.wall_ms}.{room.uuid}"


def _parse(cursor: str) -> tuple[int, str]:
    created, _, uuid = cursor.partition(".")
    if not (created.isascii() and created.isdigit() and len(created) <= 15 and uuid):
        raise Refused(Code.BAD_REQUEST, "after must be the next of a page", path="payload.after")
    return int(created), uuid

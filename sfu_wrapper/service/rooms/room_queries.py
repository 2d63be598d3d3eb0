"""Queries: rooms as last committed, one by its id or a page of them. Changes nothing, never waits.

The cost of a page is that of the rooms in it; no other room is visited. Rooms that have ended and
are settled are found by id for a day, and appear in no page.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from sfu_wrapper.core.access import not_found, require_visible, sees
from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import (
    DomainId,
    Origin,
    OwnerPermissions,
    RoomId,
    RoomUuid,
    SegmentNo,
    UserKey,
)
from sfu_wrapper.model.segment import News
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.rooms.ranking import Rank
from sfu_wrapper.service.rooms.registry import Finder, RoomRegistry, rank_of

PAGE = 100  # rooms in a page without a requested limit


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Room with related data, at this moment.

    Attributes:
        room: the room as last committed.
        permissions: stored permissions of its owner.
        news: latest known news about the jobs of its segments.
    """

    room: Room
    permissions: OwnerPermissions
    news: Mapping[SegmentNo, News]


@dataclass(frozen=True, slots=True)
class Listing:
    """Rooms of one page without related data; ``next`` as in ``Page``."""

    rooms: tuple[Room, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Rooms, youngest first; ``next``: cursor of the following page, None on the last one."""

    rooms: tuple[Snapshot, ...]
    next: str | None


class RoomQueries:
    """Reads of the rooms of this controller.

    Args:
        registry: rooms in memory.
        finder: finds a room by id.
        clock: wall clock.
        policy: settings of the recording policy.
        permissions: returns the stored permissions of an owner.
        news: returns the news about the jobs of a room.
    """

    def __init__(
        self,
        registry: RoomRegistry,
        finder: Finder,
        clock: Clock,
        policy: PolicySettings,
        permissions: Callable[[UserKey], OwnerPermissions],
        news: Callable[[Room], Mapping[SegmentNo, News]],
    ) -> None:
        self.policy = policy
        self._registry = registry
        self._finder = finder
        self._clock = clock
        self._permissions = permissions
        self._news = news

    def census(self) -> Counter[tuple[str, ...]]:
        """Return the number of rooms by kind (or ``pstn``), state and phase of the recording."""
        rooms = [actor.room for actor in self._registry if actor.room is not None]
        kinds = (room.kind if room.origin is Origin.INTERNAL else room.origin for room in rooms)
        return Counter(
            (kind.value, room.life.value, room.capture.value)
            for kind, room in zip(kinds, rooms, strict=True)
        )

    def created_by(self, creator: UserKey) -> tuple[Room, ...]:
        """Return the rooms of one room service that have not ended."""
        rooms = (actor.room for actor in self._registry.created_by(creator))
        return tuple(each for each in rooms if each is not None and each.life is not Life.ENDED)

    def snapshot(self, by: Requester, room_id: RoomId, domain: DomainId | None = None) -> Snapshot:
        """Return one room.

        Args:
            by: the requester.
            room_id: the id of the room.
            domain: its domain; None: the requester's.

        Raises:
            Refused: ROOM_NOT_FOUND: the room does not exist, or not for the requester.
            Unavailable: the store cannot be read.
        """
        now_ms = self._clock.now().wall_ms
        room = self._finder.by_id(by, domain or by.key.domain, room_id, now_ms).room
        if room is None:  # being created, so not announced to any client
            raise not_found(room_id)
        require_visible(room, by)
        return self.snapshot_of(room)

    def snapshot_of(self, room: Room) -> Snapshot:
        """Return the snapshot of a loaded room. Raises Unavailable: the store cannot be read."""
        return Snapshot(room, self._permissions(room.owner_key), self._news(room))

    def page(
        self,
        by: Requester,
        *,
        limit: int | None = None,
        after: str | None = None,
        state: Life | None = None,
    ) -> Page:
        """Return the rooms that the requester sees, with related data; see ``listing``.

        Raises:
            Unavailable: the store cannot be read.
        """
        found = self.listing(by, limit=limit, after=after, state=state)
        return Page(tuple(self.snapshots(found.rooms)), found.next)

    def listing(
        self,
        by: Requester,
        *,
        limit: int | None = None,
        after: str | None = None,
        state: Life | None = None,
    ) -> Listing:
        """Return the rooms that the requester sees.

        Args:
            by: the requester.
            limit: maximum number of rooms; None: 100.
            after: ``next`` of the previous page; None: the first page.
            state: only rooms in this state; None: in any state.

        Raises:
            Refused: BAD_REQUEST: ``after`` is no valid cursor.
        """
        limit = limit or PAGE
        before = None if after is None else _parse(after)
        lives = tuple(Life) if state is None else (state,)
        found = tuple(islice(self._seen(by, lives, before), limit + 1))
        following = _cursor(found[limit - 1]) if len(found) > limit else None
        return Listing(found[:limit], following)

    def snapshots(self, rooms: Iterable[Room]) -> Iterator[Snapshot]:
        """Yield the snapshots of loaded rooms; reads the store once for each owner.

        Raises:
            Unavailable: the store cannot be read.
        """
        permissions = _PermissionCache(self._permissions)
        for room in rooms:
            yield Snapshot(room, permissions.of(room.owner_key), self._news(room))

    def _seen(self, by: Requester, lives: tuple[Life, ...], before: Rank | None) -> Iterator[Room]:
        """Yield the rooms that the requester sees, youngest first, lazily."""
        if by.service:
            return self._registry.youngest(None, lives, before)
        own = self._own(by, lives, before)
        if not by.admin:
            return own
        of_domain = self._registry.youngest(by.key.domain, lives, before)
        elsewhere = (room for room in own if room.domain != by.key.domain)
        return heapq.merge(of_domain, elsewhere, key=rank_of, reverse=True)

    def _own(self, by: Requester, lives: tuple[Life, ...], before: Rank | None) -> Iterator[Room]:
        """Yield the rooms that the user owns or is in, youngest first."""
        rooms = (actor.room for actor in self._registry.known_to(by.key))
        found = [
            room
            for room in rooms
            if room is not None
            and room.life in lives
            and (before is None or rank_of(room) < before)
            and sees(room, by)
        ]
        return iter(sorted(found, key=rank_of, reverse=True))


class _PermissionCache:
    """Permissions of owners, each read once a page."""

    def __init__(self, load: Callable[[UserKey], OwnerPermissions]) -> None:
        self._load = load
        self._known: dict[UserKey, OwnerPermissions] = {}

    def of(self, owner: UserKey) -> OwnerPermissions:
        """Return what is stored for an owner. Raises Unavailable: the store cannot be read."""
        if owner not in self._known:
            self._known[owner] = self._load(owner)
        return self._known[owner]


def _cursor(room: Room) -> str:
    return f"{room.created.wall_ms}.{room.uuid}"


def _parse(cursor: str) -> Rank:
    created, _, uuid = cursor.partition(".")
    if not (created.isascii() and created.isdigit() and len(created) <= 15 and uuid):
        raise Refused(Code.BAD_REQUEST, "after must be the next of a page", path="payload.after")
    return int(created), RoomUuid(uuid)

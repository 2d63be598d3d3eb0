"""Registry: the rooms that this controller holds in memory, and the lookup of a requested room.

``RoomRegistry`` has one index for each question: by uuid; by domain and id; by the names that a
room has at the media plane; by user, owner and creator; and by time of creation, of one domain or
of all, for pages. A lookup costs as much as its result, an update as much as its change. The
registry knows nothing of the rules of rooms.

``Finder`` finds the room that a request means (protocol.md, "Endpoints": ``room`` may be left out).
A room that the requester may not see does not exist for it, neither in the answer nor in its cost:
every ROOM_NOT_FOUND, for any reason, follows the same two short reads of the store, decodes nothing
and waits for no room (protocol.md, "What does not exist").
"""

import heapq
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from sfu_wrapper.core.access import manages, not_found, sees, welcomes
from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.room import Room
from sfu_wrapper.core.step import RoomSpec
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import DomainId, Origin, RoomId, RoomUuid, UserKey
from sfu_wrapper.ports.store import RoomRow, Store
from sfu_wrapper.service.rooms.actor import RoomActor
from sfu_wrapper.service.rooms.messages import stored_room
from sfu_wrapper.service.rooms.ranking import Rank, Ranking
from sfu_wrapper.service.rooms.sessions import Client, Sessions
from sfu_wrapper.wire.room_state import StoredRoom, decode_room, member_part

_Key = TypeVar("_Key")
_Index = dict[_Key, dict[RoomUuid, None]]
Named = Room | RoomSpec  # a RoomSpec until the first commit


class RoomRegistry:
    """Rooms that are living or being created, and ended rooms that are not settled yet."""

    def __init__(self) -> None:
        self._actors: dict[RoomUuid, RoomActor] = {}
        self._named: dict[RoomUuid, Named] = {}
        self._by_id: dict[tuple[DomainId, RoomId], RoomUuid] = {}
        self._by_name: _Index[str] = {}
        self._kept_names: _Index[str] = {}  # not free for the room service either
        self._by_user: _Index[UserKey] = {}
        self._by_owner: _Index[UserKey] = {}
        self._by_creator: _Index[UserKey] = {}
        self._ranked: dict[tuple[DomainId | None, Life], Ranking] = {}
        self._ended: set[RoomUuid] = set()
        self._living: Counter[UserKey | DomainId] = Counter()

    def __iter__(self) -> Iterator[RoomActor]:
        return iter(tuple(self._actors.values()))

    def add(self, named: Named, actor: RoomActor) -> None:
        """Add a room; its id refers to it from now on, unless a living room has the same id."""
        uuid = named.uuid
        self._actors[uuid] = actor
        self._named[uuid] = named
        over = actor.room is not None and actor.room.life is Life.ENDED
        if not over or not self.is_taken(named.domain, named.id):
            self._by_id[named.domain, named.id] = uuid
        for index, name in self._names(named):
            _put(index, name, uuid)
        _put(self._by_owner, named.owner_key, uuid)
        if named.creator is not None:
            _put(self._by_creator, named.creator, uuid)
        if over:
            self._ended.add(uuid)
        else:
            self._living.update(_counted(named))

    def remove(self, actor: RoomActor) -> None:
        """Close the actor, and remove its room if it is registered."""
        actor.close()
        uuid = actor.uuid
        if self._actors.get(uuid) is not actor:
            return
        named = self._named.pop(uuid)
        del self._actors[uuid]
        if self._by_id.get((named.domain, named.id)) == uuid:
            del self._by_id[named.domain, named.id]
        for index, name in self._names(named):
            _discard(index, name, uuid)
        _discard(self._by_owner, named.owner_key, uuid)
        if named.creator is not None:
            _discard(self._by_creator, named.creator, uuid)
        self._end(named)
        self._ended.discard(uuid)
        if actor.room is not None:
            self._unrank(actor.room)
            for participant in actor.room.participants:
                _discard(self._by_user, participant.key, uuid)

    def changed(self, before: Room | None, after: Room) -> None:
        """Update the indexes after a commit. ``before`` is None after the first one."""
        if before is None or before.life is not after.life:
            self._rerank(before, after)
        if after.life is Life.ENDED and after.uuid in self._named:
            self._end(self._named[after.uuid])
        people = before.participants if before is not None else None
        for was, now in after.participants.changes(people):
            if now is not None:
                _put(self._by_user, now.key, after.uuid)
            elif was is not None:
                _discard(self._by_user, was.key, after.uuid)

    def by_uuid(self, uuid: RoomUuid) -> RoomActor | None:
        """Return the room of that uuid."""
        return self._actors.get(uuid)

    def by_id(self, domain: DomainId, room_id: RoomId) -> RoomActor | None:
        """Return the youngest room of that id in the domain."""
        uuid = self._by_id.get((domain, room_id))
        return self._actors.get(uuid) if uuid is not None else None

    def is_taken(self, domain: DomainId, room_id: RoomId) -> bool:
        """Return True if a room of that id is living or being created in the domain."""
        uuid = self._by_id.get((domain, room_id))
        return uuid is not None and uuid not in self._ended

    def has_name(self, name: str) -> bool:
        """Return True if a room has this uuid or confbridgeId, compared without case.

        Asterisk and some file systems ignore case. Ended rooms count until they are settled, since
        the media plane may still write files under their names.
        """
        return name.casefold() in self._by_name

    def keeps_name(self, name: str) -> bool:
        """Return True if a name requested by the room service is in use.

        The uuid of a room created by a user does not count: a user who guesses the name of a
        conference could block a call with it. No object of a media plane has both names.
        """
        return name.casefold() in self._kept_names

    def owner_of(self, uuid: RoomUuid) -> UserKey | None:
        """Return the owner of a room, also while it is being created."""
        named = self._named.get(uuid)
        return None if named is None else named.owner_key

    def living_of(self, owner: UserKey) -> int:
        """Count the owner's rooms that have not ended; pstn rooms do not count."""
        return self._living[owner]

    def living_in(self, domain: DomainId) -> int:
        """Count the domain's rooms that have not ended."""
        return self._living[domain]

    def rooms_of(self, user: UserKey) -> Iterable[RoomUuid]:
        """Return the rooms of which the user is a participant now."""
        return tuple(self._by_user.get(user, ()))

    def known_to(self, user: UserKey) -> Iterable[RoomActor]:
        """Return the rooms that the user owns or is in now."""
        uuids = {**self._by_owner.get(user, {}), **self._by_user.get(user, {})}
        return tuple(self._actors[uuid] for uuid in uuids if uuid in self._actors)

    def created_by(self, creator: UserKey) -> Iterable[RoomActor]:
        """Return the rooms that a room service has created."""
        return tuple(self._actors[uuid] for uuid in self._by_creator.get(creator, ()))

    def youngest(
        self, domain: DomainId | None, lives: Iterable[Life], before: Rank | None
    ) -> Iterator[Room]:
        """Yield rooms in these states, youngest first; no room may change during the iteration.

        Args:
            domain: None: of all domains.
            lives: the states.
            before: only rooms below this rank; None: from the youngest on.
        """
        rankings = (self._ranked.get((domain, life)) for life in lives)
        ranks = (ranking.descending(before) for ranking in rankings if ranking is not None)
        for _, uuid in heapq.merge(*ranks, reverse=True):
            room = self._actors[uuid].room
            if room is not None:
                yield room

    def _names(self, named: Named) -> Iterator[tuple[_Index[str], str]]:
        """Yield the names of a room, compared without case, each with the index that holds it."""
        uuid, bridge = named.uuid.casefold(), named.confbridge_id.casefold()
        for name in {uuid, bridge}:
            yield self._by_name, name
        for name in {bridge} if named.creator is None else {uuid, bridge}:
            yield self._kept_names, name

    def _end(self, named: Named) -> None:
        """Remove a room from the counts of living rooms, once."""
        if named.uuid in self._ended:
            return
        self._ended.add(named.uuid)
        for key in _counted(named):
            self._living[key] -= 1
            if not self._living[key]:
                del self._living[key]

    def _rerank(self, before: Room | None, after: Room) -> None:
        if before is not None:
            self._unrank(before)
        if after.uuid in self._actors:
            for scope in (None, after.domain):
                self._ranked.setdefault((scope, after.life), Ranking()).add(rank_of(after))

    def _unrank(self, room: Room) -> None:
        for scope in (None, room.domain):
            ranking = self._ranked.get((scope, room.life))
            if ranking is not None:
                ranking.discard(rank_of(room))
                if not ranking:
                    del self._ranked[scope, room.life]


def rank_of(room: Room) -> Rank:
    """Return the rank of a room in order of creation."""
    return room.created.wall_ms, room.uuid


def _counted(named: Named) -> Iterator[UserKey | DomainId]:
    """Yield the quotas that a living room counts for.

    The owner of a pstn room is a telephone number, which creates no rooms itself, and may be shared
    by a whole company.
    """
    yield named.domain
    if named.origin is not Origin.PSTN:
        yield named.owner_key


def _put(index: _Index[_Key], key: _Key, room: RoomUuid) -> None:
    index.setdefault(key, {})[room] = None


def _discard(index: _Index[_Key], key: _Key, room: RoomUuid) -> None:
    rooms = index.get(key)
    if rooms is not None:
        rooms.pop(room, None)
        if not rooms:
            del index[key]


NO_ROOM = RoomUuid("")
RECENT = 8  # ended rooms kept decoded
ENDED_KNOWN_MS = 24 * 3_600_000  # for which an ended room is still found


class Finder:
    """Lookup of rooms by id, uuid or requester.

    Args:
        registry: rooms in memory.
        sessions: rooms that a connection has joined.
        store: rooms that have ended.
        revive: returns an actor for an ended room.
        loaded: called with each room that was read from the store.
    """

    def __init__(
        self,
        registry: RoomRegistry,
        sessions: Sessions,
        store: Store,
        revive: Callable[[Room], RoomActor],
        loaded: Callable[[StoredRoom], None] = lambda _: None,
    ) -> None:
        self._registry = registry
        self._sessions = sessions
        self._store = store
        self._revive = revive
        self._loaded = loaded
        self._recent: OrderedDict[RoomUuid, Room] = OrderedDict()

    def by_id(
        self,
        by: Requester,
        domain: DomainId,
        room_id: RoomId,
        now_ms: int,
        *,
        joins: bool = False,
    ) -> RoomActor:
        """Return the room of that id that exists for the requester.

        Args:
            by: the requester.
            domain: the domain of the room.
            room_id: its id.
            now_ms: current time, epoch ms; a room that ended within 24 h is found too.
            joins: True for a request to join, so that users who may join find it.

        Raises:
            Refused: ROOM_NOT_FOUND.
            Unavailable: the store cannot be read.
        """
        actor = self._registry.by_id(domain, room_id)
        if actor is not None and self._may_find(actor, by, now_ms, joins=joins):
            return actor
        row = self._store.latest_room(domain, room_id)
        # Both reads precede every refusal, so that its duration discloses nothing.
        uuid = NO_ROOM if row is None else row.uuid
        took_part = self._store.part(uuid, member_part(by.key)) is not None
        if actor is not None or row is None or not _ended_lately(row, now_ms):
            raise not_found(room_id)
        if not took_part and not manages(UserKey(row.domain, row.owner), by):
            raise not_found(room_id)
        return self._ended_room(row)

    def by_uuid(self, uuid: RoomUuid) -> Room | None:
        """Return a room, living or ended, without a check of access.

        Ended rooms do not change; the last few stay decoded, since the recording service sends many
        messages about their segments.

        Raises:
            Unavailable, Broken: the store cannot be read.
        """
        actor = self._registry.by_uuid(uuid)
        if actor is not None:
            return actor.room
        room = self._recent.pop(uuid, None)
        if room is None:
            row = self._store.room(uuid)
            if row is None:
                return None
            room = self._decoded(row)
        self._recent[uuid] = room
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        return room

    def only_room(self, client: Client) -> RoomActor:
        """Return the only room of the requester: of this connection, else of the user.

        Raises:
            Refused: NOT_IN_ROOM or ROOM_REQUIRED.
        """
        user = client.identity.key
        mine = self._rooms_with(self._sessions.rooms_of(client), user)
        found = mine or self._rooms_with(self._registry.rooms_of(user), user)
        if not found:
            raise Refused(Code.NOT_IN_ROOM, "you are in no room; join one first")
        if len(found) > 1:
            raise Refused(Code.ROOM_REQUIRED, "you are in several rooms; name one in `room`")
        return found[0]

    def _may_find(self, actor: RoomActor, by: Requester, now_ms: int, *, joins: bool) -> bool:
        room = actor.room
        if room is None:  # being created; its owner or the service may already use it
            return by.service or self._registry.owner_of(actor.uuid) == by.key
        if _ended_long_ago(room, now_ms):
            return False
        if sees(room, by) or actor.is_joining(by.key):
            return True
        return joins and room.life is not Life.ENDED and welcomes(room, by.key)

    def _ended_room(self, row: RoomRow) -> RoomActor:
        """Return the actor of an ended room: the registered one, if it is not settled yet."""
        held = self._registry.by_uuid(row.uuid)
        return held or self._revive(self._decoded(row))

    def _decoded(self, row: RoomRow) -> Room:
        """Return a room as stored. Raises Unavailable, Broken."""
        stored = stored_room(self._store, row)
        self._loaded(stored)
        return decode_room(stored)

    def _rooms_with(self, uuids: Iterable[RoomUuid], user: UserKey) -> list[RoomActor]:
        actors = (self._registry.by_uuid(uuid) for uuid in uuids)
        return [actor for actor in actors if actor is not None and may_be_in(actor, user)]


def may_be_in(actor: RoomActor, user: UserKey) -> bool:
    """Return True if the user is a participant, or its join waits in the mailbox."""
    takes_part = actor.room is not None and actor.room.participants.get(user) is not None
    return takes_part or actor.is_joining(user)


def _ended_lately(row: RoomRow, now_ms: int) -> bool:
    return row.ended_ms is not None and now_ms - row.ended_ms < ENDED_KNOWN_MS


def _ended_long_ago(room: Room, now_ms: int) -> bool:
    if room.life is not Life.ENDED or room.ended_ms is None:
        return False
    return now_ms - room.ended_ms >= ENDED_KNOWN_MS

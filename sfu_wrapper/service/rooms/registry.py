"""The rooms that this controller holds, with one index for each question that is asked of them.

By uuid; by domain and id; by the names that a room has at the media plane; by user, owner and
creator; and in order of creation, of one domain or of all, for pages. Every question costs what its
answer holds, and every change costs what it changes. Knows nothing of what happens in rooms.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeVar

from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.room import Room
from sfu_wrapper.core.step import RoomSpec
from sfu_wrapper.model.ids import DomainId, RoomId, RoomUuid, UserKey
from sfu_wrapper.model.room import Origin
from sfu_wrapper.service.rooms.actor import RoomActor
from sfu_wrapper.service.rooms.ranking import Rank, Ranking

_Key = TypeVar("_Key")
_Index = dict[_Key, dict[RoomUuid, None]]
Named = Room | RoomSpec  # what is known of a room: from its creation on, before its first commit


class Directory:
    """Rooms that live or are being created, and rooms that have ended and are not settled yet."""

    def __init__(self) -> None:
        self._actors: dict[RoomUuid, RoomActor] = {}
        self._named: dict[RoomUuid, Named] = {}
        self._by_id: dict[tuple[DomainId, RoomId], RoomUuid] = {}
        self._by_name: _Index[str] = {}
        self._kept_names: _Index[str] = {}  # from the room service too
        self._by_user: _Index[UserKey] = {}
        self._by_owner: _Index[UserKey] = {}
        self._by_creator: _Index[UserKey] = {}
        self._ranked: dict[tuple[DomainId | None, Life], Ranking] = {}
        self._ended: set[RoomUuid] = set()
        self._living: Counter[UserKey | DomainId] = Counter()

    def __iter__(self) -> Iterator[RoomActor]:
        return iter(tuple(self._actors.values()))

    def add(self, named: Named, actor: RoomActor) -> None:
        """Hold a room; its id means this room from now on, unless another one with it lives."""
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
        """Hold a room no longer; an actor that is not held is closed, nothing else."""
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
        """Keep every index true after a commit. before: None after the first one."""
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
        """Tell whether a room of that id lives in the domain, or is being created."""
        uuid = self._by_id.get((domain, room_id))
        return uuid is not None and uuid not in self._ended

    def has_name(self, name: str) -> bool:
        """Tell whether a room has this uuid or confbridgeId, compared without case.

        Asterisk and some file systems tell no capitals apart. Rooms that have ended count until
        they are settled: until then the media plane may still write under their names.
        """
        return name.casefold() in self._by_name

    def keeps_name(self, name: str) -> bool:
        """Tell the same of a name that the room service wishes for.

        The uuid of a room that a user has made does not count: whoever can guess how a conference
        will be called could keep a call out by it. Nothing at a media plane has both names.
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
        """Return the rooms in which the user takes part now."""
        return tuple(self._by_user.get(user, ()))

    def known_to(self, user: UserKey) -> Iterable[RoomActor]:
        """Return the rooms that the user owns, or takes part in now."""
        uuids = {**self._by_owner.get(user, {}), **self._by_user.get(user, {})}
        return tuple(self._actors[uuid] for uuid in uuids if uuid in self._actors)

    def created_by(self, creator: UserKey) -> Iterable[RoomActor]:
        """Return the rooms that a room service has created."""
        return tuple(self._actors[uuid] for uuid in self._by_creator.get(creator, ()))

    def youngest(
        self, domain: DomainId | None, lives: Iterable[Life], before: Rank | None
    ) -> Iterator[Room]:
        """Yield rooms in these states, the youngest first. Nothing may change meanwhile.

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
        """Count a room as living no longer, once."""
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
    """Return the place of a room in the order of creation."""
    return room.created.wall_ms, room.uuid


def _counted(named: Named) -> Iterator[UserKey | DomainId]:
    """Yield what a living room counts for.

    The owner of a pstn room is a number of the telephone network, which creates nothing: one number
    may stand for a whole company.
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

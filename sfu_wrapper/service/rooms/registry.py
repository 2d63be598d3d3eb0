"""The rooms that this controller holds, with one index for each question that is asked of them.

By uuid; by domain and id; by the names that a room has at the media plane; by user, owner and
creator; and in order of creation, of one domain or of all, for pages. Every question costs what its
answer holds, and every change costs what it changes. Knows nothing of what happens in rooms.

The room that a request means (protocol.md, "Endpoints": ``room`` may be left out).

To a requester who may not see a room it does not exist, in what is answered and in what the answer
costs: whoever gets ROOM_NOT_FOUND, for whichever reason, has caused the same two short reads of the
store and no decoding, and waits for no room (protocol.md, "What does not exist").
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
from sfu_wrapper.model.identity import DomainId, RoomId, RoomUuid, UserKey
from sfu_wrapper.model.room import Origin
from sfu_wrapper.ports.store import RoomRow, Store
from sfu_wrapper.service.rooms.actor import RoomActor
from sfu_wrapper.service.rooms.messages import stored_room
from sfu_wrapper.service.rooms.ranking import Rank, Ranking
from sfu_wrapper.service.rooms.sessions import Client, Sessions
from sfu_wrapper.wire.room_state import decode_room, member_part

_Key = TypeVar("_Key")
_Index = dict[_Key, dict[RoomUuid, None]]
Named = Room | RoomSpec  # what is known of a room: from its creation on, before its first commit


class RoomRegistry:
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


NO_ROOM = RoomUuid("")
RECENT = 8  # rooms that are over and were asked for by uuid, kept for the next time
ENDED_KNOWN_MS = 24 * 3_600_000  # how long a room that has ended is told from one that never was


class Finder:
    """Finds a room by its id, or by who asks. revive: an actor for a room that is over."""

    def __init__(
        self,
        directory: RoomRegistry,
        sessions: Sessions,
        store: Store,
        revive: Callable[[Room], RoomActor],
    ) -> None:
        self._directory = directory
        self._sessions = sessions
        self._store = store
        self._revive = revive
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
            by: who asks.
            domain: the domain of the room.
            room_id: its id.
            now_ms: epoch; a room that ended within the last day is found too.
            joins: whether the requester asks to come in, so that those who are welcome find it.

        Raises:
            Refused: ROOM_NOT_FOUND.
            Unavailable: the store cannot be read.
        """
        actor = self._directory.by_id(domain, room_id)
        if actor is not None and self._exists_for(actor, by, now_ms, joins=joins):
            return actor
        row = self._store.latest_room(domain, room_id)
        # Both rows are looked up for everybody who finds nothing, whatever there is to be found.
        uuid = NO_ROOM if row is None else row.uuid
        took_part = self._store.part(uuid, member_part(by.key)) is not None
        if actor is not None or row is None or not _ended_lately(row, now_ms):
            raise not_found(room_id)
        if not took_part and not manages(UserKey(row.domain, row.owner), by):
            raise not_found(room_id)
        return self._over(row)

    def known(self, uuid: RoomUuid) -> Room | None:
        """Return a room, living or over, whoever asks.

        A room that is over does not change: it is decoded once for the many messages that the
        recording service sends about its segments.

        Raises:
            Unavailable, Broken: the store cannot be read.
        """
        actor = self._directory.by_uuid(uuid)
        if actor is not None:
            return actor.room
        room = self._recent.pop(uuid, None)
        if room is None:
            row = self._store.room(uuid)
            if row is None:
                return None
            room = decode_room(stored_room(self._store, row))
        self._recent[uuid] = room
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)
        return room

    def only_one(self, client: Client) -> RoomActor:
        """The one room that the requester is in: this connection's first, then the user's.

        Raises:
            Refused: NOT_IN_ROOM or ROOM_REQUIRED.
        """
        user = client.identity.key
        mine = self._alive(self._sessions.rooms_of(client), user)
        found = mine or self._alive(self._directory.rooms_of(user), user)
        if not found:
            raise Refused(Code.NOT_IN_ROOM, "you are in no room; join one first")
        if len(found) > 1:
            raise Refused(Code.ROOM_REQUIRED, "you are in several rooms; name one in `room`")
        return found[0]

    def _exists_for(self, actor: RoomActor, by: Requester, now_ms: int, *, joins: bool) -> bool:
        room = actor.room
        if room is None:  # being created: its owner and the service may have sent the next request
            return by.service or self._directory.owner_of(actor.uuid) == by.key
        if _forgotten(room, now_ms):
            return False
        if sees(room, by) or actor.is_joining(by.key):
            return True
        return joins and room.life is not Life.ENDED and welcomes(room, by.key)

    def _over(self, row: RoomRow) -> RoomActor:
        """Return a room that is over: held, where it is not settled yet."""
        held = self._directory.by_uuid(row.uuid)
        return held or self._revive(decode_room(stored_room(self._store, row)))

    def _alive(self, uuids: Iterable[RoomUuid], user: UserKey) -> list[RoomActor]:
        actors = (self._directory.by_uuid(uuid) for uuid in uuids)
        return [actor for actor in actors if actor is not None and _may_be_in(actor, user)]


def _may_be_in(actor: RoomActor, user: UserKey) -> bool:
    """Whether the user takes part, as far as is known: a join may be in the mailbox."""
    takes_part = actor.room is not None and actor.room.participant(user) is not None
    return takes_part or actor.is_joining(user)


def _ended_lately(row: RoomRow, now_ms: int) -> bool:
    return row.ended_ms is not None and now_ms - row.ended_ms < ENDED_KNOWN_MS


def _forgotten(room: Room, now_ms: int) -> bool:
    if room.life is not Life.ENDED or room.ended_ms is None:
        return False
    return now_ms - room.ended_ms >= ENDED_KNOWN_MS

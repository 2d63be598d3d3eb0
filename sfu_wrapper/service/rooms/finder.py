"""The room that a request means (protocol.md, "Endpoints": ``room`` may be left out).

To a requester who may not see a room it does not exist, in what is answered and in what the answer
costs: whoever gets ROOM_NOT_FOUND, for whichever reason, has caused the same two short reads of the
store and no decoding, and waits for no room (protocol.md, "What does not exist").
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from sfu_wrapper.core.access import manages, not_found, sees, welcomes
from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.ids import DomainId, RoomId, RoomUuid, UserKey
from sfu_wrapper.ports.store import RoomRow, Store
from sfu_wrapper.service.rooms.actor import RoomActor
from sfu_wrapper.service.rooms.clients import Client
from sfu_wrapper.service.rooms.registry import Directory
from sfu_wrapper.service.rooms.responses import stored_room
from sfu_wrapper.service.rooms.sessions import Sessions
from sfu_wrapper.wire.roomstate import decode_room, member_part

NO_ROOM = RoomUuid("")
RECENT = 8  # rooms that are over and were asked for by uuid, kept for the next time
ENDED_KNOWN_MS = 24 * 3_600_000  # how long a room that has ended is told from one that never was


class Finder:
    """Finds a room by its id, or by who asks. revive: an actor for a room that is over."""

    def __init__(
        self,
        directory: Directory,
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
        if sees(room, by) or actor.joining(by.key):
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
    return takes_part or actor.joining(user)


def _ended_lately(row: RoomRow, now_ms: int) -> bool:
    return row.ended_ms is not None and now_ms - row.ended_ms < ENDED_KNOWN_MS


def _forgotten(room: Room, now_ms: int) -> bool:
    if room.life is not Life.ENDED or room.ended_ms is None:
        return False
    return now_ms - room.ended_ms >= ENDED_KNOWN_MS

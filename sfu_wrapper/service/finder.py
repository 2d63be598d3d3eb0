"""Which room a request means (protocol.md, "Endpoints": ``room`` may be left out)."""

from collections.abc import Callable, Iterable

from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.ids import DomainId, RoomId, RoomUuid, UserKey
from sfu_wrapper.ports.store import Store
from sfu_wrapper.service.actor import RoomActor
from sfu_wrapper.service.clients import Client
from sfu_wrapper.service.directory import Directory
from sfu_wrapper.service.replies import stored_room
from sfu_wrapper.service.sessions import Sessions
from sfu_wrapper.wire.roomstate import decode_room

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

    def by_id(self, room_id: RoomId, now_ms: int, domain: DomainId | None = None) -> RoomActor:
        """Return the room with that id, including one that ended within the last day.

        Args:
            domain: domain of the ended rooms to look at; None: none of them.

        Raises:
            Refused: ROOM_NOT_FOUND.
        """
        actor = self._directory.by_id(room_id)
        if actor is not None and not _forgotten(actor.room, now_ms):
            return actor
        row = None
        if actor is None and domain is not None:
            row = self._store.latest_room(domain, room_id)
        if row is not None and row.ended_ms is not None and now_ms - row.ended_ms < ENDED_KNOWN_MS:
            return self._revive(decode_room(stored_room(self._store, row)))
        raise Refused(Code.ROOM_NOT_FOUND, "there is no such room for you", room=room_id)

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

    def _alive(self, uuids: Iterable[RoomUuid], user: UserKey) -> list[RoomActor]:
        actors = (self._directory.by_uuid(uuid) for uuid in uuids)
        return [actor for actor in actors if actor is not None and _may_be_in(actor, user)]


def _may_be_in(actor: RoomActor, user: UserKey) -> bool:
    """Whether the user takes part, as far as is known: a join may be in the mailbox."""
    takes_part = actor.room is not None and actor.room.participant(user) is not None
    return takes_part or actor.joining(user)


def _forgotten(room: Room | None, now_ms: int) -> bool:
    if room is None or room.life is not Life.ENDED or room.ended_ms is None:
        return False
    return now_ms - room.ended_ms >= ENDED_KNOWN_MS

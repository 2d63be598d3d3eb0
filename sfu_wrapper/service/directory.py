"""Which rooms there are: by uuid, by id, by user. Knows nothing of what happens in them."""

from collections.abc import Iterable, Iterator

from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.ids import RoomId, RoomUuid, UserKey
from sfu_wrapper.service.actor import RoomActor


class Directory:
    """The rooms that this controller holds: those that live, and those not settled yet."""

    def __init__(self) -> None:
        self._actors: dict[RoomUuid, RoomActor] = {}
        self._by_id: dict[RoomId, RoomUuid] = {}
        self._by_user: dict[UserKey, dict[RoomUuid, None]] = {}
        self._by_owner: dict[UserKey, dict[RoomUuid, None]] = {}

    def __iter__(self) -> Iterator[RoomActor]:
        return iter(tuple(self._actors.values()))

    def add(self, room_id: RoomId, actor: RoomActor) -> None:
        """Hold a room; from now on its id means this one."""
        self._actors[actor.uuid] = actor
        self._by_id[room_id] = actor.uuid

    def remove(self, room_id: RoomId, actor: RoomActor) -> None:
        """Hold it no longer."""
        actor.close()
        self._actors.pop(actor.uuid, None)
        if self._by_id.get(room_id) == actor.uuid:
            del self._by_id[room_id]
        if actor.room is not None:
            _discard(self._by_owner, actor.room.owner_key, actor.uuid)

    def by_uuid(self, uuid: RoomUuid) -> RoomActor | None:
        """The room of that uuid."""
        return self._actors.get(uuid)

    def by_id(self, room_id: RoomId) -> RoomActor | None:
        """The youngest room of that id."""
        uuid = self._by_id.get(room_id)
        return self._actors.get(uuid) if uuid is not None else None

    def is_taken(self, room_id: RoomId) -> bool:
        """Whether a room of that id lives, or is being created."""
        actor = self.by_id(room_id)
        return actor is not None and (actor.room is None or actor.room.life is not Life.ENDED)

    def rooms_of(self, user: UserKey) -> Iterable[RoomUuid]:
        """The rooms in which the user takes part now."""
        return tuple(self._by_user.get(user, ()))

    def known_to(self, user: UserKey) -> Iterable[RoomActor]:
        """The rooms that the user owns, or takes part in now."""
        uuids = {**self._by_owner.get(user, {}), **self._by_user.get(user, {})}
        return tuple(self._actors[uuid] for uuid in uuids if uuid in self._actors)

    def note_participants(self, before: Room | None, after: Room) -> None:
        """Keep ``rooms_of`` and ``known_to`` true after a commit."""
        self._by_owner.setdefault(after.owner_key, {})[after.uuid] = None
        for was, now in after.participants.changes(
            before.participants if before is not None else None
        ):
            if now is not None:
                self._by_user.setdefault(now.key, {})[after.uuid] = None
            elif was is not None:
                _discard(self._by_user, was.key, after.uuid)


def _discard(rooms: dict[UserKey, dict[RoomUuid, None]], user: UserKey, room: RoomUuid) -> None:
    of_user = rooms.get(user, {})
    of_user.pop(room, None)
    if not of_user:
        rooms.pop(user, None)

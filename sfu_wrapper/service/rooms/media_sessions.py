"""Media sessions: one slot for each participant whose browser sends media.

A slot ends with the participation. A newer session of the same user in the same room replaces the
older one, since a browser that reconnects may not have noticed that its connection was lost.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sfu_wrapper.core.access import not_found
from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.identity import DomainId, RoomId, RoomUuid, UserKey, shown_user
from sfu_wrapper.model.webrtc import MediaPlace

LEFT = "you do not take part in this room any more"
REPLACED = "another window of yours has taken over"


@dataclass(frozen=True, slots=True, eq=False)
class MediaSessionSlot:
    """Occupied slot.

    Attributes:
        place: room and user.
        on_lost: called with the reason once the slot is lost; never after ``leave``.
    """

    place: MediaPlace
    on_lost: Callable[[str], None]


class MediaSessions:
    """Slots of this controller.

    Args:
        find: returns the room; raises Refused if the user sees no such room.
    """

    def __init__(self, find: Callable[[UserKey, DomainId, RoomId], Room | None]) -> None:
        self._find = find
        self._taken: dict[RoomUuid, dict[UserKey, MediaSessionSlot]] = {}

    def take(
        self, user: UserKey, domain: DomainId, room_id: RoomId, on_lost: Callable[[str], None]
    ) -> MediaSessionSlot:
        """Occupy the slot of a participant; an older session of the user loses it.

        Raises:
            Refused: ROOM_NOT_FOUND: the user is no participant, or the room does not exist.
        """
        room = self._find(user, domain, room_id)
        if room is None or not _takes_part(room, user):
            raise not_found(room_id)
        slot = MediaSessionSlot(MediaPlace(room.uuid, user, shown_user(user, room.domain)), on_lost)
        slots = self._taken.setdefault(room.uuid, {})
        older = slots.get(user)
        slots[user] = slot
        if older is not None:
            older.on_lost(REPLACED)
        return slot

    def leave(self, slot: MediaSessionSlot) -> None:
        """Release a slot; does nothing if it was released or lost before."""
        slots = self._taken.get(slot.place.room, {})
        if slots.get(slot.place.user) is slot:
            del slots[slot.place.user]
            if not slots:
                del self._taken[slot.place.room]

    def room_changed(self, room: Room) -> None:
        """Revoke the slots of users who are no longer participants."""
        for slot in tuple(self._taken.get(room.uuid, {}).values()):
            if not _takes_part(room, slot.place.user):
                self.leave(slot)
                slot.on_lost(LEFT)


def _takes_part(room: Room, user: UserKey) -> bool:
    return room.life is not Life.ENDED and room.participants.get(user) is not None

"""Whose media may be carried: one seat for each user in each room in which it takes part now.

A seat ends with the participation, and when the same user sits down again somewhere else: then the
newer one counts, since a browser that comes back need not have noticed that it was away.
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
    """One that is taken. cut: called once it is lost, with the reason; never after ``leave``."""

    place: MediaPlace
    cut: Callable[[str], None]


class MediaSessions:
    """All seats of this controller. find: raises Refused where the user sees no such room."""

    def __init__(self, find: Callable[[UserKey, DomainId, RoomId], Room | None]) -> None:
        self._find = find
        self._taken: dict[RoomUuid, dict[UserKey, MediaSessionSlot]] = {}

    def take(
        self, user: UserKey, domain: DomainId, room_id: RoomId, cut: Callable[[str], None]
    ) -> MediaSessionSlot:
        """Sit down in a room of the domain in which the user takes part.

        Raises:
            Refused: ROOM_NOT_FOUND, to whoever does not, whether or not there is such a room.
        """
        room = self._find(user, domain, room_id)
        if room is None or not _takes_part(room, user):
            raise not_found(room_id)
        seat = MediaSessionSlot(MediaPlace(room.uuid, user, shown_user(user, room.domain)), cut)
        seats = self._taken.setdefault(room.uuid, {})
        older = seats.get(user)
        seats[user] = seat
        if older is not None:
            older.cut(REPLACED)
        return seat

    def leave(self, seat: MediaSessionSlot) -> None:
        """Get up; called again, or after the seat was lost, nothing happens."""
        seats = self._taken.get(seat.place.room, {})
        if seats.get(seat.place.user) is seat:
            del seats[seat.place.user]
            if not seats:
                del self._taken[seat.place.room]

    def room_changed(self, room: Room) -> None:
        """Take the seats of those who do not take part any more."""
        for seat in tuple(self._taken.get(room.uuid, {}).values()):
            if not _takes_part(room, seat.place.user):
                self.leave(seat)
                seat.cut(LEFT)


def _takes_part(room: Room, user: UserKey) -> bool:
    return room.life is not Life.ENDED and room.participant(user) is not None

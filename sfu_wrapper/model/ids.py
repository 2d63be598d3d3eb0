"""Identifiers. Distinct types, so mypy catches a user id passed as a room id."""

from dataclasses import dataclass
from typing import NewType

RoomId = NewType("RoomId", str)  # what clients name a room by; free again once the room has ended
RoomUuid = NewType("RoomUuid", str)  # one room, ever: stands in file names and media requests
ConfbridgeId = NewType("ConfbridgeId", str)  # the room's name at the audio mixer
UserId = NewType("UserId", str)  # unique within a domain
DomainId = NewType("DomainId", str)
SegmentNo = NewType("SegmentNo", int)  # 1-based, per room, never reused


@dataclass(frozen=True, slots=True, order=True)
class UserKey:
    """A user of the platform: ids are unique within a domain only."""

    domain: DomainId
    user: UserId


def shown_user(user: UserKey, home: DomainId) -> UserId:
    """Return how a user is named in a room of the domain ``home``, also at the media plane.

    The plain id at home, ``DOMAIN/USER`` elsewhere. No id holds a slash, so nobody can be mistaken
    for anybody else.
    """
    return user.user if user.domain == home else UserId(f"{user.domain}/{user.user}")

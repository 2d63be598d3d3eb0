"""Identifiers. Distinct types, so mypy catches a user id passed as a room id."""

from dataclasses import dataclass
from typing import NewType

RoomId = NewType("RoomId", str)  # chosen by clients; can be reused once the room has ended
RoomUuid = NewType("RoomUuid", str)  # never reused; part of file names and media requests
ConfbridgeId = NewType("ConfbridgeId", str)  # the room's name at the audio mixer
UserId = NewType("UserId", str)  # unique within a domain
DomainId = NewType("DomainId", str)
SegmentNo = NewType("SegmentNo", int)  # 1-based, per room, never reused


@dataclass(frozen=True, slots=True, order=True)
class UserKey:
    """User of the platform; a user id alone is unique only within its domain."""

    domain: DomainId
    user: UserId


def shown_user(user: UserKey, home: DomainId) -> UserId:
    """Return the name of a user in a room of the domain ``home``, also used at the media plane.

    The plain id at home, ``DOMAIN/USER`` elsewhere. No id holds a slash, so two users never share
    a name.
    """
    return user.user if user.domain == home else UserId(f"{user.domain}/{user.user}")

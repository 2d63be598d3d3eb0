"""Participants of a room, their presences and their tracks.

Frozen values, and the persistent maps in which a room keeps them. No decisions.
"""

from dataclasses import dataclass

from sfu_wrapper.model.identity import UserId, UserKey
from sfu_wrapper.model.media import Media, Stream
from sfu_wrapper.model.persistent import PersistentMap


@dataclass(frozen=True, slots=True)
class Participant:
    """User or phone leg in the room, with any number of devices.

    Attributes:
        key: the user.
        entry: number of the entry, from 1; a user that joins again gets a new one.
        joined_ms: epoch ms.
        media: media that the participant publishes.
        by_service: True if the room service added it; it then needs no connection.
        gone_by_ms: monotonic end of the grace after its last connection; None: connected.
    """

    key: UserKey
    entry: int
    joined_ms: int
    media: Media
    by_service: bool = False
    gone_by_ms: int | None = None


class Participants(PersistentMap[UserKey, Participant]):
    """Participants by user, in order of joining; those without a connection are marked."""

    __slots__ = ()

    @staticmethod
    def key(value: Participant) -> UserKey:
        """See ``PersistentMap``."""
        return value.key

    @staticmethod
    def order(value: Participant) -> int:
        """See ``PersistentMap``."""
        return value.entry

    @staticmethod
    def marks(value: Participant) -> bool:
        """See ``PersistentMap``."""
        return value.gone_by_ms is not None


@dataclass(frozen=True, slots=True)
class Publishing:
    """Streams that one user publishes, as the media plane reports them."""

    user: UserId
    streams: tuple[Stream, ...]


class PlaneTracks(PersistentMap[UserId, Publishing]):
    """Published streams by user."""

    __slots__ = ()

    @staticmethod
    def key(value: Publishing) -> UserId:
        """See ``PersistentMap``."""
        return value.user

    order = key


@dataclass(frozen=True, slots=True)
class PresenceInterval:
    """Time that one participant spent in the room during a segment, before it is clamped.

    ``segment_report`` turns it into the ``Presence`` of the recordingInfo.

    Attributes:
        user: the user's id as shown in the room.
        joined_ms: epoch ms.
        left_ms: epoch ms; None: still in the room.
        entry: ``Participant.entry``.
    """

    user: UserId
    joined_ms: int
    left_ms: int | None = None
    entry: int = 0


class PresenceIntervals(PersistentMap[int, PresenceInterval]):
    """Presence intervals by entry."""

    __slots__ = ()

    @staticmethod
    def key(value: PresenceInterval) -> int:
        """See ``PersistentMap``."""
        return value.entry

    order = key

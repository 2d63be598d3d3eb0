"""People of a room: who takes part, and what each publishes.

Frozen values and the maps that a room keeps them in. Decides nothing.
"""

from dataclasses import dataclass

from sfu_wrapper.model.identity import UserId, UserKey
from sfu_wrapper.model.media import Media, Stream
from sfu_wrapper.model.persistent import PersistentMap


@dataclass(frozen=True, slots=True)
class Participant:
    """A user or phone leg in the room, however many devices.

    entry: counts those who entered this room, from 1; one that comes again has a new one.
    by_service: made by the room service, bound to no connection.
    gone_by_ms: monotonic; when the grace after its last connection runs out.
    """

    key: UserKey
    entry: int
    joined_ms: int
    media: Media
    by_service: bool = False
    gone_by_ms: int | None = None


class Participants(PersistentMap[UserKey, Participant]):
    """Participants by user, in order of joining. marked: those whose connection is lost."""

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
    """Streams that one user publishes, as far as the media plane knows by itself."""

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

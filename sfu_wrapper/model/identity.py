"""Basic values that every layer above names: ids, identities, permissions, kinds and reasons.

They are in one module because all of them appear together in requests, events and the store, and
none has behaviour of its own. Identifiers are distinct types, so that mypy finds a user id passed
as a room id. An identity is asserted by a token or a trusted gateway. Permissions decide on
recording (policy.md, "Permissions"). Kind and origin of a room never change (policy.md, "Kinds of
rooms"). Rooms and segments themselves, which change, are in ``core.room``.
"""

from dataclasses import dataclass
from enum import StrEnum
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


class Role(StrEnum):
    """Rights of an identity beyond its own rooms (protocol.md, "Connecting")."""

    USER = "user"
    DOMAIN_ADMIN = "domain-admin"
    SERVICE = "service"
    GATEWAY = "gateway"


def user_shown_as(shown: UserId, home: DomainId) -> UserKey:
    """Return the user with that name in a room of the domain ``home``; see ``shown_user``."""
    domain, slash, user = shown.rpartition("/")
    return UserKey(DomainId(domain) if slash else home, UserId(user))


@dataclass(frozen=True, slots=True)
class Identity:
    """Authenticated user, room service or gateway.

    Attributes:
        domain: home domain of the user.
        user: user id within that domain.
        roles: rights beyond the user's own rooms.
        expires_ms: epoch ms at which the token expires; None: never.
        vouches: domains of the users that a gateway may name; None: its own domain alone.
    """

    domain: DomainId
    user: UserId
    roles: frozenset[Role]
    expires_ms: int | None = None
    vouches: frozenset[DomainId] | None = None

    @property
    def key(self) -> UserKey:
        """User id together with its domain."""
        return UserKey(self.domain, self.user)

    def vouches_for(self, domain: DomainId) -> bool:
        """Return True where this gateway may name users of that domain."""
        return domain == self.domain if self.vouches is None else domain in self.vouches

    def has_expired(self, wall_ms: int) -> bool:
        """Return True once the token is over, at that time in epoch ms."""
        return self.expires_ms is not None and self.expires_ms <= wall_ms

    @property
    def is_service(self) -> bool:
        """True for the room service, which may act for any user."""
        return Role.SERVICE in self.roles


class RecordingType(StrEnum):
    """Media streams that may be recorded."""

    ALL = "all"
    AUDIO = "audio"
    VIDEO = "video"
    NONE = "none"


class RecordingProfile(StrEnum):
    """Policy of a permission; only ALWAYS lets a call be recorded."""

    ALWAYS = "always"
    OPTIONAL = "optional"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class RecordingPermissions:
    """Stored permission of a user or of a domain; both fields are always set."""

    recording_type: RecordingType
    recording_profile: RecordingProfile


@dataclass(frozen=True, slots=True)
class OwnerPermissions:
    """Permissions stored for the owner of a room.

    Attributes:
        user: the owner's own permission; None: not set.
        domain: the permission of the owner's domain; None: not set.
    """

    user: RecordingPermissions | None = None
    domain: RecordingPermissions | None = None


class Kind(StrEnum):
    """Kind of a room, by its creation; it decides who may record."""

    DIRECT = "direct"  # one-to-one or multiparty, by invitation
    MEETING = "meeting"
    PUBLIC = "public"


class Origin(StrEnum):
    """Origin of the call. PSTN is possible for DIRECT rooms only."""

    INTERNAL = "internal"
    PSTN = "pstn"


class StopReason(StrEnum):
    """Reason for the stop of a running segment."""

    REQUESTED = "requested"
    CALL_ENDED = "callEnded"
    FAILED = "failed"
    RESTART = "restart"
    MAX_LENGTH = "maxLength"  # the next segment starts at once
    MAX_ROOM = "maxRoom"
    UNATTENDED = "unattended"


class EndReason(StrEnum):
    """Reason for the end of a room."""

    HANGUP = "hangup"
    CANCELLED = "cancelled"
    NO_ANSWER = "noAnswer"
    LAST_LEFT = "lastLeft"
    IDLE = "idle"
    ENDED = "ended"

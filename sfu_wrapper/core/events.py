"""Events of a room. Requests can be refused, all others cannot.

Every event has ``at``, the instant at which the shell accepted it. ``ref`` names the request for
the reply; ``permissions`` are those stored for the room's owner at that instant.
"""

from dataclasses import dataclass

from sfu_wrapper.core.media_plane import RoomFact
from sfu_wrapper.model.identity import OwnerPermissions, UserId, UserKey
from sfu_wrapper.model.media import Media
from sfu_wrapper.model.segment import Instant


@dataclass(frozen=True, slots=True)
class Requester:
    """Sender of a request.

    Attributes:
        key: the user.
        service: True for the room service.
        admin: True for an administrator of its domain.
    """

    key: UserKey
    service: bool = False
    admin: bool = False


@dataclass(frozen=True, slots=True)
class JoinRequested:
    """joinRoom: by ``user``, or by the service for it.

    ``media`` None: no media at a first join, unchanged media at a reconnection.
    """

    at: Instant
    ref: str
    by: Requester
    user: UserKey
    media: Media | None
    permissions: OwnerPermissions


@dataclass(frozen=True, slots=True)
class MediaRequested:
    """updateMedia."""

    at: Instant
    ref: str
    by: Requester
    user: UserKey
    media: Media


@dataclass(frozen=True, slots=True)
class InviteRequested:
    """inviteToRoom."""

    at: Instant
    ref: str
    by: Requester
    users: tuple[UserId, ...]


@dataclass(frozen=True, slots=True)
class LeaveRequested:
    """leaveRoom."""

    at: Instant
    ref: str
    by: Requester
    user: UserKey


@dataclass(frozen=True, slots=True)
class EndRequested:
    """endRoom."""

    at: Instant
    ref: str
    by: Requester


@dataclass(frozen=True, slots=True)
class StartRequested:
    """startRoomRecording."""

    at: Instant
    ref: str
    by: Requester
    permissions: OwnerPermissions


@dataclass(frozen=True, slots=True)
class StopRequested:
    """stopRoomRecording.

    ``resume_after_ms``: length of the pause after which recording goes on; None: it is over.
    """

    at: Instant
    ref: str
    by: Requester
    resume_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class UserGone:
    """Loss of the last connection with which the user joined."""

    at: Instant
    user: UserKey


@dataclass(frozen=True, slots=True)
class UserBack:
    """New connection of a user during its grace, or a repeat of its join over another one."""

    at: Instant
    user: UserKey


@dataclass(frozen=True, slots=True)
class PlaneReported:
    """Fact reported by the media plane."""

    at: Instant
    fact: RoomFact


@dataclass(frozen=True, slots=True)
class TimePassed:
    """Timer: a deadline may have passed."""

    at: Instant


@dataclass(frozen=True, slots=True)
class ControllerStopping:
    """SIGTERM: running segments stop, and no further one starts."""

    at: Instant


@dataclass(frozen=True, slots=True)
class ControllerReady:
    """Start of a controller that has loaded the room from the store."""

    at: Instant


Request = (
    JoinRequested
    | MediaRequested
    | InviteRequested
    | LeaveRequested
    | EndRequested
    | StartRequested
    | StopRequested
)

Event = (
    Request
    | UserGone
    | UserBack
    | PlaneReported
    | TimePassed
    | ControllerStopping
    | ControllerReady
)

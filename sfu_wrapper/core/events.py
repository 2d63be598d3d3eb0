"""What can happen to a room. Requests of people can be refused, the rest cannot.

Every event carries ``at``, the moment at which the shell took it up. ``ref`` names the request to
be answered; ``permissions`` is what is stored for the room's owner at that moment.
"""

from dataclasses import dataclass

from sfu_wrapper.core.media_plane import RoomFact
from sfu_wrapper.model.identity import OwnerPermissions, UserId, UserKey
from sfu_wrapper.model.media import Media
from sfu_wrapper.model.segment import Instant


@dataclass(frozen=True, slots=True)
class Requester:
    """Who asks. service: the room service; admin: administers its domain."""

    key: UserKey
    service: bool = False
    admin: bool = False


@dataclass(frozen=True, slots=True)
class JoinRequested:
    """``user`` wants in, or the service puts it there. media None: nothing, or what it was."""

    at: Instant
    ref: str
    by: Requester
    user: UserKey
    media: Media | None
    permissions: OwnerPermissions


@dataclass(frozen=True, slots=True)
class MediaRequested:
    """What ``user`` publishes from now on."""

    at: Instant
    ref: str
    by: Requester
    user: UserKey
    media: Media


@dataclass(frozen=True, slots=True)
class InviteRequested:
    """More users may join."""

    at: Instant
    ref: str
    by: Requester
    users: tuple[UserId, ...]


@dataclass(frozen=True, slots=True)
class LeaveRequested:
    """``user`` leaves."""

    at: Instant
    ref: str
    by: Requester
    user: UserKey


@dataclass(frozen=True, slots=True)
class EndRequested:
    """The room is to end."""

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
    """stopRoomRecording."""

    at: Instant
    ref: str
    by: Requester


@dataclass(frozen=True, slots=True)
class UserGone:
    """The user's last connection was lost."""

    at: Instant
    user: UserKey


@dataclass(frozen=True, slots=True)
class UserBack:
    """The user has a connection again."""

    at: Instant
    user: UserKey


@dataclass(frozen=True, slots=True)
class PlaneReported:
    """A fact from the media plane."""

    at: Instant
    fact: RoomFact


@dataclass(frozen=True, slots=True)
class TimePassed:
    """A deadline may have been reached."""

    at: Instant


@dataclass(frozen=True, slots=True)
class ControllerStopping:
    """SIGTERM: running segments are stopped, nothing is started any more."""

    at: Instant


@dataclass(frozen=True, slots=True)
class ControllerReady:
    """A controller has taken the room up again after a restart."""

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

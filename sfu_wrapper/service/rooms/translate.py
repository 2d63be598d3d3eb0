"""Requests of the wire as events of the core."""

from collections.abc import Callable

from sfu_wrapper.core.events import (
    EndRequested,
    Event,
    InviteRequested,
    JoinRequested,
    LeaveRequested,
    MediaRequested,
    Requester,
    StartRequested,
    StopRequested,
)
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import Identity, Role
from sfu_wrapper.model.ids import UserId, UserKey
from sfu_wrapper.model.media import Media
from sfu_wrapper.model.moment import Moment
from sfu_wrapper.model.permission import OwnerPermissions
from sfu_wrapper.wire.signaling import (
    EndRoom,
    InviteToRoom,
    JoinRoom,
    LeaveRoom,
    MediaFlags,
    Payload,
    StartRoomRecording,
    StopRoomRecording,
    UpdateMedia,
)

Build = Callable[[Room, Moment], Event]


def requester(identity: Identity) -> Requester:
    """Who asks, as the core knows it."""
    return Requester(identity.key, identity.is_service, Role.DOMAIN_ADMIN in identity.roles)


def event_of(
    payload: Payload,
    ref: str,
    by: Requester,
    permissions: Callable[[Room], OwnerPermissions],
) -> Build:
    """What to do with the room once it is its turn.

    permissions: looks up what is stored for the room's owner, at that moment.

    Raises:
        Refused: UNKNOWN_ENDPOINT; it is none that changes a room.
    """
    match payload:
        case JoinRoom(user=user, media=media):
            return lambda room, at: JoinRequested(
                at, ref, by, _user(room, by, user), _media(media), permissions(room)
            )
        case UpdateMedia(user=user, media=flags):
            return lambda room, at: MediaRequested(
                at, ref, by, _user(room, by, user), Media(flags.audio, flags.video, flags.screen)
            )
        case InviteToRoom(users=users):
            invited = tuple(UserId(each) for each in users)
            return lambda _, at: InviteRequested(at, ref, by, invited)
        case LeaveRoom(user=user):
            return lambda room, at: LeaveRequested(at, ref, by, _user(room, by, user))
        case EndRoom():
            return lambda _, at: EndRequested(at, ref, by)
        case StartRoomRecording():
            return lambda room, at: StartRequested(at, ref, by, permissions(room))
        case StopRoomRecording():
            return lambda _, at: StopRequested(at, ref, by)
        case _:
            raise Refused(Code.UNKNOWN_ENDPOINT, "this endpoint is not served here")


def _user(room: Room, by: Requester, named: str | None) -> UserKey:
    """Whom the request is about: the requester, or a user of the room's domain."""
    if named is None:
        return by.key
    return UserKey(room.domain if by.service else by.key.domain, UserId(named))


def _media(flags: MediaFlags | None) -> Media | None:
    return None if flags is None else Media(flags.audio, flags.video, flags.screen)

"""Who may do what with a room; raises ``Refused``, changes nothing.

The checks stand in the order of policy.md, "Decision table": the first failure wins.

Who may read and write stored permissions (http.md, "Permissions"); changes nothing.

Whoever has not the role is told so, whatever is asked about. Whoever has it for another domain gets
the same answer as where nothing is stored.
"""

from dataclasses import dataclass

from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.policy import Decision
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import DomainId, Identity, Role, RoomId, UserId, UserKey
from sfu_wrapper.model.room import Kind, Origin

NOT_FOUND = "room not found"


def sees(room: Room, by: Requester) -> bool:
    """Whether the room exists for the requester.

    Those who took part see a room that has ended; while it lives, only those who take part now.
    """
    if sees_recordings(room, by):
        return True
    if room.life is Life.ENDED:
        return by.key in room.members
    return room.participant(by.key) is not None


def manages(owner: UserKey, by: Requester) -> bool:
    """Tell whether a room of this owner is the requester's to look after, whoever takes part."""
    return by.service or by.key == owner or (by.admin and by.key.domain == owner.domain)


def sees_recordings(room: Room, by: Requester) -> bool:
    """Whether what is recorded there is the requester's to follow: nobody's who only took part."""
    return manages(room.owner_key, by)


def welcomes(room: Room, user: UserKey) -> bool:
    """Tell whether the user may come in without being let in by the room service."""
    if room.kind is Kind.PUBLIC:
        return True
    if user.domain != room.domain:
        return False
    return room.invited is None or user.user in room.invited


def not_found(room: RoomId) -> Refused:
    """Return the one answer about rooms that are not there, and about those of others."""
    return Refused(Code.ROOM_NOT_FOUND, NOT_FOUND, room=room)


def require_visible(room: Room, by: Requester) -> None:
    """The room exists for the requester."""
    if not sees(room, by):
        raise not_found(room.id)


def require_alive(room: Room, by: Requester) -> None:
    """It exists for the requester and has not ended."""
    require_visible(room, by)
    if room.life is Life.ENDED:
        raise Refused(Code.ROOM_ENDED, "the room has ended", room=room.id)


def require_owner(room: Room, by: Requester, deed: str) -> None:
    """The owner or the service, in a room that lives."""
    require_alive(room, by)
    if not by.service and by.key != room.owner_key:
        raise Refused(Code.NOT_ROOM_OWNER, f"only the owner may {deed}", room=room.id)


def require_may_join(room: Room, by: Requester, user: UserKey) -> None:
    """Refuse a user who may not join (policy.md, "The life of a room"), disclosing nothing.

    A room that has ended exists for those alone who took part, its owner, its administrators and
    the service; to the others, welcome or not, it is gone.
    """
    if not sees(room, by) and (room.life is Life.ENDED or not welcomes(room, by.key)):
        raise not_found(room.id)
    if by.key != user and not by.service:
        raise Refused(Code.FORBIDDEN, "only the room service may join somebody else")
    welcome = by.service or user == room.owner_key or welcomes(room, user)
    if room.life is Life.ENDED:
        raise Refused(Code.ROOM_ENDED, "the room has ended", room=room.id)
    if not welcome and room.participant(user) is None:
        raise Refused(Code.FORBIDDEN, "you are not invited to this room", room=room.id)


def require_member(room: Room, by: Requester, user: UserKey) -> None:
    """The requester acts for a participant: itself, or anyone where it is the service."""
    require_alive(room, by)
    if by.key != user and not by.service:
        raise Refused(Code.FORBIDDEN, "only the room service may act for somebody else")
    if room.participant(user) is None:
        raise Refused(Code.NOT_IN_ROOM, "that user does not take part in this room", room=room.id)


def require_may_start(room: Room, by: Requester, decision: Decision) -> None:
    """The checks of startRoomRecording but the last (whether one runs already)."""
    _require_in_call(room, by)
    _require_recordable(room)
    if not by.service and by.key != room.owner_key:
        word = "caller may record this call" if room.kind is Kind.DIRECT else "creator may record"
        raise Refused(Code.NOT_ROOM_OWNER, f"only the {word}", room=room.id)
    if not decision.allowed:
        reason = decision.reason.value if decision.reason is not None else None
        message = "the owner's permissions do not allow recording"
        raise Refused(Code.NOT_PERMITTED, message, room=room.id, reason=reason)
    if room.life is not Life.ESTABLISHED:
        raise Refused(Code.NOT_ESTABLISHED, "the call is not established yet", room=room.id)


def require_may_stop(room: Room, by: Requester) -> None:
    """The checks of stopRoomRecording but the last (whether something runs)."""
    if by.service:
        require_alive(room, by)
        return
    _require_in_call(room, by)
    _require_recordable(room)
    if by.key != room.owner_key:
        raise Refused(Code.NOT_ROOM_OWNER, "only the owner may stop a recording", room=room.id)


def _require_in_call(room: Room, by: Requester) -> None:
    require_alive(room, by)
    if not by.service and room.participant(by.key) is None:
        raise Refused(Code.NOT_IN_ROOM, "join the room first", room=room.id)


def _require_recordable(room: Room) -> None:
    if room.kind is Kind.PUBLIC:
        raise Refused(Code.PUBLIC_ROOM, "public rooms are never recorded", room=room.id)
    if room.origin is Origin.PSTN:
        message = "recording of calls from the telephone network is up to the system"
        raise Refused(Code.PSTN_ROOM, message, room=room.id)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose permission: a user's, or (user None) a domain's."""

    domain: DomainId
    user: UserId | None = None


def permission_not_found() -> Refused:
    """The one answer to all that is not stored, or not for the requester."""
    return Refused(Code.NOT_FOUND, "there is no such permission for you")


def require_may_read(by: Identity, subject: Subject) -> None:
    """The domain's administrator, and the room service."""
    if not by.is_service:
        _require_admin(by, subject.domain)


def require_may_write(by: Identity, subject: Subject) -> None:
    """The domain's administrator alone."""
    _require_admin(by, subject.domain)


def require_may_write_own(by: Identity, user_may_write: bool) -> None:
    """A user, where the operator lets users write (``permissions.userMayWrite``)."""
    if not by.roles & {Role.USER, Role.DOMAIN_ADMIN}:
        raise Refused(Code.FORBIDDEN, "only users have permissions of their own")
    if not user_may_write:
        raise Refused(Code.FORBIDDEN, "users may not change permissions here; ask an administrator")


def require_may_read_effective(by: Identity, user: UserKey) -> None:
    """Whoever asks about itself; about others as ``require_may_read``."""
    if user != by.key:
        require_may_read(by, Subject(user.domain, user.user))


def _require_admin(by: Identity, domain: DomainId) -> None:
    if Role.DOMAIN_ADMIN not in by.roles:
        raise Refused(Code.FORBIDDEN, "the token has not the role domain-admin")
    if by.domain != domain:
        raise permission_not_found()

"""Access checks for rooms and stored permissions. Each raises ``Refused`` or does nothing.

Rooms: the checks follow the order of policy.md, "Decision table", and the first failure wins.

Permissions (http.md, "Permissions"): callers without the role get FORBIDDEN. Administrators of
another domain get NOT_FOUND, so that existence is not disclosed.

Recordings (http.md, "Recordings"): the owner, administrators of its domain and the room service see
one; to all others, participants too, it does not exist.
"""

from dataclasses import dataclass

from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.policy import Decision, StopBy
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import (
    DomainId,
    Identity,
    Kind,
    Origin,
    Role,
    RoomId,
    UserId,
    UserKey,
)
from sfu_wrapper.model.recording import Recording, RecordingKey

NOT_FOUND = "room not found"


def requester(identity: Identity) -> Requester:
    """Return the requester that an identity is to rooms."""
    return Requester(identity.key, identity.is_service, Role.DOMAIN_ADMIN in identity.roles)


def sees(room: Room, by: Requester) -> bool:
    """Return True if the room exists for the requester.

    Past participants see a room that has ended; present ones see a room that lives.
    """
    if manages(room.owner_key, by):
        return True
    if room.life is Life.ENDED:
        return by.key in room.members
    return room.participants.get(by.key) is not None


def manages(owner: UserKey, by: Requester) -> bool:
    """Return True if the requester may manage all rooms of this owner."""
    return by.service or by.key == owner or (by.admin and by.key.domain == owner.domain)


def sees_recordings(room: Room, by: Requester) -> bool:
    """Return True if the requester may follow recordings of the room; participants may not."""
    return manages(room.owner_key, by)


def sees_recording(recording: Recording, by: Requester) -> bool:
    """Return True if the recording exists for the requester."""
    return manages(recording.facts.owner_key, by)


def recording_not_found(key: RecordingKey) -> Refused:
    """Return the same refusal for a missing recording and for one that is hidden."""
    return Refused(Code.NOT_FOUND, "recording not found", recording=str(key))


def require_sees(owner: UserKey | None, by: Requester, key: RecordingKey) -> None:
    """Require that a recording of this owner exists for the requester; None: it is missing."""
    if owner is None or not manages(owner, by):
        raise recording_not_found(key)


def require_operator(by: Requester) -> None:
    """Require an administrator or the room service."""
    if not by.service and not by.admin:
        raise Refused(Code.FORBIDDEN, 'the token has neither the role "domain-admin" nor "service"')


def welcomes(room: Room, user: UserKey) -> bool:
    """Return True if the user may join without the help of the room service."""
    if room.kind is Kind.PUBLIC:
        return True
    if user.domain != room.domain:
        return False
    return room.invited is None or user.user in room.invited


def not_found(room: RoomId) -> Refused:
    """Return the same refusal for a missing room and for one that the requester may not see."""
    return Refused(Code.ROOM_NOT_FOUND, NOT_FOUND, room=room)


def require_visible(room: Room, by: Requester) -> None:
    """Require that the room exists for the requester."""
    if not sees(room, by):
        raise not_found(room.id)


def require_alive(room: Room, by: Requester) -> None:
    """Require that the room exists for the requester and has not ended."""
    require_visible(room, by)
    if room.life is Life.ENDED:
        raise Refused(Code.ROOM_ENDED, "the room has ended", room=room.id)


def require_owner(room: Room, by: Requester, deed: str) -> None:
    """Require the owner or the room service, in a room that has not ended."""
    require_alive(room, by)
    if not by.service and by.key != room.owner_key:
        raise Refused(Code.NOT_ROOM_OWNER, f"only the owner may {deed}", room=room.id)


def require_may_join(room: Room, by: Requester, user: UserKey) -> None:
    """Refuse a user who may not join (policy.md, "The life of a room"), disclosing nothing.

    A room that has ended exists only for its past participants, its owner, its administrators and
    the service; all others get ROOM_NOT_FOUND, invited or not.
    """
    if not sees(room, by) and (room.life is Life.ENDED or not welcomes(room, by.key)):
        raise not_found(room.id)
    if by.key != user and not by.service:
        raise Refused(Code.FORBIDDEN, "only the room service may join another user")
    welcome = by.service or user == room.owner_key or welcomes(room, user)
    if room.life is Life.ENDED:
        raise Refused(Code.ROOM_ENDED, "the room has ended", room=room.id)
    if not welcome and room.participants.get(user) is None:
        raise Refused(Code.FORBIDDEN, "you are not invited to this room", room=room.id)


def require_member(room: Room, by: Requester, user: UserKey) -> None:
    """Require that the requester acts for a participant: for itself, or as the room service."""
    require_alive(room, by)
    if by.key != user and not by.service:
        raise Refused(Code.FORBIDDEN, "only the room service may act for another user")
    if room.participants.get(user) is None:
        raise Refused(Code.NOT_IN_ROOM, "that user does not take part in this room", room=room.id)


def require_may_start(room: Room, by: Requester, decision: Decision) -> None:
    """Check startRoomRecording, except for the last rule (no segment is being recorded)."""
    _require_in_call(room, by)
    _require_not_public(room)
    _require_not_pstn(room)
    if not by.service and by.key != room.owner_key:
        word = "caller may record this call" if room.kind is Kind.DIRECT else "creator may record"
        raise Refused(Code.NOT_ROOM_OWNER, f"only the {word}", room=room.id)
    if not decision.allowed:
        reason = decision.reason.value if decision.reason is not None else None
        message = "the owner's permissions do not allow recording"
        raise Refused(Code.NOT_PERMITTED, message, room=room.id, reason=reason)
    if room.life is not Life.ESTABLISHED:
        raise Refused(Code.NOT_ESTABLISHED, "the call is not established yet", room=room.id)


def require_may_stop(room: Room, by: Requester, stop_by: StopBy) -> None:
    """Check stopRoomRecording, except for the last rule (a segment runs or is wanted).

    The service and an administrator of the domain may stop any recording, the owner its own,
    present or not (policy.md, "Who may stop").
    """
    require_alive(room, by)
    _require_not_public(room)
    administers = by.admin and by.key.domain == room.domain
    if by.service or administers:
        return
    _require_not_pstn(room)
    takes_part = room.participants.get(by.key) is not None
    if by.key != room.owner_key and not (takes_part and stop_by is StopBy.PARTICIPANTS):
        raise Refused(Code.NOT_ROOM_OWNER, "only the owner may stop a recording", room=room.id)


def _require_in_call(room: Room, by: Requester) -> None:
    require_alive(room, by)
    if not by.service and room.participants.get(by.key) is None:
        raise Refused(Code.NOT_IN_ROOM, "join the room first", room=room.id)


def _require_not_public(room: Room) -> None:
    if room.kind is Kind.PUBLIC:
        raise Refused(Code.PUBLIC_ROOM, "public rooms are never recorded", room=room.id)


def _require_not_pstn(room: Room) -> None:
    if room.origin is Origin.PSTN:
        message = "recording of calls from the telephone network is up to the system"
        raise Refused(Code.PSTN_ROOM, message, room=room.id)


@dataclass(frozen=True, slots=True)
class Subject:
    """Holder of a permission: a user, or, with ``user`` None, a domain."""

    domain: DomainId
    user: UserId | None = None


def permission_not_found() -> Refused:
    """Return the same refusal for a missing permission and for one of another domain."""
    return Refused(Code.NOT_FOUND, "permission not found")


def require_may_read(by: Identity, subject: Subject) -> None:
    """Require an administrator of the domain, or the room service."""
    if not by.is_service:
        _require_admin(by, subject.domain)


def require_may_write(by: Identity, subject: Subject) -> None:
    """Require an administrator of the domain."""
    _require_admin(by, subject.domain)


def require_may_write_own(by: Identity, user_may_write: bool) -> None:
    """Require a user, and that the operator lets users write (``permissions.userMayWrite``)."""
    if not by.roles & {Role.USER, Role.DOMAIN_ADMIN}:
        raise Refused(Code.FORBIDDEN, "only users have permissions of their own")
    if not user_may_write:
        raise Refused(Code.FORBIDDEN, "users may not change permissions here; ask an administrator")


def require_may_read_effective(by: Identity, user: UserKey) -> None:
    """Require that the caller asks about itself, or may read the permission of the user."""
    if user != by.key:
        require_may_read(by, Subject(user.domain, user.user))


def require_may_audit(by: Identity, domain: DomainId) -> None:
    """Require an administrator of the domain, or the room service."""
    if not by.is_service:
        _require_admin(by, domain, Refused(Code.NOT_FOUND, "audit chain not found"))


def require_may_read_webhooks(by: Identity, domain: DomainId | None) -> None:
    """Require an administrator of the domain, or the room service; None: of a missing webhook."""
    if not by.is_service:
        require_may_change_webhooks(by, domain)


def require_may_change_webhooks(by: Identity, domain: DomainId | None) -> None:
    """Require an administrator of the domain. Raises Refused: FORBIDDEN or NOT_FOUND."""
    _require_admin(by, domain, Refused(Code.NOT_FOUND, "webhook not found"))


def _require_admin(by: Identity, domain: DomainId | None, hidden: Refused | None = None) -> None:
    if Role.DOMAIN_ADMIN not in by.roles:
        raise Refused(Code.FORBIDDEN, 'the token lacks the role "domain-admin"')
    if by.domain != domain:
        raise hidden or permission_not_found()

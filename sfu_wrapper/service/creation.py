"""What createRoom asks for: who may say what, and what is filled in."""

from sfu_wrapper.core.step import RoomSpec
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import Identity
from sfu_wrapper.model.ids import ConfbridgeId, DomainId, RoomId, RoomUuid, UserId, UserKey
from sfu_wrapper.model.room import Kind, Origin
from sfu_wrapper.wire.signaling import CreateRoom


def room_spec(identity: Identity, asked: CreateRoom, made: tuple[str, str]) -> RoomSpec:
    """The room to be made. made: ids for the uuid and the mixer's room, where none are given.

    Raises:
        Refused: BAD_REQUEST or FORBIDDEN (protocol.md, "createRoom").
    """
    owner = _owner(identity, asked)
    if asked.origin is Origin.PSTN:
        if not identity.is_service:
            raise Refused(Code.FORBIDDEN, "only the room service may announce a PSTN call")
        if asked.kind is not Kind.DIRECT:
            raise _bad("a pstn room is of kind direct", "payload.kind")
    uuid = RoomUuid(asked.uuid or made[0])
    return RoomSpec(
        uuid=uuid,
        id=RoomId(asked.id or uuid),
        confbridge_id=ConfbridgeId(asked.confbridge_id or made[1]),
        kind=asked.kind,
        origin=asked.origin,
        domain=owner.domain,
        owner=owner.user,
        flag=asked.record,
        creator=identity.key if identity.is_service else None,
        invited=_invited(asked),
    )


def _owner(identity: Identity, asked: CreateRoom) -> UserKey:
    if identity.is_service:
        if asked.owner is None or asked.domain is None:
            field = "owner" if asked.owner is None else "domain"
            raise _bad(f"the room service names the {field} of a room", f"payload.{field}")
        return UserKey(DomainId(asked.domain), UserId(asked.owner))
    named = UserKey(DomainId(asked.domain or identity.domain), UserId(asked.owner or identity.user))
    if named != identity.key:
        raise Refused(Code.FORBIDDEN, "a user creates rooms of its own only")
    return named


def _invited(asked: CreateRoom) -> tuple[UserId, ...] | None:
    if asked.invited is None:
        return None
    return tuple(sorted({UserId(user) for user in asked.invited}))


def _bad(detail: str, path: str) -> Refused:
    return Refused(Code.BAD_REQUEST, detail, path=path)

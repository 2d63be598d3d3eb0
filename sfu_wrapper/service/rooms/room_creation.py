"""New rooms: who may ask createRoom for what, which ids are free, and how many rooms there may be.

Decides nothing about what happens in a room. Whatever is checked here is held by the directory from
the moment at which the room is added to it, so two requests never get the same place.
"""

import uuid

from sfu_wrapper.core.quotas import Quotas, RecentRooms, require_invited, require_rooms
from sfu_wrapper.core.step import RoomSpec
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import (
    ConfbridgeId,
    DomainId,
    Identity,
    RoomId,
    RoomUuid,
    UserId,
    UserKey,
)
from sfu_wrapper.model.room import Kind, Origin
from sfu_wrapper.ports.store import Store
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.rooms.registry import RoomRegistry
from sfu_wrapper.wire.signaling import CreateRoom

PSTN_PREFIX = "pstn-"  # of the uuids of incoming calls, which can be guessed: not for users
_UNUSABLE = "this {} cannot be used; take another or leave it out"


class RoomCreation:
    """Admits new rooms."""

    def __init__(self, directory: RoomRegistry, store: Store, clock: Clock, quotas: Quotas) -> None:
        self._directory = directory
        self._store = store
        self._clock = clock
        self._quotas = quotas
        self._recent = RecentRooms(quotas.rooms_per_minute)

    def admit(self, identity: Identity, asked: CreateRoom) -> RoomSpec:
        """Return the room to be made; the caller adds it to the directory at once.

        Raises:
            Refused: BAD_REQUEST, FORBIDDEN, ROOM_EXISTS or QUOTA_EXCEEDED.
            Unavailable: the store cannot be read.
        """
        spec = room_spec(identity, asked, (uuid.uuid4().hex, uuid.uuid4().hex))
        require_invited(self._quotas, len(spec.invited or ()))
        self._require_free(identity, asked, spec)
        of_owner = 0 if spec.origin is Origin.PSTN else self._directory.living_of(spec.owner_key)
        of_domain = self._directory.living_in(spec.domain)
        require_rooms(self._quotas, of_owner=of_owner, of_domain=of_domain)
        if spec.origin is not Origin.PSTN:
            self._recent.note(spec.owner_key, self._clock.now().mono_ms)
        return spec

    def take_back(self, spec: RoomSpec) -> None:
        """Uncount a room that came to nothing."""
        if spec.origin is not Origin.PSTN:
            self._recent.take_back(spec.owner_key)

    def _require_free(self, identity: Identity, asked: CreateRoom, spec: RoomSpec) -> None:
        """Refuse ids that are in use; those made here are new."""
        if self._directory.is_taken(spec.domain, spec.id):
            raise _taken(identity, "id", spec.id)
        if asked.uuid is not None and self._is_used(spec.uuid):
            raise _taken(identity, "uuid", spec.uuid)
        if asked.confbridge_id is not None and self._directory.keeps_name(spec.confbridge_id):
            raise _taken(identity, "confbridgeId", spec.confbridge_id)

    def _is_used(self, wished: RoomUuid) -> bool:
        """Tell whether a room has, or ever had, this uuid."""
        return self._directory.has_name(wished) or self._store.has_used(wished)


def room_spec(identity: Identity, asked: CreateRoom, made: tuple[str, str]) -> RoomSpec:
    """The room to be made. made: ids for the uuid and the mixer's room, where none are given.

    Raises:
        Refused: BAD_REQUEST or FORBIDDEN (protocol.md, "Endpoints").
    """
    owner = _owner(identity, asked)
    if asked.origin is Origin.PSTN:
        if not identity.is_service:
            raise Refused(Code.FORBIDDEN, "only the room service may announce a PSTN call")
        if asked.kind is not Kind.DIRECT:
            raise _bad("a pstn room is of kind direct", "payload.kind")
    if asked.confbridge_id is not None and not identity.is_service:
        raise Refused(Code.FORBIDDEN, "only the room service may give a confbridgeId; leave it out")
    if not identity.is_service:
        _require_not_reserved(asked)
    wished = RoomUuid(asked.uuid or made[0])
    return RoomSpec(
        uuid=wished,
        id=RoomId(asked.id or wished),
        confbridge_id=ConfbridgeId(asked.confbridge_id or made[1]),
        kind=asked.kind,
        origin=asked.origin,
        domain=owner.domain,
        owner=owner.user,
        flag=asked.record,
        creator=identity.key if identity.is_service else None,
        invited=_invited(asked),
    )


def _require_not_reserved(asked: CreateRoom) -> None:
    """Leave the names of incoming calls to them: a room with such a name would keep one out."""
    for field, value in (("uuid", asked.uuid), ("id", asked.id)):
        if value is not None and value.casefold().startswith(PSTN_PREFIX):
            raise _bad(_UNUSABLE.format(field), f"payload.{field}")


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


def _taken(identity: Identity, field: str, value: str) -> Refused:
    """Name the clash to the service alone: a user learns nothing of other rooms."""
    if identity.is_service:
        detail = f"a room with this {field} exists; take another or leave it out"
        return Refused(Code.ROOM_EXISTS, detail, room=value)
    return _bad(_UNUSABLE.format(field), f"payload.{field}")

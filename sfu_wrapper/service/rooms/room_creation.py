"""Creation of rooms: authorization of createRoom, free ids, and quotas.

The caller adds an admitted room to the registry at once, without awaiting in between, so that two
requests never get the same id or the last place of a quota.
"""

import uuid

from sfu_wrapper.core.quotas import Quotas, RecentRooms, require_invited, require_rooms
from sfu_wrapper.core.step import RoomSpec
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import (
    ConfbridgeId,
    DomainId,
    Identity,
    Kind,
    Origin,
    RoomId,
    RoomUuid,
    UserId,
    UserKey,
)
from sfu_wrapper.ports.store import Store
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.rooms.registry import RoomRegistry
from sfu_wrapper.wire.signaling import CreateRoom

PSTN_PREFIX = "pstn-"  # of the guessable uuids of incoming calls; reserved
_UNUSABLE = "this {} cannot be used; take another or leave it out"


class RoomCreation:
    """Admission of new rooms."""

    def __init__(self, registry: RoomRegistry, store: Store, clock: Clock, quotas: Quotas) -> None:
        self._registry = registry
        self._store = store
        self._clock = clock
        self._quotas = quotas
        self._recent = RecentRooms(quotas.rooms_per_minute)

    def admit(self, identity: Identity, payload: CreateRoom) -> RoomSpec:
        """Return the room to create; the caller adds it to the registry at once.

        Raises:
            Refused: BAD_REQUEST, FORBIDDEN, ROOM_EXISTS or QUOTA_EXCEEDED.
            Unavailable: the store cannot be read.
        """
        spec = room_spec(identity, payload, (uuid.uuid4().hex, uuid.uuid4().hex))
        require_invited(self._quotas, len(spec.invited or ()))
        self._require_free(identity, payload, spec)
        of_owner = 0 if spec.origin is Origin.PSTN else self._registry.living_of(spec.owner_key)
        of_domain = self._registry.living_in(spec.domain)
        require_rooms(self._quotas, of_owner=of_owner, of_domain=of_domain)
        if spec.origin is not Origin.PSTN:
            self._recent.note(spec.owner_key, self._clock.now().mono_ms)
        return spec

    def withdraw(self, spec: RoomSpec) -> None:
        """Remove a room that was not stored from the rate of new rooms."""
        if spec.origin is not Origin.PSTN:
            self._recent.take_back(spec.owner_key)

    def _require_free(self, identity: Identity, payload: CreateRoom, spec: RoomSpec) -> None:
        """Raise Refused if a requested id is in use; generated ids are unique."""
        if self._registry.is_taken(spec.domain, spec.id):
            raise _taken(identity, "id", spec.id)
        if payload.uuid is not None and self._is_used(spec.uuid):
            raise _taken(identity, "uuid", spec.uuid)
        if payload.confbridge_id is not None and self._registry.keeps_name(spec.confbridge_id):
            raise _taken(identity, "confbridgeId", spec.confbridge_id)

    def _is_used(self, requested: RoomUuid) -> bool:
        """Return True if a room has, or ever had, this uuid."""
        return self._registry.has_name(requested) or self._store.has_used(requested)


def room_spec(identity: Identity, payload: CreateRoom, made: tuple[str, str]) -> RoomSpec:
    """Return the room to create.

    Args:
        identity: the requester.
        payload: payload of the request.
        made: generated uuid and confbridgeId, used unless the request names them.

    Raises:
        Refused: BAD_REQUEST or FORBIDDEN (protocol.md, "Endpoints").
    """
    owner = _owner(identity, payload)
    if payload.origin is Origin.PSTN:
        if not identity.is_service:
            raise Refused(Code.FORBIDDEN, "only the room service may announce a PSTN call")
        if payload.kind is not Kind.DIRECT:
            raise _bad("a pstn room is of kind direct", "payload.kind")
    if payload.confbridge_id is not None and not identity.is_service:
        raise Refused(Code.FORBIDDEN, "only the room service may give a confbridgeId; leave it out")
    if not identity.is_service:
        _require_not_reserved(payload)
    requested = RoomUuid(payload.uuid or made[0])
    return RoomSpec(
        uuid=requested,
        id=RoomId(payload.id or requested),
        confbridge_id=ConfbridgeId(payload.confbridge_id or made[1]),
        kind=payload.kind,
        origin=payload.origin,
        domain=owner.domain,
        owner=owner.user,
        flag=payload.record,
        creator=identity.key if identity.is_service else None,
        invited=_invited(payload),
    )


def _require_not_reserved(payload: CreateRoom) -> None:
    """Refuse the names reserved for incoming calls: a room with such a name would block a call."""
    for field, value in (("uuid", payload.uuid), ("id", payload.id)):
        if value is not None and value.casefold().startswith(PSTN_PREFIX):
            raise _bad(_UNUSABLE.format(field), f"payload.{field}")


def _owner(identity: Identity, payload: CreateRoom) -> UserKey:
    if identity.is_service:
        if payload.owner is None or payload.domain is None:
            field = "owner" if payload.owner is None else "domain"
            raise _bad(f"the room service names the {field} of a room", f"payload.{field}")
        return UserKey(DomainId(payload.domain), UserId(payload.owner))
    named = UserKey(
        DomainId(payload.domain or identity.domain), UserId(payload.owner or identity.user)
    )
    if named != identity.key:
        raise Refused(Code.FORBIDDEN, "a user creates rooms of its own only")
    return named


def _invited(payload: CreateRoom) -> tuple[UserId, ...] | None:
    if payload.invited is None:
        return None
    return tuple(sorted({UserId(user) for user in payload.invited}))


def _bad(detail: str, path: str) -> Refused:
    return Refused(Code.BAD_REQUEST, detail, path=path)


def _taken(identity: Identity, field: str, value: str) -> Refused:
    """Return the error for an id in use; only the service learns that another room has it."""
    if identity.is_service:
        detail = f"a room with this {field} exists; take another or leave it out"
        return Refused(Code.ROOM_EXISTS, detail, room=value)
    return _bad(_UNUSABLE.format(field), f"payload.{field}")

"""Bodies of the HTTP interface: parsing, writing, and the models of the OpenAPI description.

``parse_permission`` reads the one body that clients send. Functions named ``…_json`` write response
bodies; the ``…Model`` classes describe the same bodies in OpenAPI. Tests compare the two.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema

from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.policy import Decision, Grant, PolicySettings, Reason, Source, asks, decide
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Code, Malformed
from sfu_wrapper.model.identity import (
    Kind,
    Origin,
    OwnerPermissions,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    StopReason,
    UserKey,
)
from sfu_wrapper.model.media import Medium
from sfu_wrapper.wire.strict_json import parse_strict
from sfu_wrapper.wire.validation import REQUEST, OneUnknownField, first_error

Json = dict[str, object]

# As in protocol.md, without "." and "..", which a URL path cannot carry.
ID_PATTERN = r"^(\.*[A-Za-z0-9_@+:-][A-Za-z0-9._@+:-]*|\.{3,})$"
ID_LENGTH = 128
CURSOR_PATTERN = r"^[0-9]{1,15}\.[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$"

_MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this body",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}


def _no_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


_T = TypeVar("_T")
# A field that may be absent, and is never null.
Maybe = Annotated[_T | SkipJsonSchema[None], Field(default=None, json_schema_extra=_no_default)]
IsoTime = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
IdText = Annotated[str, StringConstraints(min_length=1, max_length=ID_LENGTH)]
ShownUser = Annotated[str, StringConstraints(min_length=1, max_length=2 * ID_LENGTH + 1)]
Cursor = Annotated[str, StringConstraints(pattern=CURSOR_PATTERN)]
PositiveNumber = Annotated[int, Field(ge=1)]
DurationS = Annotated[float, Field(ge=0)]


class Body(OneUnknownField):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", alias_generator=to_camel)


class Recording(Body):
    """The media that may be recorded, and when they are."""

    recording_type: Annotated[RecordingType, Field(strict=False)]
    recording_profile: Annotated[RecordingProfile, Field(strict=False)]


class PermissionBody(Body):
    """A stored permission of a user or a domain."""

    recording: Recording


class Effective(Body):
    """The permission in effect for calls of this user, and the level that it comes from.

    ``records`` is true if calls of this user may be recorded at all.
    """

    user: IdText
    domain: IdText
    recording: Recording
    source: Literal[Source.USER, Source.DOMAIN, Source.SYSTEM]
    records: bool


class MediaFlags(Body):
    """The media that a participant publishes."""

    audio: bool
    video: bool
    screen: bool


class ParticipantModel(Body):
    """A participant; a user of another domain than the room's is shown as ``DOMAIN/USER``."""

    user: ShownUser
    joined_at: IsoTime
    media: MediaFlags


class RecordingModel(Body):
    """The recording decision for the room, and the recording that is running."""

    allowed: bool
    automatic: bool
    type: RecordingType
    source: Source | None
    reason: Maybe[Reason]
    active: bool
    segment: Maybe[PositiveNumber]
    started_at: Maybe[IsoTime]
    begun_by: Maybe[ShownUser]
    unattended: Maybe[bool]
    resumes_at: Maybe[IsoTime]


class ProcessingModel(Body):
    """Progress of the recording service on a segment, as last reported to this controller."""

    state: Literal["processing", "processed", "failed"]
    stage: Maybe[str]
    percent: Maybe[Annotated[float, Field(ge=0, le=100)]]
    eta_seconds: Maybe[DurationS]


class SegmentModel(Body):
    """A segment: one start-to-stop of recording."""

    segment: PositiveNumber
    state: Literal["starting", "recording", "stopping", "stopped", "failed"]
    by: str
    begun_by: Maybe[ShownUser]
    started_at: Maybe[IsoTime]
    stopped_at: Maybe[IsoTime]
    duration: Maybe[DurationS]
    reason: Maybe[StopReason]
    missing: Maybe[list[Medium]]
    processing: Maybe[ProcessingModel]


class RoomModel(Body):
    """A room; in a list with its 20 latest segments, and the number of the earlier ones."""

    room: IdText
    uuid: IdText
    kind: Kind
    origin: Origin
    owner: IdText
    domain: IdText
    state: Life
    participants: list[ParticipantModel]
    recording: RecordingModel
    segments: list[SegmentModel]
    earlier_segments: Maybe[PositiveNumber]


class RoomPage(Body):
    """A page of rooms, the newest first; pass ``next`` as ``after`` to get the next page."""

    rooms: list[RoomModel]
    next: Maybe[Cursor]


class Decided(Body):
    """A policy decision: manual start allowed, automatic start, and the reason if neither."""

    allowed: bool
    automatic: bool
    type: RecordingType
    source: Source | None
    reason: Maybe[Reason]


class DecisionModel(Body):
    """The decision about a room as of now, and as it was when the call was established.

    ``record`` is the record flag in effect, ``startBy`` the user who may start a recording.
    """

    room: IdText
    kind: Kind
    origin: Origin
    owner: IdText
    domain: IdText
    record: bool
    start_by: str | None
    now: Decided
    established: Decided | None


class PartModel(Body):
    """A dependency of the process; ``since`` is the time of its last change of state."""

    state: Literal["ok", "away"]
    since: IsoTime
    detail: Maybe[str]


class HealthModel(Body):
    """``ok``, ``degraded`` (works, but a dependency is unavailable) or ``unavailable``."""

    status: Literal["ok", "degraded", "unavailable"]
    draining: bool
    parts: dict[str, PartModel]


class LiveModel(Body):
    """The process is running."""

    status: Literal["ok"]


class Problem(Body):
    """RFC 9457 problem details; ``code`` is listed in protocol.md, ``details`` are plain values."""

    type: Literal["about:blank"]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    code: Code
    details: dict[str, str | int | float | bool | None]


def parse_permission(body: bytes) -> RecordingPermissions:
    """Read the body of a PUT.

    Raises:
        Malformed: no unambiguous JSON, or a field is missing, wrong or unknown; ``path`` names it.
    """
    try:
        given = PermissionBody.model_validate(parse_strict(body, REQUEST)).recording
    except ValidationError as exc:
        path, first = first_error(exc)
        why = _MESSAGES.get(first["type"]) or f"is wrong: {first['msg']}"
        raise Malformed(f"{path or 'the body'} {why}", path=path) from None
    return RecordingPermissions(given.recording_type, given.recording_profile)


def permission_json(permission: RecordingPermissions) -> Json:
    """Return a stored permission."""
    return {
        "recording": {
            "recordingType": permission.recording_type,
            "recordingProfile": permission.recording_profile,
        }
    }


def effective_json(user: UserKey, grant: Grant) -> Json:
    """Return the permission in effect for a user."""
    stored = permission_json(RecordingPermissions(grant.type, grant.profile))
    key = {"user": user.user, "domain": user.domain}
    return key | stored | {"source": grant.source, "records": grant.records}


def decision_json(room: Room, permissions: OwnerPermissions, policy: PolicySettings) -> Json:
    """Return the reasons for which a room is recorded or not."""
    now = decide(room.kind, room.origin, room.flag, permissions, policy)
    return {
        "room": room.id,
        "kind": room.kind,
        "origin": room.origin,
        "owner": room.owner,
        "domain": room.domain,
        "record": asks(room.kind, room.flag),
        "startBy": room.owner if now.allowed else None,
        "now": decided_json(now),
        "established": None if room.decision is None else decided_json(room.decision),
    }


def page_json(rooms: Sequence[Json], following: str | None) -> Json:
    """Return a page of rooms."""
    more = {} if following is None else {"next": following}
    return {"rooms": list(rooms), **more}


def problem_json(
    status: int, title: str, code: str, detail: str, details: Mapping[str, object]
) -> Json:
    """Return problem details. The type is about:blank, since ``code`` identifies the problem."""
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "details": dict(details),
    }


def problem_schema() -> Json:
    """Return the JSON schema of problem details."""
    return Problem.model_json_schema(ref_template="#/components/schemas/{model}")


def decided_json(decision: Decision) -> Json:
    """Return a decision."""
    shown: Json = {
        "allowed": decision.allowed,
        "automatic": decision.automatic,
        "type": decision.type,
        "source": decision.source,
    }
    return shown if decision.reason is None else shown | {"reason": decision.reason}

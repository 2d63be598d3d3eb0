"""Body and answer of ``POST /permissions/dry-run`` (http.md, "Permissions")."""

from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError

from sfu_wrapper.core.access import Subject
from sfu_wrapper.core.dry_run import Change, Judged
from sfu_wrapper.core.policy import Decision, asks
from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import DomainId, Kind, Origin, RecordingPermissions, UserId
from sfu_wrapper.wire.recording_models import PLACE_PATTERN
from sfu_wrapper.wire.rest import (
    ID_LENGTH,
    ID_PATTERN,
    Body,
    Decided,
    IdText,
    IsoTime,
    Json,
    Maybe,
    Recording,
    decided_json,
)
from sfu_wrapper.wire.strict_json import iso, parse_strict
from sfu_wrapper.wire.validation import REQUEST, WHOLE, first_error

MAX_DAYS = 365
DAYS = 7

_Place = Annotated[str, StringConstraints(pattern=PLACE_PATTERN)]
_User = Annotated[str, StringConstraints(pattern=ID_PATTERN, max_length=ID_LENGTH)]


class DryRunBody(Body):
    """A permission to try: of ``user``, else of your domain; null: as if it were removed."""

    recording: Recording | None
    user: _User | None = None
    days: Annotated[int, Field(ge=1, le=MAX_DAYS), WHOLE] = DAYS
    after: _Place | None = None


class JudgedCall(Body):
    """A call that the change decides otherwise.

    ``then`` is the decision at the time, ``now`` that under the permissions of today, ``would``
    that under the changed one.
    """

    room: IdText
    uuid: IdText
    owner: IdText
    kind: Kind
    origin: Origin
    record: bool
    established_at: IsoTime
    ended_at: Maybe[IsoTime]
    then: Maybe[Decided]
    now: Decided
    would: Decided


class DryRunAnswer(Body):
    """A page: ``judged`` calls were looked at, ``calls`` are those that change.

    A page may be empty although ``next`` is there: send the request again with it as ``after``.
    """

    judged: Annotated[int, Field(ge=0)]
    calls: list[JudgedCall]
    next: Maybe[_Place]


def dry_run_schema() -> Json:
    """Return the JSON Schema of the body; what it contains is among the components."""
    schema = DryRunBody.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs")
    return schema


def parse_dry_run(body: bytes, domain: DomainId) -> tuple[Change, int, str | None]:
    """Read the body: the change, the days, and the place to go on from.

    Args:
        body: the body.
        domain: domain of the requester, whose permissions are meant.

    Raises:
        Malformed: no unambiguous JSON, or a field is missing, wrong or unknown; ``path`` names it.
    """
    try:
        given = DryRunBody.model_validate(parse_strict(body, REQUEST))
    except ValidationError as exc:
        path, first = first_error(exc)
        raise Malformed(f"{path or 'the body'} is wrong: {first['msg']}", path=path) from None
    subject = Subject(domain, None if given.user is None else UserId(given.user))
    wanted = given.recording
    permission = (
        None
        if wanted is None
        else RecordingPermissions(wanted.recording_type, wanted.recording_profile)
    )
    return Change(subject, permission), given.days, given.after


def judged_json(call: Judged) -> Json:
    """Return a call."""
    room = call.room
    shown: Json = {
        "room": room.id,
        "uuid": room.uuid,
        "owner": room.owner,
        "kind": room.kind,
        "origin": room.origin,
        "record": asks(room.kind, room.flag),
        "establishedAt": iso(room.established_ms or 0),
        "now": decided_json(call.now),
        "would": decided_json(call.would),
    }
    if room.ended_ms is not None:
        shown["endedAt"] = iso(room.ended_ms)
    return shown | _then(call.then)


def _then(decision: Decision | None) -> Json:
    return {} if decision is None else {"then": decided_json(decision)}

"""Bodies that hold, delete or erase recordings, or set a domain's retention, and their answers.

Requests are closed: an unknown field, or one of a wrong type, is Malformed with its path. Source:
http.md, "Recordings".
"""

from collections.abc import Sequence
from typing import Annotated, TypeVar

from pydantic import Field, StringConstraints, ValidationError

from sfu_wrapper.model.errors import Code, Malformed, Refused
from sfu_wrapper.model.identity import DomainId, UserId, UserKey, shown_user
from sfu_wrapper.model.recording import Hold, Recording, RecordingKey, RecordingState
from sfu_wrapper.wire.recording_models import DeletionModel
from sfu_wrapper.wire.recording_rest import deletion_json
from sfu_wrapper.wire.rest import Body, IsoTime, Json, ShownUser
from sfu_wrapper.wire.strict_json import iso, parse_strict
from sfu_wrapper.wire.validation import MAX_WHOLE, REQUEST, WHOLE, first_error

MAX_REASON = 1_000  # characters
MAX_DAYS = 36_500
_PERSON = r"^([A-Za-z0-9._@+:-]{1,128}/)?[A-Za-z0-9._@+:-]{1,128}$"

_Address = Annotated[str, StringConstraints(min_length=3, max_length=140)]
_Count = Annotated[int, Field(ge=0)]


class HoldBody(Body):
    """A legal hold to set: why the recording must be kept."""

    reason: Annotated[str, StringConstraints(min_length=1, max_length=MAX_REASON)]


class HoldAnswer(Body):
    """The legal hold that a recording has."""

    by: ShownUser
    reason: str
    since: IsoTime


class DeletionAnswer(Body):
    """A deletion that was requested; the state becomes ``deleted`` once the files are gone."""

    recording: _Address
    state: RecordingState
    deletion: DeletionModel


class RetentionBody(Body):
    """Days for which a domain keeps its finished recordings."""

    days: Annotated[int, Field(ge=1, le=MAX_DAYS), WHOLE]


class ErasureBody(Body):
    """A person to erase; with ``confirm`` the ``count`` of the preview is required."""

    user: Annotated[str, StringConstraints(pattern=_PERSON)]
    confirm: bool = False
    count: Annotated[int | None, Field(ge=0, le=MAX_WHOLE), WHOLE] = None


class ErasedRecording(Body):
    """A recording of the person: ``owned``, or one in which the person took part."""

    recording: _Address
    owned: bool


class ErasureAnswer(Body):
    """Recordings that are deleted, or would be; ``held`` and ``running`` ones stay.

    Each list names at most 1,000; ``count`` is the number of those to delete.
    """

    user: ShownUser
    confirmed: bool
    count: _Count
    recordings: list[ErasedRecording]
    held: list[_Address]
    running: list[_Address]


_Model = TypeVar("_Model", bound=Body)


def parse_hold(body: bytes) -> str:
    """Return the reason of a hold to set. Raises Malformed."""
    return _parse(HoldBody, body).reason


def parse_retention(body: bytes) -> int:
    """Return the days that a domain is to have. Raises Malformed."""
    return _parse(RetentionBody, body).days


def parse_erasure(body: bytes, domain: DomainId) -> tuple[UserKey, int | None]:
    """Read a request to erase a person.

    Args:
        body: the body.
        domain: domain of a user that is given without one.

    Returns:
        The person, and the confirmed count; None: a preview.

    Raises:
        Malformed: the body is not such a request.
        Refused: COUNT_CHANGED: it confirms without a count.
    """
    given = _parse(ErasureBody, body)
    home, slash, user = given.user.rpartition("/")
    person = UserKey(DomainId(home) if slash else domain, UserId(user))
    if given.confirm and given.count is None:
        detail = "confirm needs the count of the preview"
        raise Refused(Code.COUNT_CHANGED, detail)
    return person, given.count if given.confirm else None


def hold_json(hold: Hold, domain: DomainId) -> Json:
    """Return a legal hold, of a recording of that domain."""
    return {"by": shown_user(hold.by, domain), "reason": hold.reason, "since": iso(hold.since_ms)}


def requested_json(recording: Recording) -> Json:
    """Return a recording whose deletion is requested."""
    shown = deletion_json(recording.deletion, recording.facts.domain)
    return {"recording": str(recording.key), "state": recording.state, "deletion": shown}


def erasure_json(
    user: UserKey,
    domain: DomainId,
    count: int,
    recordings: Sequence[tuple[RecordingKey, bool]],
    held: Sequence[RecordingKey],
    running: Sequence[RecordingKey],
    *,
    confirmed: bool,
) -> Json:
    """Return an erasure, or its preview.

    Args:
        user: the person.
        domain: domain of the administrator, whose users are shown without it.
        count: number of recordings to delete.
        recordings: their addresses, with True where the person owns it.
        held: addresses of held ones.
        running: addresses of those that are being made.
        confirmed: they are being deleted; False: a preview.
    """
    return {
        "user": shown_user(user, domain),
        "confirmed": confirmed,
        "count": count,
        "recordings": [{"recording": str(key), "owned": owned} for key, owned in recordings],
        "held": [str(key) for key in held],
        "running": [str(key) for key in running],
    }


def _parse(model: type[_Model], body: bytes) -> _Model:
    try:
        return model.model_validate(parse_strict(body, REQUEST))
    except ValidationError as exc:
        path, first = first_error(exc)
        raise Malformed(f"{path or 'the body'} is wrong: {first['msg']}", path=path) from None

"""Models of the bodies of ``/recordings`` and ``/usage``, for the OpenAPI description.

``recording_rest`` writes these bodies; tests compare the two.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.links import MAX_SECONDS
from sfu_wrapper.core.missed import MissCode
from sfu_wrapper.model.identity import Kind, Origin, RecordingType, StopReason
from sfu_wrapper.model.recording import DeletionReason, RecordingState
from sfu_wrapper.model.segment import FileKind
from sfu_wrapper.wire.rest import (
    Body,
    Decided,
    DurationS,
    IdText,
    IsoTime,
    Maybe,
    PositiveNumber,
    ShownUser,
)
from sfu_wrapper.wire.validation import WHOLE

UUID_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$"
PAGE_PATTERN = r"^[0-9]{1,14}\.[1-9][0-9]{0,8}\.[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$"
_ID = r"(\.*[A-Za-z0-9_@+:-][A-Za-z0-9._@+:-]*|\.{3,})"
PARTICIPANT_PATTERN = rf"^({_ID}/)?{_ID}$"
PLACE_PATTERN = r"^(open|ended)\.[0-9]{1,15}\.[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$"
OWNER_PATTERN = rf"^{_ID}/{_ID}$"
MAX_NAME_BYTES = 255  # of a finished file


_Bytes = Annotated[int, Field(ge=0)]
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class FileModel(Body):
    """A finished file; ``name`` addresses it below ``files/``, ``output`` names what made it."""

    name: str
    output: str
    kind: FileKind
    bytes: _Bytes
    sha256: _Sha256
    encrypted: bool


class StayModel(Body):
    """A time span in the room during the segment; ``leftAt`` is absent while it lasts."""

    joined_at: IsoTime
    left_at: Maybe[IsoTime]


class RecordedPersonModel(Body):
    """A participant of the segment; of another domain than the room's: ``DOMAIN/USER``."""

    user: ShownUser
    stays: list[StayModel]


class JobErrorModel(Body):
    """The reason for which a segment could not be processed; codes are listed in errors.md."""

    stage: str
    code: str
    message: str
    file: str | None


class JobProgressModel(Body):
    """Progress of the processing, as last reported to this controller."""

    stage: str
    percent: Annotated[float, Field(ge=0, le=100)]
    eta_seconds: Maybe[DurationS]


class HoldModel(Body):
    """A legal hold; the recording is not deleted while it has one."""

    by: ShownUser
    reason: str
    since: IsoTime


class DeletionModel(Body):
    """A deletion, requested or done; ``trouble`` says why files are still there."""

    reason: DeletionReason
    requested_at: IsoTime
    by: Maybe[ShownUser]
    done_at: Maybe[IsoTime]
    trouble: Maybe[str]


class _Head(Body):
    recording: str
    uuid: IdText
    segment: PositiveNumber
    room: IdText
    domain: IdText
    kind: Kind
    origin: Origin
    owner: IdText
    state: RecordingState
    type: RecordingType
    by: ShownUser
    started_at: IsoTime
    stopped_at: Maybe[IsoTime]
    duration: Maybe[DurationS]
    reason: Maybe[StopReason]
    expires_at: Maybe[IsoTime]
    decision: Maybe[Decided]


class IndexedRecording(_Head):
    """A recording. ``participants``, ``sync`` and ``unusable`` are absent in a list."""

    files: list[FileModel]
    bytes: _Bytes
    retries: Annotated[int, Field(ge=0)]
    missing: list[str]
    incomplete: Maybe[str]
    output: Maybe[str]
    processed_at: Maybe[IsoTime]
    progress: Maybe[JobProgressModel]
    error: Maybe[JobErrorModel]
    warnings: list[str]
    hold: Maybe[HoldModel]
    deletion: Maybe[DeletionModel]
    participants: Maybe[list[RecordedPersonModel]]
    sync: Maybe[list[dict[str, object]]]
    unusable: Maybe[list[dict[str, object]]]


class AttendedRecording(_Head):
    """A recording that you were in and do not own; ``seconds`` is your time in it."""

    view: Literal["attended"]
    seconds: DurationS


class RecordingsPage(Body):
    """A page, newest first. It may hold fewer than ``limit``, or none, although ``next`` is there.

    Pass ``next`` as ``after`` to get the next page; without ``next`` it is the last one.
    """

    recordings: list[IndexedRecording | AttendedRecording]
    next: Maybe[Annotated[str, StringConstraints(pattern=PAGE_PATTERN)]]


class UsageModel(Body):
    """Recordings of one owner that started in the time span."""

    domain: IdText
    owner: IdText
    recordings: Annotated[int, Field(ge=0)]
    seconds: DurationS
    bytes: _Bytes


class UsagePage(Body):
    """Usage by owner; pass ``next`` as ``after`` to get the next page."""

    usage: list[UsageModel]
    next: Maybe[Annotated[str, StringConstraints(pattern=OWNER_PATTERN)]]


class MissModel(Body):
    """A difference; ``recordings`` are the addresses of the recordings concerned."""

    code: MissCode
    message: str
    recordings: list[str]


class MissedCallModel(Body):
    """A call whose outcome differs from the decision; ``endedAt`` is absent while it goes on."""

    room: IdText
    uuid: IdText
    domain: IdText
    owner: IdText
    kind: Kind
    origin: Origin
    state: Life
    established_at: IsoTime
    ended_at: Maybe[IsoTime]
    wanted_seconds: DurationS
    recorded_seconds: DurationS
    reasons: Annotated[list[MissModel], Field(min_length=1)]


class MissedCallsPage(Body):
    """A page. It may hold fewer than ``limit``, or none, although ``next`` is there.

    Pass ``next`` as ``after`` to get the next page; without ``next`` it is the last one.
    """

    calls: list[MissedCallModel]
    next: Maybe[Annotated[str, StringConstraints(pattern=PLACE_PATTERN)]]


class LinkRequest(Body):
    """The file to share, and the time in seconds for which the link works."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME_BYTES)]
    seconds: Annotated[int, Field(ge=1, le=MAX_SECONDS), WHOLE]


class LinkModel(Body):
    """An address that works without a token until ``expiresAt``."""

    url: str
    expires_at: IsoTime

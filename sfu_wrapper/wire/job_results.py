"""Reading the messages of the recording service: ``processed``, ``failed``, ``progress``.

The controller reads the results of jobs to list recordings, and progress for clients that watch.
It ignores unknown fields. The models also describe the messages (asyncapi.md), with the fields that
are written for other readers only.

Source: events.md, "processed", "failed", "progress".
"""

from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import RoomId, RoomUuid, SegmentNo, UserId
from sfu_wrapper.model.media import Stream
from sfu_wrapper.model.segment import (
    Failed,
    FileKind,
    FinishedFile,
    JobProgress,
    MissingMedia,
    Processed,
    TrackSync,
)
from sfu_wrapper.wire import validation
from sfu_wrapper.wire.job_messages import PROGRESS
from sfu_wrapper.wire.strict_json import parse_iso, parse_strict
from sfu_wrapper.wire.validation import MAX_FILES, MAX_NAME, MAX_TEXT, OUTCOME, at_most, first_error

_Name = Annotated[str, Field(max_length=MAX_NAME)]
_Text = Annotated[str, Field(max_length=MAX_TEXT)]
_STOP = Field(fail_fast=True)
EpochMs = Annotated[
    int,
    BeforeValidator(lambda v: parse_iso(v) if isinstance(v, str) else v),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
_NUMBER: Final = {"type": "number"}
_TEXT: Final = {"type": "string"}
_NOTHING: Final = {"type": "null"}
_MAX_STAGE = 32  # characters


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


def _also(**fields: dict[str, Any]) -> ConfigDict:
    """Describe fields that are sent, and that no reader of ours needs."""

    def add(schema: dict[str, Any]) -> None:
        schema["properties"] |= fields

    return ConfigDict(json_schema_extra=add)


class _File(_Wire):
    """A finished file; ``size`` is in millions of bytes, as text."""

    model_config = _also(size=_TEXT)

    filename: _Text
    kind: FileKind
    size_bytes: Annotated[int, Field(alias="bytes", ge=0)]
    sha256: _Name
    url: _Text | None = None


class _Sync(_Wire):
    """The place of a raw file in its segment, as measured."""

    model_config = _also(lossPercent=_NUMBER)

    filename: _Text
    user: Annotated[_Name | None, Field(alias="userID")] = None
    stream: Stream
    start_ms: int
    length_ms: int
    offset_ms: int
    drift_ppm: float | None = None
    packets_received: int = 0
    packets_lost: int = 0
    gaps: int = 0
    frames_repeated: int = 0
    media_ms: int | None = None
    used_ms: int | None = None


class _Missing(_Wire):
    """A raw file of which the result has nothing."""

    filename: _Text
    user: Annotated[_Name | None, Field(alias="userID")] = None
    stream: Stream
    started_ms: Annotated[EpochMs, Field(alias="startTime")]
    stopped_ms: Annotated[EpochMs, Field(alias="stopTime")]
    code: _Name
    reason: str


class _Processing(_Wire):
    """Begin and end of the processing of a segment, and the number of attempts."""

    started: EpochMs
    completed: EpochMs
    attempts: int


class _Processed(_Wire):
    """The files of a segment are ready; ``duration`` is that of the segment, s."""

    model_config = _also(duration=_NUMBER)

    status: Literal["processed"]
    conference_id: _Name
    uuid: _Name
    segment: int
    output: _Text
    start_time: EpochMs
    stop_time: EpochMs
    encrypted: bool
    files: Annotated[list[_File], _STOP, at_most(MAX_FILES)]
    processing: _Processing
    warnings: Annotated[list[str], _STOP, at_most(2 * MAX_FILES)] = []
    missing: Annotated[list[_Missing], _STOP, at_most(2 * MAX_FILES)] = []
    sync: Annotated[list[_Sync], _STOP, at_most(2 * MAX_FILES)] = []

    def outcome(self) -> Processed:
        return Processed(
            room=RoomId(self.conference_id),
            uuid=RoomUuid(self.uuid),
            segment=SegmentNo(self.segment),
            output=self.output,
            started_ms=self.start_time,
            completed_ms=self.stop_time,
            encrypted=self.encrypted,
            files=tuple(FinishedFile(**dict(file)) for file in self.files),
            processing_started_ms=self.processing.started,
            processing_completed_ms=self.processing.completed,
            attempts=self.processing.attempts,
            warnings=tuple(self.warnings),
            sync=tuple(TrackSync(**_track(one)) for one in self.sync),
            missing=tuple(MissingMedia(**_track(one)) for one in self.missing),
        )


class _Error(_Wire):
    """The reason for a failure; ``fault`` is its owner."""

    model_config = _also(fault=_TEXT)

    stage: _Name
    code: _Name
    message: str
    file: _Text | None = None


class _Failed(_Wire):
    """A segment could not be processed. Of a message that is no recordingInfo the ids are null."""

    model_config = _also(
        conferenceId={"anyOf": [_TEXT, _NOTHING]},
        uuid={"anyOf": [_TEXT, _NOTHING]},
        segment={"anyOf": [{"type": "integer"}, _NOTHING]},
    )

    status: Literal["failed"]
    conference_id: _Name
    uuid: _Name
    segment: int
    error: _Error
    attempts: int
    temporary_files_kept: Annotated[list[_Text], _STOP, at_most(2 * MAX_FILES)] = []
    completed: EpochMs | None = None
    raw: str | None = None

    def outcome(self) -> Failed:
        return Failed(
            room=RoomId(self.conference_id),
            uuid=RoomUuid(self.uuid),
            segment=SegmentNo(self.segment),
            stage=self.error.stage,
            code=self.error.code,
            detail=self.error.message[:MAX_TEXT],
            file=self.error.file,
            attempts=self.attempts,
            kept=tuple(self.temporary_files_kept),
            event=None if self.raw is None else self.raw.encode(errors="replace"),
            failed_ms=self.completed,
        )


_OUTCOME: TypeAdapter[_Processed | _Failed] = TypeAdapter(
    Annotated[_Processed | _Failed, Field(discriminator="status")]
)


def parse_outcome(body: bytes) -> Processed | Failed:
    """Read a ``processed`` or ``failed`` message.

    Raises:
        Malformed: neither of them, or the message about a poison message, which has no segment.
    """
    try:
        return _OUTCOME.validate_python(parse_strict(body, OUTCOME)).outcome()
    except ValidationError as exc:
        path, first = first_error(exc)
        raise Malformed(f"not a job result: {path}: {first['msg']}", path=path) from exc


def _track(one: _Sync | _Missing) -> dict[str, Any]:
    return dict(one) | {"user": None if one.user is None else UserId(one.user)}


class _Progress(BaseModel):
    """The present stage of a segment, and how much of its processing time has passed."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)

    type: Literal["progress"]
    uuid: Annotated[str, Field(max_length=MAX_NAME)]
    segment: Annotated[int, Field(ge=1)]
    stage: Annotated[str, Field(max_length=_MAX_STAGE)]
    percent: Annotated[float, Field(ge=0, le=100)]
    eta_seconds: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None


def parse_progress(body: bytes) -> JobProgress:
    """Read a ``progress`` message. Raises Malformed."""
    try:
        read = _Progress.model_validate(parse_strict(body, validation.PROGRESS))
    except ValidationError as exc:
        path, first = first_error(exc)
        raise Malformed(f"not a progress message: {path}: {first['msg']}", path=path) from exc
    uuid, segment = RoomUuid(read.uuid), SegmentNo(read.segment)
    return JobProgress(uuid, segment, read.stage, read.percent, read.eta_seconds)


SCHEMAS: Final[dict[str, type[BaseModel]]] = {
    "processed": _Processed,
    "failed": _Failed,
    PROGRESS: _Progress,
}
"""Models of the messages by routing key, for asyncapi.md."""

"""Messages of the recording service: ``processed``, ``failed``, ``progress``; the manifest.

``processed`` and ``failed`` are the results of jobs (events.md). The controller reads them back to
list recordings; it ignores unknown fields. ``progress`` is transient, for clients that watch.

The manifest of a finished segment proves that its files are complete and holds the ``processed``
message. The worker writes it after the files and before it publishes; a worker that finds one
publishes that message again and does not process the segment.
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from sfu_wrapper.core.job import fault_of
from sfu_wrapper.model.errors import JobCode, Malformed, Stage
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
from sfu_wrapper.wire.strict_json import dump, iso, parse_iso, parse_strict
from sfu_wrapper.wire.validation import MAX_FILES, MAX_NAME, MAX_TEXT, OUTCOME, at_most, first_error

MAX_RAW_BYTES = 64 * 1024

_Name = Annotated[str, Field(max_length=MAX_NAME)]
_Text = Annotated[str, Field(max_length=MAX_TEXT)]
_STOP = Field(fail_fast=True)
EpochMs = Annotated[int, BeforeValidator(lambda v: parse_iso(v) if isinstance(v, str) else v)]


def size_text(size_bytes: int) -> str:
    """Return a size in millions of bytes, as the product writes it: ``0.123456MB``."""
    return f"{size_bytes / 1_000_000:.6f}MB"


def encode_processed(result: Processed) -> bytes:
    """Return a message for ``processed_queue``."""
    message: dict[str, Any] = {
        "conferenceId": result.room,
        "uuid": result.uuid,
        "segment": result.segment,
        "status": "processed",
        "output": result.output,
        "startTime": iso(result.started_ms),
        "stopTime": iso(result.completed_ms),
        "duration": (result.completed_ms - result.started_ms) / 1000,
        "encrypted": result.encrypted,
        "files": [_file_object(file) for file in result.files],
        "processing": {
            "started": iso(result.processing_started_ms),
            "completed": iso(result.processing_completed_ms),
            "attempts": result.attempts,
        },
        "warnings": list(result.warnings),
        "missing": [missing_object(one) for one in result.missing],
        "sync": sync_object(result.sync),
    }
    return dump(message)


def encode_failed(failure: Failed) -> bytes:
    """Return a message for ``failure_queue``."""
    message: dict[str, Any] = {
        "conferenceId": failure.room,
        "uuid": failure.uuid,
        "segment": failure.segment,
        "status": "failed",
        "error": {
            "stage": failure.stage,
            "code": failure.code,
            "fault": fault_of(failure.code).value,
            "message": failure.detail,
            "file": failure.file,
        },
        "attempts": failure.attempts,
        "temporaryFilesKept": list(failure.kept),
    }
    if failure.failed_ms is not None:
        message["completed"] = iso(failure.failed_ms)
    if failure.event is not None:
        message["raw"] = failure.event.decode()
    return dump(message)


def encode_poison(body: bytes, detail: str) -> tuple[str, bytes]:
    """Return message id and message for ``failure_queue`` for a body that is no recordingInfo."""
    message: dict[str, Any] = {
        "conferenceId": None,
        "uuid": None,
        "segment": None,
        "status": "failed",
        "error": {
            "stage": Stage.EVENT,
            "code": JobCode.NOT_A_RECORDING_INFO,
            "fault": fault_of(JobCode.NOT_A_RECORDING_INFO).value,
            "message": detail,
            "file": None,
        },
        "attempts": 1,
        "temporaryFilesKept": [],
        "raw": body[:MAX_RAW_BYTES].decode(errors="replace"),
    }
    return hashlib.sha256(body).hexdigest(), dump(message)


def sync_object(sync: tuple[TrackSync, ...]) -> list[dict[str, Any]]:
    """Return the positions of the raw files in the segment, for the message and the split file."""
    return [
        {
            "filename": one.filename,
            "userID": one.user,
            "stream": one.stream.value,
            "startMs": one.start_ms,
            "lengthMs": one.length_ms,
            "offsetMs": one.offset_ms,
            "driftPpm": None if one.drift_ppm is None else round(one.drift_ppm, 1),
            "packetsReceived": one.packets_received,
            "packetsLost": one.packets_lost,
            "lossPercent": round(one.loss_percent, 2),
            "gaps": one.gaps,
            "framesRepeated": one.frames_repeated,
            "mediaMs": one.media_ms,
            "usedMs": one.used_ms,
        }
        for one in sync
    ]


def missing_object(one: MissingMedia) -> dict[str, Any]:
    """Return a raw file that could not be used, for the message and the list of recordings."""
    return {
        "filename": one.filename,
        "userID": one.user,
        "stream": one.stream.value,
        "startTime": iso(one.started_ms),
        "stopTime": iso(one.stopped_ms),
        "code": one.code,
        "reason": one.reason,
    }


def _file_object(file: FinishedFile) -> dict[str, Any]:
    return {
        "filename": file.filename,
        "kind": file.kind.value,
        "bytes": file.size_bytes,
        "size": size_text(file.size_bytes),
        "sha256": file.sha256,
    } | ({} if file.url is None else {"url": file.url})


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class _File(_Wire):
    filename: _Text
    kind: FileKind
    size_bytes: Annotated[int, Field(alias="bytes", ge=0)]
    sha256: _Name
    url: _Text | None = None


class _Sync(_Wire):
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
    filename: _Text
    user: Annotated[_Name | None, Field(alias="userID")] = None
    stream: Stream
    started_ms: Annotated[EpochMs, Field(alias="startTime")]
    stopped_ms: Annotated[EpochMs, Field(alias="stopTime")]
    code: _Name
    reason: str


class _Processing(_Wire):
    started: EpochMs
    completed: EpochMs
    attempts: int


class _Processed(_Wire):
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
    stage: _Name
    code: _Name
    message: str
    file: _Text | None = None


class _Failed(_Wire):
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


PROGRESS = "progress"
_MAX_STAGE = 32  # characters


def encode_progress(progress: JobProgress) -> bytes:
    """Return a ``progress`` message."""
    eta_s = progress.eta_s
    return dump(
        {
            "type": PROGRESS,
            "uuid": progress.uuid,
            "segment": progress.segment,
            "stage": progress.stage,
            "percent": round(progress.percent, 1),
            "etaSeconds": None if eta_s is None else round(eta_s, 1),
        }
    )


class _Progress(BaseModel):
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


_VERSION = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """Proof that the files of a segment are complete.

    Attributes:
        message: the ``processed`` message, byte for byte.
        event: the ``recordingInfo`` without its raw files: who owned the segment and who was in it,
            for an index that is rebuilt; None in manifests before 0.3.0.
    """

    message: bytes
    event: bytes | None = None


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the content of the manifest file."""
    content = {"version": _VERSION, "message": manifest.message.decode()}
    if manifest.event is not None:
        content["event"] = manifest.event.decode()
    return dump(content)


def parse_manifest(body: bytes) -> Manifest:
    """Read a manifest file. Raises Malformed."""
    match parse_strict(body):
        case {"version": 1, "message": str(message), "event": str(event)}:
            return Manifest(message.encode(), event.encode())
        case {"version": 1, "message": str(message)}:
            return Manifest(message.encode())
    raise Malformed("not a manifest of a finished segment")

"""Messages of the recording service: ``processed``, ``failed``, ``progress``; the manifest.

``processed`` and ``failed`` are the results of jobs (events.md). The controller reads them back to
list recordings; it ignores unknown fields. ``progress`` is transient, for clients that watch.

The manifest of a finished segment proves that its files are complete and holds the ``processed``
message. The worker writes it after the files and before it publishes; a worker that finds one
publishes that message again and does not process the segment.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from sfu_wrapper.core.job import fault_of
from sfu_wrapper.model.errors import JobCode, Malformed, Stage
from sfu_wrapper.model.segment import (
    Failed,
    FinishedFile,
    JobProgress,
    MissingMedia,
    Processed,
    TrackSync,
)
from sfu_wrapper.wire.strict_json import dump, iso, parse_strict

MAX_RAW_BYTES = 64 * 1024


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


PROGRESS = "progress"


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

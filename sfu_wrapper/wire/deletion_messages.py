"""Messages about deletions: ``deletionRequested`` to the workers, ``deleted`` from them.

A worker that accepted a request keeps its body as a file next to the manifests until the files are
gone, and after that the body of its ``deleted`` message (``service.worker.deleting``). Therefore
both are read strictly: a file that is neither is damaged. Unknown fields are ignored.

Source: events.md, "deletionRequested, deleted".
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import RoomId, RoomUuid, SegmentNo
from sfu_wrapper.model.recording import Deleted, DeletionReason, DeletionRequest, RecordingKey
from sfu_wrapper.wire.job_results import EpochMs
from sfu_wrapper.wire.strict_json import dump, iso, parse_strict
from sfu_wrapper.wire.validation import MAX_FILES, MAX_NAME, MAX_TEXT, OUTCOME, at_most, first_error

REQUESTED: Final = "deletionRequested"
DELETED: Final = "deleted"

_Files = Annotated[
    list[Annotated[str, Field(max_length=MAX_TEXT)]], Field(fail_fast=True), at_most(MAX_FILES)
]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)

    conference_id: Annotated[str, Field(max_length=MAX_NAME)]
    uuid: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    segment: Annotated[int, Field(ge=1)]
    reason: DeletionReason

    @property
    def key(self) -> RecordingKey:
        return RecordingKey(RoomUuid(self.uuid), SegmentNo(self.segment))


class _Requested(_Message):
    """Delete the files of a recording."""

    status: Literal["deletionRequested"]
    requested: EpochMs
    raw_only: bool = False
    awaits_event: bool = False
    files: _Files = []

    def read(self) -> DeletionRequest:
        return DeletionRequest(
            key=self.key,
            room=RoomId(self.conference_id),
            reason=self.reason,
            requested_ms=self.requested,
            raw_only=self.raw_only,
            awaits_event=self.awaits_event,
            files=tuple(self.files),
        )


class _Deleted(_Message):
    """The files of a recording are gone."""

    status: Literal["deleted"]
    completed: EpochMs

    def read(self) -> Deleted:
        return Deleted(self.key, RoomId(self.conference_id), self.reason, self.completed)


SCHEMAS: Final[dict[str, type[BaseModel]]] = {REQUESTED: _Requested, DELETED: _Deleted}
"""Models of the messages by routing key, for asyncapi.md."""

_ANY: TypeAdapter[_Requested | _Deleted] = TypeAdapter(
    Annotated[_Requested | _Deleted, Field(discriminator="status")]
)


def request_id(request: DeletionRequest) -> str:
    """Return the message id of a request."""
    job = f"{request.key.uuid}:{request.key.segment}:{REQUESTED}"
    return f"{job}:raw" if request.raw_only else job


def deleted_id(deleted: Deleted) -> str:
    """Return the message id of a report."""
    return f"{deleted.key.uuid}:{deleted.key.segment}:{DELETED}"


def encode_request(request: DeletionRequest) -> bytes:
    """Return a message for ``deletion_queue``."""
    message: dict[str, Any] = {
        **_head(request.room, request.key, REQUESTED, request.reason),
        "requested": iso(request.requested_ms),
        "rawOnly": request.raw_only,
        "awaitsEvent": request.awaits_event,
        "files": list(request.files),
    }
    return dump(message)


def encode_deleted(deleted: Deleted) -> bytes:
    """Return a ``deleted`` message."""
    head = _head(deleted.room, deleted.key, DELETED, deleted.reason)
    return dump(head | {"completed": iso(deleted.done_ms)})


def parse_deletion(body: bytes) -> DeletionRequest | Deleted:
    """Read a ``deletionRequested`` or ``deleted`` message. Raises Malformed."""
    try:
        return _ANY.validate_python(parse_strict(body, OUTCOME)).read()
    except ValidationError as exc:
        path, first = first_error(exc)
        raise Malformed(f"not a deletion message: {path}: {first['msg']}", path=path) from exc


def _head(
    room: RoomId, key: RecordingKey, status: str, reason: DeletionReason
) -> dict[str, str | int]:
    return {
        "conferenceId": room,
        "uuid": key.uuid,
        "segment": key.segment,
        "status": status,
        "reason": reason.value,
    }

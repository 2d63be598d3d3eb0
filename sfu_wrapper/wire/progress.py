"""The recording service's ``progress`` message (events.md): transient, for whoever is watching."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import RoomUuid, SegmentNo
from sfu_wrapper.model.segment import JobProgress
from sfu_wrapper.wire import bounds
from sfu_wrapper.wire.bounds import MAX_NAME
from sfu_wrapper.wire.strict_json import dump, parse_strict
from sfu_wrapper.wire.validation import first_error

PROGRESS = "progress"
_MAX_STAGE = 32  # characters


def encode_progress(progress: JobProgress) -> bytes:
    """One message."""
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
    """Read one. Raises Malformed."""
    try:
        read = _Progress.model_validate(parse_strict(body, bounds.PROGRESS))
    except ValidationError as exc:
        path, first = first_error(exc)
        raise Malformed(f"no progress: {path}: {first['msg']}", path=path) from exc
    uuid, segment = RoomUuid(read.uuid), SegmentNo(read.segment)
    return JobProgress(uuid, segment, read.stage, read.percent, read.eta_seconds)

"""What becomes of one segment (events.md, "processed, failed"); ``wire.processed`` has the JSON."""

from dataclasses import dataclass
from enum import StrEnum

from sfu_wrapper.model.ids import RoomId, RoomUuid, SegmentNo, UserId
from sfu_wrapper.model.media import Stream


class FileKind(StrEnum):
    """What a finished file is."""

    MERGED = "merged"
    AUDIO = "audio"
    VIDEO = "video"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """One delivered file: its absolute name, and size and hash of what stands there."""

    filename: str
    kind: FileKind
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TrackSync:
    """How one raw file sits in the segment.

    offset_ms: its first media after the segment's start. length_ms: of its media.
    told_ms: how much later that is than the event says; negative: earlier.
    packets_lost, gaps: what never arrived, and how often nothing did for a while.
    """

    stream: Stream
    user: UserId | None
    offset_ms: int
    length_ms: int
    told_ms: int
    packets_lost: int = 0
    gaps: int = 0


@dataclass(frozen=True, slots=True)
class Processed:
    """One segment's result. output: ``merged``, ``split`` or ``none``; times are epoch ms."""

    room: RoomId
    uuid: RoomUuid
    segment: SegmentNo
    output: str
    started_ms: int
    completed_ms: int
    encrypted: bool
    files: tuple[FinishedFile, ...]
    processing_started_ms: int
    processing_completed_ms: int
    attempts: int
    warnings: tuple[str, ...] = ()
    sync: tuple[TrackSync, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """One segment that could not be processed, with what is left of the work."""

    room: RoomId
    uuid: RoomUuid
    segment: SegmentNo
    stage: str
    code: str
    detail: str
    file: str | None
    attempts: int
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far the work on one segment has come.

    percent: of this stage. eta_s: until the end of it, as far as can be told.
    """

    uuid: RoomUuid
    segment: SegmentNo
    stage: str
    percent: float
    eta_s: float | None


News = JobProgress | Processed | Failed

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
    POSTER = "poster"


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """One delivered file: its absolute name, and size and hash of what stands there."""

    filename: str
    kind: FileKind
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TrackSync:
    """How one raw file lies in the segment, as it was measured.

    start_ms: its first media after the segment's start. length_ms: of its media.
    offset_ms: how much later its own clock puts it than the event says; negative: earlier. Of the
        mix, how much sound is missing.
    drift_ppm: by how much its clock runs fast; None where that cannot be told.
    packets_received, packets_lost: by their numbers. gaps: how often nothing came for a while.
    frames_repeated: pictures of the merged file that show its picture of before once more.
    """

    filename: str
    stream: Stream
    user: UserId | None
    start_ms: int
    length_ms: int
    offset_ms: int = 0
    drift_ppm: float | None = None
    packets_received: int = 0
    packets_lost: int = 0
    gaps: int = 0
    frames_repeated: int = 0

    @property
    def loss_percent(self) -> float:
        """The share of its packets that never came."""
        return 100 * self.packets_lost / max(self.packets_received + self.packets_lost, 1)

    def lies_within(self, duration_ms: int) -> bool:
        """Whether any of its media is of a segment that lasts so long."""
        return self.start_ms < duration_ms and self.start_ms + self.length_ms > 0


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
    """One segment that could not be processed, with what is left of the work.

    event: its recordingInfo, where that is not among what is left.
    """

    room: RoomId
    uuid: RoomUuid
    segment: SegmentNo
    stage: str
    code: str
    detail: str
    file: str | None
    attempts: int
    kept: tuple[str, ...] = ()
    event: bytes | None = None


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far the work on one segment has come.

    stage: what is being done. percent: of the whole segment. eta_s: until all of it is done, as far
    as can be told.
    """

    uuid: RoomUuid
    segment: SegmentNo
    stage: str
    percent: float
    eta_s: float | None


News = JobProgress | Processed | Failed

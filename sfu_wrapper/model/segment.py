"""Description of one segment, sent by the controller to the recording service.

The domain form of events.md, "recordingInfo"; ``wire`` maps it to and from the product's JSON.

Results of processing one segment (events.md, "processed").

Messages of the domain; ``wire.job_messages`` maps them to JSON.

Time as it enters the core: read once by the shell, carried by events.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from sfu_wrapper.model.identity import (
    ConfbridgeId,
    DomainId,
    RecordingType,
    RoomId,
    RoomUuid,
    SegmentNo,
    UserId,
)
from sfu_wrapper.model.media import RawFile, Stream


@dataclass(frozen=True, slots=True)
class Presence:
    """Time span that a user spent in the room during the segment.

    Attributes:
        user: the user's id as shown in the room.
        joined_ms: epoch ms, not before the segment's start.
        left_ms: epoch ms, not after the segment's end.
    """

    user: UserId
    joined_ms: int
    left_ms: int


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """Stopped segment: its identity, its raw files, its participants.

    Attributes:
        room: room id chosen by the client.
        uuid: uuid of the room.
        confbridge_id: name of the room at the audio mixer.
        segment: number in the room; None only in events of older senders, which number nothing.
        started_ms: epoch ms; file times are clamped to [started_ms, completed_ms].
        completed_ms: epoch ms.
        owner: owner of the room; None: unknown.
        domain: domain of the room and its owner; None in events of older senders.
        type: media streams that were to be recorded.
        incomplete: True where media that should exist may be missing.
        reason: cause of ``incomplete``.
        missing: media that were requested and not captured at the end.
        video: files of the streams CAMERA and SCREEN, in order of start.
        audio: files of the mix, in order of start.
        presences: time spans of the participants.
    """

    room: RoomId
    uuid: RoomUuid
    confbridge_id: ConfbridgeId
    segment: SegmentNo | None
    started_ms: int
    completed_ms: int
    owner: UserId | None = None
    type: RecordingType | None = None
    incomplete: bool = False
    reason: str | None = None
    missing: tuple[str, ...] = ()
    video: tuple[RawFile, ...] = ()
    audio: tuple[RawFile, ...] = ()
    presences: tuple[Presence, ...] = field(default=())
    domain: DomainId | None = None


class FileKind(StrEnum):
    """Content of a finished file."""

    MERGED = "merged"
    AUDIO = "audio"
    VIDEO = "video"
    METADATA = "metadata"
    POSTER = "poster"


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """Delivered file.

    Attributes:
        filename: absolute name; in object storage the one that it had before.
        kind: kind of the file.
        size_bytes: its length.
        sha256: SHA-256 of its content (hex).
        url: address of the object, such as ``s3://bucket/rec.webm``; None: it is a local file.
    """

    filename: str
    kind: FileKind
    size_bytes: int
    sha256: str
    url: str | None = None


@dataclass(frozen=True, slots=True)
class TrackSync:
    """Measured position of one raw file in its segment.

    Attributes:
        filename: name of the raw file.
        stream: kind of the track.
        user: owner of the track; None for the mix.
        start_ms: ms from the segment's start to the first media of the file.
        length_ms: length of the media, in ms.
        offset_ms: ms by which the file's own clock places it later than the event does; negative:
            earlier. For the mix, ms of audio that are missing.
        drift_ppm: parts per million by which the file's clock runs fast; None: not measurable.
        packets_received: number of packets in the file.
        packets_lost: number of packets that never arrived, by their sequence numbers.
        gaps: number of interruptions: longer than a second with packets missing, or, of a camera,
            longer than 5 s.
        frames_repeated: frames of the merged file that repeat the previous frame of this source.
        media_ms: time in which the raw file has media, in ms; None in results of older workers.
        used_ms: the part of it that the result holds, in ms; media lost on the network is no part
            of either.
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
    media_ms: int | None = None
    used_ms: int | None = None

    @property
    def loss_percent(self) -> float:
        """Share of the packets that never arrived, in percent."""
        return 100 * self.packets_lost / max(self.packets_received + self.packets_lost, 1)

    def lies_within(self, duration_ms: int) -> bool:
        """Return True if any media of the file lies in a segment of ``duration_ms``."""
        return self.start_ms < duration_ms and self.start_ms + self.length_ms > 0


@dataclass(frozen=True, slots=True)
class MissingMedia:
    """Raw file of which a result has nothing, although the segment was processed.

    Attributes:
        filename: name of the raw file, which stays.
        stream: kind of the track.
        user: owner of the track; None for the mix.
        started_ms: epoch ms of the begin of the track, by the event.
        stopped_ms: epoch ms of its end.
        code: job code of errors.md.
        reason: one sentence.
    """

    filename: str
    stream: Stream
    user: UserId | None
    started_ms: int
    stopped_ms: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Processed:
    """Result of a segment that was processed.

    Attributes:
        room: room id chosen by the client.
        uuid: uuid of the room.
        segment: number of the segment in its room.
        output: ``merged``, ``split`` or ``none``.
        started_ms: epoch ms of the segment's start.
        completed_ms: epoch ms of the segment's end.
        encrypted: True where the finished files are encrypted.
        files: the delivered files.
        processing_started_ms: epoch ms at which the work began.
        processing_completed_ms: epoch ms at which the work ended.
        attempts: number of attempts, this one included.
        warnings: defects that the output has, one sentence each.
        sync: measured position of each raw file.
        missing: raw files that could not be used.
    """

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
    missing: tuple[MissingMedia, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """Result of a segment that could not be processed, with the files that remain.

    Attributes:
        room: room id chosen by the client.
        uuid: uuid of the room.
        segment: number of the segment in its room.
        stage: stage in which the last attempt failed.
        code: job code of errors.md.
        detail: one sentence: what failed and what to do.
        file: the file concerned; None where there is none.
        attempts: number of attempts.
        kept: files that remain from the work.
        event: the recordingInfo message; None where a file in ``kept`` holds it.
        failed_ms: epoch ms of the end of the last attempt; None in messages of older workers.
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
    failed_ms: int | None = None


@dataclass(frozen=True, slots=True)
class JobProgress:
    """Progress of the work on one segment.

    Attributes:
        uuid: uuid of the room.
        segment: number of the segment in its room.
        stage: stage that runs now.
        percent: completed share of the whole segment.
        eta_s: estimated seconds until the segment is done; None: no estimate yet.
    """

    uuid: RoomUuid
    segment: SegmentNo
    stage: str
    percent: float
    eta_s: float | None


News = JobProgress | Processed | Failed


@dataclass(frozen=True, slots=True)
class Instant:
    """Reading of both clocks at one instant.

    Attributes:
        wall_ms: milliseconds since the Unix epoch, UTC; for messages and files.
        mono_ms: milliseconds of the monotonic clock; for durations and deadlines.
    """

    wall_ms: int
    mono_ms: int

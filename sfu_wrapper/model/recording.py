"""What the controller tells the recording service of one segment (events.md, "recordingInfo").

The domain form; ``wire.recordinginfo`` maps it to and from the product's JSON.
"""

from dataclasses import dataclass, field

from sfu_wrapper.model.ids import ConfbridgeId, RoomId, RoomUuid, SegmentNo, UserId
from sfu_wrapper.model.media import RawFile
from sfu_wrapper.model.permission import RecordingType


@dataclass(frozen=True, slots=True)
class Presence:
    """One stay of a user in the room during the segment; epoch ms, clamped to the segment."""

    user: UserId
    joined_ms: int
    left_ms: int


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """One stopped segment: its identity, its raw files, who was there.

    segment: None only for events of older senders, which number nothing.
    started_ms, completed_ms: epoch ms. Every file time is clamped to [started, completed].
    video: files of streams CAMERA and SCREEN, in order of start; audio: the mix, in order of start.
    incomplete, reason: whether and why something that should be there may be missing.
    missing: media that was asked for and not captured at the end.
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

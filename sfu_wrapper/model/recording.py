"""Description of one segment, sent by the controller to the recording service.

The domain form of events.md, "recordingInfo"; ``wire`` maps it to and from the product's JSON.
"""

from dataclasses import dataclass, field

from sfu_wrapper.model.ids import ConfbridgeId, DomainId, RoomId, RoomUuid, SegmentNo, UserId
from sfu_wrapper.model.media import RawFile
from sfu_wrapper.model.permission import RecordingType


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

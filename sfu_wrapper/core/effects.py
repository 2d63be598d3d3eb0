"""Effects: requests of the room machine to its shell. Outcomes come back as events.

Answers go to the sender of a request, notes to clients, announcements to the broker.
"""

from dataclasses import dataclass

from sfu_wrapper.core.media_plane import PlaneRequest
from sfu_wrapper.core.publisher_ids import MediaPlace
from sfu_wrapper.core.room import Room, Segment
from sfu_wrapper.model.errors import ContextValue
from sfu_wrapper.model.identity import (
    EndReason,
    OwnerPermissions,
    RoomId,
    RoomUuid,
    SegmentNo,
    UserId,
    UserKey,
)
from sfu_wrapper.model.media import Media, Medium
from sfu_wrapper.model.segment import SegmentInfo

# Answers


@dataclass(frozen=True, slots=True)
class Created:
    """Answer to createRoom; ``permissions`` for the expected decision."""

    room: Room
    permissions: OwnerPermissions


@dataclass(frozen=True, slots=True)
class Joined:
    """Answer to joinRoom; ``place``: ids for publishing at the media plane, if a real one does."""

    room: Room
    permissions: OwnerPermissions
    place: MediaPlace | None = None


@dataclass(frozen=True, slots=True)
class Invited:
    """Answer to inviteToRoom: all users that may join besides the owner."""

    room: RoomId
    users: tuple[UserId, ...]


@dataclass(frozen=True, slots=True)
class MediaUpdated:
    """Answer to updateMedia."""

    room: RoomId
    media: Media


@dataclass(frozen=True, slots=True)
class Left:
    """Answer to leaveRoom."""

    room: RoomId


@dataclass(frozen=True, slots=True)
class Ended:
    """Answer to endRoom."""

    room: Room


@dataclass(frozen=True, slots=True)
class Started:
    """Answer to startRoomRecording."""

    room: RoomId
    segment: Segment


@dataclass(frozen=True, slots=True)
class Stopped:
    """Answer to stopRoomRecording."""

    room: RoomId
    segment: Segment


@dataclass(frozen=True, slots=True)
class Refusal:
    """Negative answer to a pending request."""

    code: str
    detail: str
    context: tuple[tuple[str, ContextValue], ...] = ()


Answer = Created | Joined | Invited | MediaUpdated | Left | Ended | Started | Stopped | Refusal

# Notes to clients; the first three are announced to the broker too


@dataclass(frozen=True, slots=True)
class RecordingStarted:
    """Confirmed start of a segment."""

    room: RoomId
    uuid: RoomUuid
    segment: Segment


@dataclass(frozen=True, slots=True)
class RecordingStopped:
    """End of a segment that ran."""

    room: RoomId
    uuid: RoomUuid
    segment: Segment


@dataclass(frozen=True, slots=True)
class RecordingFailed:
    """Failure of a segment that never ran; ``final``: no automatic retry follows."""

    room: RoomId
    uuid: RoomUuid
    segment: Segment
    code: str
    message: str
    final: bool


@dataclass(frozen=True, slots=True)
class RecordingChanged:
    """Change of the captures of a running segment; ``missing``: media not captured now."""

    room: RoomId
    segment: SegmentNo
    missing: tuple[Medium, ...]


@dataclass(frozen=True, slots=True)
class PauseChanged:
    """Change of a pause; ``resumes_at_ms``: its end, epoch ms; None: recording is over."""

    room: RoomId
    segment: SegmentNo
    resumes_at_ms: int | None


@dataclass(frozen=True, slots=True)
class RecordingUnattended:
    """Recording without its owner in the room, since ``since_ms`` (epoch)."""

    room: RoomId
    segment: SegmentNo
    since_ms: int


@dataclass(frozen=True, slots=True)
class ParticipantJoined:
    """Join of a participant."""

    room: RoomId
    user: UserId
    media: Media


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    """Departure of a participant."""

    room: RoomId
    user: UserId


@dataclass(frozen=True, slots=True)
class ParticipantMedia:
    """Change of the media that a participant publishes."""

    room: RoomId
    user: UserId
    media: Media


@dataclass(frozen=True, slots=True)
class RoomEstablished:
    """Begin of the call."""

    room: RoomId
    at_ms: int


@dataclass(frozen=True, slots=True)
class RoomEnded:
    """End of the call; announced to the broker too."""

    room: RoomId
    uuid: RoomUuid
    at_ms: int
    reason: EndReason


@dataclass(frozen=True, slots=True)
class Hangup:
    """Hang-up of the participant that remains in a direct call."""

    room: RoomId
    user: UserId


RecordingNote = (
    RecordingStarted
    | RecordingStopped
    | RecordingFailed
    | RecordingChanged
    | PauseChanged
    | RecordingUnattended
)
Note = (
    RecordingNote
    | ParticipantJoined
    | ParticipantLeft
    | ParticipantMedia
    | RoomEstablished
    | RoomEnded
    | Hangup
)

Announcement = SegmentInfo | RecordingStarted | RecordingStopped | RecordingFailed | RoomEnded

# Effects


@dataclass(frozen=True, slots=True)
class Request:
    """Send a request to the media plane."""

    request: PlaneRequest


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer a request, and store the answer for its repeats."""

    ref: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Notify:
    """Send an event to all connections of these users."""

    audience: tuple[UserKey, ...]
    note: Note


@dataclass(frozen=True, slots=True)
class Announce:
    """Publish a message to the broker, after storing it together with the room."""

    announcement: Announcement


@dataclass(frozen=True, slots=True)
class Warn:
    """Write a line to the log; ``alarm``: as an error that also counts in a metric."""

    action: str
    alarm: bool = False


Effect = Request | Reply | Notify | Announce | Warn

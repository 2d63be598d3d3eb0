"""What the machine asks of the shell. Effects are requests; their outcomes come back as events.

Answers go to the one who asked, notes to clients, announcements to the broker.
"""

from dataclasses import dataclass

from sfu_wrapper.core.media_plane import PlaneRequest
from sfu_wrapper.core.publisher_ids import MediaPlace
from sfu_wrapper.core.room import Room, Segment
from sfu_wrapper.model.errors import ContextValue
from sfu_wrapper.model.identity import (
    OwnerPermissions,
    RoomId,
    RoomUuid,
    SegmentNo,
    UserId,
    UserKey,
)
from sfu_wrapper.model.media import Media, Medium
from sfu_wrapper.model.room import EndReason
from sfu_wrapper.model.segment import SegmentInfo

# Answers


@dataclass(frozen=True, slots=True)
class Created:
    """createRoom; ``permissions`` for the forecast."""

    room: Room
    permissions: OwnerPermissions


@dataclass(frozen=True, slots=True)
class Joined:
    """joinRoom. place: where a real media plane carries what this participant publishes."""

    room: Room
    permissions: OwnerPermissions
    place: MediaPlace | None = None


@dataclass(frozen=True, slots=True)
class Invited:
    """inviteToRoom: whoever may join beside the owner."""

    room: RoomId
    users: tuple[UserId, ...]


@dataclass(frozen=True, slots=True)
class MediaUpdated:
    """updateMedia."""

    room: RoomId
    media: Media


@dataclass(frozen=True, slots=True)
class Left:
    """leaveRoom."""

    room: RoomId


@dataclass(frozen=True, slots=True)
class Ended:
    """endRoom."""

    room: Room


@dataclass(frozen=True, slots=True)
class Started:
    """startRoomRecording."""

    room: RoomId
    segment: Segment


@dataclass(frozen=True, slots=True)
class Stopped:
    """stopRoomRecording."""

    room: RoomId
    segment: Segment


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that had to wait could not be granted in the end."""

    code: str
    detail: str
    context: tuple[tuple[str, ContextValue], ...] = ()


Answer = Created | Joined | Invited | MediaUpdated | Left | Ended | Started | Stopped | Refusal

# Notes to clients; the first three are announced to the broker too


@dataclass(frozen=True, slots=True)
class RecordingStarted:
    """A segment runs."""

    room: RoomId
    uuid: RoomUuid
    segment: Segment


@dataclass(frozen=True, slots=True)
class RecordingStopped:
    """A segment that ran does so no longer."""

    room: RoomId
    uuid: RoomUuid
    segment: Segment


@dataclass(frozen=True, slots=True)
class RecordingFailed:
    """A segment never ran. final: it is not tried again by itself."""

    room: RoomId
    uuid: RoomUuid
    segment: Segment
    code: str
    message: str
    final: bool


@dataclass(frozen=True, slots=True)
class RecordingChanged:
    """A segment goes on with other captures than before: ``missing`` is what is not captured."""

    room: RoomId
    segment: SegmentNo
    missing: tuple[Medium, ...]


@dataclass(frozen=True, slots=True)
class ParticipantJoined:
    """Somebody came in."""

    room: RoomId
    user: UserId
    media: Media


@dataclass(frozen=True, slots=True)
class ParticipantLeft:
    """Somebody went."""

    room: RoomId
    user: UserId


@dataclass(frozen=True, slots=True)
class ParticipantMedia:
    """Somebody publishes something else."""

    room: RoomId
    user: UserId
    media: Media


@dataclass(frozen=True, slots=True)
class RoomEstablished:
    """The call has begun."""

    room: RoomId
    at_ms: int


@dataclass(frozen=True, slots=True)
class RoomEnded:
    """The call is over; announced to the broker too."""

    room: RoomId
    uuid: RoomUuid
    at_ms: int
    reason: EndReason


@dataclass(frozen=True, slots=True)
class Hangup:
    """The one who remained in a direct call is hung up."""

    room: RoomId
    user: UserId


Note = (
    RecordingStarted
    | RecordingStopped
    | RecordingFailed
    | RecordingChanged
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
class Ask:
    """Tell the media plane."""

    request: PlaneRequest


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer a request, and keep the answer for its repeats."""

    ref: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell every connection of these users."""

    audience: tuple[UserKey, ...]
    note: Note


@dataclass(frozen=True, slots=True)
class Announce:
    """Publish, after storing it with the state."""

    announcement: Announcement


@dataclass(frozen=True, slots=True)
class Warn:
    """Something that an operator should see in the log. alarm: an error and a metric."""

    action: str
    alarm: bool = False


Effect = Ask | Reply | Notify | Announce | Warn

"""Payloads of responses and events as a client reads them (protocol.md, "Endpoints", "Events").

The other side of ``answers``. Fields of a later version are ignored, and texts whose values may
grow (kinds, reasons, states) stay texts, so that an old client reads a newer controller.
"""

from datetime import datetime
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Json = dict[str, object]

MAY_BE_NULL: Final = "x-may-be-null"
"""Mark of a field that is sent as null; the others are left out."""


class Received(BaseModel):
    """Base of everything that the controller sends."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel)


class Media(Received):
    """The media that a participant publishes."""

    audio: bool = False
    video: bool = False
    screen: bool = False


class Participant(Received):
    """A user in a room; of another domain than the room's, ``DOMAIN/USER``."""

    user: str
    joined_at: datetime
    media: Media


class Recording(Received):
    """The decision about a room, and the segment that runs (protocol.md, "The field recording")."""

    allowed: bool
    automatic: bool
    type: str
    source: str | None
    reason: str | None = None
    active: bool
    segment: int | None = None
    started_at: datetime | None = None
    begun_by: str | None = None
    unattended: bool = False
    resumes_at: datetime | None = None


class Processing(Received):
    """Progress of the recording service on the whole segment."""

    state: str
    stage: str | None = None
    percent: float | None = None
    eta_seconds: float | None = None


class File(Received):
    """A finished file."""

    name: str
    kind: str
    bytes: int


class Failure(Received):
    """The reason for which a segment could not be processed."""

    stage: str
    code: str
    message: str


class Segment(Received):
    """Start-to-stop of recording; ``duration`` is in seconds."""

    segment: int
    state: str
    by: str
    begun_by: str | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    duration: float | None = None
    reason: str | None = None
    missing: tuple[str, ...] = ()
    processing: Processing | None = None
    files: tuple[File, ...] = ()
    error: Failure | None = None


class RoomState(Received):
    """State of a room, as ``getRoom`` and lists show it."""

    room: str
    uuid: str
    kind: str
    origin: str
    owner: str
    domain: str | None = None
    state: str
    participants: tuple[Participant, ...]
    recording: Recording
    segments: tuple[Segment, ...]
    earlier_segments: int = 0


class WatchedRecording(Segment):
    """A segment with its room, for clients that watch recordings."""

    room: str
    uuid: str
    owner: str
    domain: str


class Authenticated(Received):
    """Answer to ``authenticate``."""

    user: str
    domain: str
    roles: tuple[str, ...]
    expires_at: datetime | None = None


class Created(Received):
    """Answer to ``createRoom``: the room, and a forecast of its recording."""

    room: str
    uuid: str
    kind: str
    owner: str
    record: bool
    confbridge_id: str
    recording: Recording


class Joined(Received):
    """Answer to ``joinRoom``. ``recording.active``: the user is being recorded from now on."""

    room: str
    participants: tuple[Participant, ...]
    state: str
    recording: Recording


class Joinable(Received):
    """Answer to ``joinRoom`` with ``check``; ``recorded``: a segment runs."""

    room: str
    kind: str
    state: str
    recorded: bool


class Invited(Received):
    """Answer to ``inviteToRoom``."""

    room: str
    invited: tuple[str, ...]


class MediaUpdated(Received):
    """Answer to ``updateMedia``."""

    room: str
    media: Media


class InRoom(Received):
    """Answer to ``leaveRoom``, and base of the events about a room.

    ``domain`` is the room's, for recipients of another one.
    """

    room: str
    domain: str | None = None


class Ended(Received):
    """Answer to ``endRoom``."""

    room: str
    segments: tuple[Segment, ...]


class Started(Received):
    """Answer to ``startRoomRecording``: the segment runs, and its files are open."""

    room: str
    segment: int
    started_at: datetime
    missing: tuple[str, ...] = ()


class Stopped(Received):
    """Answer to ``stopRoomRecording``: the files are closed, the delivery is stored durably."""

    room: str
    segment: int
    started_at: datetime
    stopped_at: datetime
    duration: float
    resumes_at: datetime | None = None


class Rooms(Received):
    """A page of ``listRooms``; pass ``next`` as ``after`` for the following one."""

    rooms: tuple[RoomState, ...]
    next: str | None = None


class Watching(Received):
    """Answer to ``watch`` and ``unwatch``: the topics, and the present state of those watched."""

    topics: tuple[str, ...]
    rooms: tuple[RoomState, ...] = ()
    recordings: tuple[WatchedRecording, ...] = ()
    next: str | None = None
    more: bool = False


class Pong(Received):
    """Answer to ``ping``."""


class RoomRecordingStarted(InRoom):
    """A segment runs."""

    segment: int
    started_at: datetime
    by: str
    begun_by: str | None = None
    type: str
    missing: tuple[str, ...] = ()


class RoomRecordingChanged(InRoom):
    """A running segment lost or regained a medium, or a pause has another end."""

    segment: int
    missing: tuple[str, ...] = ()
    resumes_at: Annotated[datetime | None, Field(json_schema_extra={MAY_BE_NULL: True})] = None


class RoomRecordingStopped(InRoom):
    """A segment is over; its files are closed. ``duration`` is in seconds."""

    segment: int
    started_at: datetime
    stopped_at: datetime
    duration: float
    by: str
    reason: str
    resumes_at: datetime | None = None


class RoomRecordingUnattended(InRoom):
    """A segment runs without its owner in the room."""

    segment: int
    since: datetime


class RoomRecordingFailed(InRoom):
    """A segment never ran; with ``final`` false the controller retries."""

    segment: int
    code: str
    message: str
    final: bool


class RoomRecordingProcessed(InRoom):
    """The files of a segment are ready."""

    segment: int
    files: tuple[File, ...]


class RoomRecordingProcessingFailed(InRoom):
    """A segment could not be processed."""

    segment: int
    error: Failure


class ParticipantJoined(InRoom):
    """A user has joined."""

    user: str
    media: Media


class ParticipantMedia(InRoom):
    """A participant publishes other media than before."""

    user: str
    media: Media


class ParticipantLeft(InRoom):
    """A participant has left, or its grace is over."""

    user: str


class RoomEstablished(InRoom):
    """The call is established."""

    at: datetime
    reason: str


class RoomEnded(InRoom):
    """The call is over."""

    at: datetime
    reason: str


class Hangup(InRoom):
    """The other side of a direct call has left."""

    user: str


class RoomChanged(InRoom):
    """A watched room changed; ``gone``: the watcher may no longer see it, and ``state`` is None."""

    uuid: str
    gone: bool = False
    state: RoomState | None = None


class RecordingChanged(WatchedRecording):
    """A watched recording changed."""


class UnknownEvent(Received):
    """An event of a later version."""

    name: str
    payload: Json


ANSWERS: dict[str, type[Received]] = {
    "authenticate": Authenticated,
    "createRoom": Created,
    "inviteToRoom": Invited,
    "joinRoom": Joined,
    "updateMedia": MediaUpdated,
    "leaveRoom": InRoom,
    "endRoom": Ended,
    "startRoomRecording": Started,
    "stopRoomRecording": Stopped,
    "getRoom": RoomState,
    "listRooms": Rooms,
    "watch": Watching,
    "unwatch": Watching,
    "ping": Pong,
}

Event = InRoom | RecordingChanged | UnknownEvent

EVENTS: dict[str, type[InRoom | RecordingChanged]] = {
    f"{model.__name__[0].lower()}{model.__name__[1:]}": model
    for model in (
        RoomRecordingStarted,
        RoomRecordingChanged,
        RoomRecordingStopped,
        RoomRecordingUnattended,
        RoomRecordingFailed,
        RoomRecordingProcessed,
        RoomRecordingProcessingFailed,
        ParticipantJoined,
        ParticipantMedia,
        ParticipantLeft,
        RoomEstablished,
        RoomEnded,
        Hangup,
        RoomChanged,
        RecordingChanged,
    )
}

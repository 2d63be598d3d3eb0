"""What the media plane reports. Facts cannot be refused: a late or repeated one is ignored.

Each names its room by uuid and its capture by (segment, medium). Times are the plane's own,
in epoch milliseconds, where it knows them.

What the controller asks of the media plane. Outcomes come back as ``core.media_plane``.
"""

from dataclasses import dataclass

from sfu_wrapper.model.identity import ConfbridgeId, RoomUuid, SegmentNo
from sfu_wrapper.model.media import Medium, RawFile, Track


@dataclass(frozen=True, slots=True)
class CaptureRef:
    """One capture: the video or the audio of one segment of one room."""

    room: RoomUuid
    segment: SegmentNo
    medium: Medium


@dataclass(frozen=True, slots=True)
class CaptureStarted:
    """Accepted, and a file is open for every track published at that moment.

    Also the answer to ``ResumeCapture`` when the capture is still being written.
    """

    capture: CaptureRef
    started_ms: int
    files: tuple[RawFile, ...] = ()


@dataclass(frozen=True, slots=True)
class CaptureFailed:
    """The start was refused; nothing is written and nothing will be."""

    capture: CaptureRef
    message: str


@dataclass(frozen=True, slots=True)
class CaptureChanged:
    """Files were opened or closed while it runs; ``files`` is the whole list so far."""

    capture: CaptureRef
    files: tuple[RawFile, ...]


@dataclass(frozen=True, slots=True)
class CaptureStopped:
    """Every file is closed and complete on disk. Repeated for each repeated ``StopCapture``.

    ``files`` is empty where nothing was ever captured under this reference.
    """

    capture: CaptureRef
    stopped_ms: int
    files: tuple[RawFile, ...]


@dataclass(frozen=True, slots=True)
class CaptureLost:
    """The plane died while it wrote.

    stopped_ms: the last time known to be written; 0 where nothing is known.
    """

    capture: CaptureRef
    stopped_ms: int
    files: tuple[RawFile, ...]
    message: str


@dataclass(frozen=True, slots=True)
class PlaneBack:
    """The plane for one medium answers (again): captures that failed are worth another try."""

    medium: Medium


@dataclass(frozen=True, slots=True)
class TracksCarried:
    """All tracks published in one medium of a room; reported again after each change.

    Only a plane of ``Rules.authoritative_media`` reports this. It overrules what clients claim.
    """

    room: RoomUuid
    medium: Medium
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class RoomFound:
    """A room stands at the plane that was made for a room of ours, as far as the plane can tell.

    Said, after each connection, of rooms that nobody has asked this plane about: a controller that
    died may have left them.
    """

    room: RoomUuid
    medium: Medium


CaptureFact = CaptureStarted | CaptureFailed | CaptureChanged | CaptureStopped | CaptureLost
RoomFact = CaptureFact | PlaneBack | TracksCarried  # what rooms are told
PlaneFact = RoomFact | RoomFound


@dataclass(frozen=True, slots=True)
class OpenMediaRoom:
    """Make the room at the SFU and the mixer."""

    room: RoomUuid
    confbridge_id: ConfbridgeId


@dataclass(frozen=True, slots=True)
class CloseMediaRoom:
    """Take the room down; captures that still run are stopped first, and say so."""

    room: RoomUuid


@dataclass(frozen=True, slots=True)
class PublishTrack:
    """A participant publishes a track from now on (a real SFU knows by itself)."""

    room: RoomUuid
    track: Track


@dataclass(frozen=True, slots=True)
class UnpublishTrack:
    """A participant publishes a track no longer."""

    room: RoomUuid
    track: Track


@dataclass(frozen=True, slots=True)
class StartCapture:
    """Begin to write one medium of one segment; asked again, it is answered again.

    tracks: what is published now (every kind: the mixer hears the audio ones).
    """

    capture: CaptureRef
    confbridge_id: ConfbridgeId
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class StopCapture:
    """Stop it and close its files; also for a capture of which nothing is known any more."""

    capture: CaptureRef


@dataclass(frozen=True, slots=True)
class ResumeCapture:
    """After a restart of the controller: is it still written? ``files`` is what was known.

    Answered by ``CaptureStarted`` (it goes on) or ``CaptureLost`` (with what the disk holds).
    """

    capture: CaptureRef
    files: tuple[RawFile, ...]


PlaneRequest = (
    OpenMediaRoom
    | CloseMediaRoom
    | PublishTrack
    | UnpublishTrack
    | StartCapture
    | StopCapture
    | ResumeCapture
)

"""Messages between the room machine and the media plane: requests out, facts in.

The outcome of a request arrives as a fact. Facts cannot be refused: a late or repeated one is
ignored. Each names its room by uuid and its capture by (segment, medium); times are epoch ms.
"""

from dataclasses import dataclass

from sfu_wrapper.model.identity import ConfbridgeId, RoomUuid, SegmentNo
from sfu_wrapper.model.media import Medium, RawFile, Track


@dataclass(frozen=True, slots=True)
class CaptureRef:
    """Name of a capture: the video or the audio of one segment of one room."""

    room: RoomUuid
    segment: SegmentNo
    medium: Medium


@dataclass(frozen=True, slots=True)
class CaptureStarted:
    """Start accepted: a file is open for every track published at that moment.

    Also the answer to ``ResumeCapture`` if the capture is still running.
    """

    capture: CaptureRef
    started_ms: int
    files: tuple[RawFile, ...] = ()


@dataclass(frozen=True, slots=True)
class CaptureFailed:
    """Start refused: nothing is written now or later."""

    capture: CaptureRef
    message: str


@dataclass(frozen=True, slots=True)
class CaptureChanged:
    """Files opened or closed during the capture; ``files`` is the whole list so far."""

    capture: CaptureRef
    files: tuple[RawFile, ...]


@dataclass(frozen=True, slots=True)
class CaptureStopped:
    """End of a capture: every file is closed and complete on disk.

    Repeated for each repeated ``StopCapture``. ``files`` is empty if nothing was captured.
    """

    capture: CaptureRef
    stopped_ms: int
    files: tuple[RawFile, ...]


@dataclass(frozen=True, slots=True)
class CaptureLost:
    """Loss of a capture: the plane died while it wrote.

    ``stopped_ms`` is the last time known to be written; 0: unknown.
    """

    capture: CaptureRef
    stopped_ms: int
    files: tuple[RawFile, ...]
    message: str


@dataclass(frozen=True, slots=True)
class PlaneBack:
    """Availability of the plane for one medium: failed captures can be retried."""

    medium: Medium


@dataclass(frozen=True, slots=True)
class TracksCarried:
    """Tracks published in one medium of a room: the whole list, after each change.

    Only a plane of ``Rules.authoritative_media`` reports this. It overrules what clients claim.
    """

    room: RoomUuid
    medium: Medium
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class RoomFound:
    """Room found at the plane that carries the ownership tag of a controller.

    Reported after each connection for rooms that have not been requested from this plane: a
    controller that died may have left them.
    """

    room: RoomUuid
    medium: Medium


CaptureFact = CaptureStarted | CaptureFailed | CaptureChanged | CaptureStopped | CaptureLost
RoomFact = CaptureFact | PlaneBack | TracksCarried  # facts that concern a room of ours
PlaneFact = RoomFact | RoomFound


@dataclass(frozen=True, slots=True)
class OpenMediaRoom:
    """Create the room at the SFU and the mixer."""

    room: RoomUuid
    confbridge_id: ConfbridgeId


@dataclass(frozen=True, slots=True)
class CloseMediaRoom:
    """Remove the room; running captures are stopped first, and report it."""

    room: RoomUuid


@dataclass(frozen=True, slots=True)
class PublishTrack:
    """Publish a track of a participant (not sent to a real SFU, which detects it)."""

    room: RoomUuid
    track: Track


@dataclass(frozen=True, slots=True)
class UnpublishTrack:
    """Unpublish a track of a participant."""

    room: RoomUuid
    track: Track


@dataclass(frozen=True, slots=True)
class StartCapture:
    """Start to write one medium of one segment; a repeated request is answered again.

    ``tracks`` are all that are published now; the mixer needs those with audio.
    """

    capture: CaptureRef
    confbridge_id: ConfbridgeId
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class StopCapture:
    """Stop a capture and close its files; also for a capture that the plane does not know."""

    capture: CaptureRef


@dataclass(frozen=True, slots=True)
class ResumeCapture:
    """Request the state of a capture after a restart; ``files`` are those known before.

    Answered by ``CaptureStarted`` (still running) or ``CaptureLost`` (with the files on disk).
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

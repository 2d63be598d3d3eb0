"""What the controller asks of the media plane. Outcomes come back as ``core.facts``."""

from dataclasses import dataclass

from sfu_wrapper.core.facts import CaptureRef
from sfu_wrapper.model.ids import ConfbridgeId, RoomUuid
from sfu_wrapper.model.media import RawFile, Track


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

"""What the plane and its child process say to each other, beside ``core.facts``.

Orders of one room are carried out one after another; rooms do not wait for each other.
"""

from dataclasses import dataclass, field

from sfu_wrapper.adapters.simulated.faults import InjectedFault
from sfu_wrapper.adapters.simulated.json_lines import Lines
from sfu_wrapper.core.facts import (
    CaptureChanged,
    CaptureFailed,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    PlaneBack,
)
from sfu_wrapper.model.ids import ConfbridgeId, RoomUuid
from sfu_wrapper.model.media import RawFile, Track


@dataclass(frozen=True, slots=True)
class Settings:
    """The first line: where to write and how the pictures look.

    recordings_path, audio_path: folders for videos and mixes; made where they are missing.
    token: 8 hex digits, shown and encoded in every picture.
    width_px: a multiple of 32, the height is three quarters of it.
    bit_rate: of one video, bit/s.
    """

    recordings_path: str
    audio_path: str
    token: str
    width_px: int = 320
    fps: int = 15
    bit_rate: int = 200_000


@dataclass(frozen=True, slots=True)
class PositionedTrack:
    """A track with its user's seat in the room: which colour and which tone."""

    track: Track
    seat: int


@dataclass(frozen=True, slots=True)
class StartWriting:
    """Start a capture; ``lose_s`` and ``die_s`` are faults, None where there is none."""

    capture: CaptureRef
    confbridge_id: ConfbridgeId
    tracks: tuple[PositionedTrack, ...]
    spoil: InjectedFault = field(default=InjectedFault())
    lose_s: float | None = None
    die_s: float | None = None


@dataclass(frozen=True, slots=True)
class StopWriting:
    """Stop a capture."""

    capture: CaptureRef
    spoil: InjectedFault = field(default=InjectedFault())


@dataclass(frozen=True, slots=True)
class Add:
    """A track is published from now on."""

    room: RoomUuid
    seated: PositionedTrack


@dataclass(frozen=True, slots=True)
class Remove:
    """A track is published no longer."""

    room: RoomUuid
    track: Track


@dataclass(frozen=True, slots=True)
class CloseRoom:
    """Stop every capture of the room, and say so of each."""

    room: RoomUuid


@dataclass(frozen=True, slots=True)
class Resume:
    """Is it still written? Else see what is left of it on disk and report it as lost."""

    capture: CaptureRef
    files: tuple[RawFile, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Freeze:
    """Stand still, write nothing and answer nothing."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Sent by the child when it is ready, and then regularly."""


Order = StartWriting | StopWriting | Add | Remove | CloseRoom | Resume | Freeze
Report = (
    Heartbeat
    | CaptureStarted
    | CaptureFailed
    | CaptureChanged
    | CaptureStopped
    | CaptureLost
    | PlaneBack
)

SETTINGS: Lines[Settings] = Lines((Settings,))
ORDERS: Lines[Order] = Lines((StartWriting, StopWriting, Add, Remove, CloseRoom, Resume, Freeze))
REPORTS: Lines[Report] = Lines(
    (
        Heartbeat,
        CaptureStarted,
        CaptureFailed,
        CaptureChanged,
        CaptureStopped,
        CaptureLost,
        PlaneBack,
    )
)

"""What one raw track turned out to hold, once it has been made a media file."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class TrackKind(StrEnum):
    """The medium of a track file."""

    AUDIO = "audio"
    VIDEO = "video"


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which nothing came, [start, stop) in ms of the file's own time."""

    start_ms: int
    stop_ms: int


@dataclass(frozen=True, slots=True)
class Resolution:
    """The size of the pictures from ``at_ms`` on, in pixels."""

    at_ms: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Rotation:
    """The clockwise turn that puts pictures upright from ``at_ms`` on: 0, 90, 180 or 270.

    The file itself is not turned, and says nothing of it.
    """

    at_ms: int
    degrees: int


@dataclass(frozen=True, slots=True)
class TrackFile:
    """One media file made of one raw file. Times in ms are the file's own.

    started_us: epoch µs of the file's time 0, the receipt of the first packet. The first frame may
        show later: what came before the first key frame is a hole at the beginning.
    created_us: epoch µs when the raw file was opened.
    first_ms, duration_ms: begin of the first frame; end of the last one, its own length included.
    frames: pictures, or packets of sound. key_frames_ms: where a file can be cut and sought.
    resolutions, rotations: in order; a picture without any rotation is upright.
    packets_received, packets_lost: of this track, by their numbers.
    ahead_ms: by how much the file's own time is ahead of the recorder's clock at its beginning.
    drift_ppm: by how much it runs fast against that clock; None where that cannot be told.
    gaps: longer than a second.
    warnings: what had to be survived, one sentence each, for people.
    """

    path: Path
    kind: TrackKind
    codec: str
    started_us: int
    created_us: int
    first_ms: int
    duration_ms: int
    frames: int
    key_frames_ms: tuple[int, ...] = ()
    resolutions: tuple[Resolution, ...] = ()
    rotations: tuple[Rotation, ...] = ()
    packets_received: int = 0
    packets_lost: int = 0
    ahead_ms: float = 0.0
    drift_ppm: float | None = None
    gaps: tuple[Gap, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Of the first picture, px; 0 for sound."""
        return self.resolutions[0].width if self.resolutions else 0

    @property
    def height(self) -> int:
        """Of the first picture, px; 0 for sound."""
        return self.resolutions[0].height if self.resolutions else 0


@dataclass(frozen=True, slots=True)
class EmptyTrack:
    """A raw file out of which nothing can be shown or heard; no file was made of it.

    reason: one sentence for people.
    """

    source: Path
    reason: str

"""Media as the platform names it: streams, what a participant publishes, raw files on disk.

Description of a media file that was made from one raw track.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import compress, product
from pathlib import Path
from typing import Final

from sfu_wrapper.model.identity import UserId


class Medium(StrEnum):
    """Content of one capture: the SFU writes VIDEO, the mixer writes AUDIO."""

    AUDIO = "audio"
    VIDEO = "video"


class Stream(StrEnum):
    """Kind of track that a participant publishes; the video values are wire names."""

    AUDIO = "audio"
    CAMERA = "sfuvideo"
    SCREEN = "sfuscreen"

    @property
    def medium(self) -> Medium:
        """Medium of the capture that records this kind of track."""
        return Medium.AUDIO if self is Stream.AUDIO else Medium.VIDEO


_STREAMS: Final[Mapping[tuple[bool, ...], tuple[Stream, ...]]] = {
    flags: tuple(compress((Stream.AUDIO, Stream.CAMERA, Stream.SCREEN), flags))
    for flags in product((False, True), repeat=3)
}


@dataclass(frozen=True, slots=True)
class Media:
    """Set of tracks that one participant publishes at one moment."""

    audio: bool = False
    video: bool = False
    screen: bool = False

    def streams(self) -> tuple[Stream, ...]:
        """Return the kinds of the published tracks, in a fixed order."""
        return _STREAMS[self.audio, self.video, self.screen]


@dataclass(frozen=True, slots=True)
class Track:
    """Audio, camera or screen of one participant."""

    user: UserId
    stream: Stream


@dataclass(frozen=True, slots=True)
class RawFile:
    """File that the media plane writes or wrote for a segment.

    Attributes:
        filename: relative to ``recordings_path`` (video) or ``audio_path`` (the mix).
        stream: kind of the track; AUDIO for the mix.
        started_ms: epoch ms of the first media.
        stopped_ms: epoch ms at which the track ended; None while it is published: it ends with the
            segment.
        user: owner of the track; None for the mix.
        holds_media: False only where certainly nothing was written.
        mixer: for the mix, the software that wrote it.
        delay_ms: for the mix, ms by which its audio lags behind the video.
    """

    filename: str
    stream: Stream
    started_ms: int
    stopped_ms: int | None = None
    user: UserId | None = None
    holds_media: bool = True
    mixer: str | None = None
    delay_ms: int = 0


class TrackKind(StrEnum):
    """The medium of a track file."""

    AUDIO = "audio"
    VIDEO = "video"


@dataclass(frozen=True, slots=True)
class Gap:
    """Interruption of the media, [start, stop) in ms of the file's own time."""

    start_ms: int
    stop_ms: int


@dataclass(frozen=True, slots=True)
class Resolution:
    """Size of the frames from ``at_ms`` on, in pixels."""

    at_ms: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Rotation:
    """Clockwise rotation that makes frames upright from ``at_ms`` on: 0, 90, 180 or 270.

    The frames in the file are not rotated, and the file has no metadata about it.
    """

    at_ms: int
    degrees: int


@dataclass(frozen=True, slots=True)
class TrackFile:
    """Media file made from one raw file. Times in ms are the file's own.

    Attributes:
        path: the media file.
        kind: medium of the file.
        codec: name of the codec, lower case.
        started_us: epoch µs of the file's time 0, the receipt of the first packet. The first frame
            may come later: media before the first key frame is left out.
        created_us: epoch µs at which the raw file was opened.
        first_ms: start of the first frame.
        duration_ms: end of the last frame.
        frames: number of video frames or audio packets.
        key_frames_ms: times at which the file can be cut and sought.
        resolutions: sizes of the frames, in order of time.
        rotations: rotations of the frames, in order of time; empty: all frames are upright.
        packets_received: number of packets of this track.
        packets_lost: number of packets that never arrived, by their sequence numbers.
        ahead_ms: ms by which the file's time is ahead of the recorder's clock at its beginning.
        drift_ppm: parts per million by which it runs fast against that clock; None: not measurable.
        gaps: interruptions longer than a second with packets missing; of video where none is
            missing, longer than 5 s.
        still: number of gaps in which no packet is missing.
        beat_ms: longest pause in which no packet is missing; 0 where all are below half a second.
        left_out_ms: time in which the raw file has media that this file lacks, for other reasons
            than loss on the network.
        warnings: defects of the raw file, one readable sentence each.
        following: the rest of the track where its codec changes, a file for each stretch.
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
    still: int = 0
    beat_ms: int = 0
    left_out_ms: int = 0
    warnings: tuple[str, ...] = ()
    following: tuple["TrackFile", ...] = ()

    @property
    def width(self) -> int:
        """Width of the first frame, px; 0 for audio."""
        return self.resolutions[0].width if self.resolutions else 0

    @property
    def height(self) -> int:
        """Height of the first frame, px; 0 for audio."""
        return self.resolutions[0].height if self.resolutions else 0


@dataclass(frozen=True, slots=True)
class EmptyTrack:
    """Raw file without any playable media, for which no file was made.

    Attributes:
        source: the raw file.
        reason: one readable sentence.
    """

    source: Path
    reason: str

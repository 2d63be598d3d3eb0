"""Media as the platform names it: streams, what a participant publishes, raw files on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import compress, product
from typing import Final

from sfu_wrapper.model.ids import UserId


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
        stopped_ms: epoch ms of the end of the media; None while the file is open.
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

"""Media as the platform names it: streams, what a participant publishes, raw files on disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import compress, product
from typing import Final

from sfu_wrapper.model.ids import UserId


class Medium(StrEnum):
    """What one capture holds: the SFU writes VIDEO, the mixer writes AUDIO."""

    AUDIO = "audio"
    VIDEO = "video"


class Stream(StrEnum):
    """A kind of track that a participant publishes; the video values are wire names."""

    AUDIO = "audio"
    CAMERA = "sfuvideo"
    SCREEN = "sfuscreen"

    @property
    def medium(self) -> Medium:
        """The capture that this kind of track ends up in."""
        return Medium.AUDIO if self is Stream.AUDIO else Medium.VIDEO


_STREAMS: Final[Mapping[tuple[bool, ...], tuple[Stream, ...]]] = {
    flags: tuple(compress((Stream.AUDIO, Stream.CAMERA, Stream.SCREEN), flags))
    for flags in product((False, True), repeat=3)
}


@dataclass(frozen=True, slots=True)
class Media:
    """What one participant publishes right now."""

    audio: bool = False
    video: bool = False
    screen: bool = False

    def streams(self) -> tuple[Stream, ...]:
        """Return the tracks that this amounts to, in a fixed order."""
        return _STREAMS[self.audio, self.video, self.screen]


@dataclass(frozen=True, slots=True)
class Track:
    """One participant's audio, camera or screen."""

    user: UserId
    stream: Stream


@dataclass(frozen=True, slots=True)
class RawFile:
    """One file that the media plane writes or wrote for a segment.

    filename: relative to ``recordings_path`` (video) or ``audio_path`` (the mix).
    user, stream: whose track; the mix belongs to nobody (None, AUDIO).
    started_ms, stopped_ms: the media's own wall times; stopped_ms is None while it is open.
    holds_media: whether anything may have been written; when in doubt, True.
    mixer, delay_ms: for the mix, what wrote it and by how much its sound lags behind the pictures.
    """

    filename: str
    stream: Stream
    started_ms: int
    stopped_ms: int | None = None
    user: UserId | None = None
    holds_media: bool = True
    mixer: str | None = None
    delay_ms: int = 0

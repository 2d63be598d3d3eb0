"""What one browser asks about its media, and what it is told: descriptions, candidates, feeds."""

from dataclasses import dataclass

from sfu_wrapper.model.errors import RecordingError
from sfu_wrapper.model.ids import RoomUuid, UserId, UserKey
from sfu_wrapper.model.media import Stream, Track


@dataclass(frozen=True, slots=True)
class Place:
    """In which room, and as whom; both were looked up, not said by the browser.

    shown: how the user is named in that room.
    """

    room: RoomUuid
    user: UserKey
    shown: UserId


@dataclass(frozen=True, slots=True)
class Publish:
    """Send the camera or the screen; what was sent before is replaced. Answered with an answer."""

    stream: Stream
    offer: str


@dataclass(frozen=True, slots=True)
class Unpublish:
    """Send it no longer."""

    stream: Stream


@dataclass(frozen=True, slots=True)
class Mix:
    """Speak (unless ``muted``), and hear everybody else. Answered with an answer."""

    offer: str
    muted: bool = False


@dataclass(frozen=True, slots=True)
class Mute:
    """Be silent, or speak again; others are told so."""

    muted: bool


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Watch somebody's camera or screen. Answered with an offer."""

    feed: Track


@dataclass(frozen=True, slots=True)
class Accept:
    """The answer to that offer; pictures come from now on."""

    feed: Track
    answer: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Watch it no longer."""

    feed: Track


@dataclass(frozen=True, slots=True)
class IceCandidate:
    """Where a browser can be reached."""

    candidate: str
    sdp_mid: str | None
    sdp_m_line_index: int | None


@dataclass(frozen=True, slots=True)
class Trickle:
    """One more candidate of this connection; None: that was all.

    line: an own track, the own sound, or somebody's feed.
    """

    line: Track
    candidate: IceCandidate | None


Ask = Publish | Unpublish | Mix | Mute | Subscribe | Accept | Unsubscribe | Trickle


@dataclass(frozen=True, slots=True)
class FeedPublished:
    """Somebody else can be watched from now on."""

    feed: Track


@dataclass(frozen=True, slots=True)
class FeedUnpublished:
    """No longer."""

    feed: Track


@dataclass(frozen=True, slots=True)
class LineLost:
    """The far end of one connection is gone; it is to be made anew."""

    line: Track


@dataclass(frozen=True, slots=True)
class MediaLost:
    """The SFU is gone, and all connections with it; nothing more is heard of this line."""


MediaNews = FeedPublished | FeedUnpublished | LineLost | MediaLost

# What an ask came to: a description, nothing to say, or why not.
Outcome = str | None | RecordingError

"""Requests of one browser about its media, their outcomes, and the news sent to it.

A request is answered exactly once, with an ``Outcome``; news arrive at any time.
"""

from dataclasses import dataclass

from sfu_wrapper.model.errors import RecordingError
from sfu_wrapper.model.identity import RoomUuid, UserId, UserKey
from sfu_wrapper.model.media import Stream, Track


@dataclass(frozen=True, slots=True)
class MediaPlace:
    """Position of one browser: its room and its user, both looked up by the server.

    Attributes:
        room: uuid of the room.
        user: the user, with the domain.
        shown: the user's id as the members of that room see it.
    """

    room: RoomUuid
    user: UserKey
    shown: UserId


@dataclass(frozen=True, slots=True)
class Publish:
    """Send the camera or the screen, in place of an earlier one. The outcome is an SDP answer."""

    stream: Stream
    offer: str


@dataclass(frozen=True, slots=True)
class Unpublish:
    """Stop sending the camera or the screen."""

    stream: Stream


@dataclass(frozen=True, slots=True)
class Mix:
    """Join the audio mix: send (unless ``muted``) and receive. The outcome is an SDP answer."""

    offer: str
    muted: bool = False


@dataclass(frozen=True, slots=True)
class Mute:
    """Mute or unmute the microphone; the other members get an event."""

    muted: bool


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Receive the camera or screen of another member. The outcome is an SDP offer."""

    feed: Track


@dataclass(frozen=True, slots=True)
class Accept:
    """Answer the offer of a subscription; video flows from then on."""

    feed: Track
    answer: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Stop receiving a camera or screen."""

    feed: Track


@dataclass(frozen=True, slots=True)
class IceCandidate:
    """Network address at which a browser can be reached."""

    candidate: str
    sdp_mid: str | None
    sdp_m_line_index: int | None


@dataclass(frozen=True, slots=True)
class Trickle:
    """Further ICE candidate of one connection.

    Attributes:
        line: the connection: an own track, the own audio, or the feed of another member.
        candidate: None marks the end of the candidates.
    """

    line: Track
    candidate: IceCandidate | None


LineRequest = Publish | Unpublish | Mix | Mute | Subscribe | Accept | Unsubscribe | Trickle


@dataclass(frozen=True, slots=True)
class FeedPublished:
    """Another member has published a feed that can be subscribed to."""

    feed: Track


@dataclass(frozen=True, slots=True)
class FeedUnpublished:
    """Another member has stopped publishing a feed."""

    feed: Track


@dataclass(frozen=True, slots=True)
class LineLost:
    """The SFU or mixer has dropped one connection; the browser must set it up again."""

    line: Track


@dataclass(frozen=True, slots=True)
class MediaLost:
    """The SFU is unavailable and all connections are lost; no further news follow."""


MediaNews = FeedPublished | FeedUnpublished | LineLost | MediaLost

# Result of a request: an SDP description, None where there is none, or the error.
Outcome = str | None | RecordingError

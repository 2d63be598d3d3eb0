"""Requests and events of a browser's media connection, ``/media`` (callpage.md).

A closed vocabulary: endpoints, fields and values that are not declared here are refused, so that a
browser cannot pass anything through to the SFU. Session descriptions and candidates are parsed and
written again by ``formats.sdp``. Envelopes are those of ``signaling``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, assert_never

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from sfu_wrapper.formats.sdp import plain_candidate, plain_description
from sfu_wrapper.model.identity import UserId
from sfu_wrapper.model.media import Stream, Track
from sfu_wrapper.model.webrtc import (
    Accept,
    FeedPublished,
    FeedUnpublished,
    IceCandidate,
    LineLost,
    LineRequest,
    Mix,
    Mute,
    Publish,
    Subscribe,
    Trickle,
    Unpublish,
    Unsubscribe,
)
from sfu_wrapper.wire.envelope import (
    AUTHENTICATE,
    NAME_PATTERN,
    SHOWN_USER_PATTERN,
    Envelope,
    model_of,
    open_envelope,
    read_payload,
)
from sfu_wrapper.wire.signaling import event
from sfu_wrapper.wire.validation import MAX_DESCRIPTION, OneUnknownField

_STREAMS = {"camera": Stream.CAMERA, "screen": Stream.SCREEN, "audio": Stream.AUDIO}
_NAMES = {stream: name for name, stream in _STREAMS.items()}

_VideoName = Literal["camera", "screen"]
_Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
_ShownUser = Annotated[str, StringConstraints(pattern=SHOWN_USER_PATTERN)]


def _described(medium: str) -> AfterValidator:
    """Return a validator that rewrites a description with one stream of that medium."""

    def check(sdp: str) -> str:
        return _or_refuse(lambda: plain_description(sdp, medium))

    return AfterValidator(check)


def _candidate(text: str) -> str:
    return _or_refuse(lambda: plain_candidate(text))


def _or_refuse(read: Callable[[], str]) -> str:
    try:
        return read()
    except ValueError as error:
        raise PydanticCustomError("description", "{why}", {"why": str(error)}) from None


_Text = Annotated[str, StringConstraints(max_length=MAX_DESCRIPTION)]
_VideoSdp = Annotated[_Text, _described("video")]
_AudioSdp = Annotated[_Text, _described("audio")]
_Mid = Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9_-]{1,16}\z")]
_CandidateText = Annotated[str, StringConstraints(max_length=1024), AfterValidator(_candidate)]


class _Payload(OneUnknownField):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", alias_generator=to_camel)


class AuthenticateMedia(_Payload):
    """Authenticate this connection; once."""

    token: Annotated[str, StringConstraints(min_length=1)]


class Enter(_Payload):
    """Enter a room in which the requester is a participant already; once.

    Attributes:
        room: room id.
        domain: domain of the room; default: the requester's own.
    """

    room: _Name
    domain: _Name | None = None


class _PublishPayload(_Payload):
    stream: _VideoName
    sdp: _VideoSdp

    def line_request(self, _: UserId) -> LineRequest:
        return Publish(_STREAMS[self.stream], self.sdp)


class _UnpublishPayload(_Payload):
    stream: _VideoName

    def line_request(self, _: UserId) -> LineRequest:
        return Unpublish(_STREAMS[self.stream])


class _MixPayload(_Payload):
    sdp: _AudioSdp
    muted: bool = False

    def line_request(self, _: UserId) -> LineRequest:
        return Mix(self.sdp, self.muted)


class _MutePayload(_Payload):
    muted: bool

    def line_request(self, _: UserId) -> LineRequest:
        return Mute(self.muted)


class _FeedPayload(_Payload):
    user: _ShownUser
    stream: _VideoName

    @property
    def feed(self) -> Track:
        return Track(UserId(self.user), _STREAMS[self.stream])


class _SubscribePayload(_FeedPayload):
    def line_request(self, _: UserId) -> LineRequest:
        return Subscribe(self.feed)


class _AcceptPayload(_FeedPayload):
    sdp: _VideoSdp

    def line_request(self, _: UserId) -> LineRequest:
        return Accept(self.feed, self.sdp)


class _UnsubscribePayload(_FeedPayload):
    def line_request(self, _: UserId) -> LineRequest:
        return Unsubscribe(self.feed)


class _Candidate(_Payload):
    candidate: _CandidateText
    sdp_mid: _Mid | None = None
    sdp_m_line_index: Annotated[int, Field(ge=0, le=64)] | None = None


class _CandidatePayload(_Payload):
    stream: Literal["camera", "screen", "audio"]
    user: _ShownUser | None = None
    candidate: _Candidate | None = None

    def line_request(self, me: UserId) -> LineRequest:
        line = Track(me if self.user is None else UserId(self.user), _STREAMS[self.stream])
        if self.candidate is None:
            return Trickle(line, None)
        given = self.candidate
        return Trickle(line, IceCandidate(given.candidate, given.sdp_mid, given.sdp_m_line_index))


AskPayload = (
    _PublishPayload
    | _UnpublishPayload
    | _MixPayload
    | _MutePayload
    | _SubscribePayload
    | _AcceptPayload
    | _UnsubscribePayload
    | _CandidatePayload
)
MediaPayload = AuthenticateMedia | Enter | AskPayload

ENTER = "enter"

ENDPOINTS: dict[str, type[MediaPayload]] = {
    AUTHENTICATE: AuthenticateMedia,
    ENTER: Enter,
    "publish": _PublishPayload,
    "unpublish": _UnpublishPayload,
    "mix": _MixPayload,
    "mute": _MutePayload,
    "subscribe": _SubscribePayload,
    "accept": _AcceptPayload,
    "unsubscribe": _UnsubscribePayload,
    "candidate": _CandidatePayload,
}


@dataclass(frozen=True, slots=True)
class MediaRequest:
    """A valid request."""

    endpoint: str
    id: str
    payload: MediaPayload


def parse_media_request(message: str) -> MediaRequest:
    """Read one message of a browser.

    Raises:
        NotJson: the message is not JSON.
        Unanswerable: not a request of this vocabulary; the caller sends the error response.
    """
    return read_media_request(open_envelope(message))


def require_media_endpoint(envelope: Envelope) -> None:
    """Require a known endpoint. Raises Unanswerable: UNKNOWN_ENDPOINT."""
    model_of(ENDPOINTS, envelope)


def read_media_request(envelope: Envelope) -> MediaRequest:
    """Validate the payload of a request. Raises Unanswerable."""
    payload = read_payload(model_of(ENDPOINTS, envelope), envelope)
    return MediaRequest(envelope.endpoint, envelope.id, payload)


def feed_json(feed: Track) -> dict[str, object]:
    """Return user and stream of a track."""
    return {"user": feed.user, "stream": _NAMES[feed.stream]}


def news_event(news: FeedPublished | FeedUnpublished | LineLost, me: UserId) -> bytes:
    """Return news as an event; the browser's own line is named without a user, as in requests."""
    match news:
        case FeedPublished(feed=feed):
            return event("feedPublished", feed_json(feed))
        case FeedUnpublished(feed=feed):
            return event("feedUnpublished", feed_json(feed))
        case LineLost(line=line):
            named = feed_json(line)
            if line.user == me:
                del named["user"]
            return event("lineLost", named)
    assert_never(news)

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.model.errors import Malformed
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
from sfu_wrapper.wire.envelope import Unanswerable
from sfu_wrapper.wire.webrtc_signaling import (
    ENDPOINTS,
    AuthenticateMedia,
    Enter,
    news_event,
    parse_media_request,
)
from tests.helpers.gatewayfakes import request
from tests.helpers.sdp import AUDIO_SDP, VIDEO_SDP, sdp

ME = UserId("alice")
BOB = Track(UserId("bob"), Stream.CAMERA)
CANDIDATE = {"candidate": "candidate:1 1 UDP 1 127.0.0.1 9 typ host", "sdpMid": "0"}

# One good payload for each endpoint.
GOOD: dict[str, dict[str, Any]] = {
    "authenticate": {"token": "t"},
    "enter": {"room": "standup"},
    "publish": {"stream": "camera", "sdp": VIDEO_SDP},
    "unpublish": {"stream": "screen"},
    "mix": {"sdp": AUDIO_SDP},
    "mute": {"muted": True},
    "subscribe": {"user": "bob", "stream": "camera"},
    "accept": {"user": "bob", "stream": "camera", "sdp": VIDEO_SDP},
    "unsubscribe": {"user": "bob", "stream": "camera"},
    "candidate": {"stream": "camera", "user": "bob", "candidate": CANDIDATE},
}
# What Janus would do something with, if it ever got it.
FOREIGN = {
    "record": True,
    "filename": "../../up",
    "secret": "s",
    "request": "enable_recording",
    "rec_dir": "/tmp",  # noqa: S108
    "room_id": "other",
    "id": "somebody",
    "ptype": "publisher",
    "janus": "message",
    "body": {"request": "edit"},
    "mjrs": True,
}


def asked(endpoint: str, **payload: object) -> LineRequest:
    found = parse_media_request(request(endpoint, "r1", **payload)).payload
    assert not isinstance(found, AuthenticateMedia | Enter)
    return found.line_request(ME)


def test_each_endpoint_has_a_good_payload_here() -> None:
    assert set(GOOD) == set(ENDPOINTS)


@pytest.mark.parametrize(
    ("endpoint", "line_request"),
    [
        ("publish", Publish(Stream.CAMERA, VIDEO_SDP)),
        ("unpublish", Unpublish(Stream.SCREEN)),
        ("mix", Mix(AUDIO_SDP)),
        ("mute", Mute(True)),
        ("subscribe", Subscribe(BOB)),
        ("accept", Accept(BOB, VIDEO_SDP)),
        ("unsubscribe", Unsubscribe(BOB)),
        ("candidate", Trickle(BOB, IceCandidate(CANDIDATE["candidate"], "0", None))),
    ],
)
def test_a_request_says_what_it_asks(endpoint: str, line_request: LineRequest) -> None:
    assert asked(endpoint, **GOOD[endpoint]) == line_request


def test_a_candidate_without_a_user_is_of_an_own_connection_and_without_itself_the_last() -> None:
    assert asked("candidate", stream="audio") == Trickle(Track(ME, Stream.AUDIO), None)


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("endpoint", GOOD)
def test_no_field_gets_through_that_is_not_known(endpoint: str, name: str) -> None:
    with pytest.raises(Unanswerable) as refused:
        parse_media_request(request(endpoint, **{**GOOD[endpoint], name: FOREIGN[name]}))

    assert refused.value.detail == f"payload.{name} is not known here"


def test_nor_inside_a_candidate() -> None:
    with pytest.raises(Unanswerable):
        asked("candidate", stream="camera", candidate={**CANDIDATE, "record": True})


def test_a_candidate_is_an_object() -> None:
    with pytest.raises(Unanswerable, match=r"payload\.candidate must be an object"):
        asked("candidate", stream="camera", candidate="candidate:1")


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("publish", AUDIO_SDP),
        ("publish", sdp("video", "audio")),
        ("publish", sdp("video", "video")),
        ("publish", sdp("video", "application")),
        ("publish", sdp()),
        ("mix", VIDEO_SDP),
        ("mix", "v=0\rm=audio 9 x\rm=video 9 x\r"),
        ("accept", AUDIO_SDP),
    ],
)
def test_a_description_holds_one_stream_of_the_right_medium(endpoint: str, said: str) -> None:
    with pytest.raises(Unanswerable) as refused:
        asked(endpoint, **{**GOOD[endpoint], "sdp": said})

    assert refused.value.context["path"] == "payload.sdp"


_TREES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2**31) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
_FIELDS = st.sampled_from([*FOREIGN, "room", "user", "stream", "sdp", "candidate", "token"])
_PAYLOADS = st.dictionaries(
    _FIELDS, _TREES | st.sampled_from(["camera", "screen", "audio", "bob", VIDEO_SDP, AUDIO_SDP])
)


@given(endpoint=st.sampled_from([*ENDPOINTS, "enable_recording"]), payload=_PAYLOADS)
def test_whatever_is_sent_nothing_comes_out_but_the_known_fields(
    endpoint: str, payload: dict[str, object]
) -> None:
    message = json.dumps(
        {"type": "request", "payload": {"endpoint": endpoint, "payload": payload, "id": "1"}}
    )
    try:
        found = parse_media_request(message)
    except (Unanswerable, Malformed):
        return

    assert endpoint in ENDPOINTS
    assert set(payload) <= set(GOOD[endpoint])
    assert not set(payload) & set(FOREIGN)
    assert found.endpoint == endpoint


@pytest.mark.parametrize(
    ("news", "said"),
    [
        (FeedPublished(BOB), ("feedPublished", {"user": "bob", "stream": "camera"})),
        (FeedUnpublished(BOB), ("feedUnpublished", {"user": "bob", "stream": "camera"})),
        (LineLost(BOB), ("lineLost", {"user": "bob", "stream": "camera"})),
        (LineLost(Track(ME, Stream.AUDIO)), ("lineLost", {"stream": "audio"})),
    ],
)
def test_news_name_whose_stream_it_is(
    news: FeedPublished | FeedUnpublished | LineLost, said: tuple[str, object]
) -> None:
    payload = json.loads(news_event(news, ME))["payload"]

    assert (payload["event"], payload["payload"]) == said

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.model.identity import Kind, Origin
from sfu_wrapper.wire import signaling as ws
from sfu_wrapper.wire.envelope import Unanswerable
from sfu_wrapper.wire.signaling import parse_request
from sfu_wrapper.wire.strict_json import NotJson

# What the product's own example carries inside.
PRODUCT = (
    '{"type":"request","payload":{"endpoint":"startRoomRecording","payload":{},'
    '"id":"yyl8SNpGnS8uUzHh-rKr5"}}'
)


def request(endpoint: str, payload: object, request_id: object = "r1") -> str:
    inner = {"endpoint": endpoint, "payload": payload, "id": request_id}
    return json.dumps({"type": "request", "payload": inner})


def payload_of(endpoint: str, **payload: object) -> ws.Payload:
    return parse_request(request(endpoint, payload)).payload


def refusal(message: str) -> Unanswerable:
    with pytest.raises(Unanswerable) as info:
        parse_request(message)
    return info.value


def test_the_products_own_request_is_read() -> None:
    parsed = parse_request(PRODUCT)

    assert parsed.endpoint == "startRoomRecording"
    assert parsed.id == "yyl8SNpGnS8uUzHh-rKr5"
    assert parsed.payload == ws.StartRoomRecording()


@pytest.mark.parametrize(
    ("endpoint", "payload", "expected"),
    [
        ("authenticate", {"token": "t"}, ws.Authenticate(token="t")),
        ("createRoom", {}, ws.CreateRoom(kind=Kind.DIRECT, origin=Origin.INTERNAL)),
        (
            "createRoom",
            {
                "id": "a.b_c@d+e:f-g",
                "uuid": "60315b4f",
                "kind": "meeting",
                "owner": "alice",
                "domain": "example",
                "record": False,
                "origin": "pstn",
                "confbridgeId": "_c.1-2",
                "invited": ["bob", "carol"],
            },
            ws.CreateRoom.model_construct(
                id="a.b_c@d+e:f-g",
                uuid="60315b4f",
                kind=Kind.MEETING,
                owner="alice",
                domain="example",
                record=False,
                origin=Origin.PSTN,
                confbridge_id="_c.1-2",
                invited=("bob", "carol"),
            ),
        ),
        ("inviteToRoom", {"users": ["bob"]}, ws.InviteToRoom(users=("bob",))),
        ("joinRoom", {"room": "r"}, ws.JoinRoom(room="r")),
        (
            "joinRoom",
            {"room": "r", "user": "bob", "media": {"audio": True}},
            ws.JoinRoom(room="r", user="bob", media=ws.MediaFlags(audio=True)),
        ),
        (
            "updateMedia",
            {"media": {"audio": False, "video": True, "screen": True}},
            ws.UpdateMedia(media=ws.MediaFlags(video=True, screen=True)),
        ),
        ("leaveRoom", {"user": "bob"}, ws.LeaveRoom(user="bob")),
        ("endRoom", {"room": "r"}, ws.EndRoom(room="r")),
        ("startRoomRecording", {"room": "r"}, ws.StartRoomRecording(room="r")),
        ("stopRoomRecording", {}, ws.StopRoomRecording()),
        ("getRoom", {"room": "r"}, ws.GetRoom(room="r")),
        ("listRooms", {}, ws.ListRooms()),
        (
            "listRooms",
            {"limit": 10, "after": "x", "state": "ended"},
            ws.ListRooms(limit=10, after="x", state="ended"),
        ),
        ("watch", {"topics": ["rooms", "recordings"]}, ws.Watch(topics=("rooms", "recordings"))),
        ("unwatch", {}, ws.Unwatch()),
        ("unwatch", {"topics": ["rooms"]}, ws.Unwatch(topics=("rooms",))),
        ("ping", {}, ws.Ping()),
    ],
)
def test_every_endpoint(endpoint: str, payload: dict[str, object], expected: ws.Payload) -> None:
    assert payload_of(endpoint, **payload) == expected


def test_fields_that_nobody_knows_are_ignored() -> None:
    message = json.loads(PRODUCT)
    message["more"] = message["payload"]["more"] = message["payload"]["payload"]["more"] = [1]

    assert parse_request(json.dumps(message)).payload == ws.StartRoomRecording()


@pytest.mark.parametrize(
    ("endpoint", "payload", "path"),
    [
        ("authenticate", {}, "payload.token"),
        ("authenticate", {"token": ""}, "payload.token"),
        ("authenticate", {"token": 1}, "payload.token"),
        ("createRoom", {"id": ""}, "payload.id"),
        ("createRoom", {"id": "a" * 129}, "payload.id"),
        ("createRoom", {"id": "a b"}, "payload.id"),
        ("createRoom", {"id": "ä"}, "payload.id"),
        ("createRoom", {"id": "a\n"}, "payload.id"),
        ("createRoom", {"id": None}, "payload.id"),
        ("createRoom", {"uuid": "../etc"}, "payload.uuid"),
        ("createRoom", {"uuid": ".x"}, "payload.uuid"),
        ("createRoom", {"uuid": "-rf"}, "payload.uuid"),
        ("createRoom", {"uuid": "a@b"}, "payload.uuid"),
        ("createRoom", {"uuid": "a" * 65}, "payload.uuid"),
        ("createRoom", {"confbridgeId": "a:b"}, "payload.confbridgeId"),
        ("createRoom", {"kind": "conference"}, "payload.kind"),
        ("createRoom", {"kind": 1}, "payload.kind"),
        ("createRoom", {"origin": None}, "payload.origin"),
        ("createRoom", {"record": "true"}, "payload.record"),
        ("createRoom", {"record": 1}, "payload.record"),
        ("createRoom", {"invited": "bob"}, "payload.invited"),
        ("createRoom", {"invited": {"bob": 1}}, "payload.invited"),
        ("createRoom", {"invited": ["bob", ""]}, "payload.invited.1"),
        ("inviteToRoom", {}, "payload.users"),
        ("joinRoom", {}, "payload.room"),
        ("joinRoom", {"room": 5}, "payload.room"),
        ("joinRoom", {"room": "r", "media": []}, "payload.media"),
        ("joinRoom", {"room": "r", "media": {"audio": 1}}, "payload.media.audio"),
        ("updateMedia", {}, "payload.media"),
        ("updateMedia", {"media": {"screen": None}}, "payload.media.screen"),
        ("listRooms", {"limit": 0}, "payload.limit"),
        ("listRooms", {"limit": 1.0}, "payload.limit"),
        ("listRooms", {"limit": True}, "payload.limit"),
        ("listRooms", {"state": "gone"}, "payload.state"),
        ("watch", {}, "payload.topics"),
        ("watch", {"topics": []}, "payload.topics"),
        ("watch", {"topics": ["users"]}, "payload.topics.0"),
    ],
)
def test_a_wrong_field_is_named(endpoint: str, payload: dict[str, object], path: str) -> None:
    error = refusal(request(endpoint, payload))

    assert (error.code, error.context) == ("BAD_REQUEST", {"path": path})
    assert (error.endpoint, error.id) == (endpoint, "r1")
    assert error.detail.startswith(f"{path} ")


@pytest.mark.parametrize(
    ("frame", "path", "endpoint", "request_id"),
    [
        ([], "type", None, None),
        ("text", "type", None, None),
        ({"payload": {"endpoint": "ping", "id": "x", "payload": {}}}, "type", "ping", "x"),
        ({"type": "response", "payload": {"id": "x"}}, "type", None, "x"),
        ({"type": "request"}, "payload", None, None),
        ({"type": "request", "payload": []}, "payload", None, None),
        ({"type": "request", "payload": {}}, "endpoint", None, None),
        ({"type": "request", "payload": {"endpoint": 1, "id": "x"}}, "endpoint", None, "x"),
        ({"type": "request", "payload": {"endpoint": "ping"}}, "id", "ping", None),
        ({"type": "request", "payload": {"endpoint": "ping", "id": 7}}, "id", "ping", None),
        ({"type": "request", "payload": {"endpoint": "ping", "id": "x"}}, "payload", "ping", "x"),
    ],
)
def test_a_wrong_envelope_is_answered_as_far_as_it_can_be(
    frame: object, path: str, endpoint: str | None, request_id: str | None
) -> None:
    error = refusal(json.dumps(frame))

    assert (error.code, error.context) == ("BAD_REQUEST", {"path": path})
    assert (error.endpoint, error.id) == (endpoint, request_id)


@pytest.mark.parametrize(
    ("request_id", "echo"), [("", ""), ("x" * 129, "x" * 129), ("é", "é"), ("a\nb", None)]
)
def test_request_ids_are_1_to_128_printable_ascii_characters(
    request_id: str, echo: str | None
) -> None:
    error = refusal(request("ping", {}, request_id))

    assert error.context == {"path": "id"}
    assert error.id == echo
    assert parse_request(request("ping", {}, "~" + " " * 127)).endpoint == "ping"


def test_what_is_too_long_to_be_meant_is_not_repeated() -> None:
    assert refusal(request("ping", {}, "x" * 60_000)).id is None


def test_an_unknown_endpoint_is_said_to_be_one() -> None:
    error = refusal(request("__proto__", {}))

    assert (error.code, error.endpoint, error.id) == ("UNKNOWN_ENDPOINT", "__proto__", "r1")


def test_an_ambiguous_request_is_refused_under_its_id() -> None:
    error = refusal(PRODUCT.replace('"payload":{},', '"payload":{"room":"a","room":"b"},'))

    assert (error.code, error.context) == ("BAD_REQUEST", {})
    assert error.id == "yyl8SNpGnS8uUzHh-rKr5"


def test_what_is_no_json_is_left_to_the_connection() -> None:
    with pytest.raises(NotJson):
        parse_request("{")


def test_the_digest_tells_payloads_apart_but_not_the_order_of_keys() -> None:
    def digest(text: str) -> bytes:
        return parse_request(PRODUCT.replace('"payload":{},', f'"payload":{text},')).digest

    assert digest('{"room":"a","x":{"y":1,"z":2}}') == digest('{"x":{"z":2,"y":1},"room":"a"}')
    assert digest('{"room":"a"}') != digest('{"room":"b"}')
    assert digest('{"room":"a"}') != digest("{}")


any_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = ["id", "uuid", "kind", "room", "user", "users", "media", "topics", "limit", "token"]


@given(
    st.sampled_from(["createRoom", "joinRoom", "updateMedia", "listRooms", "watch", "ping", "?"]),
    st.dictionaries(st.sampled_from(FIELDS), any_json) | any_json,
    any_json | st.text(),
)
def test_every_request_is_read_or_refused_in_our_own_words(
    endpoint: str, payload: object, request_id: object
) -> None:
    try:
        parsed = parse_request(request(endpoint, payload, request_id))
    except Unanswerable as exc:
        json.loads(ws.error_response(exc.endpoint, exc.id, exc.code, exc.detail, exc.context))
    else:
        assert parsed.endpoint == endpoint


def test_answers_and_events_look_as_the_protocol_says() -> None:
    started: dict[str, Any] = {
        "room": "60315b4f",
        "segment": 1,
        "startedAt": "2020-05-25T07:42:28.633Z",
    }
    ok = ws.ok_response("startRoomRecording", "yyl8SNpGnS8uUzHh-rKr5", started)
    error = ws.error_response(
        "startRoomRecording",
        "yyl8SNpGnS8uUzHh-rKr5",
        "NOT_ROOM_OWNER",
        "only the caller may record this call",
        {"room": "60315b4f"},
    )
    event = ws.event("roomRecordingStarted", {**started, "by": "alice@example", "type": "all"})

    assert ok == (
        b'{"type":"response","payload":{"endpoint":"startRoomRecording",'
        b'"id":"yyl8SNpGnS8uUzHh-rKr5","status":"ok","payload":{"room":"60315b4f","segment":1,'
        b'"startedAt":"2020-05-25T07:42:28.633Z"}}}'
    )
    assert error == (
        b'{"type":"response","payload":{"endpoint":"startRoomRecording",'
        b'"id":"yyl8SNpGnS8uUzHh-rKr5","status":"error","error":{"code":"NOT_ROOM_OWNER",'
        b'"message":"only the caller may record this call","details":{"room":"60315b4f"}}}}'
    )
    assert event == (
        b'{"type":"event","payload":{"event":"roomRecordingStarted","payload":{'
        b'"room":"60315b4f","segment":1,"startedAt":"2020-05-25T07:42:28.633Z",'
        b'"by":"alice@example","type":"all"}}}'
    )

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.model.errors import Code
from sfu_wrapper.model.identity import DomainId, Identity, Role, UserId
from sfu_wrapper.wire.gateway_frames import (
    Carry,
    Connect,
    Disconnect,
    Renew,
    UnreadableFrame,
    Vouched,
    authenticated_frame,
    close_frame,
    error_frame,
    message_frame,
    parse_frame,
    peek_message,
)
from sfu_wrapper.wire.signaling import parse_request
from tests.helpers.gatewayfakes import PRODUCT_FRAME, PRODUCT_REQUEST, PRODUCT_SOCKET

ALICE = {"id": "alice", "domain": "example"}


def test_the_products_own_frame_is_read() -> None:
    frame = parse_frame(PRODUCT_FRAME)

    assert isinstance(frame, Carry)
    assert frame.socket_id == PRODUCT_SOCKET
    assert parse_request(frame.data).id == PRODUCT_REQUEST


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ({"type": "connect", "socketId": "s"}, Connect("s", None)),
        (
            {"type": "connect", "socketId": "s", "user": ALICE},
            Connect("s", Vouched(UserId("alice"), DomainId("example"))),
        ),
        (
            {"type": "connect", "socketId": "s", "user": ALICE | {"roles": ["service"]}},
            Connect("s", Vouched(UserId("alice"), DomainId("example"), ("service",))),
        ),
        ({"type": "message", "socketId": "s", "data": "x", "more": 1}, Carry("s", "x")),
        ({"type": "authenticate", "token": "new"}, Renew("new")),
        ({"type": "disconnect", "socketId": "s"}, Disconnect("s")),
        ({"type": "disconnect", "socketId": "s", "reason": "gone"}, Disconnect("s")),
    ],
)
def test_every_frame(frame: dict[str, object], expected: object) -> None:
    assert parse_frame(json.dumps(frame)) == expected


@pytest.mark.parametrize(
    ("text", "socket_id"),
    [
        ("{", None),
        ("[]", None),
        (b"\xff", None),
        ('{"type":"message","data":"x"}', None),
        ('{"type":"message","socketId":7,"data":"x"}', None),
        ('{"type":"message","socketId":"","data":"x"}', None),
        ('{"type":"message","socketId":"a\\nb","data":"x"}', None),
        ('{"type":"message","socketId":"s"}', "s"),
        ('{"type":"message","socketId":"s","data":{}}', "s"),
        ('{"type":"message","socketId":"s","data":"x","data":"y"}', "s"),
        ('{"type":"connect","socketId":"s","user":null}', "s"),
        ('{"type":"connect","socketId":"s","user":"alice"}', "s"),
        ('{"type":"connect","socketId":"s","user":{"id":"alice"}}', "s"),
        ('{"type":"connect","socketId":"s","user":{"id":"a b","domain":"d"}}', "s"),
        ('{"type":"connect","socketId":"s","user":{"id":"a","domain":""}}', "s"),
        ('{"type":"connect","socketId":"s","user":{"id":"a","domain":"d","roles":"user"}}', "s"),
        ('{"type":"connect","socketId":"s","user":{"id":"a","domain":"d","roles":[1]}}', "s"),
        ('{"type":"authenticate"}', None),
        ('{"type":"authenticate","socketId":"s","token":7}', "s"),
        ('{"type":"close","socketId":"s"}', "s"),
        ('{"socketId":"s"}', "s"),
    ],
)
def test_an_unreadable_frame_names_its_socket_where_it_can(
    text: str | bytes, socket_id: str | None
) -> None:
    with pytest.raises(UnreadableFrame) as info:
        parse_frame(text)

    assert info.value.socket_id == socket_id


def test_a_gateway_names_a_bounded_number_of_roles() -> None:
    user = {"id": "a", "domain": "d", "roles": ["user"] * 65}
    with pytest.raises(UnreadableFrame, match="at most 64"):
        parse_frame(json.dumps({"type": "connect", "socketId": "s", "user": user}))


def test_a_message_tells_its_socket_before_it_is_parsed() -> None:
    assert peek_message(PRODUCT_FRAME) == PRODUCT_SOCKET
    assert peek_message('{"type":"message", "socketId": "s", "data":"x') == "s"
    for text in ('{"type":"connect","socketId":"s"}', '{"socketId":"s","type":"message"}', ""):
        assert peek_message(text) is None


@given(st.binary(max_size=100) | st.text(max_size=100))
def test_anything_is_read_or_refused(text: str | bytes) -> None:
    with pytest.raises(UnreadableFrame):
        parse_frame(text)


def test_frames_out_look_as_the_protocol_says() -> None:
    assert message_frame("s", b'{"a":"\xc3\xa9"}') == (
        '{"type":"message","socketId":"s","data":"{\\"a\\":\\"é\\"}"}'.encode()
    )
    assert close_frame("s", 1008, "why") == (
        b'{"type":"close","socketId":"s","code":1008,"reason":"why"}'
    )
    gateway = Identity(DomainId("example"), UserId("gateway-1"), frozenset({Role.GATEWAY}))
    assert authenticated_frame(gateway) == (
        b'{"type":"authenticated","user":"gateway-1","domain":"example","expiresAt":null}'
    )
    assert json.loads(authenticated_frame(replace(gateway, expires_ms=0)))["expiresAt"] == (
        "1970-01-01T00:00:00.000Z"
    )
    assert error_frame("what", None) == b'{"type":"error","code":"BAD_REQUEST","message":"what"}'
    assert error_frame("what", "s", Code.INTERNAL) == (
        b'{"type":"error","code":"INTERNAL","message":"what","socketId":"s"}'
    )

"""Reading requests in the order of cost: peeked at, opened, read."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from sfu_wrapper.model.trace import TraceContext
from sfu_wrapper.wire.envelope import (
    Unanswerable,
    open_envelope,
    open_first,
    peek,
)
from sfu_wrapper.wire.signaling import CreateRoom, InviteToRoom, Watch, parse_request
from sfu_wrapper.wire.strict_json import NotJson
from sfu_wrapper.wire.validation import BEFORE_AUTHENTICATION, MAX_ITEMS, REQUEST
from sfu_wrapper.wire.webrtc_signaling import ENDPOINTS, parse_media_request
from tests.helpers.costlyframes import MEDIA, REFUSED
from tests.helpers.gatewayfakes import request

LONG = ["carol"] * 500  # more than what is looked at of a long message


def refusal(message: str) -> Unanswerable:
    with pytest.raises(Unanswerable) as refused:
        parse_request(message)
    return refused.value


def envelope(members: list[tuple[str, object]], **around: object) -> dict[str, object]:
    return {"type": "request", "payload": dict(members), **around}


MEMBERS: list[tuple[str, object]] = [
    ("endpoint", "createRoom"),
    ("id", "r1"),
    ("payload", {"id": "not this one", "invited": LONG, "endpoint": "nor this"}),
]


@pytest.mark.parametrize(
    "order", [(0, 1, 2), (1, 0, 2), (0, 2, 1), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
)
@pytest.mark.parametrize("compact", [True, False])
def test_endpoint_and_id_of_a_long_message_are_found_at_its_ends(
    order: tuple[int, ...], compact: bool
) -> None:
    frame = envelope([MEMBERS[place] for place in order])
    separators = (",", ":") if compact else None

    assert peek(json.dumps(frame, separators=separators)) == ("createRoom", "r1")
    sorted_keys = json.dumps(frame, separators=separators, sort_keys=True)
    assert peek(sorted_keys) == ("createRoom", "r1")


@pytest.mark.parametrize("size", [1, 500])
def test_what_is_no_request_has_neither(size: int) -> None:
    assert peek("[" * size) == (None, None)
    assert peek(json.dumps(["x" * size * 3])) == (None, None)
    assert peek('"type":"request"' * size) == (None, None)


def test_a_member_of_the_payload_is_not_taken_for_one_of_the_request() -> None:
    members = [MEMBERS[0], ("id", 5), ("payload", {"users": LONG, "id": "x"})]

    assert peek(json.dumps(envelope(members))) == ("createRoom", None)


ids = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=128)


def test_the_trace_context_of_a_request_is_read_and_is_no_part_of_its_payload() -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    plain = parse_request(request("ping"))
    traced = json.loads(request("ping"))
    traced["payload"] |= {"traceparent": parent, "tracestate": "vendor=1"}
    found = parse_request(json.dumps(traced))

    assert plain.trace is None
    assert found.trace == TraceContext(parent, "vendor=1")
    assert (found.digest, found.payload) == (plain.digest, plain.payload)


def test_a_request_with_an_invalid_trace_context_counts_as_one_without() -> None:
    traced = json.loads(request("ping"))
    traced["payload"] |= {"traceparent": {"not": "text"}, "tracestate": "vendor=1"}

    assert parse_request(json.dumps(traced)).trace is None


@given(
    st.permutations(["endpoint", "id", "payload"]),
    ids,
    st.dictionaries(st.sampled_from(["id", "endpoint", "x", "payload"]), ids | st.lists(ids)),
    st.booleans(),
    st.integers(0, 3000),
)
def test_what_is_peeked_is_what_is_read(
    order: list[str], request_id: str, payload: dict[str, Any], indent: bool, filling: int
) -> None:
    values = {"endpoint": "ping", "id": request_id, "payload": payload | {"filling": "f" * filling}}
    frame = envelope([(name, values[name]) for name in order])
    message = json.dumps(frame, indent=2 if indent else None)
    endpoint, found = peek(message)

    assert endpoint in (None, "ping")
    assert found in (None, request_id)
    if len(message) <= 1024:
        assert (endpoint, found) == ("ping", request_id)


@pytest.mark.parametrize("frame", REFUSED)
@pytest.mark.parametrize("size", [9_200, 65_500])
def test_a_costly_frame_is_refused_in_a_few_words(frame: str, size: int) -> None:
    message = REFUSED[frame](size)
    if frame.startswith("long token"):  # that is for the authenticator to refuse
        assert parse_request(message).endpoint == "authenticate"
        return
    with pytest.raises((Unanswerable, NotJson)) as refused:
        parse_request(message)

    assert len(refused.value.detail) < 400
    assert len(str(refused.value.context)) < 400


@pytest.mark.parametrize("frame", MEDIA)
@pytest.mark.parametrize("size", [9_200, 65_500])
def test_so_is_one_about_media(frame: str, size: int) -> None:
    with pytest.raises(Unanswerable) as refused:
        parse_media_request(MEDIA[frame](size))

    assert len(refused.value.detail) < 400
    assert len(str(refused.value.context)) < 400


@pytest.mark.parametrize(
    ("model", "payload"),
    [
        (CreateRoom, {"invited": ["!"] * MAX_ITEMS}),
        (CreateRoom, {"invited": [1] * 50_000, "id": 1, "uuid": [], "kind": {}}),
        (InviteToRoom, {"users": [{}] * 50_000}),
        (Watch, {"topics": ["x"] * 50_000}),
        (ENDPOINTS["mute"], {"muted": True, **{f"x{n}": n for n in range(5000)}}),
        (
            ENDPOINTS["candidate"],
            {"stream": "audio", "candidate": {f"x{n}": n for n in range(5000)}},
        ),
    ],
)
def test_validation_stops_at_the_first_wrong_item(
    model: type[BaseModel], payload: dict[str, object]
) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(payload)

    assert refused.value.error_count() <= len(model.model_fields)


def test_a_list_that_is_too_long_is_refused_before_its_items_are_looked_at() -> None:
    error = refusal(request("inviteToRoom", users=[*["a"] * MAX_ITEMS, "!"]))

    assert error.context == {"path": "payload.users"}
    assert error.detail == f"payload.users must have at most {MAX_ITEMS} items"
    longest = parse_request(request("inviteToRoom", users=["a"] * MAX_ITEMS)).payload
    assert longest == InviteToRoom(users=("a",) * MAX_ITEMS)


@pytest.mark.parametrize(
    "inside", ["[" * (REQUEST.brackets + 1), "{" * (REQUEST.brackets + 1), "," * 5_000]
)
def test_a_message_of_too_much_structure_is_not_parsed(
    inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parsed(_: object) -> None:
        raise AssertionError("it was parsed")

    monkeypatch.setattr(orjson, "loads", parsed)
    error = refusal(request("ping", "r7", x=inside + " " * 2000))

    assert (error.code, error.endpoint, error.id) == ("BAD_REQUEST", "ping", "r7")
    assert error.context == {}


def test_before_authentication_a_message_may_have_little_structure() -> None:
    token = request("authenticate", token="a." * 4000, x=[1] * 200)
    assert open_first(token).endpoint == "authenticate"

    for inside in ("," * (BEFORE_AUTHENTICATION.commas + 1), "[" * BEFORE_AUTHENTICATION.brackets):
        message = request("authenticate", token=inside)
        with pytest.raises(Unanswerable) as refused:
            open_first(message)
        assert refused.value.code == "UNAUTHENTICATED"
        assert refused.value.id == "r1"
        assert open_envelope(message).id == "r1"


def test_the_name_of_an_unknown_field_is_not_repeated_in_full() -> None:
    with pytest.raises(Unanswerable) as refused:
        parse_media_request(request("mute", "r1", muted=True, **{"x" * 5000: 1}))

    assert refused.value.detail == f"payload.{'x' * 63}… is not known here"


RECORDED = Path(__file__).parents[2] / "samples" / "requests-0.1.0.json"


@pytest.mark.parametrize(("path", "message", "answer"), json.loads(RECORDED.read_text()))
def test_a_request_is_read_as_version_0_1_0_read_it(
    path: str, message: str, answer: list[Any]
) -> None:
    """Whole and broken requests with what 0.1.0, which validated everything, made of them."""
    read = parse_media_request if path == "media" else parse_request
    try:
        found = read(message)
    except Unanswerable as exc:
        assert [exc.code, exc.endpoint, exc.id, exc.context] == answer  # noqa: PT017
    except NotJson:
        assert answer == ["not JSON"]
    else:
        assert ["ok", found.endpoint, found.id] == answer[:3]
        payload = found.payload.model_dump(mode="json", by_alias=True)
        assert answer[3].items() <= payload.items()

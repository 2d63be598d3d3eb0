import json
from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from sfu_wrapper.core.effects import Hangup
from sfu_wrapper.model.errors import Malformed
from sfu_wrapper.model.identity import DomainId, RoomId, UserId
from sfu_wrapper.wire import client_models, rest
from sfu_wrapper.wire.answers import note_payload
from sfu_wrapper.wire.client_messages import (
    ErrorBody,
    EventMessage,
    Response,
    read_answer,
    read_event,
    read_message,
    write_request,
)
from sfu_wrapper.wire.client_models import Json, RoomChanged, Started, UnknownEvent
from sfu_wrapper.wire.gateway_frames import (
    Carry,
    Closing,
    Connect,
    Disconnect,
    Fault,
    Renew,
    Vouched,
    close_frame,
    connect_frame,
    disconnect_frame,
    error_frame,
    message_frame,
    parse_frame,
    read_at_gateway,
    renewal_frame,
)
from sfu_wrapper.wire.signaling import error_response, event, ok_response, parse_request

HEAD: Json = {"room": "call", "uuid": "u-1"}
STATE: Json = HEAD | {
    "kind": "direct",
    "origin": "internal",
    "owner": "alice",
    "domain": "example",
    "state": "established",
    "participants": [],
    "recording": {
        "allowed": True, "automatic": False, "type": "all", "source": "user", "active": False,
    },
    "segments": [],
}  # fmt: skip


def test_a_request_is_written_as_the_controller_reads_it() -> None:
    request = parse_request(write_request("startRoomRecording", "r-1", {"room": "call"}))

    assert (request.endpoint, request.id) == ("startRoomRecording", "r-1")


def test_responses_of_the_controller_are_read() -> None:
    good = read_message(ok_response("ping", "r-1", {"a": 1}))
    bad = read_message(error_response("ping", "r-2", "RATE_LIMITED", "slow", {"retryAfter": 1}))

    assert good == Response("r-1", {"a": 1})
    assert bad == Response("r-2", error=ErrorBody("RATE_LIMITED", "slow", {"retryAfter": 1}))


def test_an_error_without_details_is_read() -> None:
    body = {"id": "r", "status": "error", "error": {"code": "INTERNAL", "message": "x"}}

    assert read_message(json.dumps({"type": "response", "payload": body})) == Response(
        "r", error=ErrorBody("INTERNAL", "x", {})
    )


def test_an_event_of_the_controller_is_read() -> None:
    name, payload = note_payload(Hangup(RoomId("call"), UserId("bob")))
    message = read_message(event(name, payload))

    assert isinstance(message, EventMessage)
    assert read_event(message) == client_models.Hangup(room="call", user="bob")


def test_an_event_of_a_later_version_is_unknown() -> None:
    message = EventMessage("roomPainted", {"colour": "red"})

    assert read_event(message) == UnknownEvent(name="roomPainted", payload={"colour": "red"})


@pytest.mark.parametrize(
    "frame",
    [
        error_response(None, None, "BAD_REQUEST", "unreadable", {}).decode(),
        '{"type": "greeting"}',
    ],
)
def test_messages_without_a_recipient_are_skipped(frame: str) -> None:
    assert read_message(frame) is None


@pytest.mark.parametrize(
    "frame",
    [
        "not json",
        "[]",
        '{"type": "event", "payload": {"event": 1}}',
        '{"type": "response", "payload": {"id": "1", "status": "ok"}}',
    ],
)
def test_other_messages_are_malformed(frame: str) -> None:
    with pytest.raises(Malformed):
        read_message(frame)


def test_a_wrong_field_of_an_answer_is_named() -> None:
    with pytest.raises(Malformed, match="Started: segment") as raised:
        read_answer(Started, {"room": "call", "startedAt": "2026-11-24T04:14:38.781Z"})
    assert raised.value.context == {"path": "segment"}


def test_a_changed_room_has_its_state_until_it_is_gone() -> None:
    changed = read_event(EventMessage("roomChanged", STATE))
    gone = read_event(EventMessage("roomChanged", HEAD | {"gone": True}))

    assert isinstance(changed, RoomChanged)
    assert changed.state is not None
    assert (changed.domain, changed.state.owner) == ("example", "alice")
    assert gone == RoomChanged(room="call", uuid="u-1", gone=True)


PAIRS = [
    (rest.RoomModel, client_models.RoomState),
    (rest.RecordingModel, client_models.Recording),
    (rest.SegmentModel, client_models.Segment),
    (rest.ProcessingModel, client_models.Processing),
    (rest.ParticipantModel, client_models.Participant),
    (rest.MediaFlags, client_models.Media),
]


def names(model: type[BaseModel]) -> Iterator[str]:
    """Yield the wire names of a model's fields."""
    for name, field in model.model_fields.items():
        yield field.alias or name


@pytest.mark.parametrize(("written", "read"), PAIRS)
def test_a_client_reads_every_field_that_http_describes(
    written: type[BaseModel], read: type[BaseModel]
) -> None:
    assert set(names(written)) <= set(names(read))


ALICE = Vouched(UserId("alice"), DomainId("example"), ("domain-admin",))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (connect_frame("s1", ALICE), Connect("s1", ALICE)),
        (disconnect_frame("s1"), Disconnect("s1")),
        (renewal_frame("token"), Renew("token")),
    ],
)
def test_frames_of_a_gateway_are_read_by_the_controller(written: str, read: object) -> None:
    assert parse_frame(written) == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (message_frame("s1", b"{}"), Carry("s1", "{}")),
        (close_frame("s1", 1008, "late"), Closing("s1", 1008, "late")),
        (error_frame("no", "s1"), Fault("BAD_REQUEST", "no", "s1")),
        (error_frame("no", None), Fault("BAD_REQUEST", "no", None)),
        ('{"type": "authenticated"}', None),
    ],
)
def test_frames_of_the_controller_are_read_by_a_gateway(written: bytes | str, read: object) -> None:
    assert read_at_gateway(written) == read


def test_another_frame_is_no_frame_of_the_controller() -> None:
    with pytest.raises(Malformed, match="not a frame"):
        read_at_gateway('{"type": "message"}')

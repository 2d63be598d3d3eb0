"""Events about recordings and rooms: each change of state has one, with what a list would show."""

import json
from dataclasses import replace

import pytest

from sfu_wrapper.core.effects import Announce
from sfu_wrapper.core.recordings import apply
from sfu_wrapper.model.recording import Deleted, DeletionReason, Recording, RecordingState
from sfu_wrapper.wire.recording_events import announced_event, recording_event
from tests.helpers import rooms
from tests.helpers.indexed import HOME, facts, failed, key, processed
from tests.helpers.rooms import Call

QUEUED = Recording(facts(), RecordingState.QUEUED)
DELETED = Deleted(key(), facts().room, DeletionReason.RETENTION, 8_000)


def types(call: Call) -> list[str]:
    """The types of the events of all announcements so far."""
    announced = [each.announcement for each in call.effects if isinstance(each, Announce)]
    events = [announced_event(call.room, each, call.wall_ms) for each in announced]
    return [event.type for event in events if event is not None]


def test_start_stop_and_end_of_a_call_are_events() -> None:
    call = rooms.recording()
    call.stop()
    call.close()
    call.end()

    assert types(call) == ["recording.started", "recording.stopped", "room.ended"]


def test_a_start_that_fails_is_no_event() -> None:
    call = rooms.automatic()
    call.refuse()

    assert types(call) == []


def test_the_end_of_a_room_says_why() -> None:
    call = rooms.recording()
    call.leave(rooms.BOB)
    ended = [each.announcement for each in call.effects if isinstance(each, Announce)][-1]
    event = announced_event(call.room, ended, call.wall_ms)

    assert event is not None
    assert (event.domain, event.subject, event.at_ms) == (rooms.HOME, "uuid-1", call.wall_ms)
    data = json.loads(event.data)
    assert (data["room"], data["owner"], data["reason"]) == ("room-1", "alice", "hangup")
    assert data["segments"] == 1


@pytest.mark.parametrize(
    ("message", "type_"),
    [
        (processed(), "recording.ready"),
        (failed(), "recording.failed"),
        (DELETED, "recording.deleted"),
    ],
    ids=["processed", "failed", "deleted"],
)
def test_each_message_of_the_service_is_an_event(message: object, type_: str) -> None:
    event = recording_event(apply(QUEUED, message, 9_000), 9_000)  # type: ignore[arg-type]

    assert event is not None
    assert (event.type, event.domain, event.subject) == (type_, HOME, "uuid-1/1")
    data = json.loads(event.data)
    assert data["recording"] == "uuid-1/1"
    assert "participants" not in data


def test_a_ready_recording_names_its_files() -> None:
    event = recording_event(apply(QUEUED, processed(), 9_000), 9_000)

    assert event is not None
    assert [file["bytes"] for file in json.loads(event.data)["files"]] == [100]


def test_the_begin_of_the_processing_is_no_event() -> None:
    assert recording_event(replace(QUEUED, state=RecordingState.PROCESSING), 9_000) is None

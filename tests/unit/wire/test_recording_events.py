"""Events about recordings and rooms: each change of state has one, with what a list would show."""

import json
from dataclasses import replace

import pytest

from sfu_wrapper.core.effects import Announce
from sfu_wrapper.core.recordings import apply
from sfu_wrapper.model.recording import (
    Deleted,
    DeletionReason,
    Recording,
    RecordingEvent,
    RecordingState,
)
from sfu_wrapper.wire.recording_events import (
    announced_events,
    missed_media_event,
    recording_event,
)
from tests.helpers import rooms
from tests.helpers.indexed import HOME, facts, failed, key, processed
from tests.helpers.rooms import Call

QUEUED = Recording(facts(), RecordingState.QUEUED)
DELETED = Deleted(key(), facts().room, DeletionReason.RETENTION, 8_000)


def events_of(call: Call) -> list[RecordingEvent]:
    """The events of all announcements so far."""
    announced = [each.announcement for each in call.effects if isinstance(each, Announce)]
    return [
        event for each in announced for event in announced_events(call.room, each, call.wall_ms)
    ]


def types(call: Call) -> list[str]:
    """Their types."""
    return [event.type for event in events_of(call)]


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
    event = events_of(call)[-1]

    assert (event.domain, event.subject, event.at_ms) == (rooms.HOME, "uuid-1", call.wall_ms)
    data = json.loads(event.data)
    assert (data["room"], data["owner"], data["reason"]) == ("room-1", "alice", "hangup")
    assert data["segments"] == 1


def test_a_call_that_was_not_recorded_is_missed_at_its_end() -> None:
    call = rooms.automatic()
    call.refuse()
    call.wall_ms += 60_000
    call.end()

    assert types(call) == ["room.ended", "recording.missed"]
    event = events_of(call)[-1]
    assert (event.domain, event.subject) == (rooms.HOME, "uuid-1")
    data = json.loads(event.data)
    assert (data["room"], data["owner"], data["recordedSeconds"]) == ("room-1", "alice", 0)
    assert [reason["code"] for reason in data["reasons"]] == ["NOT_RECORDED"]


def test_a_recording_without_all_of_its_media_is_missed_with_its_result() -> None:
    lacking = Recording(replace(facts(), missing=("audio",)), RecordingState.QUEUED)

    event = missed_media_event(apply(lacking, processed(), 9_000), 9_000)

    assert event is not None
    assert (event.type, event.domain, event.subject) == ("recording.missed", HOME, "uuid-1/1")
    data = json.loads(event.data)
    assert (data["uuid"], data["segment"], data["room"]) == ("uuid-1", 1, facts().room)
    assert [reason["code"] for reason in data["reasons"]] == ["MEDIA_MISSING"]


def test_a_failed_recording_is_missed() -> None:
    event = missed_media_event(apply(QUEUED, failed(), 9_000), 9_000)

    assert event is not None
    assert [reason["code"] for reason in json.loads(event.data)["reasons"]] == ["PROCESSING_FAILED"]


def test_a_whole_recording_is_not_missed() -> None:
    assert missed_media_event(apply(QUEUED, processed(), 9_000), 9_000) is None


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

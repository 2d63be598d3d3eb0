"""What the controller publishes: keys, ids and bodies of events.md."""

import json

from sfu_wrapper.core.effects import Announce
from sfu_wrapper.wire.recording_info import Announced, encode_announcement
from tests.helpers.rooms import Call, automatic, recording


def published(call: Call) -> list[Announced]:
    return [
        encode_announcement(each.announcement)
        for each in call.effects
        if isinstance(each, Announce)
    ]


def ended_call() -> Call:
    call = recording()
    call.clock(1_000)
    call.stop()
    call.close()
    call.end()
    return call


def test_a_call_is_published_in_the_order_in_which_it_went_on() -> None:
    assert [(each.routing_key, each.message_id) for each in published(ended_call())] == [
        ("roomRecordingStarted", "uuid-1:1:roomRecordingStarted"),
        ("recordingInfo", "uuid-1:1"),
        ("roomRecordingStopped", "uuid-1:1:roomRecordingStopped"),
        ("roomEnded", "uuid-1:roomEnded"),
    ]


def test_a_failed_segment_is_published_too() -> None:
    call = automatic()
    call.refuse()

    assert [each.message_id for each in published(call)] == ["uuid-1:1:roomRecordingFailed"]


def test_only_recording_info_must_find_somebody_who_takes_it() -> None:
    mandatory = [each.routing_key for each in published(ended_call()) if each.mandatory]

    assert mandatory == ["recordingInfo"]


def test_every_message_belongs_to_its_room() -> None:
    assert {each.correlation_id for each in published(ended_call())} == {"room-1"}


def test_notices_say_what_clients_are_told_and_which_room_it_was_ever() -> None:
    (*_, ended) = published(ended_call())
    body = json.loads(ended.body)

    assert (body["uuid"], body["room"], body["reason"]) == ("uuid-1", "room-1", "ended")


def test_recording_info_is_the_products_own_shape() -> None:
    info = next(each for each in published(ended_call()) if each.routing_key == "recordingInfo")
    body = json.loads(info.body)

    assert body["conferenceId"] == "room-1"
    assert body["recordingInfo"]["uuid"] == "uuid-1"
    assert list(body["recordingInfo"]["video"]) == ["alice"]


def test_the_same_is_said_with_the_same_id() -> None:
    assert published(ended_call()) == published(ended_call())

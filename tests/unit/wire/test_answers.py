"""Answers and notes as protocol.md has them."""

import pytest

from sfu_wrapper.core.effects import (
    Hangup,
    Note,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantMedia,
    RecordingChanged,
    RecordingFailed,
    RecordingStarted,
    RecordingStopped,
    Refusal,
    RoomEnded,
    RoomEstablished,
)
from sfu_wrapper.core.room import Rules
from sfu_wrapper.model.identity import Kind
from sfu_wrapper.model.media import Media, Medium
from sfu_wrapper.wire.answers import (
    answer_payload,
    listed_json,
    note_payload,
    recording_json,
    room_json,
)
from sfu_wrapper.wire.strict_json import dump
from tests.helpers.rooms import (
    ALICE,
    AUDIO,
    BOB,
    FORBIDDEN,
    MANUAL,
    SERVICE,
    T0,
    TALKING,
    VIDEO,
    Call,
    automatic,
    established,
    recording,
)

BEGUN = "2020-09-13T12:26:40.000Z"  # T0
LATER = "2020-09-13T12:26:55.193Z"
ALL_OF_IT = {
    "allowed": True, "automatic": False, "type": "all", "source": "user", "active": True,
    "reason": "AT_START_OFF", "segment": 1, "startedAt": BEGUN,
}  # fmt: skip
IDLE = {
    "allowed": True, "automatic": False, "type": "all", "source": "user", "active": False,
    "reason": "AT_START_OFF",
}  # fmt: skip
SILENT = {"audio": False, "video": False, "screen": False}


def answered(call: Call, ref: str) -> dict[str, object]:
    answer = call.answer(ref)
    assert answer is not None
    payload = answer_payload(answer, call.policy)
    assert dump(payload)
    return payload


def told(call: Call, kind: type[Note]) -> tuple[str, dict[str, object]]:
    name, payload = note_payload(call.notes(kind)[-1])
    assert dump(payload)
    return name, payload


def test_create_room() -> None:
    call = Call(policy=MANUAL)

    assert answered(call, "create") == {
        "room": "room-1", "uuid": "uuid-1", "kind": "direct", "owner": "alice", "record": True,
        "confbridgeId": "bridge-1", "recording": IDLE,
    }  # fmt: skip


def test_the_record_flag_is_shown_as_it_counts() -> None:
    assert answered(Call(Kind.MEETING), "create")["record"] is False


def test_join_room() -> None:
    call = recording()
    ref = call.join(BOB, TALKING)

    assert answered(call, ref) == {
        "room": "room-1",
        "state": "established",
        "recording": ALL_OF_IT,
        "participants": [
            {"user": "alice", "joinedAt": BEGUN, "media": SILENT},
            {"user": "bob", "joinedAt": BEGUN, "media": SILENT | {"audio": True}},
        ],
    }


@pytest.mark.parametrize(
    ("carries", "shown"),
    [
        (
            frozenset(Medium),
            {
                "publisherId": "p-bob",
                "videoRoom": "uuid-1",
                "screenPublisherId": "s-bob",
                "audioRoom": "uuid-1",
            },
        ),
        (frozenset({Medium.AUDIO}), {"publisherId": "p-bob", "audioRoom": "uuid-1"}),
        (
            frozenset({Medium.VIDEO}),
            {"publisherId": "p-bob", "videoRoom": "uuid-1", "screenPublisherId": "s-bob"},
        ),
    ],
)
def test_join_room_says_where_a_real_plane_carries_media(
    carries: frozenset[Medium], shown: dict[str, object]
) -> None:
    call = established(rules=Rules(authoritative_media=carries))

    assert answered(call, call.join(BOB))["media"] == shown


def test_update_media_leave_and_invite() -> None:
    call = established()
    call.join(SERVICE.key)

    assert answered(call, call.publish(BOB, Media(screen=True))) == {
        "room": "room-1",
        "media": SILENT | {"screen": True},
    }
    assert answered(call, call.leave(BOB)) == {"room": "room-1"}
    assert answered(call, call.invite("dave")) == {"room": "room-1", "invited": ["dave"]}


def test_start_and_stop() -> None:
    call = established()
    start = call.start()
    call.confirm()
    call.clock(15_193)
    stop = call.stop()
    call.close()

    assert answered(call, start) == {"room": "room-1", "segment": 1, "startedAt": BEGUN}
    assert answered(call, stop) == {
        "room": "room-1", "segment": 1, "startedAt": BEGUN, "stoppedAt": LATER, "duration": 15.193,
    }  # fmt: skip


def test_a_start_that_misses_a_medium_names_it() -> None:
    call = established()
    ref = call.start()
    call.refuse(AUDIO)
    call.confirm(VIDEO)

    assert answered(call, ref)["missing"] == ["audio"]
    assert told(call, RecordingStarted)[1]["missing"] == ["audio"]


def test_end_room_names_the_segments() -> None:
    call = recording()
    ref = call.end()

    assert answered(call, ref) == {
        "room": "room-1",
        "segments": [{"segment": 1, "state": "stopping", "by": "alice", "startedAt": BEGUN}],
    }


def test_a_refusal_has_no_payload() -> None:
    with pytest.raises(ValueError, match="no payload"):
        answer_payload(Refusal("MEDIA_FAILED", "no answer"), MANUAL)


def test_get_room() -> None:
    call = recording()
    call.clock(15_193)
    call.stop()
    call.close()
    call.start()
    shown = room_json(call.room, call.permissions, call.policy)

    assert shown == {
        "room": "room-1", "uuid": "uuid-1", "kind": "direct", "origin": "internal",
        "owner": "alice", "state": "established", "recording": IDLE,
        "participants": [
            {"user": "alice", "joinedAt": BEGUN, "media": SILENT},
            {"user": "bob", "joinedAt": BEGUN, "media": SILENT},
        ],
        "segments": [
            {"segment": 1, "state": "stopped", "by": "alice", "startedAt": BEGUN,
             "stoppedAt": LATER, "duration": 15.193, "reason": "requested"},
            {"segment": 2, "state": "starting", "by": "alice"},
        ],
    }  # fmt: skip


def test_a_list_over_several_domains_names_the_domain() -> None:
    call = established()

    assert listed_json(call.room, call.permissions, call.policy)["domain"] == "example"


def test_every_state_of_a_segment_has_its_word() -> None:
    call = automatic()
    seen: list[tuple[int, str, str]] = []

    def look() -> None:
        segments = room_json(call.room, call.permissions, call.policy)["segments"]
        assert isinstance(segments, list)
        seen.append((segments[-1]["segment"], segments[-1]["state"], segments[-1]["by"]))

    look()
    call.refuse()
    look()
    call.wait(1_000)
    call.confirm()
    look()
    call.stop()
    look()
    call.close()
    look()

    assert seen == [
        (1, "starting", "system"),
        (1, "failed", "system"),
        (2, "recording", "system"),
        (2, "stopping", "system"),
        (2, "stopped", "system"),
    ]


def test_what_is_missing_is_shown_while_it_runs_and_afterwards() -> None:
    call = recording()
    call.lose(AUDIO)
    running = room_json(call.room, call.permissions, call.policy)["segments"]
    call.stop()
    call.close(VIDEO)
    stopped = room_json(call.room, call.permissions, call.policy)["segments"]

    for segments in (running, stopped):
        assert isinstance(segments, list)
        assert segments[0]["missing"] == ["audio"]


def test_a_recording_that_starts_by_itself_needs_no_reason() -> None:
    call = automatic()

    assert "reason" not in recording_json(call.room, call.permissions, call.policy)
    denied = recording_json(Call(permissions=FORBIDDEN).room, FORBIDDEN, call.policy)
    assert denied["reason"] == "PROFILE"


# events


def test_recording_started_and_stopped_by_a_user() -> None:
    call = recording()
    call.clock(15_193)
    call.stop()
    call.close()

    assert told(call, RecordingStarted) == (
        "roomRecordingStarted",
        {"room": "room-1", "segment": 1, "startedAt": BEGUN, "by": "alice", "type": "all"},
    )
    assert told(call, RecordingStopped) == (
        "roomRecordingStopped",
        {
            "room": "room-1", "segment": 1, "startedAt": BEGUN, "stoppedAt": LATER,
            "duration": 15.193, "by": "alice", "reason": "requested",
        },
    )  # fmt: skip


def test_what_nobody_asked_for_was_done_by_the_system() -> None:
    call = automatic()
    call.confirm()
    call.lose()

    assert told(call, RecordingStarted)[1]["by"] == "system"
    stopped = told(call, RecordingStopped)[1]
    assert (stopped["by"], stopped["reason"]) == ("system", "failed")


def test_recording_failed() -> None:
    call = automatic()
    call.refuse()
    name, payload = told(call, RecordingFailed)

    assert name == "roomRecordingFailed"
    assert set(payload) == {"room", "segment", "code", "message", "final"}
    assert (payload["segment"], payload["code"], payload["final"]) == (1, "MEDIA_FAILED", False)


def test_participants_come_publish_and_go() -> None:
    call = established()
    call.publish(BOB, TALKING)
    call.leave(BOB)

    assert told(call, ParticipantJoined) == (
        "participantJoined",
        {"room": "room-1", "user": "bob", "media": SILENT},
    )
    assert told(call, ParticipantMedia) == (
        "participantMedia",
        {"room": "room-1", "user": "bob", "media": SILENT | {"audio": True}},
    )
    assert told(call, ParticipantLeft) == ("participantLeft", {"room": "room-1", "user": "bob"})


def test_rooms_are_established_and_end() -> None:
    call = established()
    call.leave(BOB)

    assert T0.wall_ms == call.wall_ms
    assert told(call, RoomEstablished)[1] == {"room": "room-1", "at": BEGUN, "reason": "joined"}
    assert told(call, RoomEnded) == (
        "roomEnded",
        {"room": "room-1", "at": BEGUN, "reason": "hangup"},
    )
    assert told(call, Hangup) == ("hangup", {"room": "room-1", "user": ALICE.user})


def test_a_running_segment_tells_what_it_is_missing() -> None:
    call = recording()
    call.lose(AUDIO)

    assert told(call, RecordingChanged) == (
        "roomRecordingChanged",
        {"room": "room-1", "segment": 1, "missing": ["audio"]},
    )

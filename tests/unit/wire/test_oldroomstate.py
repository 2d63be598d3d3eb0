"""Rooms as 0.1.0 stored them, read by this version. A whole store: integration/test_old_store."""

import json
from typing import Any

import pytest

from sfu_wrapper.core.lifecycle import Life, Phase
from sfu_wrapper.core.people import PresenceInterval, Publishing
from sfu_wrapper.core.room import Room
from sfu_wrapper.core.segment_report import presences_of
from sfu_wrapper.model.errors import Broken
from sfu_wrapper.model.identity import UserId
from sfu_wrapper.model.media import Stream
from sfu_wrapper.wire.room_state import StoredRoom, decode_room
from tests.helpers.rooms import ALICE, BOB, CAROL, HOME

ASKED_MS = 1_600_000_010_000
CAPTURES = [{"medium": "audio", "state": "running"}]


def key(user: str) -> dict[str, str]:
    return {"domain": HOME, "user": user}


def person(user: str, joined_ms: int) -> dict[str, Any]:
    return {"key": key(user), "joined_ms": joined_ms, "media": {}}


def segment(number: int, **other: object) -> dict[str, object]:
    asked = {"wall_ms": ASKED_MS, "mono_ms": 10_000}
    return {
        "number": number,
        "by": "alice",
        "type": "audio",
        "asked": asked,
        "captures": CAPTURES,
        **other,
    }


def old(**other: object) -> StoredRoom:
    """A room of 0.1.0."""
    room = {
        "uuid": "u",
        "id": "r",
        "confbridge_id": "c",
        "kind": "meeting",
        "origin": "internal",
        "domain": HOME,
        "owner": "alice",
        "flag": None,
        "created": {"wall_ms": 1_600_000_000_000, "mono_ms": 0},
        **other,
    }
    return StoredRoom(b"1 " + json.dumps(room).encode())


def read(**other: object) -> Room:
    return decode_room(old(**other))


def test_a_room_in_which_nobody_is_yet() -> None:
    room = read()

    assert (room.life, room.capture, room.entries) == (Life.WAITING, Phase.IDLE, 0)
    assert (len(room.participants), len(room.segments)) == (0, 0)
    assert old().outdated


def test_people_keep_their_order() -> None:
    room = read(
        participants=[person("bob", 5), person("alice", 5)],
        members=[key("bob"), key("alice"), key("carol")],
        farewell=[key("bob")],
        invited=["bob"],
    )

    assert [each.key for each in room.participants] == [BOB, ALICE]
    assert [each.entry for each in room.participants] == [1, 2]
    assert (room.entries, room.final_audience) == (2, (BOB,))
    assert room.invited is not None
    assert list(room.invited) == [UserId("bob")]
    assert CAROL in room.members


def test_who_left_the_open_segment_and_who_came_later() -> None:
    left_ms, later_ms = ASKED_MS + 1_000, ASKED_MS + 2_000
    room = read(
        capture="recording",
        participants=[person("alice", 1), person("carol", later_ms)],
        segments=[
            segment(
                1,
                stays=[
                    {"user": "alice", "joined_ms": ASKED_MS},
                    {"user": "bob", "joined_ms": ASKED_MS, "left_ms": left_ms},
                    {"user": "carol", "joined_ms": later_ms},
                ],
            )
        ],
    )

    stays = presences_of(room, room.segments[0])
    assert [(each.user, each.joined_ms, each.left_ms) for each in stays] == [
        ("bob", ASKED_MS, left_ms),
        ("alice", ASKED_MS, None),
        ("carol", later_ms, None),
    ]
    assert room.entries == 3


def test_a_failed_segment_knows_who_was_there_when_it_failed() -> None:
    stays = [{"user": "bob", "joined_ms": ASKED_MS}]
    room = read(
        participants=[person("alice", 1)], segments=[segment(1, outcome="failed", stays=stays)]
    )

    assert presences_of(room, room.segments[0]) == [PresenceInterval(BOB.user, ASKED_MS, None, 1)]


def test_what_the_media_plane_carried_is_kept_by_user() -> None:
    tracks = [
        {"user": "alice", "stream": "audio"},
        {"user": "bob", "stream": "sfuvideo"},
        {"user": "alice", "stream": "sfuscreen"},
    ]
    room = read(carried=tracks)

    assert list(room.plane_tracks) == [
        Publishing(ALICE.user, (Stream.AUDIO, Stream.SCREEN)),
        Publishing(BOB.user, (Stream.CAMERA,)),
    ]


@pytest.mark.parametrize(
    "damage",
    [
        {"participants": [1]},
        {"participants": [{}]},
        {"segments": [{"stays": []}]},
        {"segments": 3},
        {"members": [None]},
        {"carried": [{}]},
        {"kind": "none"},
    ],
    ids=str,
)
def test_a_damaged_room_is_not_guessed_at(damage: dict[str, object]) -> None:
    with pytest.raises(Broken, match="damaged"):
        read(**damage)

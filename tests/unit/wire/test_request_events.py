"""Requests that change a room become the events that the room applies."""

import pytest

from sfu_wrapper.core.events import (
    EndRequested,
    Event,
    InviteRequested,
    JoinRequested,
    LeaveRequested,
    MediaRequested,
    Requester,
    StartRequested,
    StopRequested,
)
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Refused
from sfu_wrapper.model.identity import OwnerPermissions, UserId
from sfu_wrapper.model.identity import UserKey as Key
from sfu_wrapper.model.media import Media
from sfu_wrapper.wire.signaling import Payload, event_of, joins_itself
from tests.helpers.rooms import ALICE, BOB, ROOM_SERVICE, STRANGER, T0, Call
from tests.unit.wire.test_signaling import payload_of

HERS, SERVICE = Requester(ALICE), Requester(ROOM_SERVICE, service=True)
ROOM = Call().room
STORED = OwnerPermissions()


def event(payload: Payload, by: Requester = HERS) -> Event:
    def permissions(room: Room) -> OwnerPermissions:
        assert room is ROOM
        return STORED

    return event_of(payload, "ref", by, permissions)(ROOM, T0)


@pytest.mark.parametrize(
    ("endpoint", "given", "expected"),
    [
        ("joinRoom", {"room": "r"}, JoinRequested(T0, "ref", HERS, ALICE, None, STORED)),
        (
            "joinRoom",
            {"room": "r", "media": {"audio": True}},
            JoinRequested(T0, "ref", HERS, ALICE, Media(audio=True), STORED),
        ),
        (
            "updateMedia",
            {"room": "r", "media": {"video": True}},
            MediaRequested(T0, "ref", HERS, ALICE, Media(video=True)),
        ),
        (
            "inviteToRoom",
            {"room": "r", "users": ["bob", "carol"]},
            InviteRequested(T0, "ref", HERS, (UserId("bob"), UserId("carol"))),
        ),
        ("leaveRoom", {"room": "r"}, LeaveRequested(T0, "ref", HERS, ALICE)),
        ("endRoom", {"room": "r"}, EndRequested(T0, "ref", HERS)),
        ("startRoomRecording", {"room": "r"}, StartRequested(T0, "ref", HERS, STORED)),
        ("stopRoomRecording", {"room": "r"}, StopRequested(T0, "ref", HERS)),
        (
            "stopRoomRecording",
            {"room": "r", "resumeAfterSeconds": 60},
            StopRequested(T0, "ref", HERS, 60_000),
        ),
    ],
)
def test_a_request_is_the_event_of_its_sender(
    endpoint: str, given: dict[str, object], expected: Event
) -> None:
    assert event(payload_of(endpoint, **given)) == expected


@pytest.mark.parametrize(
    ("by", "user"),
    [(SERVICE, BOB), (Requester(STRANGER), Key(STRANGER.domain, BOB.user))],
    ids=["service", "user of another domain"],
)
def test_a_named_user_is_of_the_rooms_domain_for_the_service_alone(
    by: Requester, user: Key
) -> None:
    left = event(payload_of("leaveRoom", room="r", user="bob"), by)

    assert left == LeaveRequested(T0, "ref", by, user)


@pytest.mark.parametrize("endpoint", ["getRoom", "ping"])
def test_a_request_that_changes_no_room_is_no_event(endpoint: str) -> None:
    with pytest.raises(Refused, match="not served here"):
        event(payload_of(endpoint))


@pytest.mark.parametrize(
    ("endpoint", "given", "itself"),
    [
        ("joinRoom", {"room": "r"}, True),
        ("joinRoom", {"room": "r", "user": "alice"}, True),
        ("joinRoom", {"room": "r", "user": "bob"}, False),
        ("leaveRoom", {"room": "r"}, False),
    ],
)
def test_only_a_join_of_the_sender_is_one_of_its_connection(
    endpoint: str, given: dict[str, object], itself: bool
) -> None:
    assert joins_itself(payload_of(endpoint, **given), HERS) is itself

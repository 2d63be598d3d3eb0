"""Rooms over HTTP and over ``listRooms``: one, many, and why one is recorded."""

import asyncio

import pytest

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.core.access import requester
from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.model.errors import Refused
from sfu_wrapper.model.identity import RecordingType, Role, RoomId
from sfu_wrapper.wire.rest import DecisionModel, RoomModel, RoomPage
from tests.helpers.http import SKIP, World, pass_for, world

RECORDED = PolicySettings(system=RecordingType.ALL)
ALICE = pass_for("alice")
SERVICE = pass_for("rooms", "service")


async def meetings(here: World, count: int) -> None:
    """Rooms m0, m1 … of alice's."""
    alice = here.peer("alice")
    for number in range(count):
        await here.do(alice, "createRoom", id=f"m{number}", kind="meeting")


def wait_a_millisecond() -> None:
    """The clock goes on: rooms made within one millisecond are in no order of creation."""
    clock = SystemClock()
    now_ms = clock.now().wall_ms
    while clock.now().wall_ms <= now_ms:
        pass


async def test_a_room_is_shown_with_its_segments() -> None:
    async with world(policy=RECORDED) as here:
        alice, bob = here.peer("alice"), here.peer("bob")
        await here.do(alice, "createRoom", id="call")
        await here.do(alice, "joinRoom", room="call", media={"audio": True})
        await here.do(bob, "joinRoom", room="call")
        await here.do(alice, "startRoomRecording", room="call")
        running = await here.ask("GET", "/rooms/call", ALICE)
        await here.do(alice, "stopRoomRecording", room="call")
        await here.do(alice, "endRoom", room="call")
        ended = await here.ask("GET", "/rooms/call", ALICE)
        signaling = await here.do(here.peer("bob"), "getRoom", room="call")

    for answer in (running, ended):
        RoomModel.model_validate_json(answer.body)
    assert running.json["state"] == "established"
    assert running.json["recording"]["active"]
    assert [each["user"] for each in running.json["participants"]] == ["alice", "bob"]
    assert [each["state"] for each in ended.json["segments"]] == ["stopped"]
    assert ended.json == signaling["payload"] | {"domain": "example"}


async def test_a_decision_tells_why() -> None:
    async with world(policy=RECORDED) as here:
        alice, bob = here.peer("alice"), here.peer("bob")
        await here.do(alice, "createRoom", id="call")
        forecast = await here.ask("GET", "/rooms/call/decision", ALICE)
        await here.do(alice, "joinRoom", room="call")
        await here.do(bob, "joinRoom", room="call")
        await here.ask("PUT", "/permissions", ALICE, SKIP)
        later = await here.ask("GET", "/rooms/call/decision", pass_for("bob"))

    for answer in (forecast, later):
        DecisionModel.model_validate_json(answer.body)
    assert forecast.json["now"]["automatic"]
    assert forecast.json["established"] is None
    assert forecast.json["startBy"] == "alice"
    assert later.json["now"] == {
        "allowed": False,
        "automatic": False,
        "type": "none",
        "source": "user",
        "reason": "PROFILE",
    }
    assert later.json["established"]["automatic"]
    assert later.json["startBy"] is None


async def test_rooms_are_paged_the_youngest_first() -> None:
    async with world() as here:
        await meetings(here, 7)
        found: list[str] = []
        path = "/rooms?limit=3"
        while path:
            page = await here.ask("GET", path, SERVICE)
            RoomPage.model_validate_json(page.body)
            found += [each["room"] for each in page.json["rooms"]]
            following = page.json.get("next")
            path = f"/rooms?limit=3&after={following}" if following else ""

    assert len(found) == 7
    assert set(found) == {f"m{number}" for number in range(7)}


async def test_a_room_made_between_two_pages_moves_no_other() -> None:
    async with world() as here:
        await meetings(here, 4)
        service = here.peer("rooms", Role.SERVICE)
        first = await here.do(service, "listRooms", limit=2)
        wait_a_millisecond()
        await here.do(here.peer("alice"), "createRoom", id="late", kind="meeting")
        after = first["payload"]["next"]
        second = await here.do(service, "listRooms", limit=2, after=after)

    found = [each["room"] for page in (first, second) for each in page["payload"]["rooms"]]
    assert sorted(found) == ["m0", "m1", "m2", "m3"]
    assert "next" not in second["payload"]


async def test_rooms_are_listed_by_state() -> None:
    async with world() as here:
        await meetings(here, 2)
        await here.do(here.peer("alice"), "joinRoom", room="m0")
        waiting = await here.ask("GET", "/rooms?state=waiting", ALICE)
        established = await here.ask("GET", "/rooms?state=established", ALICE)
        listed = await here.do(here.peer("s", Role.SERVICE), "listRooms", state="waiting")

    assert [each["room"] for each in waiting.json["rooms"]] == ["m1"]
    assert [each["room"] for each in established.json["rooms"]] == ["m0"]
    assert listed["payload"]["rooms"] == waiting.json["rooms"]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "after=x", "state=gone", "limit=1&limit=2", "x=1"]
)
async def test_a_wrong_question_about_rooms_is_refused(query: str) -> None:
    async with world() as here:
        answer = await here.ask("GET", f"/rooms?{query}", SERVICE)

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")


async def test_a_cursor_that_is_none_is_refused_over_signaling() -> None:
    async with world() as here:
        answer = await here.do(here.peer("s", Role.SERVICE), "listRooms", after="yesterday")

    assert answer["error"]["code"] == "BAD_REQUEST"
    assert answer["error"]["details"] == {"path": "payload.after"}


async def test_a_room_that_is_being_stored_is_not_there_yet() -> None:
    async with world() as here:
        alice = here.peer("alice")
        creating = asyncio.create_task(here.do(alice, "createRoom", id="m", kind="meeting"))
        await asyncio.sleep(0)  # asked for, and not stored before the loop's next turn
        with pytest.raises(Refused, match="room not found"):
            here.rooms.queries.snapshot(requester(alice.identity), RoomId("m"))
        await creating

        assert (await here.ask("GET", "/rooms/m", ALICE)).status == 200


async def test_a_room_that_could_not_be_stored_is_nowhere() -> None:
    async with world() as here:
        here.store.failing = True
        answer = await here.do(here.peer("alice"), "createRoom", id="m", kind="meeting")
        got = await here.ask("GET", "/rooms/m", SERVICE)
        listed = await here.ask("GET", "/rooms", SERVICE)

    assert answer["error"]["code"] == "OVERLOADED"
    assert (got.status, got.code) == (404, "ROOM_NOT_FOUND")
    assert listed.json == {"rooms": []}


async def test_a_bug_in_reading_says_no_more_than_its_incident(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with world() as here:

        def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError("the secret of alice")

        monkeypatch.setattr(here.rooms.queries, "listing", broken)
        answer = await here.ask("GET", "/rooms", SERVICE)

    assert (answer.status, answer.code) == (500, "INTERNAL")
    assert b"secret" not in answer.body
    assert b"Traceback" not in answer.body
    incident = answer.json["details"]["incident"]
    assert [each.exc_info for each in caplog.records if vars(each).get("incident") == incident]

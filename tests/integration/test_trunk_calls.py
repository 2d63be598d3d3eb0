"""Calls of the trunk as rooms: what callee, room service and the phone itself see of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.model.identity import ConfbridgeId
from sfu_wrapper.ports.media_plane import (
    CallArrived,
    CallEntered,
    CallLeft,
    CallNews,
    CallsPresent,
    TrunkCall,
)
from sfu_wrapper.ports.store import Commit, OutboxRow
from sfu_wrapper.service.rooms import trunk
from sfu_wrapper.service.rooms.trunk import room_uuid, user_of
from tests.helpers.live import DOMAIN, Live, Peer, live
from tests.helpers.wait import until

RECORDED = "trunk.recordIncomingPSTN=true"
CALL = TrunkCall("1795484911.95", ConfbridgeId("pstn-1"), "+34 600-111")
ROOM = "pstn-1795484911.95"
PHONE = "tel:+34-600-111"


@dataclass(slots=True)
class Trunk:
    """A trunk that a test lets ring."""

    news: "asyncio.Queue[CallNews]" = field(default_factory=asyncio.Queue)
    hung_up: list[str] = field(default_factory=list)

    async def calls(self) -> AsyncIterator[CallNews]:
        while True:
            yield await self.news.get()

    def hang_up(self, call_id: str) -> None:
        self.hung_up.append(call_id)

    def say(self, *news: CallNews) -> None:
        for each in news:
            self.news.put_nowait(each)


class SlowStore(MemoryStore):
    """One whose writes take a while."""

    def __init__(self, after_s: float) -> None:
        super().__init__()
        self._after_s = after_s

    def commit(self, commit: Commit, epoch: int) -> "asyncio.Future[tuple[OutboxRow, ...]]":
        """See ``Store``."""
        return asyncio.ensure_future(self._later(commit, epoch))

    async def _later(self, commit: Commit, epoch: int) -> tuple[OutboxRow, ...]:
        await asyncio.sleep(self._after_s)
        return await super().commit(commit, epoch)


@dataclass(slots=True)
class Here:
    """A controller with a trunk, and the room service whose rooms the calls are."""

    controller: Live
    trunk: Trunk
    service: Peer

    async def ring(self, call: TrunkCall = CALL) -> str:
        """A call comes in; its room's id."""
        since = len(self.service.received)
        self.trunk.say(CallArrived(call), CallEntered(call.id))
        joined = await self.service.event("participantJoined", since=since)
        return str(joined["room"])


@asynccontextmanager
async def trunk_of(*overrides: str, store: MemoryStore | None = None) -> AsyncIterator[Here]:
    trunk = Trunk()
    domain = f"asterisk.trunkDomain={DOMAIN}"
    async with live(domain, *overrides, trunk=trunk, store=store) as controller:
        yield Here(controller, trunk, await controller.client("trunk", "service"))


def retry_quickly(monkeypatch: pytest.MonkeyPatch, pause_s: float, retries: int) -> None:
    monkeypatch.setattr(trunk, "_BACKOFF", Backoff(pause_s, pause_s))
    monkeypatch.setattr(trunk, "_RETRIES", retries)


async def test_a_call_is_a_direct_room_of_the_caller() -> None:
    async with trunk_of() as here:
        room = await here.ring()
        shown = await here.service.ok("getRoom", {"room": room})

    assert room == ROOM
    assert (shown["kind"], shown["origin"], shown["owner"]) == ("direct", "pstn", PHONE)
    assert shown["state"] == "waiting"
    assert [each["user"] for each in shown["participants"]] == [PHONE]


async def test_it_is_recorded_from_the_answer_and_nobody_can_start_or_stop_it() -> None:
    async with trunk_of(RECORDED) as here:
        room = await here.ring()
        alice = await here.controller.client("alice")
        await alice.ok("joinRoom", {"room": room, "media": {"audio": True}})
        started = await alice.event("roomRecordingStarted")
        codes = [await alice.refused(f"{word}RoomRecording") for word in ("start", "stop")]
        await here.service.event("roomRecordingStarted")

    assert (started["by"], started["type"]) == ("system", "all")
    assert codes == ["PSTN_ROOM", "PSTN_ROOM"]


async def test_the_conflict_of_two_keys_shows() -> None:
    async with trunk_of(RECORDED, "recordRecordingAtStart=false") as here:
        room = await here.ring()
        alice = await here.controller.client("alice")
        joined = await alice.ok("joinRoom", {"room": room})
        code = await alice.refused("startRoomRecording")

    assert joined["recording"]["reason"] == "PSTN_CONFLICT"
    assert not joined["recording"]["active"]
    assert code == "PSTN_ROOM"


async def test_who_hangs_up_while_it_rings_ends_the_room() -> None:
    async with trunk_of() as here:
        room = await here.ring()
        here.trunk.say(CallLeft(CALL.id))
        ended = await here.service.event("roomEnded")

    assert (ended["room"], ended["reason"]) == (room, "cancelled")


async def test_the_callee_is_hung_up_when_the_phone_leaves() -> None:
    async with trunk_of() as here:
        room = await here.ring()
        alice = await here.controller.client("alice")
        await alice.ok("joinRoom", {"room": room})
        here.trunk.say(CallLeft(CALL.id))
        await alice.event("hangup")

    assert here.trunk.hung_up == []


async def test_the_phone_is_hung_up_when_the_callee_leaves() -> None:
    async with trunk_of() as here:
        room = await here.ring()
        alice = await here.controller.client("alice")
        await alice.ok("joinRoom", {"room": room})
        await alice.ok("leaveRoom", {"room": room})
        await until(lambda: here.trunk.hung_up == [CALL.id])
        here.trunk.say(CallLeft(CALL.id))  # as it does then, and nobody minds


async def test_the_room_id_of_the_announcement_counts() -> None:
    async with trunk_of() as here:
        assert await here.ring(_call(room_id="sales")) == "sales"


@pytest.mark.parametrize("wished", ["no spaces", "x" * 129, "ä"])
async def test_a_room_id_that_is_none_is_not_used(wished: str) -> None:
    async with trunk_of() as here:
        assert await here.ring(_call(room_id=wished)) == ROOM


async def test_a_call_is_not_let_into_a_room_that_is_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with trunk_of() as here:
        alice = await here.controller.client("alice")
        await alice.ok("createRoom", {"id": "private"})
        assert await here.ring(_call(room_id="private")) == ROOM

    assert any(record.message == "trunk.roomTaken" for record in caplog.records)


@pytest.mark.parametrize("field", ["id", "uuid"])
async def test_nobody_keeps_the_place_of_a_call_that_is_yet_to_come(field: str) -> None:
    async with trunk_of() as here:
        alice = await here.controller.client("alice")
        for name in (ROOM, ROOM.upper()):
            assert await alice.refused("createRoom", {field: name}) == "BAD_REQUEST"
        assert await here.ring() == ROOM


async def test_nobody_keeps_a_call_out_by_a_uuid_that_is_called_as_its_conference() -> None:
    async with trunk_of() as here:
        mallory = await here.controller.client("mallory", domain="elsewhere")
        for name in ("line-5", "LINE-5"):
            await mallory.ask("createRoom", {"uuid": name, "kind": "meeting"})
        call = TrunkCall(CALL.id, ConfbridgeId("line-5"), CALL.caller)

        assert await here.ring(call) == ROOM
        assert here.trunk.hung_up == []


async def test_a_call_whose_conference_an_earlier_room_still_has_waits_and_is_not_hung_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    retry_quickly(monkeypatch, 0.01, 2_000)
    busy = TrunkCall("second.1", CALL.conference, "112")
    async with trunk_of() as here:
        room = await here.ring()
        here.trunk.say(CallArrived(busy), CallEntered(busy.id))
        await here.service.ok("endRoom", {"room": room})
        await here.service.receive(
            lambda frame: "pstn-second.1" in str(frame) and "participantJoined" in str(frame)
        )

        assert here.trunk.hung_up == [CALL.id]


async def test_a_call_whose_conference_another_room_has_is_named_and_not_hung_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    retry_quickly(monkeypatch, 0.01, 1)
    async with trunk_of() as here:
        await here.ring()
        here.trunk.say(CallArrived(TrunkCall("second.1", CALL.conference, "112")))
        await here.ring(TrunkCall("third.1", ConfbridgeId("pstn-3"), "113"))

        assert here.trunk.hung_up == []
    refused = [record for record in caplog.records if record.message == "trunk.callNotTaken"]
    assert [record.__dict__["error"] for record in refused] == ["ROOM_EXISTS"]


async def test_only_who_is_invited_may_join_where_somebody_is() -> None:
    async with trunk_of() as here:
        room = await here.ring(_call(invited=("alice", "not a user")))
        alice = await here.controller.client("alice")
        bob = await here.controller.client("bob")
        code = await bob.refused("joinRoom", {"room": room})
        await alice.ok("joinRoom", {"room": room})

    assert code == "ROOM_NOT_FOUND"


async def test_every_user_of_the_domain_who_knows_the_room_may_join_otherwise() -> None:
    async with trunk_of() as here:
        room = await here.ring()
        stranger = await here.controller.client("eve", domain="elsewhere")
        code = await stranger.refused("joinRoom", {"room": room})
        await (await here.controller.client("bob")).ok("joinRoom", {"room": room})

    assert code == "ROOM_NOT_FOUND"


async def test_a_call_that_is_announced_twice_has_one_room() -> None:
    async with trunk_of() as here:
        here.trunk.say(CallArrived(CALL), CallArrived(CALL), CallEntered(CALL.id))
        here.trunk.say(CallEntered(CALL.id))
        await here.ring(_call(call_id="another.1"))
        rooms = await here.service.ok("listRooms")

    assert sorted(room["room"] for room in rooms["rooms"]) == [
        "pstn-1795484911.95",
        "pstn-another.1",
    ]


async def test_calls_that_came_and_went_unheard_are_made_up_for() -> None:
    missed = TrunkCall("missed.1", ConfbridgeId("pstn-2"), "112")
    async with trunk_of() as here:
        room = await here.ring()
        since = len(here.service.received)
        here.trunk.say(CallsPresent((missed,)))
        ended = await here.service.event("roomEnded")
        joined = await here.service.event("participantJoined", since=since)

    assert (ended["room"], ended["reason"]) == (room, "cancelled")
    assert (joined["room"], joined["user"]) == ("pstn-missed.1", "tel:112")


async def test_a_restarted_controller_knows_its_calls() -> None:
    store = MemoryStore()
    async with trunk_of(store=store) as here:
        room = await here.ring()
        await here.ring(_call(call_id="another.1"))
    async with trunk_of(store=store) as here:
        here.trunk.say(CallsPresent((CALL,)))
        ended = await here.service.event("roomEnded")
        shown = await here.service.ok("getRoom", {"room": room})
        await here.service.ok("endRoom", {"room": room})
        await until(lambda: here.trunk.hung_up == [CALL.id])

    assert ended["room"] == "pstn-another.1"
    assert [each["user"] for each in shown["participants"]] == [PHONE]


async def test_other_rooms_of_the_same_service_are_left_alone() -> None:
    store = MemoryStore()
    async with trunk_of(store=store) as here:
        wishes = {"id": "meeting", "kind": "meeting", "owner": "alice", "domain": DOMAIN}
        await here.service.ok("createRoom", wishes)
        for user in ("alice", "bob"):
            await here.service.ok("joinRoom", {"room": "meeting", "user": user})
    async with trunk_of(store=store) as here:
        here.trunk.say(CallsPresent(()))
        await here.ring()
        shown = await here.service.ok("getRoom", {"room": "meeting"})

    assert [each["user"] for each in shown["participants"]] == ["alice", "bob"]


async def test_a_call_whose_answer_comes_late_is_the_same_call_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trunk, "ANSWER_S", 0.05)
    retry_quickly(monkeypatch, 0.2, 50)
    store = SlowStore(after_s=0.15)
    async with trunk_of(store=store) as here:
        here.trunk.say(CallArrived(CALL), CallEntered(CALL.id))
        joined = await here.service.event("participantJoined")

        assert joined["room"] == ROOM
        assert here.trunk.hung_up == []


async def test_the_phone_of_a_room_that_has_ended_unheard_is_hung_up() -> None:
    store = MemoryStore()
    async with trunk_of(store=store) as here:
        room = await here.ring()
        await here.service.ok("endRoom", {"room": room})
    async with trunk_of(store=store) as here:
        here.trunk.say(CallsPresent((CALL,)))
        await until(lambda: here.trunk.hung_up == [CALL.id])


async def test_a_phone_that_enters_a_room_that_has_just_ended_is_hung_up() -> None:
    async with trunk_of("rooms.answerTimeoutSeconds=0.05") as here:
        here.trunk.say(CallArrived(CALL))
        await here.service.event("roomEnded")
        await until(lambda: here.trunk.hung_up == [CALL.id])


async def test_a_call_that_comes_while_nothing_can_be_stored_gets_its_room_later() -> None:
    store = MemoryStore()
    async with trunk_of(store=store) as here:
        store.failing = True
        here.trunk.say(CallArrived(CALL), CallEntered(CALL.id))
        await asyncio.sleep(0.1)
        store.failing = False
        joined = await here.service.event("participantJoined")

    assert joined["room"] == ROOM


async def test_what_could_not_be_stored_of_a_call_is_made_up_for_when_calls_are_listed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    retry_quickly(monkeypatch, 0.01, 1)
    coming, going = _call(call_id="coming.1"), _call(call_id="going.1")
    store = MemoryStore()
    async with trunk_of(store=store) as here:
        here.trunk.say(CallArrived(coming))
        await here.ring(going)
        store.failing = True
        here.trunk.say(CallEntered(coming.id), CallLeft(going.id))
        await until(lambda: any(r.message == "trunk.legNotEnded" for r in caplog.records))
        store.failing = False
        since = len(here.service.received)
        here.trunk.say(CallsPresent((coming,)))
        ended = await here.service.event("roomEnded", since=since)
        joined = await here.service.event("participantJoined", since=since)

    assert (ended["room"], joined["room"]) == ("pstn-going.1", "pstn-coming.1")


async def test_a_call_that_cannot_be_taken_is_told_to_the_operator(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    retry_quickly(monkeypatch, 0.01, 1)
    store = MemoryStore()
    async with trunk_of(store=store) as here:
        await here.ring()
        store.failing = True
        another = _call(call_id="another.1")
        here.trunk.say(CallArrived(another), CallEntered(another.id), CallLeft(CALL.id))
        await until(lambda: any(r.message == "trunk.legNotEnded" for r in caplog.records))
        store.failing = False

    assert any(record.message == "trunk.callNotTaken" for record in caplog.records)


async def test_what_is_said_of_calls_that_nobody_knows_is_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with trunk_of() as here:
        wishes = {"id": "pstn-unheard.2", "uuid": "pstn-unheard.2", "origin": "pstn"}
        await here.service.ok("createRoom", wishes | {"owner": PHONE, "domain": DOMAIN})
        await here.service.ok("joinRoom", {"room": "pstn-unheard.2", "user": PHONE})
        here.trunk.say(CallEntered("unheard.1"), CallLeft("unheard.2"))
        await here.ring()
        shown = await here.service.ok("getRoom", {"room": "pstn-unheard.2"})
        rooms = await here.service.ok("listRooms")

        assert {room["room"] for room in rooms["rooms"]} == {"pstn-unheard.2", ROOM}
        assert [each["user"] for each in shown["participants"]] == [PHONE]
        assert here.trunk.hung_up == []
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "WARNING"}]


@pytest.mark.parametrize(
    ("number", "user"),
    [
        ("34600111222", "tel:34600111222"),
        ("+34 (600) 111", "tel:+34-600-111"),
        ("", "tel:anonymous"),
        ("✆", "tel:anonymous"),
        ("alice", "tel:alice"),
        ("9" * 500, "tel:" + "9" * 64),
    ],
)
def test_a_number_is_a_user_id_and_nobodys_account(number: str, user: str) -> None:
    assert user_of(number) == user


def test_a_room_uuid_is_always_short_enough() -> None:
    long = "x" * 64

    assert len(room_uuid(long)) <= 64
    assert room_uuid(long) == room_uuid(long) != room_uuid("y" * 64)


def _call(
    call_id: str = CALL.id, room_id: str | None = None, invited: tuple[str, ...] | None = None
) -> TrunkCall:
    conference = ConfbridgeId(f"pstn-{call_id}")
    return TrunkCall(call_id, conference, CALL.caller, "", room_id, invited)

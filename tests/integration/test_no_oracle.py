"""A room that is not the requester's is no room: the same answer, at the same cost.

Costs are counted, not timed: what is asked of the store, and which rooms are decoded.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.model.identity import (
    DomainId,
    RecordingType,
    Role,
    RoomId,
    UserId,
)
from tests.helpers.costs import counted
from tests.helpers.http import Json, Peer, World, pass_for, world

RECORDED = PolicySettings(system=RecordingType.ALL)
DAY_MS = 24 * 3_600_000
SEGMENTS = 40
# One of each kind of room that is not mallory's, beside the one that never was. All have ids of
# the same length, so that answers about them can be compared byte by byte.
FOREIGN = ("bob-waits", "bob-talks", "bob-ended", "bob-older", "bob-still")
MISSING = "bob-never"


class AgingStore(MemoryStore):
    """A store in memory whose rooms can be made to have ended earlier."""

    def age(self, room_id: str, by_ms: int) -> None:
        """Let a room have ended so much earlier."""
        row = self.latest_room(DomainId("example"), RoomId(room_id))
        assert row is not None
        assert row.ended_ms is not None
        self._rooms[row.uuid] = replace(row, ended_ms=row.ended_ms - by_ms)


@dataclass(slots=True)
class Seen:
    """The answer to one request, without the ids in it, and what it cost."""

    answer: bytes
    cost: Counter[str]


class Bench:
    """Bob's rooms, some of them over, and somebody who asks about them."""

    def __init__(self, here: World, store: AgingStore) -> None:
        self.here = here
        self.store = store

    async def fill(self) -> None:
        """Rooms of every kind; only bob and carol may see them."""
        bob, carol = self.here.peer("bob"), self.here.peer("carol")
        for name in (*FOREIGN, "mine"):
            await self.ok(bob, "createRoom", id=name, kind="meeting", invited=["carol"])
            if name != "bob-waits":
                await self.ok(bob, "joinRoom", room=name)
                await self.ok(carol, "joinRoom", room=name)
        for name in ("bob-ended", "bob-older"):
            for _ in range(SEGMENTS if name == "bob-ended" else 1):
                await self.ok(bob, "startRoomRecording", room=name)
                await self.ok(bob, "stopRoomRecording", room=name)
            await self.ok(bob, "endRoom", room=name)
        self.store.age("bob-older", DAY_MS)
        await self.ok(bob, "startRoomRecording", room="bob-still")

    async def ok(self, peer: Peer, endpoint: str, **payload: object) -> None:
        answer = await self.here.do(peer, endpoint, **payload)
        assert answer["status"] == "ok", answer

    async def ask(self, peer: Peer, endpoint: str, room: str, **payload: object) -> Seen:
        """One request about a room."""
        with counted() as cost:
            answer = await self.here.do(peer, endpoint, room=room, **payload)
        text = json.dumps(answer | {"id": "id"}).replace(room, "ROOM")
        return Seen(text.encode(), cost)

    async def get(self, path: str, room: str, bearer: str) -> Seen:
        """The same over HTTP."""
        with counted() as cost:
            answer = await self.here.ask("GET", path.format(room), bearer)
        headers = sorted((name, value) for name, value in answer.headers.items() if name != "date")
        shown = f"{answer.status} {headers}".encode() + answer.body
        return Seen(shown.replace(room.encode(), b"ROOM"), cost)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    store = AgingStore()
    async with world(policy=RECORDED, store=store) as here:
        made = Bench(here, store)
        await made.fill()
        yield made


ENDPOINTS: dict[str, Json] = {
    "getRoom": {},
    "joinRoom": {},
    "joinRoom ": {"user": "carol"},
    "updateMedia": {"media": {}},
    "leaveRoom": {},
    "inviteToRoom": {"users": ["mallory"]},
    "endRoom": {},
    "startRoomRecording": {},
    "stopRoomRecording": {},
}
STRANGERS = {
    "a user of the domain": (("mallory",), {}),
    "a user of another domain": (("mallory",), {"domain": "elsewhere"}),
    "an administrator of another domain": (
        ("mallory", Role.DOMAIN_ADMIN),
        {"domain": "elsewhere"},
    ),
}


@pytest.mark.parametrize("who", STRANGERS)
async def test_what_is_asked_about_a_foreign_room_says_and_costs_what_a_missing_one_does(
    bench: Bench, who: str
) -> None:
    names, more = STRANGERS[who]
    mallory = bench.here.peer(*names, **more)  # type: ignore[arg-type]  # a name and roles
    for endpoint, payload in ENDPOINTS.items():
        asked = payload | {"domain": "example"}
        missing = await bench.ask(mallory, endpoint.strip(), MISSING, **asked)
        assert b"ROOM_NOT_FOUND" in missing.answer
        for room in FOREIGN:
            seen = await bench.ask(mallory, endpoint.strip(), room, **asked)

            assert seen.answer == missing.answer, (endpoint, room)
            assert seen.cost == missing.cost, (endpoint, room)
            assert seen.cost["decode_room"] == seen.cost["parts"] == 0
            assert seen.cost["commit of a room"] == 0


@pytest.mark.parametrize("path", ["/rooms/{}?domain=example", "/rooms/{}/decision?domain=example"])
@pytest.mark.parametrize("domain", ["example", "elsewhere"])
async def test_the_same_holds_over_http(bench: Bench, path: str, domain: str) -> None:
    bearer = pass_for("mallory", domain=domain)
    missing = await bench.get(path, MISSING, bearer)
    assert missing.answer.startswith(b"404")
    for room in FOREIGN:
        seen = await bench.get(path, room, bearer)

        assert (seen.answer, seen.cost) == (missing.answer, missing.cost), room


async def test_an_answer_about_a_foreign_room_waits_for_nothing_that_goes_on_in_it(
    bench: Bench,
) -> None:
    bob, mallory = bench.here.peer("bob"), bench.here.peer("mallory")
    before = len(mallory.received)
    for number in range(50):  # none of it is stored before the loop's next turn
        request = {"room": "bob-talks", "media": {"audio": bool(number % 2)}}
        bench.here.rooms.handle(bob, bench.here.request("updateMedia", request))
    bench.here.rooms.handle(mallory, bench.here.request("getRoom", {"room": "bob-talks"}))

    assert len(mallory.received) == before + 1


async def test_those_for_whom_it_exists_are_told_that_a_room_has_ended_and_only_for_a_day(
    bench: Bench,
) -> None:
    elsewhere = {"domain": "elsewhere"}
    told = {
        "owner": bench.here.peer("bob"),
        "member": bench.here.peer("carol"),
        "admin": bench.here.peer("ada", Role.DOMAIN_ADMIN),
        "service": bench.here.peer("rooms", Role.SERVICE),
        "service of another domain": bench.here.peer("rooms", Role.SERVICE, **elsewhere),
    }
    for who, peer in told.items():
        ended = await bench.here.do(peer, "endRoom", room="bob-ended", domain="example")
        older = await bench.here.do(peer, "endRoom", room="bob-older", domain="example")

        assert ended["error"]["code"] == "ROOM_ENDED", who
        assert older["error"]["code"] == "ROOM_NOT_FOUND", who


async def test_who_was_invited_and_never_came_finds_no_room_once_it_has_ended(
    bench: Bench,
) -> None:
    bob, dave = bench.here.peer("bob"), bench.here.peer("dave")
    await bench.ok(bob, "createRoom", id="late", kind="meeting", invited=["dave"])
    await bench.ok(bob, "endRoom", room="late")
    missing = await bench.ask(dave, "joinRoom", MISSING)
    late = await bench.ask(dave, "joinRoom", "late")

    assert late.answer == missing.answer
    assert late.cost == missing.cost


async def test_an_ended_room_is_found_by_its_members_after_a_restart(bench: Bench) -> None:
    async with world(policy=RECORDED, store=bench.store) as again:
        carol, dave = again.peer("carol"), again.peer("dave")
        shown = await again.do(carol, "getRoom", room="bob-ended")
        hidden = await again.do(dave, "getRoom", room="bob-ended")

    assert len(shown["payload"]["segments"]) == SEGMENTS
    assert hidden["error"]["code"] == "ROOM_NOT_FOUND"


async def test_ids_of_another_domain_can_be_neither_learned_of_nor_blocked(bench: Bench) -> None:
    zoe = bench.here.peer("zoe", domain="elsewhere")
    for room in (*FOREIGN, MISSING):
        await bench.ok(zoe, "createRoom", id=room, kind="meeting")
    carol = bench.here.peer("carol")
    shown = await bench.here.do(carol, "getRoom", room="bob-talks")

    assert shown["payload"]["owner"] == "bob"
    assert await bench.here.do(zoe, "getRoom", room="bob-talks") != shown
    assert UserId(shown["payload"]["participants"][0]["user"]) == "bob"

"""A room that is not the requester's is no room: the same answer, at the same cost.

Costs are counted, not timed: what is asked of the store, and which rooms are decoded.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from sfu_wrapper.adapters.memory.recordings import MemoryRecordings
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.identity import (
    DomainId,
    OwnerPermissions,
    RecordingType,
    Role,
    RoomId,
    RoomUuid,
    UserId,
    UserKey,
)
from sfu_wrapper.model.recording import Recording, RecordingKey
from sfu_wrapper.ports.recordings import RecordingPage, RecordingQuery
from sfu_wrapper.ports.store import AnswerRow, Commit, OutboxRow, PartRow, RoomRow
from sfu_wrapper.service.rooms import registry
from sfu_wrapper.wire.room_state import StoredRoom, decode_room
from tests.helpers.http import Json, Peer, World, pass_for, world
from tests.helpers.recordings import facts, finished, put, result, user

RECORDED = PolicySettings(system=RecordingType.ALL)
DAY_MS = 24 * 3_600_000
SEGMENTS = 40
# One of each kind of room that is not mallory's, beside the one that never was. All have ids of
# the same length, so that answers about them can be compared byte by byte.
FOREIGN = ("bob-waits", "bob-talks", "bob-ended", "bob-older", "bob-still")
MISSING = "bob-never"


class CountedIndex(MemoryRecordings):
    """Counts what it is asked."""

    def __init__(self, asked: Counter[str]) -> None:
        super().__init__()
        self._asked = asked

    def recording(self, key: RecordingKey) -> Recording | None:
        self._asked["recording"] += 1
        return super().recording(key)

    def recordings(self, query: RecordingQuery) -> RecordingPage:
        self._asked["page of recordings"] += 1
        return super().recordings(query)

    def retention_days(self, domain: DomainId) -> int | None:
        self._asked["retention days"] += 1
        return super().retention_days(domain)


class Counted(MemoryStore):
    """Counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()
        self.index = CountedIndex(self.asked)

    def commit(self, commit: Commit, epoch: int) -> "asyncio.Future[tuple[OutboxRow, ...]]":
        self.asked["commit of a room"] += commit.room is not None
        self.asked["commit"] += 1
        return super().commit(commit, epoch)

    def room(self, uuid: RoomUuid) -> RoomRow | None:
        self.asked["room"] += 1
        return super().room(uuid)

    def latest_room(self, domain: DomainId, room: RoomId) -> RoomRow | None:
        self.asked["latest room"] += 1
        return super().latest_room(domain, room)

    def parts(self, uuid: RoomUuid) -> tuple[PartRow, ...]:
        self.asked["parts"] += 1
        return super().parts(uuid)

    def part(self, uuid: RoomUuid, name: str) -> PartRow | None:
        self.asked["part"] += 1
        return super().part(uuid, name)

    def answer(self, key: str, now_ms: int) -> AnswerRow | None:
        self.asked["answer"] += 1
        return super().answer(key, now_ms)

    def permissions(self, owner: UserKey) -> OwnerPermissions:
        self.asked["permissions"] += 1
        return super().permissions(owner)

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

    def __init__(self, here: World, store: Counted) -> None:
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
        with self.counted() as cost:
            answer = await self.here.do(peer, endpoint, room=room, **payload)
        text = json.dumps(answer | {"id": "id"}).replace(room, "ROOM")
        return Seen(text.encode(), cost)

    async def get(self, path: str, room: str, bearer: str) -> Seen:
        """The same over HTTP."""
        with self.counted() as cost:
            answer = await self.here.ask("GET", path.format(room), bearer)
        headers = sorted((name, value) for name, value in answer.headers.items() if name != "date")
        shown = f"{answer.status} {headers}".encode() + answer.body
        return Seen(shown.replace(room.encode(), b"ROOM"), cost)

    @contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        cost: Counter[str] = Counter()
        self.store.asked.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(f"{registry.__name__}.decode_room", counting(decode_room, cost))
            yield cost
        cost.update(self.store.asked)


def counting(
    decode: Callable[[StoredRoom], Room], cost: Counter[str]
) -> Callable[[StoredRoom], Room]:
    """The same, and each call counts."""

    def decoded(stored: StoredRoom) -> Room:
        cost["decoded"] += 1
        return decode(stored)

    return decoded


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    store = Counted()
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
            assert seen.cost["decoded"] == seen.cost["parts"] == 0
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


@pytest.mark.parametrize("domain", ["example", "elsewhere"])
@pytest.mark.parametrize("role", ["user", "domain-admin"])
@pytest.mark.parametrize(
    "path", ["/recordings/{}/1", "/recordings/{}/1/files/a.webm", "/recordings/{}/1/files/none"]
)
async def test_a_foreign_recording_says_and_costs_what_a_missing_one_does(
    bench: Bench, path: str, role: str, domain: str
) -> None:
    about = facts("bob-record", owner="bob", domain="third", guests=(user("mallory", domain),))
    await put(bench.store, finished(about, result(about, {"a.webm": b"webm"})))
    token = pass_for("mallory", role, domain=domain)
    missing = await bench.get(path, "bob-missin", token)
    seen = await bench.get(path, "bob-record", token)

    assert missing.answer.startswith(b"404")
    assert (seen.answer, seen.cost) == (missing.answer, missing.cost)
    assert seen.cost["recording"] == 1
    assert seen.cost["retention days"] == seen.cost["page of recordings"] == 0


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

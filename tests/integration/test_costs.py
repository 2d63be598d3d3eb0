"""Costs that do not grow, from a request to its answer: work and stored bytes, counted.

A room with a past is put into the store and taken up by a controller, as after a restart.
"""

import asyncio
import json
import sys
from asyncio import Future
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.planes.composite_plane import NoPlane
from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.people import Participant, Participants
from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.core.room import Room, Rules, Segments
from sfu_wrapper.model.identity import (
    Identity,
    Kind,
    RecordingType,
    Role,
    RoomUuid,
    SegmentNo,
    UserId,
    UserKey,
)
from sfu_wrapper.model.media import Media
from sfu_wrapper.model.persistent import PersistentSet
from sfu_wrapper.ports.store import Commit, OutboxRow, PartRow, RoomRow
from sfu_wrapper.service.rooms.commit import NOTICES_PER_ROUND
from sfu_wrapper.service.rooms.registry import RECENT, Finder, RoomRegistry
from sfu_wrapper.service.rooms.router import Rooms
from sfu_wrapper.service.rooms.sessions import Sessions
from sfu_wrapper.wire.room_state import encode_room
from sfu_wrapper.wire.signaling import (
    CreateRoom,
    GetRoom,
    JoinRoom,
    MediaFlags,
    Payload,
    Request,
    StartRoomRecording,
    StopRoomRecording,
    UpdateMedia,
)
from tests.helpers.rooms import ALICE, HOME, MANUAL, Call

ANSWER_S = 20.0
RULES = Rules(policy=PolicySettings(system=RecordingType.ALL, record_at_start=False))


@dataclass
class Work:
    """What something took. state_bytes: of rooms and parts, apart from messages and answers."""

    calls: int = 0
    rows: int = 0
    state_bytes: int = 0


class CountingStore(MemoryStore):
    """Counts what is written of rooms. looks: how often all parts of a room were read."""

    def __init__(self) -> None:
        super().__init__()
        self.work = Work()
        self.looks = 0

    def parts(self, uuid: RoomUuid) -> tuple[PartRow, ...]:
        self.looks += 1
        return super().parts(uuid)

    def commit(self, commit: Commit, epoch: int) -> "Future[tuple[OutboxRow, ...]]":
        heads = () if commit.room is None else (commit.room.state,)
        parts = [part.state or b"" for part in commit.parts]
        self.work.rows += len(heads) + len(parts)
        self.work.state_bytes += sum(map(len, (*heads, *parts)))
        return super().commit(commit, epoch)


@dataclass(eq=False)
class Person:
    """A connected user."""

    rooms: Rooms
    user: str
    heard: int = 0
    charged: int = 0
    _asked: int = 0
    _answers: dict[str, "Future[dict[str, object]]"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key = self.user
        self.identity = Identity(HOME, UserId(self.user), frozenset({Role.USER}))
        self.rooms.connected(self)

    def deliver(self, message: bytes) -> None:
        self.heard += 1
        if b'"type":"response"' in message[:40]:
            body = json.loads(message)["payload"]
            self._answers.pop(body["id"]).set_result(body)

    def charge(self, notices: int) -> None:
        self.charged += notices

    async def ask(self, endpoint: str, payload: Payload) -> None:
        self._asked += 1
        name = f"{self.user}-{self._asked}"
        self._answers[name] = answer = asyncio.get_running_loop().create_future()
        self.rooms.handle(self, Request(endpoint, name, payload, b""))
        body = await asyncio.wait_for(answer, ANSWER_S)
        assert body["status"] == "ok", body


def past(segments: int, people: int) -> Room:
    """A meeting of so many that has been recorded so often."""
    call = Call(kind=Kind.MEETING, policy=MANUAL)
    call.join(ALICE)
    call.start()
    call.confirm()
    call.stop()
    call.close()
    done = call.segment
    keys = [ALICE, *(UserKey(HOME, UserId(f"user-{n}")) for n in range(2, people + 1))]
    there = [Participant(key, n, call.wall_ms, Media()) for n, key in enumerate(keys, start=1)]
    return replace(
        call.room,
        participants=Participants(there),
        members=PersistentSet(keys),
        entries=people,
        segments=Segments(replace(done, number=SegmentNo(n)) for n in range(1, segments + 1)),
    )


async def stored(room: Room, store: MemoryStore) -> None:
    """Put a room into the store."""
    form = encode_room(room)
    parts = tuple(PartRow(room.uuid, name, state) for name, state in form.parts.items())
    row = RoomRow(
        uuid=room.uuid,
        id=room.id,
        domain=room.domain,
        owner=room.owner,
        life=room.life,
        settled=room.fully_closed,
        created_ms=room.created.wall_ms,
        ended_ms=room.ended_ms,
        state=form.head,
    )
    await store.commit(Commit(row, parts=parts), 1)


@asynccontextmanager
async def taken_up(room: Room) -> AsyncIterator[tuple[Rooms, CountingStore]]:
    """A controller that finds this room in its store; everybody in it is connected again."""
    store, clock = CountingStore(), SystemClock()
    await stored(room, store)
    rooms = Rooms(store, NoPlane(clock), clock, RULES)
    rooms.load()
    facts = asyncio.create_task(rooms.run())
    yield rooms, store
    facts.cancel()
    with suppress(asyncio.CancelledError):
        await facts
    rooms.close()


async def measured(room: Room, *, join: bool = False) -> Work:
    """What a start and a stop take there, or a join."""
    async with taken_up(room) as (rooms, store):
        people = [Person(rooms, key.user) for key in (each.key for each in room.participants)]
        guests = [Person(rooms, f"guest-{n}") for n in range(2)]
        owner = people[0]

        async def act(number: int) -> None:
            if join:
                await guests[number].ask("joinRoom", JoinRoom(room=room.id))
            else:
                await owner.ask("startRoomRecording", StartRoomRecording(room=room.id))
                await owner.ask("stopRoomRecording", StopRoomRecording(room=room.id))

        await act(0)  # what is computed once is computed now
        last = people[-1]
        before = last.heard
        store.work = Work()

        def note(_: object, event: str, __: object) -> None:
            store.work.calls += event in ("call", "c_call")

        sys.setprofile(note)
        try:
            await act(1)
            while last.heard == before:  # noqa: ASYNC110  # it costs nothing that is counted
                await asyncio.sleep(0)  # the crowd is told in several rounds of the loop
        finally:
            sys.setprofile(None)
        if join:
            assert all(person.heard for person in people)
        return store.work


async def test_a_toggle_after_two_thousand_segments_costs_what_it_costs_after_one() -> None:
    first, later = await measured(past(1, 2)), await measured(past(2_000, 2))

    assert later.calls <= 1.3 * first.calls
    assert later.state_bytes <= 1.3 * first.state_bytes
    assert later.rows == first.rows


async def test_a_toggle_stores_the_same_for_any_people_in_the_room() -> None:
    few, many = await measured(past(1, 2)), await measured(past(1, 900))

    assert many.state_bytes <= 1.3 * few.state_bytes
    assert many.rows == few.rows


async def test_a_join_stores_one_more_person_however_many_are_there() -> None:
    few = await measured(past(1, 2), join=True)
    many = await measured(past(1, 900), join=True)

    assert few.rows == many.rows == 3  # head, person, member
    assert many.state_bytes <= 1.1 * few.state_bytes


@pytest.mark.parametrize("join", [False, True], ids=["toggle", "join"])
async def test_work_is_linear_in_the_people_who_are_told(join: bool) -> None:
    few, some, many = [await measured(past(1, n), join=join) for n in (10, 410, 810)]

    assert many.calls - few.calls <= 2.4 * (some.calls - few.calls)
    assert (many.calls - few.calls) / 800 <= 60  # a person


async def test_those_who_come_back_at_once_take_no_place_of_a_request() -> None:
    room = past(1, 1_100)
    async with taken_up(room) as (rooms, _):
        owner, *_ = [Person(rooms, each.key.user) for each in room.participants]
        await owner.ask("startRoomRecording", StartRoomRecording(room=room.id))


@asynccontextmanager
async def crowd(people: int) -> AsyncIterator[tuple[Rooms, list[Person]]]:
    """A room of so many people, all of whom are connected."""
    room = past(1, people)
    async with taken_up(room) as (rooms, _):
        yield rooms, [Person(rooms, each.key.user) for each in room.participants]


async def test_a_crowd_is_told_a_few_at_a_time_and_others_are_served_meanwhile() -> None:
    async with crowd(900) as (rooms, people):
        told = [0]

        async def count() -> None:
            while told[-1] < len(people):
                told.append(sum(person.heard for person in people))
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        await people[0].ask("startRoomRecording", StartRoomRecording(room="room-1"))
        other = Person(rooms, "other")
        await other.ask("createRoom", CreateRoom(id="small", kind=Kind.MEETING))
        assert told[-1] < len(people), "the answer has waited for the crowd"
        await asyncio.wait_for(counting, ANSWER_S)

        most = max(later - earlier for earlier, later in pairwise(told))
        assert most <= NOTICES_PER_ROUND + 1, "and an answer"


async def test_a_room_is_read_after_the_notices_about_it_were_sent() -> None:
    async with crowd(900) as (_, people):
        last = people[-1]
        await people[0].ask("startRoomRecording", StartRoomRecording(room="room-1"))
        assert last.heard == 0
        await last.ask("getRoom", GetRoom(room="room-1"))
        assert last.heard == 2, "the event, then the answer"


async def test_a_controller_does_not_stop_before_a_crowd_is_told() -> None:
    async with crowd(900) as (rooms, people):
        on, off = MediaFlags(video=True), MediaFlags()
        await people[0].ask("updateMedia", UpdateMedia(room="room-1", media=on))
        assert await rooms.drain(ANSWER_S)
        assert all(person.heard for person in people)
        await people[0].ask("updateMedia", UpdateMedia(room="room-1", media=off))


async def test_a_change_is_charged_to_its_sender_by_the_people_who_are_notified() -> None:
    async with crowd(300) as (_, people):
        on = MediaFlags(video=True)
        await people[1].ask("updateMedia", UpdateMedia(room="room-1", media=on))
        assert people[1].charged in (300, 301), "participants, and the room service"
        await people[1].ask("updateMedia", UpdateMedia(room="room-1", media=on))
        assert people[1].charged in (300, 301), "nothing has changed"
        await people[0].ask("getRoom", GetRoom(room="room-1"))
        assert people[0].charged == 0


async def test_a_room_that_is_over_is_read_once_for_all_news_of_its_segments() -> None:
    store, directory, sessions = CountingStore(), RoomRegistry(), Sessions()
    finder = Finder(directory, sessions, store, lambda _: pytest.fail("nobody looks at it"))
    over = [
        replace(past(200, 2), uuid=RoomUuid(f"over-{n}"), life=Life.ENDED)
        for n in range(RECENT + 1)
    ]
    for room in over:
        await stored(room, store)

    assert [finder.by_uuid(over[0].uuid) == over[0] for _ in range(100)] == [True] * 100
    assert store.looks == 1
    for room in over:
        assert finder.by_uuid(room.uuid) == room
    assert len(finder._recent) == RECENT
    assert finder.by_uuid(RoomUuid("never")) is None

"""Effects of many rooms: told a few at a time, in order, in turns."""

import asyncio
from collections.abc import Sequence

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.planes.composite_plane import NoPlane
from sfu_wrapper.core.effects import Effect, Notify, ParticipantLeft
from sfu_wrapper.model.identity import Identity, Role, RoomId, UserId, UserKey
from sfu_wrapper.service.rooms.commit import EffectRunner, notice_count
from sfu_wrapper.service.rooms.maintenance import NullMonitor
from sfu_wrapper.service.rooms.sessions import Sessions
from tests.helpers.rooms import HOME, Call

PER_ROUND = 10
ROOM = Call().room


class Hearer:
    """A client that notes what it is told, and in which round of the event loop."""

    def __init__(self, name: str, story: list[str]) -> None:
        self.key = name
        self.identity = Identity(HOME, UserId(name), frozenset({Role.USER}))
        self.deaf = False
        self._story = story

    def deliver(self, message: bytes) -> None:
        if self.deaf:
            raise ZeroDivisionError("a bug")
        self._story.append(self.key)

    def charge(self, notices: int) -> None:
        """See ``Client``; it has no limit."""


class World:
    """Ever so many people of two rooms."""

    def __init__(self, *people: str) -> None:
        self.story: list[str] = []
        self.bugs: list[Exception] = []
        sessions = Sessions()
        self.clients = {name: Hearer(name, self.story) for name in people}
        for client in self.clients.values():
            sessions.add(client)
        plane = NoPlane(SystemClock())
        self.effects = EffectRunner(sessions, plane, NullMonitor(), per_round=PER_ROUND)

    def begin(self, name: str, *effects: Effect) -> None:
        """Carry these out; the story says when they are."""
        done = f"{name} done"
        self.effects.start(ROOM, effects, self.bugs.append, lambda: self.story.append(done))

    async def until(self, *lines: str) -> None:
        """Wait until all of these stand in the story."""
        async with asyncio.timeout(20):
            while not set(lines) <= set(self.story):  # noqa: ASYNC110  # rounds are counted
                await asyncio.sleep(0)


def told(people: Sequence[str]) -> Notify:
    audience = tuple(UserKey(HOME, UserId(name)) for name in people)
    return Notify(audience, ParticipantLeft(RoomId("room-1"), UserId("who")))


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


async def test_a_few_are_told_at_once() -> None:
    few = names("few", 5)
    world = World(*few)
    world.begin("few", told(few))
    assert world.story == [*few, "few done"]


async def test_many_are_told_in_order_over_several_rounds() -> None:
    many = names("many", 35)
    world = World(*many)
    world.begin("many", told(many), told(many[:3]))
    assert len(world.story) == PER_ROUND
    await asyncio.sleep(0)
    assert len(world.story) <= 2 * PER_ROUND
    await world.until("many done")
    assert world.story == [*many, *many[:3], "many done"]


async def test_a_small_room_does_not_wait_for_a_crowd() -> None:
    many, few = names("many", 200), names("few", 3)
    world = World(*many, *few)
    world.begin("many", told(many))
    world.begin("few", told(few))
    await world.until("few done")
    assert world.story.count("few done") == 1
    assert len(world.story) <= 4 * PER_ROUND
    await world.until("many done")
    assert [each for each in world.story if each.startswith("many")] == [*many, "many done"]


async def test_absent_people_are_no_work_without_end() -> None:
    world = World("here")
    world.begin("absent", *[told([*names("absent", 1000), "here"])] * 2)
    assert world.story == []
    await world.until("absent done")
    assert world.story == ["here", "here", "absent done"]


async def test_a_bug_costs_one_effect_and_no_other() -> None:
    world = World("deaf", "well")
    world.clients["deaf"].deaf = True
    world.begin("room", told(["deaf"]), told(["well"]))
    assert world.story == ["well", "room done"]
    assert [type(bug) for bug in world.bugs] == [ZeroDivisionError]


async def test_nothing_is_carried_out_after_the_end() -> None:
    many = names("many", 50)
    world = World(*many)
    world.begin("many", told(many))
    world.effects.close()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(world.story) == PER_ROUND


def test_notices_are_counted_by_people() -> None:
    assert notice_count([told(names("one", 7)), told(names("two", 2))]) == 9
    assert notice_count([]) == 0

"""Turns of rooms at the event loop: bounded in a round, fair between owners, no delay alone."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest

from sfu_wrapper.service.rooms import scheduling
from sfu_wrapper.service.rooms.scheduling import (
    COMMITS,
    HEAVY_COMMITS,
    HEAVY_S,
    LIGHT_S,
    More,
    Scheduler,
    Usage,
)

ROUND_S = 0.010
TURN_S = 0.004


class World:
    """A scheduler whose clock goes on by what rooms take."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.story: list[str] = []
        self.scheduler = Scheduler(round_s=ROUND_S, turn_s=TURN_S, clock=lambda: self.now_s)

    def ask(self, owner: str, takes_s: float = 0.001, *, commits: bool = False) -> None:
        """Ask for a turn that takes so long; the story says when it is over."""

        def work(_: More) -> bool:
            self.now_s += takes_s
            self.story.append(owner)
            return commits

        self.scheduler.request_turn(owner, work)

    async def until(self, count: int) -> None:
        """Wait until so many turns are over."""
        async with asyncio.timeout(20):
            while len(self.story) < count:  # noqa: ASYNC110  # rounds are counted
                await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    world.scheduler.close()


async def test_a_single_owner_goes_on_at_once(world: World) -> None:
    world.ask("alice")
    assert world.story == ["alice"]


async def test_rooms_take_no_longer_than_a_round_and_go_on_in_the_next(world: World) -> None:
    for _ in range(25):
        world.ask("flood")
    assert len(world.story) == 10
    await asyncio.sleep(0)
    assert len(world.story) == 20
    await world.until(25)


async def test_a_request_to_another_owners_room_is_first_in_the_next_round(world: World) -> None:
    for _ in range(500):
        world.ask("flood")
    before = len(world.story)
    world.ask("alice")
    await asyncio.sleep(0)
    assert world.story[before] == "alice"


async def test_a_request_waits_for_one_turn_of_each_of_many_who_flood_at_the_same_moment(
    world: World,
) -> None:
    floods = [f"flood-{number}" for number in range(20)]
    world.ask("busy", takes_s=ROUND_S)
    for _ in range(40):
        for owner in floods:
            world.ask(owner, takes_s=0.0003)
    world.ask("alice", takes_s=0.0003)
    await world.until(20 * 40 + 2)
    assert world.story.index("alice") == 1 + len(floods)


async def test_the_requests_of_one_owner_take_their_turns_in_the_order_of_arrival(
    world: World,
) -> None:
    story: list[int] = []

    def work(number: int, _: More) -> bool:
        world.now_s += 0.004
        story.append(number)
        return False

    for number in range(20):
        world.scheduler.request_turn("alice", partial(work, number))
    async with asyncio.timeout(20):
        while len(story) < 20:  # noqa: ASYNC110  # rounds are counted
            await asyncio.sleep(0)
    assert story == list(range(20))


async def test_an_owner_who_has_used_little_lately_is_before_one_who_has_used_much(
    world: World,
) -> None:
    world.ask("busy", takes_s=0.009)
    world.ask("calm", takes_s=0.002)
    world.ask("busy")
    world.ask("calm")
    await world.until(4)
    assert world.story == ["busy", "calm", "calm", "busy"]


async def test_what_was_used_long_ago_is_forgotten(world: World) -> None:
    usage = Usage()
    usage.charge("once", 10.0, now_s=0.0)
    usage.charge("now", 0.01, now_s=20.0)
    assert usage.rank("once", 20.0) < usage.rank("now", 20.0)


async def test_a_waiting_owner_is_not_overtaken_for_ever() -> None:
    usage = Usage()
    usage.charge("busy", 1.0, now_s=0.0)
    asked = usage.rank("busy", 0.0)
    assert asked > usage.rank("new", 0.0)
    assert asked < usage.rank("newer", 30.0)


async def test_owners_who_have_used_nothing_lately_take_no_memory() -> None:
    usage = Usage()
    for number in range(10 * scheduling._SWEEP_FROM):
        usage.charge(number, 0.001, now_s=float(number))
    assert len(usage._ranks) <= scheduling._SWEEP_FROM


async def test_a_room_is_told_when_its_turn_is_over(world: World) -> None:
    steps = 0

    def work(more: More) -> bool:
        nonlocal steps
        while more():
            steps += 1
            world.now_s += 0.001
        return False

    world.scheduler.request_turn("alice", work)
    assert steps == TURN_S / 0.001


async def test_a_room_that_asks_again_in_its_turn_waits_for_the_next(world: World) -> None:
    def work(_: More) -> bool:
        world.ask("alice")
        assert world.story == []
        return False

    world.scheduler.request_turn("alice", work)
    await world.until(1)


async def test_few_commits_are_under_way_and_the_next_begins_as_one_ends(world: World) -> None:
    for _ in range(COMMITS + 3):
        world.ask("flood", takes_s=0.0005, commits=True)
    assert len(world.story) == COMMITS
    world.ask("alice", takes_s=0.0, commits=True)
    world.scheduler.committed("flood")
    await world.until(COMMITS + 1)
    assert world.story[COMMITS:] == ["alice"]


async def test_owners_who_used_much_commit_few_at_a_time_after_a_turn_of_one_who_used_little(
    world: World,
) -> None:
    world.ask("flood", takes_s=2 * HEAVY_S)
    world.ask("alice", takes_s=0.0)
    for _ in range(COMMITS):
        world.ask("flood", takes_s=0.0, commits=True)
    assert world.story.count("flood") == 1 + HEAVY_COMMITS
    world.now_s += LIGHT_S
    world.ask("flood", takes_s=0.0, commits=True)
    await world.until(2 + COMMITS)


async def test_owners_who_used_much_go_on_while_others_have_turns_all_the_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "SLOW_S", 60.0)  # no commit counts as slow here
    world.ask("flood", takes_s=2 * HEAVY_S)
    for _ in range(5):
        world.ask("flood", takes_s=0.0, commits=True)
    world.ask("alice", takes_s=0.0, commits=True)
    await world.until(3)
    for turns in range(3):
        world.ask("alice", takes_s=0.0, commits=True)  # she has a commit under way at any time
        await world.until(4 + 2 * turns)
        assert world.story[-1] == "alice"
        world.scheduler.committed("alice")
        world.scheduler.committed("flood")
        await world.until(5 + 2 * turns)
        assert world.story[-1] == "flood"


async def test_more_commits_begin_while_the_disk_is_slow(world: World) -> None:
    for number in range(4 * COMMITS):
        world.ask(f"room-{number}", takes_s=0.0, commits=True)
    await world.until(4 * COMMITS)  # though none has ended
    for _ in range(4 * COMMITS):
        world.scheduler.committed("flood")
    for _ in range(2 * COMMITS):
        world.ask("flood", takes_s=0.0, commits=True)
    assert len(world.story) == 5 * COMMITS


async def test_nothing_is_done_after_the_end(world: World) -> None:
    for _ in range(2 * COMMITS):
        world.ask("flood", takes_s=0.006, commits=True)
    world.scheduler.close()
    before = len(world.story)
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(world.story) == before

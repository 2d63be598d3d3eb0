"""Places for so many at once: the fairest that waits comes next, and no place is ever lost."""

import asyncio

import pytest

from sfu_wrapper.adapters.os.clock import ManualClock
from sfu_wrapper.core.fairness import Claim, Owner
from sfu_wrapper.service.worker.scheduling import Closed, Dismissed, PrioritySemaphore


class Crowd:
    """Tasks that come, stay until they may go, and leave. came: in which order."""

    def __init__(self, places: int) -> None:
        self.clock = ManualClock()
        self.turns = PrioritySemaphore(places, self.clock)
        self.came: list[float] = []
        self.owners: list[str] = []
        self.go = asyncio.Event()

    def send(
        self, rank: float, owner: str = "alice", *, returnable: bool = False
    ) -> "asyncio.Task[None]":
        since_ms = self.clock.now().mono_ms
        claim = Claim(Owner("example", owner), rank, since_ms, returnable)
        return asyncio.create_task(self._stay(claim))

    async def _stay(self, claim: Claim) -> None:
        with self.turns.place(claim) as place:
            await place.take()
            self.came.append(claim.priority_ms)
            self.owners.append(claim.owner.name)
            await self.go.wait()
            self.clock.pass_ms(1_000)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_lowest_rank_of_an_owner_comes_next() -> None:
    crowd = Crowd(2)
    tasks = [crowd.send(rank) for rank in (9, 8, 7, 1, 5, 3, 3)]
    await settle()
    assert crowd.came == [9, 8]

    crowd.go.set()
    await asyncio.gather(*tasks)
    assert crowd.came == [9, 8, 1, 3, 3, 5, 7]


async def test_an_owner_who_waits_with_one_segment_passes_a_flood() -> None:
    crowd = Crowd(2)
    tasks = [crowd.send(rank) for rank in range(20)]
    await settle()
    tasks.append(crowd.send(99, "bob"))
    await settle()
    crowd.go.set()
    await asyncio.gather(*tasks)

    assert crowd.owners.index("bob") == 2  # the first that got a place after it came


async def test_a_task_that_is_cancelled_while_it_waits_takes_no_place() -> None:
    crowd = Crowd(1)
    first, second, third = (crowd.send(rank) for rank in (1, 2, 3))
    await settle()
    second.cancel()
    await settle()
    assert crowd.turns.waiting == 1
    crowd.go.set()
    await asyncio.wait([first, second, third])

    assert crowd.came == [1, 3]


async def test_a_place_given_to_a_task_that_is_being_cancelled_is_given_on() -> None:
    crowd = Crowd(1)
    crowd.go.set()
    with crowd.turns.place(Claim(Owner("example", "alice"), 0, 0)) as place:
        await place.take()
        second, third = crowd.send(1), crowd.send(2)
        await settle()
    second.cancel()  # it has been given the place, and has not run yet
    await asyncio.wait([second, third])

    assert crowd.came == [2]
    async with asyncio.timeout(20):
        await crowd.turns.enter(Claim(Owner("example", "alice"), 0, 0))


async def test_a_task_that_is_cancelled_as_it_is_refused_is_only_cancelled() -> None:
    crowd = Crowd(1)
    _, second = crowd.send(1), crowd.send(2)
    await settle()
    crowd.turns.close()
    second.cancel()
    await asyncio.wait([second])

    assert second.cancelled()


async def test_a_task_that_is_cancelled_before_a_place_is_free_is_passed_over() -> None:
    crowd = Crowd(1)
    crowd.go.set()
    with crowd.turns.place(Claim(Owner("example", "alice"), 0, 0)) as place:
        await place.take()
        second, third = crowd.send(1), crowd.send(2)
        await settle()
        second.cancel()  # and the place is left before that task runs
    await asyncio.wait([second, third])

    assert crowd.came == [2]


async def test_after_the_end_no_task_gets_a_place_and_all_keep_theirs() -> None:
    crowd = Crowd(1)
    inside, waiting, gone = (crowd.send(rank) for rank in (1, 2, 3))
    await settle()
    gone.cancel()
    crowd.turns.close()
    late = crowd.send(4)
    await settle()

    for task in (waiting, late):
        with pytest.raises(Closed):
            await task
    assert not inside.done()
    crowd.go.set()
    await inside


async def test_only_what_is_returnable_and_not_begun_goes_back() -> None:
    crowd = Crowd(1)
    running, kept = crowd.send(1, returnable=True), crowd.send(2)
    returned = crowd.send(3, returnable=True)
    await settle()
    assert crowd.turns.dismiss() == 1
    crowd.go.set()
    await asyncio.gather(running, kept)

    with pytest.raises(Dismissed):
        await returned
    assert crowd.came == [1, 2]


async def test_a_segment_that_was_begun_does_not_go_back_while_it_waits_for_its_next_try() -> None:
    crowd = Crowd(1)
    other = Claim(Owner("example", "bob"), 0, 0)
    with crowd.turns.place(Claim(Owner("example", "alice"), 1, 0, returnable=True)) as place:
        await place.take()
        place.leave()
        with crowd.turns.place(other) as taken:
            await taken.take()
            again = asyncio.create_task(place.take())
            await settle()
            assert crowd.turns.dismiss() == 0
        await again

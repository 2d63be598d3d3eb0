"""Places for so many at once; the lowest rank comes next, and nobody's place is ever lost."""

import asyncio

import pytest

from sfu_wrapper.service.turns import Closed, Turns


class Crowd:
    """Tasks that come, stay until they are let go, and leave. came: in which order."""

    def __init__(self, places: int) -> None:
        self.turns = Turns(places)
        self.came: list[float] = []
        self.go = asyncio.Event()

    def send(self, rank: float) -> "asyncio.Task[None]":
        return asyncio.create_task(self._stay(rank))

    async def _stay(self, rank: float) -> None:
        async with self.turns.turn(rank):
            self.came.append(rank)
            await self.go.wait()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_lowest_rank_that_waits_comes_next() -> None:
    crowd = Crowd(2)
    tasks = [crowd.send(rank) for rank in (9, 8, 7, 1, 5, 3, 3)]
    await settle()
    assert crowd.came == [9, 8]

    crowd.go.set()
    await asyncio.gather(*tasks)
    assert crowd.came == [9, 8, 1, 3, 3, 5, 7]


async def test_whoever_goes_away_while_waiting_takes_no_place() -> None:
    crowd = Crowd(1)
    first, second, third = (crowd.send(rank) for rank in (1, 2, 3))
    await settle()
    second.cancel()
    await settle()
    crowd.go.set()
    await asyncio.wait([first, second, third])

    assert crowd.came == [1, 3]


async def test_a_place_given_to_somebody_who_is_just_leaving_is_given_on() -> None:
    turns = Turns(1)
    got: list[str] = []

    async def come(name: str) -> None:
        async with turns.turn(1 if name == "second" else 2):
            got.append(name)

    async with turns.turn(0):
        second, third = asyncio.create_task(come("second")), asyncio.create_task(come("third"))
        await settle()
    second.cancel()  # it has been given the place, and has not run yet
    await asyncio.wait([second, third])

    assert got == ["third"]
    async with asyncio.timeout(20), turns.turn(0):
        pass


async def test_once_closed_nobody_gets_a_place_and_everybody_keeps_theirs() -> None:
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

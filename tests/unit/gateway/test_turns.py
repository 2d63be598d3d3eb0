"""A round of the event loop stays short, however many wait for their turn."""

import asyncio

import pytest

from sfu_wrapper.gateway.limits import Errands, Turns


async def rounds_of(turns: Turns, peers: int, messages: int) -> list[list[int]]:
    """Return which peers went on in each round, until every peer has had all its turns."""
    rounds: list[list[int]] = [[]]

    async def peer(number: int) -> None:
        for _ in range(messages):
            await turns.take()
            rounds[-1].append(number)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(peer(number)) for number in range(peers)]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0)
            rounds.append([])
    return [each for each in rounds if each]


async def test_a_round_is_short_however_many_wait() -> None:
    rounds = await rounds_of(Turns(3), peers=10, messages=4)

    assert max(len(each) for each in rounds) <= 3
    assert sum(len(each) for each in rounds) == 40


async def test_turns_come_round_in_the_order_of_arrival() -> None:
    rounds = await rounds_of(Turns(2), peers=5, messages=3)

    order = [number for each in rounds for number in each]
    assert order[:5] == [0, 1, 2, 3, 4]
    assert sorted(order[5:10]) == [0, 1, 2, 3, 4]


async def test_one_that_takes_many_messages_a_turn_counts_as_many() -> None:
    turns, order = Turns(4), []

    async def peer(name: str, weight: int) -> None:
        await turns.take(weight)
        order.append(name)

    async with asyncio.TaskGroup() as group:
        for name, weight in (("a", 4), ("b", 4), ("c", 1), ("d", 1), ("e", 4)):
            group.create_task(peer(name, weight))
        rounds = []
        while len(order) < 5:
            await asyncio.sleep(0)
            rounds.append("".join(order))

    assert [each for each in dict.fromkeys(rounds) if each] == ["a", "ab", "abcde"]


async def test_one_that_is_gone_takes_no_turn_from_others() -> None:
    turns = Turns(1)
    gone = [asyncio.create_task(turns.take()) for _ in range(100)]
    await asyncio.sleep(0)
    left = asyncio.create_task(turns.take())
    for each in gone:
        each.cancel()
    for _ in range(4):
        await asyncio.sleep(0)

    assert left.done()
    assert all(each.cancelled() for each in gone[1:])


async def errands_by_round(errands: Errands, count: int) -> list[list[int]]:
    """Return which errands were done in each round of the loop."""
    rounds: list[list[int]] = [[]]
    for number in range(count):
        errands.add(lambda number=number: rounds[-1].append(number))  # type: ignore[misc]  # number
    while sum(map(len, rounds)) < count:
        await asyncio.sleep(0)
        rounds.append([])
    return [each for each in rounds if each]


async def test_errands_are_done_in_order_and_a_few_in_a_round() -> None:
    rounds = await errands_by_round(Errands(3), 10)

    assert rounds == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]


async def test_errands_go_on_after_one_that_broke(caplog: pytest.LogCaptureFixture) -> None:
    errands = Errands(1)
    errands.add(lambda: 1 / 0)  # type: ignore[arg-type]  # breaks first

    assert await errands_by_round(errands, 3) == [[0], [1], [2]]
    assert "division by zero" in caplog.text

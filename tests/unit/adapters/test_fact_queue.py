"""What an adapter tells."""

import asyncio

import pytest

from sfu_wrapper.adapters.planes.fact_queue import FactQueue
from sfu_wrapper.model.errors import Unavailable


async def test_what_was_told_is_read_in_order_and_to_the_end() -> None:
    queue: FactQueue[int] = FactQueue()
    await queue.put(1)
    queue.put_at_once(2)
    queue.close()

    assert [told async for told in queue.read()] == [1, 2]


async def test_a_reader_that_waits_hears_of_the_end() -> None:
    queue: FactQueue[int] = FactQueue()
    reading = asyncio.ensure_future(_all(queue))
    await asyncio.sleep(0)
    queue.close()

    assert await reading == []


async def test_a_full_one_takes_no_more_and_ends_all_the_same() -> None:
    queue: FactQueue[int] = FactQueue(1)
    queue.put_at_once(1)
    with pytest.raises(Unavailable, match="queue of facts"):
        queue.put_at_once(2)
    queue.close()

    assert await _all(queue) == [1]


async def test_who_cannot_be_told_at_once_waits_for_room() -> None:
    queue: FactQueue[int] = FactQueue(1)
    queue.put_at_once(1)
    putting = asyncio.ensure_future(queue.put(2))
    reader = queue.read()

    assert [await anext(reader), await anext(reader)] == [1, 2]
    await putting


async def _all(queue: FactQueue[int]) -> list[int]:
    return [told async for told in queue.read()]

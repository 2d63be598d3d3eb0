"""What an adapter tells."""

import asyncio

import pytest

from sfu_wrapper.adapters.planes.fact_queue import FactQueue
from sfu_wrapper.model.errors import Unavailable


async def test_what_was_told_is_read_in_order_and_to_the_end() -> None:
    outlet: FactQueue[int] = FactQueue()
    await outlet.put(1)
    outlet.put_at_once(2)
    outlet.close()

    assert [told async for told in outlet.read()] == [1, 2]


async def test_a_reader_that_waits_hears_of_the_end() -> None:
    outlet: FactQueue[int] = FactQueue()
    reading = asyncio.ensure_future(_all(outlet))
    await asyncio.sleep(0)
    outlet.close()

    assert await reading == []


async def test_a_full_one_takes_no_more_and_ends_all_the_same() -> None:
    outlet: FactQueue[int] = FactQueue(1)
    outlet.put_at_once(1)
    with pytest.raises(Unavailable, match="queue of facts"):
        outlet.put_at_once(2)
    outlet.close()

    assert await _all(outlet) == [1]


async def test_who_cannot_be_told_at_once_waits_for_room() -> None:
    outlet: FactQueue[int] = FactQueue(1)
    outlet.put_at_once(1)
    putting = asyncio.ensure_future(outlet.put(2))
    reader = outlet.read()

    assert [await anext(reader), await anext(reader)] == [1, 2]
    await putting


async def _all(outlet: FactQueue[int]) -> list[int]:
    return [told async for told in outlet.read()]

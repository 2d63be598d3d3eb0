"""Timeouts in tasks that are being cancelled, or whose task group has failed.

Python 3.11.2, that of Debian 12, ends such a task instead of raising TimeoutError.
"""

import asyncio

import pytest

import sfu_wrapper

NEVER_S = 600.0


async def test_a_timeout_in_the_clean_up_of_a_cancelled_task_is_a_timeout() -> None:
    assert sfu_wrapper.__version__
    begun, timed_out = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.sleep(NEVER_S)
        finally:
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.sleep(NEVER_S)
            except TimeoutError:
                timed_out.set()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])

    assert timed_out.is_set()
    assert task.cancelled()


async def test_a_timeout_after_a_failed_task_group_is_a_timeout() -> None:
    async def fail() -> None:
        raise OSError

    with pytest.raises(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.sleep(NEVER_S)


async def test_a_cancellation_within_a_timeout_is_a_cancellation() -> None:
    begun = asyncio.Event()

    async def work() -> None:
        async with asyncio.timeout(NEVER_S):
            begun.set()
            await asyncio.sleep(NEVER_S)

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()

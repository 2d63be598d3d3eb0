"""Work in a thread that nobody waits for."""

import asyncio
import threading

import pytest

from sfu_wrapper.adapters.aside import THREAD, aside


async def test_work_aside_gives_what_it_returns_or_raises() -> None:
    assert await aside(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await aside(divmod, 7, 0)


async def test_work_aside_that_hangs_holds_nobody_up() -> None:
    """A hung network disk holds its thread for ever; what comes too late changes nothing."""
    let_go = threading.Event()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await aside(let_go.wait)
    assert all(thread.daemon for thread in started())

    let_go.set()
    for thread in started():
        await asyncio.to_thread(thread.join, 5)
    await asyncio.sleep(0)


def test_work_aside_that_ends_after_the_command_bothers_nobody() -> None:
    let_go = threading.Event()

    async def given_up() -> None:
        async with asyncio.timeout(0.01):
            await aside(let_go.wait)

    with pytest.raises(TimeoutError):
        asyncio.run(given_up())
    let_go.set()
    for thread in started():
        thread.join(5)
        assert not thread.is_alive()


def started() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD]

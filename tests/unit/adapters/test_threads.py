"""Work in a thread that nobody waits for."""

import asyncio
import threading

import pytest

from sfu_wrapper.adapters.os.threads import THREAD, BoundedThreadPool, run_in_daemon_thread


async def test_work_aside_gives_what_it_returns_or_raises() -> None:
    assert await run_in_daemon_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await run_in_daemon_thread(divmod, 7, 0)


async def test_work_aside_that_hangs_holds_nobody_up() -> None:
    """A hung network disk holds its thread for ever; what comes too late changes nothing."""
    release = threading.Event()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await run_in_daemon_thread(release.wait)
    assert all(thread.daemon for thread in started())

    release.set()
    for thread in started():
        await asyncio.to_thread(thread.join, 20)
    await asyncio.sleep(0)


def test_work_aside_that_ends_after_the_command_bothers_nobody() -> None:
    release = threading.Event()

    async def given_up() -> None:
        async with asyncio.timeout(0.01):
            await run_in_daemon_thread(release.wait)

    with pytest.raises(TimeoutError):
        asyncio.run(given_up())
    release.set()
    for thread in started():
        thread.join(20)
        assert not thread.is_alive()


async def test_what_hangs_in_a_lane_costs_no_more_threads_than_it_has_places() -> None:
    lane, release = BoundedThreadPool(2), threading.Event()

    for _ in range(5):
        with pytest.raises(TimeoutError):
            await lane.run(0.01, release.wait)
    assert len(started()) == 2

    release.set()
    assert await lane.run(20, divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await lane.run(20, divmod, 7, 0)
    for thread in started():
        await asyncio.to_thread(thread.join, 20)


async def test_a_system_without_threads_refuses_and_keeps_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    lane = BoundedThreadPool(1)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(3):
            with pytest.raises(BlockingIOError, match="no more threads"):
                await lane.run(5, divmod, 7, 2)
    assert await lane.run(5, divmod, 7, 2) == (3, 1)


def started() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD]

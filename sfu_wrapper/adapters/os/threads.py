"""Blocking calls in daemon threads, so that a hung disk or name server cannot delay process exit.

``asyncio.to_thread`` would keep the process alive until its threads are done.
"""

import asyncio
import errno
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, ParamSpec, TypeVar

THREAD: Final = "blocking-call"

Params = ParamSpec("Params")
Result = TypeVar("Result")


async def run_in_daemon_thread(
    work: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
) -> Result:
    """Run ``work`` in a new daemon thread and return its result.

    A cancelled caller does not stop the thread. Raises what ``work`` raises, and OSError where the
    system cannot start a thread.
    """
    return await _started(work, *args, **kwargs)


def _started(
    work: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
) -> asyncio.Future[Result]:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def settle(give: Callable[[], None]) -> None:
        if not done.done():
            give()

    def run() -> None:
        try:
            give = partial(done.set_result, work(*args, **kwargs))
        except Exception as error:  # of any kind: the caller gets it
            give = partial(done.set_exception, error)
        with suppress(RuntimeError):  # the loop has gone
            loop.call_soon_threadsafe(settle, give)

    try:
        threading.Thread(target=run, name=THREAD, daemon=True).start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, "no more threads can be started") from error
    return done


class BoundedThreadPool:
    """Daemon threads for calls with a deadline, at most ``places`` at a time.

    A call that hangs keeps its place until it ends, so that a service that never answers costs at
    most ``places`` threads; later calls then fail at their deadline without starting one.
    """

    def __init__(self, places: int) -> None:
        self._free = asyncio.Semaphore(places)

    async def run(
        self,
        within_s: float,
        work: Callable[Params, Result],
        *args: Params.args,
        **kwargs: Params.kwargs,
    ) -> Result:
        """Run ``work`` in a thread and return its result.

        Args:
            within_s: limit in seconds, the wait for a free place included.
            work: function to call.
            args: its positional arguments.
            kwargs: its keyword arguments.

        Raises:
            TimeoutError: there was no result in time.
            OSError: the system cannot start a thread.
        """
        loop = asyncio.get_running_loop()

        def work_and_leave() -> Result:
            try:
                return work(*args, **kwargs)
            finally:
                with suppress(RuntimeError):  # the loop has gone
                    loop.call_soon_threadsafe(self._free.release)

        async with asyncio.timeout(within_s):
            await self._free.acquire()
            try:
                working = _started(work_and_leave)
            except OSError:
                self._free.release()
                raise
            return await working

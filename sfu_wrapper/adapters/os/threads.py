"""Work in a thread that nobody waits for at the end: what hangs must not hold up our own end too.

``asyncio.to_thread`` keeps a process alive until its threads are done; a hung disk or name server
never is.
"""

import asyncio
import errno
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, ParamSpec, TypeVar

THREAD: Final = "aside"

Params = ParamSpec("Params")
Result = TypeVar("Result")


async def run_in_daemon_thread(
    work: Callable[Params, Result], *args: Params.args, **kwargs: Params.kwargs
) -> Result:
    """What it returns or raises; a caller that gives up leaves it to itself.

    Raises OSError too: the system gives no more threads.
    """
    return await _begun(work, *args, **kwargs)


def _begun(
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
        except Exception as error:  # whatever it is, it is the caller's
            give = partial(done.set_exception, error)
        with suppress(RuntimeError):  # the loop has gone
            loop.call_soon_threadsafe(settle, give)

    try:
        threading.Thread(target=run, name=THREAD, daemon=True).start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, "no more threads can be started") from error
    return done


class BoundedThreadPool:
    """Work aside for which somebody waits only so long, at most ``places`` at a time.

    What hangs keeps its place until it ends: something that never answers costs that many threads,
    and whoever comes later fails at the deadline without one.
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
        """What it returns or raises. TimeoutError (an OSError) where it does not come in time."""
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
                working = _begun(work_and_leave)
            except OSError:
                self._free.release()
                raise
            return await working

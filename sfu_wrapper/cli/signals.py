"""Signals that request a stop."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Yield an event that SIGTERM or SIGINT sets; a second one ends the process at once.

    Enter it before anything reports that it is ready: until then a signal ends the process as it
    would by default, without draining.
    """
    loop = asyncio.get_running_loop()
    requested = asyncio.Event()

    def request() -> None:
        requested.set()
        restore()

    def restore() -> None:
        for number in _SIGNALS:
            with suppress(ValueError):
                loop.remove_signal_handler(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, request)
    try:
        yield requested
    finally:
        restore()


async def stop_requested() -> None:
    """Wait for SIGTERM or SIGINT."""
    with stop_signals() as requested:
        await requested.wait()

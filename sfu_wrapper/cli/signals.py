"""Signals that request a stop."""

import asyncio
import signal


async def stop_requested() -> None:
    """Wait for SIGTERM or SIGINT; a second one ends the process at once, as it would by default."""
    loop = asyncio.get_running_loop()
    requested = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, requested.set)
    try:
        await requested.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)

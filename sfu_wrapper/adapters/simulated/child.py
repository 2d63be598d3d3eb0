"""The child process of the simulated plane: orders in, media files and reports out.

Orders come as lines on standard input, reports go as lines to standard output, logs to standard
error. The process closes every file and ends when its input ends, its parent dies or it gets
SIGTERM. ``capture_engine`` carries out the orders.
"""

import asyncio
import ctypes
import os
import signal
import sys
from asyncio.streams import FlowControlMixin
from contextlib import suppress
from typing import BinaryIO, Final

from sfu_wrapper.adapters.simulated.capture_engine import CaptureEngine, SendReport
from sfu_wrapper.adapters.simulated.messages import (
    LIMIT_BYTES,
    ORDERS,
    SETTINGS,
    Heartbeat,
    Order,
    Report,
    dump,
)

_ALIVE_EVERY_S: Final = 1.0
_SWEEP_EVERY_S: Final = 600.0
_UNDER_WAY: Final = 10_000  # orders carried out in parallel, at most
_PR_SET_PDEATHSIG: Final = 1


class _Over(Exception):
    """The input has ended."""


async def _serve(reader: asyncio.StreamReader, send_report: SendReport) -> None:
    """Carry out orders until the input ends or the task is cancelled."""
    engine = CaptureEngine(SETTINGS.load(await reader.readline()), send_report)
    slots = asyncio.Semaphore(_UNDER_WAY)

    async def carry_out(order: Order) -> None:
        try:
            await engine.carry_out(order)
        finally:
            slots.release()

    async def listen(tasks: asyncio.TaskGroup) -> None:
        while line := await reader.readline():
            await slots.acquire()
            tasks.create_task(carry_out(ORDERS.load(line)))
        raise _Over

    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(engine.pace())
            tasks.create_task(_send_heartbeats(send_report))
            tasks.create_task(_sweep(engine))
            tasks.create_task(listen(tasks))
    except* _Over:
        pass
    finally:
        engine.close()


async def _sweep(engine: CaptureEngine) -> None:
    while True:
        await asyncio.to_thread(engine.sweep)
        await asyncio.sleep(_SWEEP_EVERY_S)


async def _send_heartbeats(send_report: SendReport) -> None:
    while True:
        send_report(Heartbeat())
        await asyncio.sleep(_ALIVE_EVERY_S)


async def _main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LIMIT_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    output, _ = await loop.connect_write_pipe(FlowControlMixin, _take_output())

    def send_report(report: Report) -> None:
        if output.get_write_buffer_size() > LIMIT_BYTES:
            raise BrokenPipeError("the plane does not read the reports")
        output.write(dump(report))

    serving = asyncio.ensure_future(_serve(reader, send_report))
    loop.add_signal_handler(signal.SIGTERM, serving.cancel)
    _end_with_parent()
    with suppress(asyncio.CancelledError):
        await serving
    output.close()


def _take_output() -> BinaryIO:
    """Return the standard output for reports; all other prints go to standard error from now on."""
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "wb", buffering=0)


def _end_with_parent() -> None:
    """Request SIGTERM for the parent's death (Linux); elsewhere the input ends then."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    asyncio.run(_main())

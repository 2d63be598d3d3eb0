"""The simulated media plane: real encoded media of simulated participants, without an SFU.

Requests enter through ``send``, become orders (``request_tracker``) and go over a queue to a child
process that writes the media (``child``); its reports come back as facts. This module starts the
child, watches its heartbeats and replaces it after a crash. A new child is first asked to resume
the captures that were running, so that each of them is reported as lost or confirmed.
"""

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import sfu_wrapper
from sfu_wrapper.adapters.planes.fact_queue import FactQueue
from sfu_wrapper.adapters.simulated.faults import Faults
from sfu_wrapper.adapters.simulated.messages import (
    LIMIT_BYTES,
    REPORTS,
    Freeze,
    Order,
    Report,
    Settings,
    dump,
)
from sfu_wrapper.adapters.simulated.request_tracker import RequestTracker
from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.core.media_plane import PlaneFact, PlaneRequest
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.media import Medium

log = logging.getLogger(__name__)

_QUEUE: Final = 10_000
_CLOSE_S: Final = 4.0  # limit for a child to close its files
_BACKOFF: Final = Backoff(0.1, 5.0, factor=3.0)
_STABLE_AFTER_S: Final = 10.0  # the death of a child that lived longer resets the back-off


class _Gone(Exception):
    """Signal that the child has ended, or has stopped answering."""


class SimulatedPlane:
    """A ``MediaPlane`` that needs no SFU.

    Args:
        recordings_path: folder for videos.
        audio_path: folder for mixes.
        token: 8 hex digits, shown and encoded in every frame (``pattern``).
        faults: faults to inject (``faults``).
        width_px: width of a frame, a multiple of 32; the height is three quarters of it.
        fps: frames per second of a video.
        bit_rate: bit rate of a video, bit/s.
        silence_s: seconds without a report after which the child is replaced; it sends a heartbeat
            every second.

    Raises:
        ValueError: the token or the width is invalid.
    """

    def __init__(
        self,
        recordings_path: Path,
        audio_path: Path,
        *,
        token: str,
        faults: Faults = Faults(),  # noqa: B008 - frozen
        width_px: int = 320,
        fps: int = 15,
        bit_rate: int = 200_000,
        silence_s: float = 20.0,
    ) -> None:
        if len(bytes.fromhex(token)) != 4 or width_px % 32:
            raise ValueError("the token is 8 hex digits and the width a multiple of 32 px")
        self.token = token
        self._silence_s = silence_s
        self._settings = Settings(
            str(recordings_path.absolute()),
            str(audio_path.absolute()),
            token,
            width_px,
            fps,
            bit_rate,
        )
        self._requests = RequestTracker(Faults())
        self._orders: asyncio.Queue[Order] = asyncio.Queue(_QUEUE)
        self._facts: FactQueue[PlaneFact] = FactQueue()
        self._process: Process | None = None
        self._closed = asyncio.Event()
        self._childless = asyncio.Event()
        self._childless.set()
        self.set_faults(faults)

    @property
    def faults(self) -> Faults:
        """The injected faults that are left."""
        return self._requests.faults

    def is_available(self, medium: Medium) -> bool:
        """See ``MediaPlane``; one process writes both."""
        return self._process is not None

    @property
    def child_pid(self) -> int | None:
        """The running child process, if there is one."""
        return self._process.pid if self._process else None

    def set_faults(self, faults: Faults) -> None:
        """Replace the faults; requests handed over before keep theirs. Raises Unavailable."""
        self._requests.faults = faults
        if faults.freeze_s:
            self._put(Freeze(faults.freeze_s))

    def send(self, request: PlaneRequest) -> None:
        """See ``MediaPlane``."""
        self._check_room()
        order = self._requests.order(request)
        if order is not None:
            self._put(order)

    def facts(self) -> AsyncIterator[PlaneFact]:
        """See ``MediaPlane``; ends once the plane is closed and everything was read."""
        return self._facts.read()

    async def run(self) -> None:
        """See ``MediaPlane``; returns once the plane is closed."""
        loop = asyncio.get_running_loop()
        pauses_s, reborn = iter(_BACKOFF), False
        while not self._closed.is_set():
            born = loop.time()
            try:
                await self._live(reborn=reborn)
            except* (_Gone, OSError) as group:
                if not self._closed.is_set():
                    log.warning("plane.gone", extra={"error": str(group.exceptions[0])})
            if loop.time() - born > _STABLE_AFTER_S:
                pauses_s = iter(_BACKOFF)
            await self._sleep(next(pauses_s))
            reborn = True

    async def close(self) -> None:
        """See ``MediaPlane``."""
        self._closed.set()
        self._facts.close()
        await self._childless.wait()  # bounded: run() ends the child within _CLOSE_S

    def _put(self, order: Order) -> None:
        self._check_room()
        self._orders.put_nowait(order)

    def _check_room(self) -> None:
        if self._orders.full():
            raise Unavailable("the queue to the simulated media plane is full")

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), seconds)

    async def _live(self, *, reborn: bool) -> None:
        """Run one child. Raises _Gone when it ends, OSError when it cannot be started."""
        self._childless.clear()
        try:
            process = await _spawn()
        except BaseException:
            self._childless.set()
            raise
        self._process = process
        try:
            first: tuple[Order, ...] = ()
            facts: tuple[PlaneFact, ...] = ()
            if reborn:
                first, facts = self._requests.restart()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write(process, first))
                tasks.create_task(self._read(process, facts))
                tasks.create_task(self._until_closed())
        finally:
            try:
                await _stop(process)
            finally:
                self._process = None
                self._childless.set()

    async def _until_closed(self) -> None:
        await self._closed.wait()
        raise _Gone("the plane is closed")

    async def _write(self, process: Process, first: Iterable[Order]) -> None:
        stdin = process.stdin
        if stdin is None:
            raise _Gone("no pipe to the child")
        for message in (self._settings, *first):
            stdin.write(dump(message))
        while True:
            await stdin.drain()
            order = await self._orders.get()
            self._requests.sent(order)
            stdin.write(dump(order))

    async def _read(self, process: Process, facts: Iterable[PlaneFact]) -> None:
        stdout = process.stdout
        if stdout is None:
            raise _Gone("no pipe from the child")
        await self._publish(facts)
        while True:
            try:
                async with asyncio.timeout(self._silence_s):
                    line = await stdout.readline()
            except TimeoutError:
                process.kill()
                raise _Gone(f"silent for {self._silence_s:g} s") from None
            if not line:
                raise _Gone("the child has ended")
            report: Report = REPORTS.load(line)
            await self._publish(self._requests.handle(report))

    async def _publish(self, facts: Iterable[PlaneFact]) -> None:
        for fact in facts:
            await self._facts.put(fact)


async def _spawn() -> Process:
    """Start a child process from this package, in a session without the terminal's signals."""
    root = str(Path(sfu_wrapper.__file__).parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sfu_wrapper.adapters.simulated.child",
        stdin=PIPE,
        stdout=PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        limit=LIMIT_BYTES,
        start_new_session=True,
        umask=0o077,  # for folders of raw files, and their parents
    )


async def _stop(process: Process) -> None:
    """Close the child's input, at which it closes its files and ends; kill it on a timeout."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_CLOSE_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

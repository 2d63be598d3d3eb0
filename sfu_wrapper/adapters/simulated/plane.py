"""The simulated media plane: real encoded media of people who are not there.

A child process does the work (``child``); here are its life, the queues towards it and from it,
and its return after a death. What is asked and answered is kept by ``request_tracker``.
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
from sfu_wrapper.adapters.simulated.json_lines import LIMIT_BYTES, dump
from sfu_wrapper.adapters.simulated.messages import REPORTS, Freeze, Order, Report, Settings
from sfu_wrapper.adapters.simulated.request_tracker import RequestTracker
from sfu_wrapper.core.facts import PlaneFact
from sfu_wrapper.core.requests import PlaneRequest
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.media import Medium

log = logging.getLogger(__name__)

_QUEUE: Final = 10_000
_PARTING_S: Final = 4.0  # to close its files
_BACK_OFF_S: Final = (0.1, 0.5, 1.0, 2.0, 5.0)
_SOUND_AFTER_S: Final = 10.0  # a child that lived longer starts the back-off anew


class _Gone(Exception):
    """The child has ended, or does not answer any more."""


class SimulatedPlane:
    """A ``MediaPlane`` that needs no SFU.

    Args:
        recordings_path, audio_path: folders for the videos and the mixes.
        token: 8 hex digits, shown and encoded in every picture (``pattern``).
        faults: what is to go wrong (``faults``).
        width_px: of the pictures, a multiple of 32; the height is three quarters of it.
        fps, bit_rate: of one video.
        silence_s: a child that says nothing for so long is replaced; it speaks every second.

    Raises:
        ValueError: the token or the width is not as said.
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
        """What is left to go wrong."""
        return self._requests.faults

    def is_there(self, medium: Medium) -> bool:
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

    def tell(self, request: PlaneRequest) -> None:
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
        deaths = 0
        while not self._closed.is_set():
            born = loop.time()
            try:
                await self._live(reborn=deaths > 0)
            except* (_Gone, OSError) as group:
                if not self._closed.is_set():
                    log.warning("plane.gone", extra={"error": str(group.exceptions[0])})
            if loop.time() - born > _SOUND_AFTER_S:
                deaths = 0
            await self._sleep(_BACK_OFF_S[min(deaths, len(_BACK_OFF_S) - 1)])
            deaths += 1

    async def close(self) -> None:
        """See ``MediaPlane``."""
        self._closed.set()
        self._facts.close()
        await self._childless.wait()  # bounded: run() parts from the child within _PARTING_S

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
        """The life of one child. Raises _Gone at its end, OSError when it cannot be born."""
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
                first, facts = self._requests.take_up()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write(process, first))
                tasks.create_task(self._read(process, facts))
                tasks.create_task(self._until_closed())
        finally:
            try:
                await _part(process)
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
            await self._publish(self._requests.heard(report))

    async def _publish(self, facts: Iterable[PlaneFact]) -> None:
        for fact in facts:
            await self._facts.put(fact)


async def _spawn() -> Process:
    """Start a child of this very package, apart from the terminal's signals."""
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
        umask=0o077,  # folders of raw files, and those above them
    )


async def _part(process: Process) -> None:
    """The end of its input tells the child to close its files; one that does not is killed."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_PARTING_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

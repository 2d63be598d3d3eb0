"""What is asked of one room, carried out one after another, and what became of it.

A line outlives connections: with each new one it finds out whether its room is still there. One
that is not there any more died with Janus, and what it recorded ends where its files do. One that
is there has been recording all along.

Rules of this file
    1. One request at a time is under way at Janus, which would carry out two in any order.
    2. What nobody can know (a connection was lost meanwhile) is done again over the next one.
    3. While Janus is away a start is refused soon, a stop waits; what runs counts as lost later.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final, assert_never

from sfu_wrapper.adapters.janus.errors import JanusRefused, Trouble
from sfu_wrapper.adapters.janus.room import RUN_IN_S, Heard, JanusRoom, NotWritten, last_written_ms
from sfu_wrapper.adapters.janus.session import Handle, JanusEvent, JanusSession
from sfu_wrapper.adapters.janus.waiting import LIMIT, Asked, Waiting
from sfu_wrapper.core.facts import (
    CaptureChanged,
    CaptureFailed,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    PlaneFact,
    TracksCarried,
)
from sfu_wrapper.core.requests import (
    CloseMediaRoom,
    OpenMediaRoom,
    ResumeCapture,
    StartCapture,
    StopCapture,
)
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.ids import ConfbridgeId, RoomUuid
from sfu_wrapper.model.media import RawFile, Track

log = logging.getLogger(__name__)

Say = Callable[[PlaneFact], Awaitable[None]]

LOST_AFTER_S: Final = 10.0  # without Janus, what runs counts as lost
_PAUSE_S: Final = 0.2  # before looking again
DIED = "Janus, or the room in it, was gone while it recorded"
AWAY = "Janus cannot be reached"


class Line:
    """See the module. Made with its room's id, told what is asked, run until it is over.

    make_room: from the mixer's name of the room, as soon as it is known; None: as it was found.
    retire: called once nothing is left to do; nothing may be told after that.
    """

    def __init__(
        self,
        uuid: RoomUuid,
        make_room: Callable[[ConfbridgeId | None], JanusRoom],
        say: Say,
        retire: Callable[[RoomUuid], None],
    ) -> None:
        self.over = False
        self.settled = asyncio.Event()
        self._uuid = uuid
        self._make_room = make_room
        self._say = say
        self._retire = retire
        self._room = make_room(None)
        self._opened = False
        self._queue: deque[Waiting] = deque()
        self._wake = asyncio.Event()
        self._again_s: float | None = None
        self._run_in_s: float | None = None
        self._session: JanusSession | None = None
        self._away_since_s = time.monotonic()
        self._handle: Handle | None = None
        self._entered = False  # the room is there, and the handle is in it
        self._outworn = False  # the handle was in a room that is gone
        self._made = False  # the room was not there when it was last entered
        self._news = False
        self._running: CaptureStarted | None = None
        self._known: tuple[RawFile, ...] = ()  # its files as they were told last
        self._forsaken: CaptureRef | None = None  # may be written, without being wanted
        self._carried: tuple[Track, ...] | None = None  # as was told last

    def tell(self, request: Asked) -> None:
        """Put it into the queue. Raises Unavailable where that is full."""
        if self._session is None and any(each.request == request for each in self._queue):
            return  # asked once more because nothing came of it: one of them is enough
        if len(self._queue) >= LIMIT:
            raise Unavailable("too much waits for Janus in one room")
        self._queue.append(Waiting(request))
        self._wake.set()

    def connected(self, session: JanusSession) -> None:
        """There is a connection. ``settled`` is set once the room's fate is told."""
        self._session = session
        self._forget_handle()
        self.settled.clear()
        self._wake.set()

    def disconnected(self) -> None:
        """It is lost."""
        self._session = None
        self._away_since_s = time.monotonic()
        self._forget_handle()
        self.settled.set()
        self._wake.set()

    async def run(self) -> None:
        """Carry out what is asked, until the line is over."""
        while not self.over:
            await self._rest()
            session = self._session
            try:
                await self._turn()
            except Unavailable:
                self._forget_handle()  # the next connection wakes us
                if self._session is session:
                    self.settled.set()  # nothing more is found out over this one
                continue
            except Exception as error:  # refused, or a bug: what records must be stopped yet
                if not isinstance(error, JanusRefused):
                    log.exception("janus.roomBroke", extra={"room": self._uuid})
                await self._let_go()  # the room or our handle is gone: look again
                self._again_s = time.monotonic() + _PAUSE_S
            self.settled.set()

    async def shut(self) -> None:
        """Stop what runs, as well as it can be; nothing is said of it."""
        if self._running is not None and self._handle is not None:
            with suppress(Unavailable, JanusRefused):
                await self._room.cease(self._handle, self._running.capture)

    async def _rest(self) -> None:
        """Until something is to be done."""
        due_s = self._due_s()
        with suppress(TimeoutError):
            async with asyncio.timeout(None if due_s is None else due_s - time.monotonic()):
                await self._wake.wait()
        self._wake.clear()
        self._again_s = None

    def _due_s(self) -> float | None:
        if self._session is not None:
            return min(filter(None, (self._again_s, self._run_in_s)), default=None)
        dues = [each.by_s for each in self._queue if each.by_s is not None]
        if self._running is not None:
            dues.append(self._away_since_s + LOST_AFTER_S)
        return min(dues, default=None)

    async def _turn(self) -> None:
        if self._session is None:
            await self._without_janus()
            return
        handle = await self._attached(self._session)
        if self._opened and not self._entered:
            await self._look(handle)
        while self._queue:
            await self._try(self._queue[0], handle)
            self._queue.popleft()
            if self.over:
                return
        if self._run_in_s is not None and self._run_in_s <= time.monotonic():
            self._run_in_s = None
            if self._running is not None:
                await self._room.run_in(handle)
        if self._news:
            await self._tell_news()
        if not self._opened and not self._queue:
            await self._end_line(handle)

    async def _attached(self, session: JanusSession) -> Handle:
        if self._outworn:
            await self._let_go()  # it is bound to the room that is gone
        if self._handle is None:
            self._handle = await session.attach(self._room.plugin, self._hear)
        return self._handle

    def _hear(self, event: JanusEvent) -> None:
        if event.kind == "detached":
            self._forget_handle()
        elif event.kind == "event":
            heard = self._room.hear(event.data)
            if heard is Heard.NOTHING:
                return
            if heard is Heard.GONE:
                self._entered, self._outworn = False, True
            self._news = True
        self._wake.set()

    async def _look(self, handle: Handle) -> None:
        """Find out how the room is; a refusal is repeated to whoever asks for something."""
        try:
            await self._enter(handle)
        except JanusRefused as refused:
            self._require_other(refused)
            await self._lose(refused.detail)

    async def _try(self, waiting: Waiting, handle: Handle) -> None:
        """Carry it out, or say that it cannot be done."""
        try:
            await self._carry_out(waiting, handle)
        except JanusRefused as refused:
            self._require_other(refused)
            match waiting.request:
                case StartCapture(capture=capture):
                    await self._fail(capture, refused.detail)
                case ResumeCapture(capture=capture):
                    await self._say(await self._lost(capture, refused.detail))

    def _require_other(self, refused: JanusRefused) -> None:
        """A refusal for a reason that will stay; for another one all is looked at again."""
        if refused.trouble in (Trouble.NO_SUCH_ROOM, Trouble.NO_SUCH_SESSION):
            raise refused
        log.warning("janus.refused", extra={"room": self._uuid, "error": refused.detail})

    async def _enter(self, handle: Handle) -> None:
        """Find out how the room is, or make it; what ran in one that is gone is lost."""
        self._made = await self._room.make(handle)
        await self._room.watch(handle)
        self._entered = True
        if self._running is not None and self._made:
            await self._lose(DIED)
        forsaken = self._forsaken
        if forsaken is not None and not self._starts(forsaken):
            await self._stop(forsaken, handle)
            self._forsaken = None
        self._news = True

    def _starts(self, capture: CaptureRef) -> bool:
        """Whether this capture is about to be started once more."""
        first = self._queue[0] if self._queue else None
        return first is not None and first.starts(capture)

    async def _carry_out(self, waiting: Waiting, handle: Handle) -> None:
        request = waiting.request
        match request:
            case OpenMediaRoom(confbridge_id=confbridge_id):
                await self._open(confbridge_id, handle)
            case StartCapture() if waiting.is_late:
                await self._say(CaptureFailed(request.capture, AWAY))
            case StartCapture():
                await self._start(request, handle)
            case StopCapture(capture=capture):
                await self._stop(capture, handle)
            case ResumeCapture():
                await self._resume(request, handle)
            case CloseMediaRoom():
                if self._running is not None:
                    await self._stop(self._running.capture, handle)
                if not self._opened:
                    self._room = self._make_room(None)  # its name may have been found since
                await self._room.destroy(handle)
                await self._end_line(handle)
            case _:
                assert_never(request)

    async def _open(self, confbridge_id: ConfbridgeId, handle: Handle) -> None:
        if not self._opened:
            self._room = self._make_room(confbridge_id)
            self._opened = True
        if not self._entered:
            await self._enter(handle)

    async def _start(self, request: StartCapture, handle: Handle) -> None:
        capture = request.capture
        if self._running is None or self._running.capture != capture:
            await self._open(request.confbridge_id, handle)
            if self._running is not None:  # its segment was given up meanwhile
                await self._stop(self._running.capture, handle)
            self._forsaken = capture  # until it is known what became of it
            try:
                started_ms = await self._room.record(handle, capture)
            except NotWritten as error:
                self._forsaken = None
                await self._fail(capture, error.detail)
                return
            self._forsaken = None
            self._known = ()
            self._running = CaptureStarted(capture, started_ms)
            self._run_in_s = time.monotonic() + RUN_IN_S
        self._known, _ = await self._files(capture, running=True)
        await self._say(replace(self._running, files=self._known))

    async def _fail(self, capture: CaptureRef, message: str) -> None:
        files, _ = await self._files(capture, running=False)
        if files:  # of some publishers, or of an earlier try
            await self._say(CaptureLost(capture, last_written_ms(files), files, message))
        else:
            await self._say(CaptureFailed(capture, message))

    async def _stop(self, capture: CaptureRef, handle: Handle) -> None:
        runs = self._running is not None and self._running.capture == capture
        if runs or self._running is None:
            await self._room.cease(handle, capture)
        files, error = await self._files(capture, running=False)
        if runs:
            self._running = None
        if error is None:
            await self._say(CaptureStopped(capture, _now_ms(), files))
        else:
            await self._say(CaptureLost(capture, _now_ms(), files, error))

    async def _resume(self, request: ResumeCapture, handle: Handle) -> None:
        capture = request.capture
        if self._running is None and self._room.room is not None:
            if not self._entered:
                await self._enter(handle)
            if not self._made:
                await self._room.go_on(handle, capture)
                files, _ = await self._files(capture, running=True)
                started_ms = min((file.started_ms for file in files), default=_now_ms())
                self._running = CaptureStarted(capture, started_ms)
        if self._running is None or self._running.capture != capture:
            await self._say(await self._lost(capture, DIED))
            return
        self._known, _ = await self._files(capture, running=True)
        await self._say(replace(self._running, files=self._known))

    async def _without_janus(self) -> None:
        """Answer what cannot wait, whatever waits before it."""
        late = [each for each in self._queue if each.is_late]
        for waiting in late:
            self._queue.remove(waiting)
            match waiting.request:
                case StartCapture(capture=capture):
                    await self._say(CaptureFailed(capture, AWAY))
                case ResumeCapture(capture=capture):
                    self._forsaken = capture
                    await self._say(await self._lost(capture, AWAY))
        away_s = time.monotonic() - self._away_since_s
        if self._running is not None and away_s >= LOST_AFTER_S:
            self._forsaken = self._running.capture  # it may be written after all
            await self._lose(AWAY)

    async def _lose(self, message: str) -> None:
        running, self._running = self._running, None
        if running is not None:
            await self._say(await self._lost(running.capture, message))

    async def _lost(self, capture: CaptureRef, message: str) -> CaptureLost:
        files, _ = await self._files(capture, running=False)
        return CaptureLost(capture, last_written_ms(files), files, message)

    async def _tell_news(self) -> None:
        self._news = False
        if self._carried != self._room.tracks:
            self._carried = self._room.tracks
            await self._say(TracksCarried(self._uuid, self._room.medium, self._carried))
        if self._running is not None:
            files, error = await self._files(self._running.capture, running=True)
            if error is None and files != self._known:
                self._known = files
                await self._say(CaptureChanged(self._running.capture, files))

    async def _files(
        self, capture: CaptureRef, *, running: bool
    ) -> tuple[tuple[RawFile, ...], str | None]:
        """What the disk holds; where it cannot be read, what was known, and why."""
        try:
            return await self._room.files(capture, running=running), None
        except OSError as error:
            why = error.strerror or "their folder does not answer"  # a deadline has no words
            log.warning(
                "janus.folderUnreadable", extra={"room": self._uuid, "error": str(error) or why}
            )
            ours = self._running is not None and self._running.capture == capture
            return self._known if ours else (), f"the recordings cannot be read: {why}"

    async def _end_line(self, handle: Handle) -> None:
        self.over = True
        self._retire(self._uuid)
        await handle.detach()

    async def _let_go(self) -> None:
        """Of the handle: one that is only forgotten stays in the room, as one more monitor."""
        handle = self._handle
        self._forget_handle()
        if handle is not None:
            await handle.detach()

    def _forget_handle(self) -> None:
        self._handle = None
        self._entered = self._outworn = False


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

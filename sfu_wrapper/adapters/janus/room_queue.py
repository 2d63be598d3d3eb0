"""What is asked of one room, carried out one after another, over whatever connection there is.

A line outlives connections: with each new one it finds out whether its room is still there.

Rules of this file
    1. One request at a time is under way at Janus, which would carry out two in any order.
    2. What nobody can know (a connection was lost meanwhile) is done again over the next one.
    3. While Janus is away a start is refused soon, a stop waits; what runs counts as lost later.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, assert_never

from sfu_wrapper.adapters.janus.errors import JanusRefused, Trouble
from sfu_wrapper.adapters.janus.room import JanusRoom
from sfu_wrapper.adapters.janus.room_capture import AWAY, RoomCapture, Say
from sfu_wrapper.adapters.janus.session import Handle, JanusEvent, JanusSession, Json
from sfu_wrapper.adapters.janus.waiting import LIMIT, Asked, QueuedRequest
from sfu_wrapper.core.facts import CaptureFailed, CaptureRef, CaptureStarted
from sfu_wrapper.core.requests import (
    CloseMediaRoom,
    OpenMediaRoom,
    ResumeCapture,
    StartCapture,
    StopCapture,
)
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.ids import RoomUuid

log = logging.getLogger(__name__)

LOST_AFTER_S: Final = 10.0  # without Janus, what runs counts as lost
_PAUSE_S: Final = 0.2  # before looking again


class RoomQueue:
    """See the module. Made with its room's id, told what is asked, run until it is over.

    older: see ``RoomCapture``.
    retire: called once nothing is left to do; nothing may be told after that.
    """

    def __init__(
        self,
        uuid: RoomUuid,
        room: JanusRoom,
        older: Callable[[], Iterable[JanusRoom]],
        say: Say,
        retire: Callable[[RoomUuid], None],
    ) -> None:
        self.uuid = uuid
        self.over = False
        self.settled = asyncio.Event()
        self._say = say
        self._retire = retire
        self._recorder = RoomCapture(uuid, room, older, say, self._will_start)
        self._queue: deque[QueuedRequest] = deque()
        self._wake = asyncio.Event()
        self._again_s: float | None = None
        self._session: JanusSession | None = None
        self._away_since_s = time.monotonic()
        self._handle: Handle | None = None

    @property
    def recording(self) -> CaptureStarted | None:
        """See ``Watched``."""
        return self._recorder.recording

    def is_recorded(self, listed: Json, capture: CaptureRef) -> bool:
        """See ``Watched``."""
        return self._recorder.is_recorded(listed, capture)

    def written_bytes(self, capture: CaptureRef) -> int | None:
        """See ``Watched``."""
        return self._recorder.written_bytes(capture)

    def doubt(self, recording: CaptureStarted, why: str) -> None:
        """See ``Watched``."""
        self._recorder.doubt(recording, why)
        self._wake.set()

    def doubt_room(self) -> None:
        """See ``Watched``."""
        self._recorder.doubt_room()
        self._wake.set()

    def tell(self, request: Asked) -> None:
        """Put it into the queue. Raises Unavailable where that is full."""
        if self._session is None and any(each.request == request for each in self._queue):
            return  # asked once more because nothing came of it: one of them is enough
        if len(self._queue) >= LIMIT:
            raise Unavailable("too much waits for Janus in one room")
        self._queue.append(QueuedRequest(request))
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
                    log.exception("janus.roomBroke", extra={"room": self.uuid})
                await self._let_go()  # the room or our handle is gone: look again
                self._again_s = time.monotonic() + _PAUSE_S
            self.settled.set()

    async def shut(self) -> None:
        """Stop what runs, as well as it can be; nothing is said of it."""
        if self._handle is not None:
            await self._recorder.cease(self._handle)

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
            return min(filter(None, (self._again_s, self._recorder.run_in_s)), default=None)
        dues = [each.by_s for each in self._queue if each.by_s is not None]
        if self.recording is not None:
            dues.append(self._away_since_s + LOST_AFTER_S)
        return min(dues, default=None)

    async def _turn(self) -> None:
        if self._session is None:
            await self._without_janus()
            return
        handle = await self._attached(self._session)
        await self._look(handle)
        await self._recorder.resolve_doubt()
        while self._queue:
            await self._try(self._queue[0], handle)
            self._queue.popleft()
            if self._recorder.outworn:
                break
        await self._recorder.run_in(handle)
        await self._recorder.tell_news()
        if self._queue:
            self._wake.set()  # over another handle
        elif not self._recorder.opened:
            await self._end_line(handle)

    async def _attached(self, session: JanusSession) -> Handle:
        if self._recorder.outworn:
            await self._let_go()  # it is bound to the room that is gone
        if self._handle is None:
            self._handle = await session.attach(self._recorder.plugin, self._hear)
        return self._handle

    def _hear(self, event: JanusEvent) -> None:
        if event.kind == "detached":
            self._forget_handle()
        elif event.kind == "event" and not self._recorder.hear(event.data):
            return
        self._wake.set()

    async def _look(self, handle: Handle) -> None:
        """Find out how the room is; a refusal is repeated to whoever asks for something."""
        try:
            await self._recorder.look(handle)
        except JanusRefused as refused:
            self._require_other(refused)
            await self._recorder.lose(refused.detail)

    async def _try(self, waiting: QueuedRequest, handle: Handle) -> None:
        """Carry it out, or say that it cannot be done."""
        try:
            await self._carry_out(waiting, handle)
        except JanusRefused as refused:
            self._require_other(refused)
            match waiting.request:
                case StartCapture(capture=capture):
                    await self._recorder.fail(capture, refused.detail)
                case ResumeCapture(capture=capture):
                    await self._recorder.give_up(capture, refused.detail)

    def _require_other(self, refused: JanusRefused) -> None:
        """A refusal for a reason that will stay; for another one all is looked at again."""
        if refused.trouble in (Trouble.NO_SUCH_ROOM, Trouble.NO_SUCH_SESSION):
            raise refused
        log.warning("janus.refused", extra={"room": self.uuid, "error": refused.detail})

    def _will_start(self, capture: CaptureRef) -> bool:
        first = self._queue[0] if self._queue else None
        return first is not None and first.starts(capture)

    async def _carry_out(self, waiting: QueuedRequest, handle: Handle) -> None:
        match waiting.request:
            case OpenMediaRoom(confbridge_id=confbridge_id):
                await self._recorder.open(confbridge_id, handle)
            case StartCapture(capture=capture) if waiting.is_late:
                await self._say(CaptureFailed(capture, AWAY))
            case StartCapture(capture=capture, confbridge_id=confbridge_id):
                await self._recorder.start(capture, confbridge_id, handle)
            case StopCapture(capture=capture):
                await self._recorder.stop(capture, handle)
            case ResumeCapture(capture=capture):
                await self._recorder.resume(capture, handle)
            case CloseMediaRoom():
                await self._recorder.close(handle)
            case other:
                assert_never(other)

    async def _without_janus(self) -> None:
        """Answer what cannot wait, whatever waits before it."""
        late = [each for each in self._queue if each.is_late]
        for waiting in late:
            self._queue.remove(waiting)
            match waiting.request:
                case StartCapture(capture=capture):
                    await self._say(CaptureFailed(capture, AWAY))
                case ResumeCapture(capture=capture):
                    await self._recorder.give_up(capture, AWAY, unseen=True)
        if time.monotonic() - self._away_since_s >= LOST_AFTER_S:
            await self._recorder.lose(AWAY, unseen=True)

    async def _end_line(self, handle: Handle) -> None:
        self.over = True
        self._retire(self.uuid)
        await handle.detach()

    async def _let_go(self) -> None:
        """Of the handle: one that is only forgotten stays in the room, as one more monitor."""
        handle = self._handle
        self._forget_handle()
        if handle is not None:
            await handle.detach()

    def _forget_handle(self) -> None:
        self._handle = None
        self._recorder.forget_handle()

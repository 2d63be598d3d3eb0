"""Request queue of one room at Janus: one request at a time, over the current connection.

Enters: requests (``send``), connections (``connected``, ``disconnected``), events of the room's
handle, and recordings that ``watch`` believes to have ended. Each sets ``_wake``. Leaves: facts,
reported by ``RoomCapture``, which carries the requests out. ``run`` waits until it is woken or a
deadline is due. Then, in this order, it attaches a handle, reads the state of the room, verifies
what ``watch`` found, carries out the queued requests and reports changes. A queue outlives
connections and ends once its room is closed and no request is left.

Rules of this file
    1. At most one request is under way at Janus, which carries out concurrent ones in any order.
    2. A request whose outcome is unknown, because the connection was lost, is repeated over the
       next connection.
    3. While Janus is unavailable, a start fails after ``START_WAITS_S``, a stop waits, and the
       running capture is lost after ``LOST_AFTER_S``.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, assert_never

from sfu_wrapper.adapters.janus.errors import JanusRefused, Trouble
from sfu_wrapper.adapters.janus.room import JanusRoom
from sfu_wrapper.adapters.janus.room_capture import UNREACHABLE, Emit, RoomCapture
from sfu_wrapper.adapters.janus.session import Handle, JanusEvent, JanusSession, Json
from sfu_wrapper.core.media_plane import (
    CaptureFailed,
    CaptureRef,
    CaptureStarted,
    CloseMediaRoom,
    OpenMediaRoom,
    ResumeCapture,
    StartCapture,
    StopCapture,
)
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import RoomUuid

log = logging.getLogger(__name__)

RoomRequest = OpenMediaRoom | CloseMediaRoom | StartCapture | StopCapture | ResumeCapture

LIMIT: Final = 64  # requests of one room
START_WAITS_S: Final = 3.0  # for Janus to become available
LOST_AFTER_S: Final = 10.0  # without Janus a running capture counts as lost
_PAUSE_S: Final = 0.2  # before the retry


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """Request in the queue of a room.

    Attributes:
        request: The request.
        queued_s: Time of queueing, monotonic.
    """

    request: RoomRequest
    queued_s: float = field(default_factory=time.monotonic)

    @property
    def deadline_s(self) -> float | None:
        """Deadline for Janus to become available, monotonic; None for requests that just wait."""
        soon = isinstance(self.request, StartCapture | ResumeCapture)
        return self.queued_s + START_WAITS_S if soon else None

    @property
    def is_late(self) -> bool:
        """True once the deadline has passed."""
        return self.deadline_s is not None and self.deadline_s <= time.monotonic()

    def starts(self, capture: CaptureRef) -> bool:
        """Return True if this is a start of the capture whose deadline has not passed."""
        match self.request:
            case StartCapture(capture=started):
                return started == capture and not self.is_late
        return False


class RoomQueue:
    """Queue of one room; ``run`` returns once it is over.

    Args:
        uuid: Our room.
        room: The room at the plugin.
        older: See ``RoomCapture``.
        emit: Called with each fact.
        retire: Called once the queue is over; it takes no requests after that.

    Attributes:
        over: True once the room is closed and no request is left.
        settled: Set once the state of the room over the current connection is reported.
    """

    def __init__(
        self,
        uuid: RoomUuid,
        room: JanusRoom,
        older: Callable[[], Iterable[JanusRoom]],
        emit: Emit,
        retire: Callable[[RoomUuid], None],
    ) -> None:
        self.uuid = uuid
        self.over = False
        self.settled = asyncio.Event()
        self._emit = emit
        self._retire = retire
        self._capture = RoomCapture(uuid, room, older, emit, self._will_start)
        self._queue: deque[QueuedRequest] = deque()
        self._wake = asyncio.Event()
        self._retry_s: float | None = None
        self._session: JanusSession | None = None
        self._unavailable_since_s = time.monotonic()
        self._handle: Handle | None = None

    @property
    def recording(self) -> CaptureStarted | None:
        """See ``Watched``."""
        return self._capture.recording

    def is_recorded(self, listed: Json, capture: CaptureRef) -> bool:
        """See ``Watched``."""
        return self._capture.is_recorded(listed, capture)

    def written_bytes(self, capture: CaptureRef) -> int | None:
        """See ``Watched``."""
        return self._capture.written_bytes(capture)

    def mark_ended(self, recording: CaptureStarted, why: str) -> None:
        """See ``Watched``."""
        self._capture.mark_ended(recording, why)
        self._wake.set()

    def mark_gone(self) -> None:
        """See ``Watched``."""
        self._capture.mark_gone()
        self._wake.set()

    def send(self, request: RoomRequest) -> None:
        """Append a request. Raises Unavailable if the queue is full."""
        if self._session is None and any(each.request == request for each in self._queue):
            return  # a repeat of a request that still waits: one is enough
        if len(self._queue) >= LIMIT:
            raise Unavailable("too many requests of one room wait for Janus; try again")
        self._queue.append(QueuedRequest(request))
        self._wake.set()

    def connected(self, session: JanusSession) -> None:
        """Use this session. ``settled`` is set once the state of the room is reported."""
        self._session = session
        self._forget_handle()
        self.settled.clear()
        self._wake.set()

    def disconnected(self) -> None:
        """Note that the session is lost."""
        self._session = None
        self._unavailable_since_s = time.monotonic()
        self._forget_handle()
        self.settled.set()
        self._wake.set()

    async def run(self) -> None:
        """Carry out requests until the queue is over."""
        while not self.over:
            await self._wait()
            session = self._session
            try:
                await self._turn()
            except Unavailable:
                self._forget_handle()  # the next connection wakes us
                if self._session is session:
                    self.settled.set()  # this session yields no more state
                continue
            except Exception as error:  # refusal or bug: a running capture must still be stopped
                if not isinstance(error, JanusRefused):
                    log.exception("janus.roomFailed", extra={"room": self.uuid})
                await self._release_handle()  # room or handle is gone: retry with a new handle
                self._retry_s = time.monotonic() + _PAUSE_S
            self.settled.set()

    async def shut_down(self) -> None:
        """Stop the running capture without a report; errors are ignored."""
        if self._handle is not None:
            await self._capture.stop_recording(self._handle)

    async def _wait(self) -> None:
        """Wait until woken or until a deadline is due."""
        due_s = self._due_s()
        with suppress(TimeoutError):
            async with asyncio.timeout(None if due_s is None else due_s - time.monotonic()):
                await self._wake.wait()
        self._wake.clear()
        self._retry_s = None

    def _due_s(self) -> float | None:
        if self._session is not None:
            return min(filter(None, (self._retry_s, self._capture.warm_up_ends_s)), default=None)
        dues = [each.deadline_s for each in self._queue if each.deadline_s is not None]
        if self.recording is not None:
            dues.append(self._unavailable_since_s + LOST_AFTER_S)
        return min(dues, default=None)

    async def _turn(self) -> None:
        if self._session is None:
            await self._without_janus()
            return
        handle = await self._attached(self._session)
        await self._refresh(handle)
        await self._capture.resolve_doubt()
        while self._queue:
            await self._try(self._queue[0], handle)
            self._queue.popleft()
            if self._capture.stale:
                break
        await self._capture.finish_warm_up(handle)
        await self._capture.report_changes()
        if self._queue:
            self._wake.set()  # continue over another handle
        elif not self._capture.opened:
            await self._end(handle)

    async def _attached(self, session: JanusSession) -> Handle:
        if self._capture.stale:
            await self._release_handle()  # it is bound to a room that is gone
        if self._handle is None:
            self._handle = await session.attach(self._capture.plugin, self._on_event)
        return self._handle

    def _on_event(self, event: JanusEvent) -> None:
        if event.kind == "detached":
            self._forget_handle()
        elif event.kind == "event" and not self._capture.handle_event(event.data):
            return
        self._wake.set()

    async def _refresh(self, handle: Handle) -> None:
        """Enter the room if needed; a lasting refusal ends the running capture."""
        try:
            await self._capture.refresh(handle)
        except JanusRefused as refused:
            self._require_other(refused)
            await self._capture.lose(refused.detail)

    async def _try(self, queued: QueuedRequest, handle: Handle) -> None:
        """Carry out a request, or report its failure."""
        try:
            await self._carry_out(queued, handle)
        except JanusRefused as refused:
            self._require_other(refused)
            match queued.request:
                case StartCapture(capture=capture):
                    await self._capture.fail(capture, refused.detail)
                case ResumeCapture(capture=capture):
                    await self._capture.give_up(capture, refused.detail)

    def _require_other(self, refused: JanusRefused) -> None:
        """Raise refusals that a new handle can solve; log those that will stay."""
        if refused.trouble in (Trouble.NO_SUCH_ROOM, Trouble.NO_SUCH_SESSION):
            raise refused
        log.warning("janus.refused", extra={"room": self.uuid, "error": refused.detail})

    def _will_start(self, capture: CaptureRef) -> bool:
        first = self._queue[0] if self._queue else None
        return first is not None and first.starts(capture)

    async def _carry_out(self, queued: QueuedRequest, handle: Handle) -> None:
        match queued.request:
            case OpenMediaRoom(confbridge_id=confbridge_id):
                await self._capture.open(confbridge_id, handle)
            case StartCapture(capture=capture) if queued.is_late:
                await self._emit(CaptureFailed(capture, UNREACHABLE))
            case StartCapture(capture=capture, confbridge_id=confbridge_id):
                await self._capture.start(capture, confbridge_id, handle)
            case StopCapture(capture=capture):
                await self._capture.stop(capture, handle)
            case ResumeCapture(capture=capture):
                await self._capture.resume(capture, handle)
            case CloseMediaRoom():
                await self._capture.close(handle)
            case other:
                assert_never(other)

    async def _without_janus(self) -> None:
        """Fail requests that cannot wait for Janus, wherever they are in the queue."""
        late = [each for each in self._queue if each.is_late]
        for queued in late:
            self._queue.remove(queued)
            match queued.request:
                case StartCapture(capture=capture):
                    await self._emit(CaptureFailed(capture, UNREACHABLE))
                case ResumeCapture(capture=capture):
                    await self._capture.give_up(capture, UNREACHABLE, unseen=True)
        if time.monotonic() - self._unavailable_since_s >= LOST_AFTER_S:
            await self._capture.lose(UNREACHABLE, unseen=True)

    async def _end(self, handle: Handle) -> None:
        self.over = True
        self._retire(self.uuid)
        await handle.detach()

    async def _release_handle(self) -> None:
        """Detach the handle: one that is only forgotten stays in the room as another monitor."""
        handle = self._handle
        self._forget_handle()
        if handle is not None:
            await handle.detach()

    def _forget_handle(self) -> None:
        self._handle = None
        self._capture.forget_handle()

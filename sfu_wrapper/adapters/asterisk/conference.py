"""Audio of one room: its captures as recordings of one ConfBridge conference.

Enters: requests of the room and nudges from events, from the link and from ``watch``. All go into
one queue, which ``run`` takes one after another. Leaves: facts about captures (``context.emit``).
``ConferenceRecorder`` starts and stops recordings at Asterisk, ``ConferenceFiles`` knows their
files; this module decides which capture is wanted, when to record, and what to report.

Rules of this file
    1. A conference exists only while it has a member; a capture may outlast it. A start is
       accepted for an empty conference: the file begins with the first member to enter and ends
       with the last to leave, and the next member to enter begins another file.
    2. If a published audio track promises a speaker, the start is confirmed only once the
       conference is recorded.
    3. At most one room uses a conference at a time; the next one waits ``TURN_WITHIN_S``.
    4. A recording given up as lost may still be running at Asterisk (``_stray``). It is stopped
       before the next start and as soon as the link is up again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, assert_never

from sfu_wrapper.adapters.asterisk.ami import Ami, Message
from sfu_wrapper.adapters.asterisk.conference_files import ConferenceFiles, last_ms
from sfu_wrapper.adapters.asterisk.folder import Fate, Folder
from sfu_wrapper.adapters.asterisk.recording_file import ConferenceRecorder, Outcome, RecordingFile
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureFailed,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    CloseMediaRoom,
    PlaneFact,
    ResumeCapture,
    StartCapture,
    StopCapture,
)
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import ConfbridgeId, RoomUuid
from sfu_wrapper.model.media import RawFile, Stream

log = logging.getLogger(__name__)

TURN_WITHIN_S: Final = 3.0  # wait for an earlier room to release the conference

UNREACHABLE = "Asterisk cannot be reached"
ALREADY_RECORDED = "the conference is already being recorded, and not by this controller"
STOPPED_ELSEWHERE = "another client stopped the recording at Asterisk"
BUSY = "the previous recording of the room has not ended yet"
TAKEN = "another room uses the conference"
CUT = "the file is shorter than the recording: Asterisk hung"
NOT_FINISHED = "Asterisk did not finish the file of the recording: check the space of its disk"
NOT_WRITTEN = "Asterisk stopped writing the file"


class Nudge(StrEnum):
    """Hints about changes at Asterisk, queued between the requests of the room."""

    BEGUN = "begun"  # the conference has a member
    ENDED = "ended"  # a recording has ended
    LINK = "link"  # the link to Asterisk came up or went down
    STALLED = "stalled"  # the file no longer grows


Order = StartCapture | StopCapture | ResumeCapture | CloseMediaRoom | Nudge


@dataclass(frozen=True, slots=True)
class ConferenceContext:
    """Dependencies that all conferences share; ``delay_ms`` is the lag of audio behind video."""

    ami: Ami
    folder: Folder
    delay_ms: int
    now_ms: Callable[[], int]
    emit: Callable[[PlaneFact], Awaitable[None]]


class Conference:
    """Conference of one room; ``run`` carries out its orders one after another.

    Args:
        before: Returns the earliest other room with the same conference; None if there is none.

    Attributes:
        over: True once the room is closed and its recording has ended.
        done: Set once this room has released the conference.
    """

    def __init__(
        self,
        context: ConferenceContext,
        room: RoomUuid,
        name: ConfbridgeId,
        before: Callable[["Conference"], "Conference | None"],
    ) -> None:
        self.room = room
        self.name = name
        self.over = False
        self.done = asyncio.Event()
        self._context = context
        self._before = before
        self._recorder = ConferenceRecorder(context.ami, context.folder, context.now_ms)
        self._orders: asyncio.Queue[Order] = asyncio.Queue()  # the plane bounds it
        self._capture: CaptureRef | None = None  # the capture that is wanted
        self._confirmed: CaptureStarted | None = None  # its start, once reported
        self._audible = False
        self._stopping = False
        self._stray = False  # a capture given up as lost may still be recorded
        self._closing = False
        self._files = ConferenceFiles(name, context.folder, context.delay_ms, context.now_ms)
        self._stopped_ms: dict[CaptureRef, int] = {}

    @property
    def waiting(self) -> int:
        """Number of orders in the queue."""
        return self._orders.qsize()

    @property
    def written(self) -> str | None:
        """File that Asterisk must be writing now, as far as known; None if there is none."""
        file = self._recorder.current
        waits = file is None or file.recorded_ms is None or file.stopped_ms is not None
        return None if waits or file is None or self._stopping else file.name

    def put(self, order: Order) -> None:
        """Append an order to the queue."""
        self._orders.put_nowait(order)

    def handle_event(self, message: Message) -> None:
        """Apply an event of this conference and queue the nudge that follows from it."""
        self._recorder.handle_event(message)
        if message.event == "ConfbridgeStopRecord" and self._recorder.current is None:
            self._stray = False  # the capture given up as lost has ended
        if message.event in ("ConfbridgeStart", "ConfbridgeRecord") and self._capture is not None:
            self.put(Nudge.BEGUN)  # possibly a recording whose answer was lost
        elif message.event == "ConfbridgeStopRecord" and self._recorder.current is not None:
            self.put(Nudge.ENDED)

    async def run(self) -> None:
        """Carry out orders until the room is closed."""
        while not (self.over and self._orders.empty()):
            order = await self._orders.get()
            match order:
                case StartCapture():
                    await self._start(order)
                case StopCapture(capture=capture):
                    await self._stop(capture)
                case ResumeCapture():
                    await self._resume(order)
                case CloseMediaRoom():
                    self._closing = True
                    await self._release()
                    await self._sweep()
                case Nudge.BEGUN:
                    await self._begin_if_wanted()
                case Nudge.ENDED:
                    await self._handle_end()
                case Nudge.LINK:
                    await self._refresh()
                case Nudge.STALLED:
                    await self._handle_stall()
                case _:
                    assert_never(order)
            self.over = self._closing and self._capture is None and not self._stray

    async def _start(self, request: StartCapture) -> None:
        capture = request.capture
        if capture == self._capture and self._confirmed is not None:
            await self._report_started(self._confirmed)
            return
        if not await self._my_turn():
            await self._context.emit(CaptureFailed(capture, TAKEN))
            return
        if capture != self._capture and not await self._release():
            await self._context.emit(CaptureFailed(capture, BUSY))
            return
        self._capture, self._confirmed, self._stopping = capture, None, False
        self._audible = any(track.stream is Stream.AUDIO for track in request.tracks)
        if self._context.ami.up:
            await self._begin(capture)
        elif self._recorder.current is None:  # else it may have begun: the next link shows
            await self._give_up(UNREACHABLE)

    async def _my_turn(self) -> bool:
        """Wait for an earlier room to release the conference. Returns False after the limit."""
        with suppress(TimeoutError):
            async with asyncio.timeout(TURN_WITHIN_S):
                while (earlier := self._before(self)) is not None:
                    await earlier.done.wait()
        return self._before(self) is None

    async def _begin_if_wanted(self) -> None:
        capture = self._capture
        waits = not self._records() and not self._stopping and self._context.ami.up
        if waits and capture is not None:
            await self._begin(capture)

    def _records(self) -> bool:
        """Return True if Asterisk writes a file of the wanted capture, as far as known."""
        recording = self._recorder.current
        return recording is not None and self._files.holds(self._capture, recording.name)

    async def _begin(self, capture: CaptureRef) -> None:
        """Start recording the conference for the wanted capture; an empty one waits."""
        await self._sweep()
        try:
            recording = self._recorder.current or await self._files.new_recording(capture)
        except Unavailable as error:
            await self._give_up(error.detail)
            return
        if recording is None:
            await self._give_up(f"{self.name!r} cannot be part of a file name")
            return
        outcome = await self._recorder.record(self.name, recording)
        match outcome:
            case Outcome.RECORDING:
                self._note(capture, recording)
                await self._report_begun(capture, recording.recorded_ms or self._context.now_ms())
            case Outcome.EMPTY if self._confirmed is None and self._audible:
                log.info("asterisk.conferenceEmpty", extra={"conference": self.name})
            case Outcome.EMPTY:
                if self._confirmed is None:
                    await self._report_begun(capture, self._context.now_ms())
            case Outcome.OTHERS:
                await self._give_up(ALREADY_RECORDED)
            case Outcome.REFUSED:
                await self._give_up(recording.message)
            case Outcome.UNKNOWN:
                pass  # checked again with the next link or a repeated request
            case _:
                assert_never(outcome)

    async def _handle_end(self) -> None:
        """Handle the end of a recording that we did not stop."""
        recording = self._recorder.current
        if recording is None or recording.stopped_ms is None or self._stopping:
            return
        left = recording.left
        if not await self._recorder.end(self.name):
            await self._refresh()
            return
        await self._seal(recording)
        if left and self._capture is not None:
            await self._context.emit(CaptureChanged(self._capture, self._files.of(self._capture)))
        else:
            await self._give_up(STOPPED_ELSEWHERE)

    async def _refresh(self) -> None:
        """Check the file, because events may have been missed or Asterisk may have died."""
        await self._sweep()
        if self._closing:
            await self._release()
            return
        recording = self._recorder.current
        if recording is None or not self._records():
            await self._begin_if_wanted()
            return
        fate = await self._context.folder.fate(recording.name)
        if fate is Fate.WRITTEN or (fate is Fate.WHOLE and not self._context.ami.up):
            return  # a whole file without a link: the next link shows why it ended
        self._recorder.current = None
        if fate is not Fate.WHOLE:
            await self._seal(recording)
            self._stray = True
            await self._give_up(NOT_WRITTEN)
            return
        recording.stopped_ms = recording.stopped_ms or await self._files.end_of(recording)
        await self._seal(recording)
        if self._capture is not None and await self._recorder.is_empty(self.name):
            await self._context.emit(CaptureChanged(self._capture, self._files.of(self._capture)))
        else:
            await self._give_up(NOT_WRITTEN)

    async def _handle_stall(self) -> None:
        """Report a file that no longer grows, without an event of Asterisk, as lost."""
        recording = self._recorder.current
        if recording is None or self.written != recording.name or not self._records():
            return
        self._recorder.current = None
        await self._seal(recording)
        self._stray = True  # Asterisk may consider it running, and refuse the next start
        await self._give_up(NOT_WRITTEN)

    async def _stop(self, capture: CaptureRef) -> None:
        if capture != self._capture:
            await self._stop_unknown(capture)
            return
        self._stopping = True
        recording = self._recorder.current
        if not await self._recorder.end(self.name):
            return  # not confirmed: the room repeats the request
        if recording is not None:
            await self._seal(recording)
        self._capture, self._confirmed, self._stopping = None, None, False
        if recording is not None and await self._files.is_cut(capture, recording.name):
            files = self._files.of(capture)
            await self._context.emit(CaptureLost(capture, last_ms(files), files, CUT))
        else:
            await self._report_stopped(capture)

    async def _stop_unknown(self, capture: CaptureRef) -> None:
        """Stop a capture that has ended, or that an earlier controller started."""
        unknown = capture not in self._files and self._capture is None
        if unknown and await self._take_over(capture, ()):
            await self._stop(capture)
        else:
            await self._report_stopped(capture)

    async def _resume(self, request: ResumeCapture) -> None:
        capture = request.capture
        if capture != self._capture or self._confirmed is None:
            await self._take_over(capture, request.files)
        if capture == self._capture and self._confirmed is not None:
            await self._report_started(self._confirmed)
            return
        files = self._files.of(capture)
        await self._context.emit(CaptureLost(capture, last_ms(files), files, NOT_WRITTEN))

    async def _take_over(self, capture: CaptureRef, known: tuple[RawFile, ...]) -> bool:
        """Take over a capture of an earlier controller. Returns True if it continues."""
        found = await self._files.take_over(capture, known)
        if found.written is not None:
            self._recorder.current = found.written
        # A whole file of an empty conference: its last member left, so nothing is missing.
        goes_on = found.written is not None or (
            found.ended_whole and await self._recorder.is_empty(self.name)
        )
        if goes_on:
            started_ms = min(file.started_ms for file in self._files.of(capture))
            self._capture, self._stopping = capture, False
            self._confirmed = CaptureStarted(capture, started_ms)
        return goes_on

    async def _release(self) -> bool:
        """Stop the running capture. Returns True if it ended, even with an unfinished file."""
        if self._capture is not None:
            await self._stop(self._capture)
        recording = self._recorder.current
        if self._capture is not None and recording is not None and recording.stopped_ms is not None:
            await self._seal(recording)
            self._recorder.current = None
            await self._give_up(NOT_FINISHED)
        return self._capture is None

    async def _sweep(self) -> None:
        """Stop a stray recording, which an Asterisk that was only frozen still writes."""
        if self._stray and self._context.ami.up:
            self._stray = not await self._recorder.stop_any(self.name)

    async def _give_up(self, message: str) -> None:
        """Give up the wanted capture: report it as failed, or as lost once it had begun."""
        capture, confirmed = self._capture, self._confirmed
        self._capture, self._confirmed, self._stopping = None, None, False
        if capture is None:
            return
        if confirmed is None:
            await self._context.emit(CaptureFailed(capture, message))
            return
        files = self._files.of(capture)
        await self._context.emit(CaptureLost(capture, last_ms(files), files, message))

    def _note(self, capture: CaptureRef, recording: RecordingFile) -> None:
        self._files.note(capture, recording)
        self._stopped_ms.pop(capture, None)

    async def _seal(self, recording: RecordingFile) -> None:
        """Note the end of a file of the wanted capture, if any."""
        capture = self._capture
        if capture is None:
            return
        new = not self._files.holds(capture, recording.name)
        if await self._files.seal(capture, recording) and new:
            self._stopped_ms.pop(capture, None)

    async def _report_begun(self, capture: CaptureRef, started_ms: int) -> None:
        """Report that the capture has begun, or that it continues in another file."""
        if self._confirmed is None:
            self._confirmed = CaptureStarted(capture, started_ms)
            await self._report_started(self._confirmed)
        else:
            await self._context.emit(CaptureChanged(capture, self._files.of(capture)))

    async def _report_started(self, confirmed: CaptureStarted) -> None:
        await self._context.emit(replace(confirmed, files=self._files.of(confirmed.capture)))

    async def _report_stopped(self, capture: CaptureRef) -> None:
        files = self._files.of(capture)
        ended_ms = last_ms(files) or self._context.now_ms()
        stopped_ms = self._stopped_ms.setdefault(capture, ended_ms)
        await self._context.emit(CaptureStopped(capture, stopped_ms, files))

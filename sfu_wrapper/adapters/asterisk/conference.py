"""The audio of one room: its captures as recordings of one ConfBridge conference.

A conference exists only while somebody is in it. A capture outlasts that: it is accepted while
nobody is there, its file begins with the first who enters, ends with the last who leaves, and
whoever enters later begins another. Only where somebody is said to speak (a published audio
track) does the confirmation wait for the conference.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, assert_never

from sfu_wrapper.adapters.asterisk.ami import Ami
from sfu_wrapper.adapters.asterisk.conference_files import ConferenceFiles, last_ms
from sfu_wrapper.adapters.asterisk.folder import Fate, Folder
from sfu_wrapper.adapters.asterisk.messages import Message
from sfu_wrapper.adapters.asterisk.recording_file import ConferenceRecorder, Outcome, RecordingFile
from sfu_wrapper.core.facts import (
    CaptureChanged,
    CaptureFailed,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    PlaneFact,
)
from sfu_wrapper.core.requests import CloseMediaRoom, ResumeCapture, StartCapture, StopCapture
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.ids import ConfbridgeId, RoomUuid
from sfu_wrapper.model.media import RawFile, Stream

log = logging.getLogger(__name__)

TURN_WITHIN_S: Final = 3.0  # for an earlier room of the same conference to let go of it

AWAY = "Asterisk cannot be reached"
STRANGER = "the conference is recorded already, and not by this controller"
STOPPED_ELSEWHERE = "somebody else stopped the recording at Asterisk"
BUSY = "the recording before it has not ended yet"
TAKEN = "another room has that conference"
CUT = "Asterisk wrote less than it recorded: it hung"
NOT_FINISHED = "Asterisk has ended the recording and never finished its file: is its disk full?"
NOT_WRITTEN = "Asterisk does not write it any more"


class Nudge(StrEnum):
    """What happened at Asterisk that wants looking at, in turn with what is asked."""

    BEGUN = "begun"  # somebody is in the conference
    CEASED = "ceased"  # a recording has ended
    LINK = "link"  # the link to Asterisk came or went
    STALLED = "stalled"  # the file is not written any more


Order = StartCapture | StopCapture | ResumeCapture | CloseMediaRoom | Nudge


@dataclass(frozen=True, slots=True)
class ConferenceContext:
    """What every conference works with. delay_ms: by how much its sound lags."""

    ami: Ami
    folder: Folder
    delay_ms: int
    now_ms: Callable[[], int]
    say: Callable[[PlaneFact], Awaitable[None]]


class Conference:
    """One room's conference. Orders are carried out one after the other by ``run``.

    before: the room that had the conference first, if there is one.
    done: set once this one has let go of it.
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
        self._capture: CaptureRef | None = None  # what is wanted
        self._confirmed: CaptureStarted | None = None  # that it has begun, once it was said
        self._audible = False
        self._stopping = False
        self._stray = False  # what was given up as lost may still be recorded
        self._closing = False
        self._files = ConferenceFiles(name, context.folder, context.delay_ms, context.now_ms)
        self._stopped_ms: dict[CaptureRef, int] = {}

    @property
    def waiting(self) -> int:
        """How many orders have not been carried out yet."""
        return self._orders.qsize()

    @property
    def written(self) -> str | None:
        """The file that Asterisk must be writing now, as far as is known."""
        take = self._recorder.take
        waits = take is None or take.recorded_ms is None or take.ceased_ms is not None
        return None if waits or take is None or self._stopping else take.name

    def put(self, order: Order) -> None:
        """Have something carried out, after what was put before."""
        self._orders.put_nowait(order)

    def hear(self, message: Message) -> None:
        """An event of this conference."""
        self._recorder.hear(message)
        if message.event == "ConfbridgeStopRecord" and self._recorder.take is None:
            self._stray = False  # what was given up as lost has ended after all
        if message.event in ("ConfbridgeStart", "ConfbridgeRecord") and self._capture is not None:
            self.put(Nudge.BEGUN)  # a recording may be one whose answer was lost
        elif message.event == "ConfbridgeStopRecord" and self._recorder.take is not None:
            self.put(Nudge.CEASED)

    async def run(self) -> None:
        """Carry orders out until the room is closed."""
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
                    await self._let_go()
                    await self._sweep()
                case Nudge.BEGUN:
                    await self._begin_if_wanted()
                case Nudge.CEASED:
                    await self._ceased()
                case Nudge.LINK:
                    await self._look()
                case Nudge.STALLED:
                    await self._stalled()
                case _:
                    assert_never(order)
            self.over = self._closing and self._capture is None and not self._stray

    async def _start(self, request: StartCapture) -> None:
        capture = request.capture
        if capture == self._capture and self._confirmed is not None:
            await self._say_started(self._confirmed)
            return
        if not await self._my_turn():
            await self._context.say(CaptureFailed(capture, TAKEN))
            return
        if capture != self._capture and not await self._let_go():
            await self._context.say(CaptureFailed(capture, BUSY))
            return
        self._capture, self._confirmed, self._stopping = capture, None, False
        self._audible = any(track.stream is Stream.AUDIO for track in request.tracks)
        if self._context.ami.up:
            await self._begin(capture)
        elif self._recorder.take is None:  # else it may have begun, which is seen when it is back
            await self._refuse(AWAY)

    async def _my_turn(self) -> bool:
        """Wait until an earlier room of this conference has let go of it, if it does so soon."""
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
        """Whether the capture that is wanted has a file that is being written, as far as known."""
        take = self._recorder.take
        return take is not None and self._files.holds(self._capture, take.name)

    async def _begin(self, capture: CaptureRef) -> None:
        """Have the conference recorded for the capture that is wanted, if there is one yet."""
        await self._sweep()
        try:
            take = self._recorder.take or await self._files.new_take(capture)
        except Unavailable as error:
            await self._refuse(error.detail)
            return
        if take is None:
            await self._refuse(f"{self.name!r} cannot be part of a file name")
            return
        outcome = await self._recorder.record(self.name, take)
        match outcome:
            case Outcome.RECORDING:
                self._note(capture, take)
                await self._say_progress(capture, take.recorded_ms or self._context.now_ms())
            case Outcome.NOBODY if self._confirmed is None and self._audible:
                log.info("asterisk.nobodyThere", extra={"conference": self.name})
            case Outcome.NOBODY:
                if self._confirmed is None:
                    await self._say_progress(capture, self._context.now_ms())
            case Outcome.OTHERS:
                await self._refuse(STRANGER)
            case Outcome.REFUSED:
                await self._refuse(take.message)
            case Outcome.UNKNOWN:
                pass  # looked at again when the link is back, or when it is asked again
            case _:
                assert_never(outcome)

    async def _ceased(self) -> None:
        """Asterisk ended a recording that nobody here has stopped."""
        take = self._recorder.take
        if take is None or take.ceased_ms is None or self._stopping:
            return
        left = take.left
        if not await self._recorder.end(self.name):
            await self._look()
            return
        await self._seal(take)
        if left and self._capture is not None:
            await self._context.say(CaptureChanged(self._capture, self._files.of(self._capture)))
        else:
            await self._refuse(STOPPED_ELSEWHERE)

    async def _look(self) -> None:
        """Events may have been missed, or Asterisk may have died: see what the file says."""
        await self._sweep()
        if self._closing:
            await self._let_go()
            return
        take = self._recorder.take
        if take is None or not self._records():
            await self._begin_if_wanted()
            return
        fate = await self._context.folder.fate(take.name)
        if fate is Fate.WRITTEN or (fate is Fate.WHOLE and not self._context.ami.up):
            return  # in the latter case it is seen later why it ended
        self._recorder.take = None
        if fate is not Fate.WHOLE:
            await self._seal(take)
            self._stray = True
            await self._refuse(NOT_WRITTEN)
            return
        take.ceased_ms = take.ceased_ms or await self._files.end_of(take)
        await self._seal(take)
        if self._capture is not None and await self._recorder.is_empty(self.name):
            await self._context.say(CaptureChanged(self._capture, self._files.of(self._capture)))
        else:
            await self._refuse(NOT_WRITTEN)

    async def _stalled(self) -> None:
        """The file does not grow, of which Asterisk has said nothing."""
        take = self._recorder.take
        if take is None or self.written != take.name or not self._records():
            return
        self._recorder.take = None
        await self._seal(take)
        self._stray = True  # to Asterisk it may be recorded still, which forbids the next start
        await self._refuse(NOT_WRITTEN)

    async def _stop(self, capture: CaptureRef) -> None:
        if capture != self._capture:
            await self._stop_unknown(capture)
            return
        self._stopping = True
        take = self._recorder.take
        if not await self._recorder.end(self.name):
            return  # not confirmed; whoever wants it asks again
        if take is not None:
            await self._seal(take)
        self._capture, self._confirmed, self._stopping = None, None, False
        if take is not None and await self._files.is_cut(capture, take.name):
            files = self._files.of(capture)
            await self._context.say(CaptureLost(capture, last_ms(files), files, CUT))
        else:
            await self._say_stopped(capture)

    async def _stop_unknown(self, capture: CaptureRef) -> None:
        """One that has ended, or that an earlier controller began."""
        unheard_of = capture not in self._files and self._capture is None
        if unheard_of and await self._take_up(capture, ()):
            await self._stop(capture)
        else:
            await self._say_stopped(capture)

    async def _resume(self, request: ResumeCapture) -> None:
        capture = request.capture
        if capture != self._capture or self._confirmed is None:
            await self._take_up(capture, request.files)
        if capture == self._capture and self._confirmed is not None:
            await self._say_started(self._confirmed)
            return
        files = self._files.of(capture)
        await self._context.say(CaptureLost(capture, last_ms(files), files, NOT_WRITTEN))

    async def _take_up(self, capture: CaptureRef, known: tuple[RawFile, ...]) -> bool:
        """Take up what an earlier controller left of a capture. True: it goes on."""
        found = await self._files.take_up(capture, known)
        if found.written is not None:
            self._recorder.take = found.written
        # A whole file ended with those who were there: nothing is missing, it goes on with them.
        goes_on = found.written is not None or (
            found.ended_whole and await self._recorder.is_empty(self.name)
        )
        if goes_on:
            started_ms = min(file.started_ms for file in self._files.of(capture))
            self._capture, self._stopping = capture, False
            self._confirmed = CaptureStarted(capture, started_ms)
        return goes_on

    async def _let_go(self) -> bool:
        """End what runs; whether it has ended. One whose file alone is not finished has."""
        if self._capture is not None:
            await self._stop(self._capture)
        take = self._recorder.take
        if self._capture is not None and take is not None and take.ceased_ms is not None:
            await self._seal(take)
            self._recorder.take = None
            await self._refuse(NOT_FINISHED)
        return self._capture is None

    async def _sweep(self) -> None:
        """An Asterisk that was only frozen still writes what was given up as lost."""
        if self._stray and self._context.ami.up:
            self._stray = not await self._recorder.stop_blindly(self.name)

    async def _refuse(self, message: str) -> None:
        """The capture is not wanted any more, unless it is asked for again."""
        capture, confirmed = self._capture, self._confirmed
        self._capture, self._confirmed, self._stopping = None, None, False
        if capture is None:
            return
        if confirmed is None:
            await self._context.say(CaptureFailed(capture, message))
            return
        files = self._files.of(capture)
        await self._context.say(CaptureLost(capture, last_ms(files), files, message))

    def _note(self, capture: CaptureRef, take: RecordingFile) -> None:
        self._files.note(capture, take)
        self._stopped_ms.pop(capture, None)

    async def _seal(self, take: RecordingFile) -> None:
        """Note when a file of the capture ended, if there is a capture."""
        capture = self._capture
        if capture is None:
            return
        new = not self._files.holds(capture, take.name)
        if await self._files.seal(capture, take) and new:
            self._stopped_ms.pop(capture, None)

    async def _say_progress(self, capture: CaptureRef, started_ms: int) -> None:
        """It has begun, or goes on in another file."""
        if self._confirmed is None:
            self._confirmed = CaptureStarted(capture, started_ms)
            await self._say_started(self._confirmed)
        else:
            await self._context.say(CaptureChanged(capture, self._files.of(capture)))

    async def _say_started(self, confirmed: CaptureStarted) -> None:
        await self._context.say(replace(confirmed, files=self._files.of(confirmed.capture)))

    async def _say_stopped(self, capture: CaptureRef) -> None:
        files = self._files.of(capture)
        ended_ms = last_ms(files) or self._context.now_ms()
        stopped_ms = self._stopped_ms.setdefault(capture, ended_ms)
        await self._context.say(CaptureStopped(capture, stopped_ms, files))

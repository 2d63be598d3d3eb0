"""What is asked of one room, carried out at once, and what became of it told.

It knows the room and the capture that runs in it, over all connections: a room that is not there
any more died with Janus, and what it recorded ends where its files do. One that is there has been
recording all along. In which order and when requests come, and over which connection, is the
line's business; methods that take a handle raise Unavailable and JanusRefused.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from sfu_wrapper.adapters.janus.errors import JanusRefused
from sfu_wrapper.adapters.janus.room import (
    RUN_IN_S,
    JanusRoom,
    NotWritten,
    RoomChange,
    last_written_ms,
)
from sfu_wrapper.adapters.janus.session import Handle, Json
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
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.ids import ConfbridgeId, RoomUuid
from sfu_wrapper.model.media import RawFile, Track

log = logging.getLogger(__name__)

Say = Callable[[PlaneFact], Awaitable[None]]

DIED: Final = "Janus, or the room in it, was gone while it recorded"
AWAY: Final = "Janus cannot be reached"


class RoomCapture:
    """See the module.

    older: rooms that an earlier version made for the same room of ours, as far as they were found.
    will_start: whether that capture is about to be started (once more).
    """

    def __init__(
        self,
        uuid: RoomUuid,
        room: JanusRoom,
        older: Callable[[], Iterable[JanusRoom]],
        say: Say,
        will_start: Callable[[CaptureRef], bool],
    ) -> None:
        self.opened = False
        self.outworn = False  # the handle was in a room that is gone
        self.run_in_s: float | None = None  # when ``run_in`` is due, monotonic
        self._uuid = uuid
        self._older = older
        self._say = say
        self._will_start = will_start
        self._room = room
        self._entered = False  # the room is there, and the handle is in it
        self._made = False  # the room was not there when it was last entered
        self._news = False
        self._running: CaptureStarted | None = None
        self._doubt: tuple[CaptureStarted, str] | None = None
        self._known: tuple[RawFile, ...] = ()  # its files as they were told last
        self._forsaken: CaptureRef | None = None  # may be written, without being wanted
        self._carried: tuple[Track, ...] | None = None  # as was told last

    @property
    def plugin(self) -> str:
        """To which of Janus' plugins its requests go."""
        return self._room.plugin

    @property
    def recording(self) -> CaptureStarted | None:
        """What it records, as far as is known."""
        return self._running

    def is_recorded(self, listed: Json, capture: CaptureRef) -> bool:
        """See ``JanusRoom``."""
        return self._room.is_recorded(listed, capture)

    def written_bytes(self, capture: CaptureRef) -> int | None:
        """See ``JanusRoom``."""
        return self._room.written_bytes(capture)

    def doubt(self, recording: CaptureStarted, why: str) -> None:
        """Remember that this recording has ended, for ``resolve_doubt``."""
        self._doubt = recording, why

    def hear(self, data: Json) -> bool:
        """Take in an event of the plugin; whether anything is to be done about it."""
        heard = self._room.hear(data)
        if heard is RoomChange.GONE:
            self.doubt_room()
        self._news = self._news or heard is not RoomChange.NOTHING
        return heard is not RoomChange.NOTHING

    def doubt_room(self) -> None:
        """The room is gone, or the handle is not in it: have it entered over another handle."""
        self._entered, self.outworn = False, True

    def forget_handle(self) -> None:
        """It is let go of, or lost."""
        self._entered = self.outworn = False

    async def look(self, handle: Handle) -> None:
        """Find out how the room is, where it is one of ours and that is not known."""
        if self.opened and not self._entered:
            await self._enter(handle)

    async def resolve_doubt(self) -> None:
        """Report as lost what somebody else stopped, unless it was stopped by us meanwhile."""
        doubt, self._doubt = self._doubt, None
        if doubt is not None and self._running is doubt[0]:
            await self.lose(doubt[1])

    async def open(self, confbridge_id: ConfbridgeId, handle: Handle) -> None:
        """Let it be there."""
        self._room.mixed_as = confbridge_id
        self.opened = True
        await self.look(handle)

    async def start(self, capture: CaptureRef, confbridge_id: ConfbridgeId, handle: Handle) -> None:
        """Record, in place of whatever else runs."""
        if self._running is None or self._running.capture != capture:
            await self.open(confbridge_id, handle)
            if self._running is not None:  # its segment was given up meanwhile
                await self.stop(self._running.capture, handle)
            self._forsaken = capture  # until it is known what became of it
            try:
                started_ms = await self._room.record(handle, capture)
            except NotWritten as error:
                self._forsaken = None
                await self.fail(capture, error.detail)
                return
            self._forsaken = None
            self._known = ()
            self._running = CaptureStarted(capture, started_ms)
            self.run_in_s = time.monotonic() + RUN_IN_S
        await self._tell_running(self._running)

    async def stop(self, capture: CaptureRef, handle: Handle) -> None:
        """Record no more, and tell what there is of it."""
        ours = self._is_running(capture)
        if ours or (self._running is None and await self._is_ours(handle)):
            await self._room.cease(handle, capture)
        files, error = await self._files(capture, running=False)
        if ours:
            self._running = None
        if error is None:
            await self._say(CaptureStopped(capture, _now_ms(), files))
        else:
            await self._say(CaptureLost(capture, _now_ms(), files, error))

    async def resume(self, capture: CaptureRef, handle: Handle) -> None:
        """Go on with what an earlier controller began, where Janus still writes it."""
        if self._running is None:
            if not self._entered:
                await self._enter(handle)
            if self._made and not self.opened:  # nobody wants the room itself
                await self._room.destroy(handle)
                self._entered = False
            if not self._made:
                await self._room.go_on(handle, capture)
                files, _ = await self._files(capture, running=True)
                started_ms = min((file.started_ms for file in files), default=_now_ms())
                self._running = CaptureStarted(capture, started_ms)
        if self._running is None or self._running.capture != capture:
            await self.give_up(capture, DIED)
            return
        await self._tell_running(self._running)

    async def close(self, handle: Handle) -> None:
        """Let the room be gone, and what it records be finished."""
        if self._running is not None:
            await self.stop(self._running.capture, handle)
        if await self._is_ours(handle):
            await self._room.destroy(handle)
        for room in self._older():
            if await room.is_ours(handle):
                await room.destroy(handle)
        self.opened = False
        self.doubt_room()

    async def run_in(self, handle: Handle) -> None:
        """What is to be done once a recording has been under way for a while, when that is due."""
        if self.run_in_s is None or self.run_in_s > time.monotonic():
            return
        self.run_in_s = None
        if self._running is not None:
            await self._room.run_in(handle)

    async def cease(self, handle: Handle) -> None:
        """Stop what runs, as well as it can be; nothing is told of it."""
        if self._running is not None:
            with suppress(Unavailable, JanusRefused):
                await self._room.cease(handle, self._running.capture)

    async def fail(self, capture: CaptureRef, message: str) -> None:
        """It could not be started, or was cut short by a refusal."""
        files, _ = await self._files(capture, running=False)
        if files:  # of some publishers, or of an earlier try
            await self._say(CaptureLost(capture, last_written_ms(files), files, message))
        else:
            await self._say(CaptureFailed(capture, message))

    async def give_up(self, capture: CaptureRef, message: str, *, unseen: bool = False) -> None:
        """It is lost, with what the disk holds. unseen: it may be written on all the while."""
        if unseen:
            self._forsaken = capture
        files, _ = await self._files(capture, running=False)
        await self._say(CaptureLost(capture, last_written_ms(files), files, message))

    async def lose(self, message: str, *, unseen: bool = False) -> None:
        """``give_up`` what runs, if anything does."""
        running, self._running = self._running, None
        if running is not None:
            await self.give_up(running.capture, message, unseen=unseen)

    async def tell_news(self) -> None:
        """What has changed since it was told last."""
        if not self._news:
            return
        self._news = False
        if self._carried != self._room.tracks:
            self._carried = self._room.tracks
            await self._say(TracksCarried(self._uuid, self._room.medium, self._carried))
        if self._running is not None:
            files, error = await self._files(self._running.capture, running=True)
            if error is None and files != self._known:
                self._known = files
                await self._say(CaptureChanged(self._running.capture, files))

    async def _enter(self, handle: Handle) -> None:
        """Find out how the room is, or make it; what ran in one that is gone is lost."""
        self._made = await self._room.make(handle)
        await self._room.watch(handle)
        self._entered = True
        if self._made:
            await self.lose(DIED)
        forsaken = self._forsaken
        if forsaken is not None and not self._will_start(forsaken):
            await self.stop(forsaken, handle)
            self._forsaken = None
        self._news = True

    async def _tell_running(self, running: CaptureStarted) -> None:
        self._known, _ = await self._files(running.capture, running=True)
        await self._say(replace(running, files=self._known))

    async def _is_ours(self, handle: Handle) -> bool:
        return self._entered or await self._room.is_ours(handle)

    def _is_running(self, capture: CaptureRef) -> bool:
        return self._running is not None and self._running.capture == capture

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
            known = self._known if self._is_running(capture) else ()
            return known, f"the recordings cannot be read: {why}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

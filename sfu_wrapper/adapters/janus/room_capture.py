"""Requests of one room carried out at Janus, and their outcomes reported as facts.

``room_queue`` decides order, time and connection, and calls one method at a time with a handle.
``RoomCapture`` remembers across connections which capture runs:

* ``refresh`` enters the room over a new handle. If the room had to be created again, Janus died
  with it: the running capture is lost and ends with its files. If the room still existed, Janus
  has recorded all the time.
* A capture given up while Janus was unavailable is *orphaned*: Janus may still write it. It is
  stopped as soon as the room is entered again, unless the same capture is about to start.
* ``mark_ended`` and ``mark_gone`` (from events and ``watch``) only record a suspicion; the next
  turn of the queue calls ``resolve_doubt`` or enters the room again, and reports.

Every method that takes a handle may raise Unavailable and JanusRefused; the queue then retries or
reports the failure.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from sfu_wrapper.adapters.janus.errors import JanusRefused
from sfu_wrapper.adapters.janus.room import (
    WARM_UP_S,
    JanusRoom,
    NotWritten,
    RoomChange,
    last_written_ms,
)
from sfu_wrapper.adapters.janus.session import Handle, Json
from sfu_wrapper.core.media_plane import (
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
from sfu_wrapper.model.identity import ConfbridgeId, RoomUuid
from sfu_wrapper.model.media import RawFile, Track

log = logging.getLogger(__name__)

Emit = Callable[[PlaneFact], Awaitable[None]]

ROOM_DIED: Final = "Janus or the room in it ended during the recording"
UNREACHABLE: Final = "Janus cannot be reached"


class RoomCapture:
    """State of one room at Janus and of the capture in it.

    Args:
        uuid: Our room.
        room: The room at the plugin.
        older: Returns rooms that an earlier version created for our room.
        emit: Called with each fact.
        will_start: Returns True if the queue starts that capture next.

    Attributes:
        opened: True from ``open`` to ``close``.
        stale: True if the handle is bound to a room that is gone.
        warm_up_ends_s: Time at which ``finish_warm_up`` is due, monotonic; None if not due.
    """

    def __init__(
        self,
        uuid: RoomUuid,
        room: JanusRoom,
        older: Callable[[], Iterable[JanusRoom]],
        emit: Emit,
        will_start: Callable[[CaptureRef], bool],
    ) -> None:
        self.opened = False
        self.stale = False
        self.warm_up_ends_s: float | None = None
        self._uuid = uuid
        self._older = older
        self._emit = emit
        self._will_start = will_start
        self._room = room
        self._entered = False  # the room exists, and the handle is in it
        self._made = False  # entering the room created it
        self._changed = False
        self._running: CaptureStarted | None = None
        self._doubt: tuple[CaptureStarted, str] | None = None
        self._known: tuple[RawFile, ...] = ()  # its files as last reported
        self._orphaned: CaptureRef | None = None  # Janus may still write it
        self._stopped: tuple[CaptureRef, int] | None = None  # the last stop, epoch ms
        self._carried: tuple[Track, ...] | None = None  # as last reported

    @property
    def plugin(self) -> str:
        """Janus plugin of the room."""
        return self._room.plugin

    @property
    def recording(self) -> CaptureStarted | None:
        """Running capture as far as known; None if none runs."""
        return self._running

    def is_recorded(self, listed: Json, capture: CaptureRef) -> bool:
        """See ``JanusRoom``."""
        return self._room.is_recorded(listed, capture)

    def written_bytes(self, capture: CaptureRef) -> int | None:
        """See ``JanusRoom``."""
        return self._room.written_bytes(capture)

    def mark_ended(self, recording: CaptureStarted, why: str) -> None:
        """Note that this recording seems to have ended; ``resolve_doubt`` reports it."""
        self._doubt = recording, why

    def handle_event(self, data: Json) -> bool:
        """Apply an event of the plugin. Returns True if the queue must act on it."""
        change = self._room.handle_event(data)
        if change is RoomChange.GONE:
            self.mark_gone()
        self._changed = self._changed or change is not RoomChange.NOTHING
        return change is not RoomChange.NOTHING

    def mark_gone(self) -> None:
        """Note that the room is gone or the handle is not in it; a new handle must enter it."""
        self._entered, self.stale = False, True

    def forget_handle(self) -> None:
        """Note that the handle is detached or lost."""
        self._entered = self.stale = False

    async def refresh(self, handle: Handle) -> None:
        """Enter the room if it is open and its state is not known."""
        if self.opened and not self._entered:
            await self._enter(handle)

    async def resolve_doubt(self) -> None:
        """Report a recording that ended at Janus as lost, unless we stopped it in the meantime."""
        doubt, self._doubt = self._doubt, None
        if doubt is not None and self._running is doubt[0]:
            await self.lose(doubt[1])

    async def open(self, confbridge_id: ConfbridgeId, handle: Handle) -> None:
        """Create the room if needed, and enter it."""
        self._room.mixed_as = confbridge_id
        self.opened = True
        await self.refresh(handle)

    async def start(self, capture: CaptureRef, confbridge_id: ConfbridgeId, handle: Handle) -> None:
        """Start a capture; one that runs already is stopped first."""
        if self._running is None or self._running.capture != capture:
            await self.open(confbridge_id, handle)
            if self._running is not None:  # its segment was given up in the meantime
                await self.stop(self._running.capture, handle)
            self._orphaned = capture  # until its outcome is known
            try:
                started_ms = await self._room.record(handle, capture)
            except NotWritten as error:
                self._orphaned = None
                await self.fail(capture, error.detail)
                return
            self._orphaned = None
            self._known = ()
            self._running = CaptureStarted(capture, started_ms)
            self.warm_up_ends_s = time.monotonic() + WARM_UP_S
        await self._report_running(self._running)

    async def stop(self, capture: CaptureRef, handle: Handle) -> None:
        """Stop a capture and report its files."""
        ours = self._is_running(capture)
        if ours or (self._running is None and await self._is_ours(handle)):
            await self._room.stop_recording(handle, capture)
        if ours or self._stopped is None or self._stopped[0] != capture:
            self._stopped = capture, _now_ms()
        stopped_ms = self._stopped[1]
        files, error = await self._files(capture, running=False)
        if ours:
            self._running = None
        files = tuple(
            replace(file, stopped_ms=stopped_ms) if file.stopped_ms is None else file
            for file in files
        )
        if error is None:
            await self._emit(CaptureStopped(capture, stopped_ms, files))
        else:
            await self._emit(CaptureLost(capture, _now_ms(), files, error))

    async def resume(self, capture: CaptureRef, handle: Handle) -> None:
        """Continue a capture of an earlier controller if Janus still writes it."""
        if self._running is None:
            if not self._entered:
                await self._enter(handle)
            if self._made and not self.opened:  # no request has opened the room
                await self._room.destroy(handle)
                self._entered = False
            if not self._made:
                await self._room.continue_recording(handle, capture)
                files, _ = await self._files(capture, running=True)
                started_ms = min((file.started_ms for file in files), default=_now_ms())
                self._running = CaptureStarted(capture, started_ms)
        if self._running is None or self._running.capture != capture:
            await self.give_up(capture, ROOM_DIED)
            return
        await self._report_running(self._running)

    async def close(self, handle: Handle) -> None:
        """Stop the running capture and destroy the room."""
        if self._running is not None:
            await self.stop(self._running.capture, handle)
        if await self._is_ours(handle):
            await self._room.destroy(handle)
        for room in self._older():
            if await room.is_ours(handle):
                await room.destroy(handle)
        self.opened = False
        self.mark_gone()

    async def finish_warm_up(self, handle: Handle) -> None:
        """Apply the steady-state settings of a recording once the warm-up is over."""
        if self.warm_up_ends_s is None or self.warm_up_ends_s > time.monotonic():
            return
        self.warm_up_ends_s = None
        if self._running is not None:
            await self._room.finish_warm_up(handle)

    async def stop_recording(self, handle: Handle) -> None:
        """Stop the running capture without a report; errors are ignored."""
        if self._running is not None:
            with suppress(Unavailable, JanusRefused):
                await self._room.stop_recording(handle, self._running.capture)

    async def fail(self, capture: CaptureRef, message: str) -> None:
        """Report a capture whose start failed, with the files that exist nevertheless."""
        files, _ = await self._files(capture, running=False)
        if files:  # of some publishers, or of an earlier attempt
            await self._emit(CaptureLost(capture, last_written_ms(files), files, message))
        else:
            await self._emit(CaptureFailed(capture, message))

    async def give_up(self, capture: CaptureRef, message: str, *, unseen: bool = False) -> None:
        """Report a capture as lost, with its files on disk.

        Args:
            capture: The capture.
            message: Reason for operators and clients.
            unseen: True if Janus may still be writing it.
        """
        if unseen:
            self._orphaned = capture
        files, _ = await self._files(capture, running=False)
        await self._emit(CaptureLost(capture, last_written_ms(files), files, message))

    async def lose(self, message: str, *, unseen: bool = False) -> None:
        """Report the running capture, if any, as lost; see ``give_up``."""
        running, self._running = self._running, None
        if running is not None:
            await self.give_up(running.capture, message, unseen=unseen)

    async def report_changes(self) -> None:
        """Report tracks and files that changed since the last report."""
        if not self._changed:
            return
        self._changed = False
        if self._carried != self._room.tracks:
            self._carried = self._room.tracks
            await self._emit(TracksCarried(self._uuid, self._room.medium, self._carried))
        if self._running is not None:
            files, error = await self._files(self._running.capture, running=True)
            if error is None and files != self._known:
                self._known = files
                await self._emit(CaptureChanged(self._running.capture, files))

    async def _enter(self, handle: Handle) -> None:
        """Create or find the room and join it; report what a vanished room recorded as lost."""
        self._made = await self._room.make(handle)
        await self._room.watch(handle)
        self._entered = True
        if self._made:
            await self.lose(ROOM_DIED)
        orphaned = self._orphaned
        if orphaned is not None and not self._will_start(orphaned):
            await self.stop(orphaned, handle)
            self._orphaned = None
        self._changed = True

    async def _report_running(self, running: CaptureStarted) -> None:
        self._known, _ = await self._files(running.capture, running=True)
        await self._emit(replace(running, files=self._known))

    async def _is_ours(self, handle: Handle) -> bool:
        return self._entered or await self._room.is_ours(handle)

    def _is_running(self, capture: CaptureRef) -> bool:
        return self._running is not None and self._running.capture == capture

    async def _files(
        self, capture: CaptureRef, *, running: bool
    ) -> tuple[tuple[RawFile, ...], str | None]:
        """Return the files on disk; if unreadable, the last known files and the reason."""
        try:
            return await self._room.files(capture, running=running), None
        except OSError as error:
            # A TimeoutError has no text.
            why = error.strerror or "the folder did not answer in time"
            log.warning(
                "janus.folderUnreadable", extra={"room": self._uuid, "error": str(error) or why}
            )
            known = self._known if self._is_running(capture) else ()
            return known, f"cannot read the recordings: {why}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

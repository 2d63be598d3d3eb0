"""The captures of the child process, and the execution of orders.

``child`` passes each order to ``carry_out``; reports leave through ``send_report``. The
plane decides which requests fail (``faults``), this module how they fail. Orders of one room and
medium run one after another; slow work runs in threads, so that other captures keep their pace.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, assert_never
from weakref import WeakValueDictionary

from sfu_wrapper.adapters.simulated.capture import FAILURES, Capture, Stopwatch, open_capture
from sfu_wrapper.adapters.simulated.faults import Way
from sfu_wrapper.adapters.simulated.journal import Folders, salvage, sweep
from sfu_wrapper.adapters.simulated.messages import (
    Add,
    CloseRoom,
    Freeze,
    Order,
    PositionedTrack,
    Remove,
    Report,
    Resume,
    Settings,
    StartWriting,
    StopWriting,
)
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureFailed,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    PlaneBack,
)
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.model.media import Medium, Track

_LONGEST_NAP_S: Final = 0.05
_BACK_AFTER_S: Final = 1.0  # until a medium lost by an injected fault is available again

SendReport = Callable[[Report], None]
Line = tuple[RoomUuid, Medium]
"""Orders of one room and medium are carried out one after another, as by an SFU and a mixer."""


class CaptureEngine:
    """The running captures, and the entry point for orders.

    Args:
        settings: folders and format of the media.
        send_report: sends a report to the plane.
    """

    def __init__(self, settings: Settings, send_report: SendReport) -> None:
        self._settings = settings
        self._folders = Folders(Path(settings.recordings_path), Path(settings.audio_path))
        self._send_report = send_report
        self._captures: dict[CaptureRef, Capture] = {}
        self._running = asyncio.Event()
        self._turns: WeakValueDictionary[Line, asyncio.Lock] = WeakValueDictionary()

    async def pace(self) -> None:
        """Write frames and samples when they are due, until cancelled."""
        while True:
            await self._running.wait()
            naps = [self._advance(capture) for capture in tuple(self._captures.values())]
            await asyncio.sleep(min(naps, default=0))

    async def carry_out(self, order: Order) -> None:
        """Carry out an order, after earlier ones of the same room and medium."""
        match order:
            case Freeze(seconds=seconds):
                time.sleep(seconds)  # noqa: ASYNC251 - the fault is that the whole process stops
            case StartWriting(capture=ref) | StopWriting(capture=ref) | Resume(capture=ref):
                await self._in_turn((ref.room, ref.medium), order)
            case (
                Add(room=room, seated=PositionedTrack(track=track)) | Remove(room=room, track=track)
            ):
                await self._in_turn((room, track.stream.medium), order)
            case CloseRoom(room=room):
                for medium in Medium:
                    await self._in_turn((room, medium), order)
            case _:
                assert_never(order)

    def close(self) -> None:
        """Close every file."""
        for capture in self._captures.values():
            _shut(capture)

    def sweep(self) -> None:
        """Remove old journals of which no file is left."""
        with suppress(OSError):
            sweep(self._folders)

    async def _in_turn(
        self, line: Line, order: StartWriting | StopWriting | Resume | Add | Remove | CloseRoom
    ) -> None:
        turn = self._turns.setdefault(line, asyncio.Lock())
        async with turn:
            match order:
                case StartWriting():
                    await self._begin(order)
                case StopWriting():
                    await self._finish(order)
                case Resume():
                    await self._resume(order)
                case Add():
                    self._add(line, order.seated)
                case Remove():
                    await self._remove(line, order.track)
                case CloseRoom():
                    for capture in self._of(line):
                        await self._stop(capture.ref)
                case _:
                    assert_never(order)

    async def _begin(self, begin: StartWriting) -> None:
        ref, fault = begin.capture, begin.fault
        match fault.way:
            case Way.REFUSE:
                self._send_report(
                    CaptureFailed(ref, "the simulated plane refused (injected fault)")
                )
                return
            case Way.HANG:
                return
            case Way.LATE:
                await asyncio.sleep(fault.after_s)
        if ref not in self._captures and not await self._open(begin):
            return
        capture = self._captures[ref]
        if fault.way is not Way.MUTE:
            self._send_report(CaptureStarted(ref, capture.started_ms, capture.files))

    async def _open(self, begin: StartWriting) -> bool:
        try:
            self._captures[begin.capture] = await asyncio.to_thread(
                open_capture, begin, self._settings, self._folders
            )
        except FAILURES as exc:
            self._send_report(CaptureFailed(begin.capture, str(exc)))
            return False
        self._running.set()
        loop = asyncio.get_running_loop()
        if begin.lose_s is not None:
            loop.call_later(begin.lose_s, self._lose_on_purpose, begin.capture)
        if begin.die_s is not None:
            loop.call_later(begin.die_s, self._die_on_purpose, begin.capture)
        return True

    async def _finish(self, finish: StopWriting) -> None:
        match finish.fault.way:
            case Way.REFUSE | Way.HANG:
                return
            case Way.LATE:
                await asyncio.sleep(finish.fault.after_s)
        await self._stop(finish.capture, mute=finish.fault.way is Way.MUTE)

    async def _stop(self, ref: CaptureRef, *, mute: bool = False) -> None:
        """Stop a capture, or repeat the report of one that has ended."""
        capture = self._captures.get(ref)
        try:
            if capture is None:
                stopped_ms, files = await asyncio.to_thread(salvage, self._folders, ref)
            else:
                capture.end()
                self._forget(ref)
                stopped_ms = await asyncio.to_thread(capture.seal)
                files = capture.files
        except FAILURES as exc:
            self._lose(ref, str(exc))
            return
        if not mute:
            self._send_report(
                CaptureStopped(ref, stopped_ms or Stopwatch().now_us() // 1000, files)
            )

    async def _resume(self, resume: Resume) -> None:
        ref = resume.capture
        if (capture := self._captures.get(ref)) is not None:
            self._send_report(CaptureStarted(ref, capture.started_ms, capture.files))
            return
        try:
            lost = await asyncio.to_thread(salvage, self._folders, ref, resume.files)
        except FAILURES as exc:
            self._send_report(CaptureLost(ref, 0, resume.files, f"{resume.message}; {exc}"))
        else:
            self._send_report(CaptureLost(ref, *lost, resume.message))

    def _add(self, line: Line, seated: PositionedTrack) -> None:
        for capture in self._of(line):
            try:
                changed = capture.add(seated)
            except FAILURES as exc:
                self._lose(capture.ref, str(exc))
                continue
            if changed:
                self._send_report(CaptureChanged(capture.ref, capture.files))

    async def _remove(self, line: Line, track: Track) -> None:
        for capture in self._of(line):
            try:
                shut = capture.remove(track)
                if shut is not None:
                    await asyncio.to_thread(shut)
                    self._send_report(CaptureChanged(capture.ref, capture.files))
            except FAILURES as exc:
                self._lose(capture.ref, str(exc))

    def _of(self, line: Line) -> list[Capture]:
        return [one for ref, one in self._captures.items() if (ref.room, ref.medium) == line]

    def _advance(self, capture: Capture) -> float:
        try:
            return min(capture.advance(), _LONGEST_NAP_S)
        except FAILURES as exc:
            self._lose(capture.ref, str(exc))
            return 0

    def _forget(self, ref: CaptureRef) -> Capture | None:
        capture = self._captures.pop(ref, None)
        if not self._captures:
            self._running.clear()
        return capture

    def _lose(self, ref: CaptureRef, message: str) -> None:
        """Handle a capture that cannot be written any more: close and report its files."""
        capture = self._forget(ref)
        if capture is not None:
            _shut(capture)
        try:
            stopped_ms, files = salvage(self._folders, ref)
        except FAILURES:
            stopped_ms, files = 0, capture.files if capture else ()
        self._send_report(CaptureLost(ref, stopped_ms, files, message))

    def _lose_on_purpose(self, ref: CaptureRef) -> None:
        if ref in self._captures:
            self._lose(ref, "the simulated plane lost this capture (injected fault)")
            loop = asyncio.get_running_loop()
            loop.call_later(_BACK_AFTER_S, self._send_report, PlaneBack(ref.medium))

    def _die_on_purpose(self, ref: CaptureRef) -> None:
        if ref in self._captures:
            os.kill(os.getpid(), signal.SIGKILL)


def _shut(capture: Capture) -> None:
    """End a capture, ignoring errors of disks and encoders."""
    with suppress(*FAILURES):
        capture.end()
    with suppress(*FAILURES):
        capture.seal()

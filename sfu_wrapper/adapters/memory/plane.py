"""Media plane in memory, for tests: writes no files and never waits.

By default ``send`` executes and confirms each request at once. ``behave`` changes that per medium;
``release`` executes held requests. Times come from a counter, and file names from the published
tracks, so that two runs give the same result.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from enum import StrEnum
from typing import Final, Literal, assert_never

from sfu_wrapper.adapters.planes.fact_queue import FactQueue
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureFailed,
    CaptureLost,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    CloseMediaRoom,
    OpenMediaRoom,
    PlaneBack,
    PlaneFact,
    PlaneRequest,
    PublishTrack,
    ResumeCapture,
    StartCapture,
    StopCapture,
    UnpublishTrack,
)
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.model.media import Medium, RawFile, Stream, Track

_LIMIT: Final = 100_000

Point = Literal["start", "stop"]


class Behaviour(StrEnum):
    """Handling of a request."""

    CONFIRM = "confirm"
    REFUSE = "refuse"  # a start fails; a stop is ignored
    HANG = "hang"  # neither executed nor answered
    MUTE = "mute"  # executed, not answered
    HOLD = "hold"  # kept until ``release``


class MemoryPlane:
    """A ``MediaPlane`` for tests.

    Attributes:
        now_ms: clock of the plane in epoch ms; each reading advances it by one.
        asked: all requests in order.
        full: while True, ``send`` raises Unavailable.
        unavailable: media that ``is_available`` reports as unreachable.
    """

    def __init__(self, now_ms: int = 1_600_000_000_000) -> None:
        self.now_ms = now_ms
        self.asked: list[PlaneRequest] = []
        self.full = False
        self.unavailable: set[Medium] = set()
        self._behaviours: dict[tuple[Medium, Point], Behaviour] = {}
        self._held: list[StartCapture | StopCapture] = []
        self._running: dict[CaptureRef, CaptureStarted] = {}
        self._files: dict[CaptureRef, dict[str, RawFile]] = {}
        self._stopped: dict[CaptureRef, CaptureStopped] = {}
        self._facts: FactQueue[PlaneFact] = FactQueue(_LIMIT)
        self._closed = asyncio.Event()

    @property
    def running(self) -> tuple[CaptureRef, ...]:
        """Running captures."""
        return tuple(self._running)

    def behave(self, medium: Medium, point: Point, behaviour: Behaviour) -> None:
        """Set the handling of later requests for one medium."""
        self._behaviours[medium, point] = behaviour

    def release(self) -> None:
        """Execute and confirm the held requests, in order."""
        held, self._held = self._held, []
        for request in held:
            self._carry_out(request, Behaviour.CONFIRM)

    def lose(self, *captures: CaptureRef, message: str = "the plane died") -> None:
        """End captures without a request; default: all running ones, as if the plane had died."""
        for capture in captures or self.running:
            self._running.pop(capture, None)
            files = self._close_files(capture)
            self.emit(CaptureLost(capture, self._tick(), files, message))

    def back(self) -> None:
        """Report that the plane is reachable again, for both media."""
        for medium in Medium:
            self.emit(PlaneBack(medium))

    def emit(self, fact: PlaneFact) -> None:
        """Report a fact."""
        self._facts.put_at_once(fact)

    def is_available(self, medium: Medium) -> bool:
        """See ``MediaPlane``."""
        return medium not in self.unavailable

    async def run(self) -> None:
        """See ``MediaPlane``; returns once the plane is closed."""
        await self._closed.wait()

    def send(self, request: PlaneRequest) -> None:
        """See ``MediaPlane``."""
        if self.full:
            raise Unavailable("the queue to the media plane is full")
        self.asked.append(request)
        match request:
            case StartCapture(capture=capture):
                self._carry_out(request, self._behaviour(capture, "start"))
            case StopCapture(capture=capture):
                self._carry_out(request, self._behaviour(capture, "stop"))
            case ResumeCapture():
                self._resume(request)
            case PublishTrack(room=room, track=track):
                self._publish(room, track)
            case UnpublishTrack(room=room, track=track):
                self._unpublish(room, track)
            case CloseMediaRoom(room=room):
                for capture in [ref for ref in self._running if ref.room == room]:
                    self._stop(capture)
            case OpenMediaRoom():
                pass
            case _:
                assert_never(request)

    def facts(self) -> AsyncIterator[PlaneFact]:
        """See ``MediaPlane``; ends once the plane is closed and all facts were read."""
        return self._facts.read()

    async def close(self) -> None:
        """See ``MediaPlane``."""
        self._closed.set()
        self._facts.close()

    def _behaviour(self, capture: CaptureRef, point: Point) -> Behaviour:
        return self._behaviours.get((capture.medium, point), Behaviour.CONFIRM)

    def _carry_out(self, request: StartCapture | StopCapture, behaviour: Behaviour) -> None:
        capture = request.capture
        match behaviour:
            case Behaviour.HOLD:
                self._held.append(request)
            case Behaviour.REFUSE if isinstance(request, StartCapture):
                self.emit(CaptureFailed(capture, "refused"))
            case Behaviour.REFUSE | Behaviour.HANG:
                pass
            case Behaviour.CONFIRM | Behaviour.MUTE:
                mute = behaviour is Behaviour.MUTE
                if isinstance(request, StartCapture):
                    self._start(request, mute=mute)
                else:
                    self._stop(capture, mute=mute)
            case _:
                assert_never(behaviour)

    def _start(self, request: StartCapture, *, mute: bool = False) -> None:
        capture = request.capture
        if capture not in self._running:
            self._running[capture] = CaptureStarted(capture, self._tick())
            self._files.setdefault(capture, {})
            if capture.medium is Medium.AUDIO:
                self._open_mix(capture)
            else:
                for track in request.tracks:
                    if track.stream.medium is Medium.VIDEO:
                        self._open(capture, track)
        if not mute:
            self.emit(replace(self._running[capture], files=self._files_of(capture)))

    def _stop(self, capture: CaptureRef, *, mute: bool = False) -> None:
        if self._running.pop(capture, None) is not None or capture not in self._stopped:
            files = self._close_files(capture)
            self._stopped[capture] = CaptureStopped(capture, self._tick(), files)
        if not mute:
            self.emit(self._stopped[capture])

    def _resume(self, request: ResumeCapture) -> None:
        capture = request.capture
        if capture in self._running:
            self.emit(replace(self._running[capture], files=self._files_of(capture)))
            return
        known = self._files.setdefault(capture, {})
        for file in request.files:
            known.setdefault(file.filename, file)
        files = self._close_files(capture)
        self.emit(CaptureLost(capture, self._tick(), files, "the capture has ended"))

    def _publish(self, room: RoomUuid, track: Track) -> None:
        capture = self._running_of(room, track)
        if capture is not None and self._open(capture, track):
            self.emit(CaptureChanged(capture, self._files_of(capture)))

    def _unpublish(self, room: RoomUuid, track: Track) -> None:
        capture = self._running_of(room, track)
        file = self._open_file(capture, track) if capture is not None else None
        if capture is not None and file is not None:
            self._files[capture][file.filename] = replace(file, stopped_ms=self._tick())
            self.emit(CaptureChanged(capture, self._files_of(capture)))

    def _running_of(self, room: RoomUuid, track: Track) -> CaptureRef | None:
        """Return the running capture of a video track; None for audio, which is one mix."""
        if track.stream is Stream.AUDIO:
            return None
        of_room = (ref for ref in self._running if (ref.room, ref.medium) == (room, Medium.VIDEO))
        return next(of_room, None)

    def _open(self, capture: CaptureRef, track: Track) -> bool:
        """Open a file for a camera or screen. Returns False if there is one already."""
        if self._open_file(capture, track) is not None:
            return False
        name = f"/{capture.room}/{track.user}-{track.stream}-{self._tick()}.mjr"
        self._files[capture][name] = RawFile(name, track.stream, self.now_ms, user=track.user)
        return True

    def _open_mix(self, capture: CaptureRef) -> None:
        name = f"{capture.room}-{capture.segment}-{self._tick()}.wav"
        self._files[capture][name] = RawFile(name, Stream.AUDIO, self.now_ms, mixer="simulated")

    def _open_file(self, capture: CaptureRef, track: Track) -> RawFile | None:
        files = self._files[capture].values()
        mine = (f for f in files if (f.user, f.stream) == (track.user, track.stream))
        return next((file for file in mine if file.stopped_ms is None), None)

    def _files_of(self, capture: CaptureRef) -> tuple[RawFile, ...]:
        return tuple(self._files.get(capture, {}).values())

    def _close_files(self, capture: CaptureRef) -> tuple[RawFile, ...]:
        known = self._files.get(capture, {})
        for name, file in known.items():
            if file.stopped_ms is None:
                known[name] = replace(file, stopped_ms=self._tick())
        return self._files_of(capture)

    def _tick(self) -> int:
        self.now_ms += 1
        return self.now_ms

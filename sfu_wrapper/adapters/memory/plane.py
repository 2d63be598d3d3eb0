"""A media plane in memory: writes nothing, waits for nothing, does what a test tells it to.

By default every request is carried out and confirmed within ``send``. ``behave`` changes that for
one medium; held requests are carried out by ``release``. Times come from a counter that a test
may set, names from what is published, so that two runs are the same.
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
    """What becomes of a request."""

    CONFIRM = "confirm"
    REFUSE = "refuse"  # a start is answered with a refusal; a stop is not carried out
    HANG = "hang"  # neither carried out nor answered
    MUTE = "mute"  # carried out, not answered
    HOLD = "hold"  # kept until ``release``


class MemoryPlane:
    """A ``MediaPlane`` for tests.

    now_ms: the plane's clock, epoch ms; each reading moves it on by one.
    asked: every request in order. full: ``send`` raises Unavailable while it is set.
    away: the media that are said to be out of reach.
    """

    def __init__(self, now_ms: int = 1_600_000_000_000) -> None:
        self.now_ms = now_ms
        self.asked: list[PlaneRequest] = []
        self.full = False
        self.away: set[Medium] = set()
        self._ways: dict[tuple[Medium, Point], Behaviour] = {}
        self._held: list[StartCapture | StopCapture] = []
        self._running: dict[CaptureRef, CaptureStarted] = {}
        self._files: dict[CaptureRef, dict[str, RawFile]] = {}
        self._stopped: dict[CaptureRef, CaptureStopped] = {}
        self._facts: FactQueue[PlaneFact] = FactQueue(_LIMIT)
        self._closed = asyncio.Event()

    @property
    def running(self) -> tuple[CaptureRef, ...]:
        """The captures that are written now."""
        return tuple(self._running)

    def behave(self, medium: Medium, point: Point, way: Behaviour) -> None:
        """From now on, treat requests of this kind so."""
        self._ways[medium, point] = way

    def release(self) -> None:
        """Carry out and confirm what was held, in the order in which it was asked."""
        held, self._held = self._held, []
        for request in held:
            self._carry_out(request, Behaviour.CONFIRM)

    def lose(self, *captures: CaptureRef, message: str = "the plane died") -> None:
        """Captures end unasked; without any named, every running one, as when the plane dies."""
        for capture in captures or self.running:
            self._running.pop(capture, None)
            files = self._close_files(capture)
            self.say(CaptureLost(capture, self._tick(), files, message))

    def back(self) -> None:
        """The plane answers again, for both media."""
        for medium in Medium:
            self.say(PlaneBack(medium))

    def say(self, fact: PlaneFact) -> None:
        """Report anything at all."""
        self._facts.put_at_once(fact)

    def is_available(self, medium: Medium) -> bool:
        """See ``MediaPlane``."""
        return medium not in self.away

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
                self._carry_out(request, self._way(capture, "start"))
            case StopCapture(capture=capture):
                self._carry_out(request, self._way(capture, "stop"))
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
        """See ``MediaPlane``; ends once the plane is closed and everything was read."""
        return self._facts.read()

    async def close(self) -> None:
        """See ``MediaPlane``."""
        self._closed.set()
        self._facts.close()

    def _way(self, capture: CaptureRef, point: Point) -> Behaviour:
        return self._ways.get((capture.medium, point), Behaviour.CONFIRM)

    def _carry_out(self, request: StartCapture | StopCapture, way: Behaviour) -> None:
        capture = request.capture
        match way:
            case Behaviour.HOLD:
                self._held.append(request)
            case Behaviour.REFUSE if isinstance(request, StartCapture):
                self.say(CaptureFailed(capture, "refused"))
            case Behaviour.REFUSE | Behaviour.HANG:
                pass
            case Behaviour.CONFIRM | Behaviour.MUTE:
                mute = way is Behaviour.MUTE
                if isinstance(request, StartCapture):
                    self._start(request, mute=mute)
                else:
                    self._stop(capture, mute=mute)
            case _:
                assert_never(way)

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
            self.say(replace(self._running[capture], files=self._files_of(capture)))

    def _stop(self, capture: CaptureRef, *, mute: bool = False) -> None:
        if self._running.pop(capture, None) is not None or capture not in self._stopped:
            files = self._close_files(capture)
            self._stopped[capture] = CaptureStopped(capture, self._tick(), files)
        if not mute:
            self.say(self._stopped[capture])

    def _resume(self, request: ResumeCapture) -> None:
        capture = request.capture
        if capture in self._running:
            self.say(replace(self._running[capture], files=self._files_of(capture)))
            return
        known = self._files.setdefault(capture, {})
        for file in request.files:
            known.setdefault(file.filename, file)
        files = self._close_files(capture)
        self.say(CaptureLost(capture, self._tick(), files, "not written any more"))

    def _publish(self, room: RoomUuid, track: Track) -> None:
        capture = self._running_of(room, track)
        if capture is not None and self._open(capture, track):
            self.say(CaptureChanged(capture, self._files_of(capture)))

    def _unpublish(self, room: RoomUuid, track: Track) -> None:
        capture = self._running_of(room, track)
        file = self._open_file(capture, track) if capture is not None else None
        if capture is not None and file is not None:
            self._files[capture][file.filename] = replace(file, stopped_ms=self._tick())
            self.say(CaptureChanged(capture, self._files_of(capture)))

    def _running_of(self, room: RoomUuid, track: Track) -> CaptureRef | None:
        """The running capture that a video track belongs to; the mix has no file a track."""
        if track.stream is Stream.AUDIO:
            return None
        of_room = (ref for ref in self._running if (ref.room, ref.medium) == (room, Medium.VIDEO))
        return next(of_room, None)

    def _open(self, capture: CaptureRef, track: Track) -> bool:
        """Open a film for a camera or screen; whether there is a new one."""
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

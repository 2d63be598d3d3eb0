"""Planes that need no server: two planes joined into one, and the plane ``none``.

``CompositePlane`` joins an SFU and a mixer that do not know each other. Requests about a capture go
to the plane that writes its medium; requests about rooms and tracks go to both. Facts that one
plane reports about the other's medium are dropped, so that a plane that supports both media can
serve one alone. The plane ``none`` leaves recording to another system: it accepts every request and
names no file, while ours decides, numbers and announces segments.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, assert_never

from sfu_wrapper.adapters.planes.fact_queue import FactQueue
from sfu_wrapper.core.media_plane import (
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
    RoomFound,
    StartCapture,
    StopCapture,
    TracksCarried,
    UnpublishTrack,
)
from sfu_wrapper.model.media import Medium
from sfu_wrapper.ports.media_plane import MediaPlane
from sfu_wrapper.ports.system import Clock


class PairedPlane:
    """A ``MediaPlane`` made of two.

    Args:
        video: plane that captures video.
        audio: plane that captures audio.
    """

    def __init__(self, *, video: MediaPlane, audio: MediaPlane) -> None:
        self._planes = {Medium.VIDEO: video, Medium.AUDIO: audio}
        self._facts: FactQueue[PlaneFact] = FactQueue()

    @property
    def audio(self) -> MediaPlane:
        """The plane that captures audio: the mixer."""
        return self._planes[Medium.AUDIO]

    def is_available(self, medium: Medium) -> bool:
        """See ``MediaPlane``."""
        return self._planes[medium].is_available(medium)

    async def run(self) -> None:
        """See ``MediaPlane``; returns once the plane is closed."""
        async with asyncio.TaskGroup() as tasks:
            for plane in self._planes.values():
                tasks.create_task(plane.run())
            tasks.create_task(self._carry())

    def send(self, request: PlaneRequest) -> None:
        """See ``MediaPlane``."""
        match request:
            case StartCapture(capture=capture) | StopCapture(capture=capture):
                self._planes[capture.medium].send(request)
            case ResumeCapture(capture=capture):
                self._planes[capture.medium].send(request)
            case OpenMediaRoom() | CloseMediaRoom() | PublishTrack() | UnpublishTrack():
                self._send_to_both(request)
            case _:
                assert_never(request)

    def facts(self) -> AsyncIterator[PlaneFact]:
        """See ``MediaPlane``; ends once the plane is closed and everything was read."""
        return self._facts.read()

    async def close(self) -> None:
        """See ``MediaPlane``."""
        async with asyncio.TaskGroup() as tasks:
            for plane in self._planes.values():
                tasks.create_task(plane.close())

    def _send_to_both(self, request: PlaneRequest) -> None:
        """Send a request to both planes; an error of the first does not skip the second."""
        try:
            self._planes[Medium.VIDEO].send(request)
        finally:
            self._planes[Medium.AUDIO].send(request)

    async def _carry(self) -> None:
        """Forward the facts of both planes until both have ended."""
        async with asyncio.TaskGroup() as tasks:
            for medium, plane in self._planes.items():
                tasks.create_task(self._carry_from(plane, medium))
        self._facts.close()

    async def _carry_from(self, plane: MediaPlane, medium: Medium) -> None:
        async for fact in plane.facts():
            if _about(fact) is medium:
                await self._facts.put(fact)


def _about(fact: PlaneFact) -> Medium:
    match fact:
        case PlaneBack(medium=medium) | TracksCarried(medium=medium) | RoomFound(medium=medium):
            return medium
    return fact.capture.medium


_LIMIT: Final = 100_000


class NoPlane:
    """A ``MediaPlane`` without media; its times come from ``clock``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started: dict[CaptureRef, CaptureStarted] = {}
        self._facts: FactQueue[PlaneFact] = FactQueue(_LIMIT)
        self._closed = asyncio.Event()

    def is_available(self, medium: Medium) -> bool:
        """See ``MediaPlane``; always available."""
        return True

    async def run(self) -> None:
        """See ``MediaPlane``; returns once the plane is closed."""
        await self._closed.wait()

    def send(self, request: PlaneRequest) -> None:
        """See ``MediaPlane``."""
        match request:
            case StartCapture(capture=capture) | ResumeCapture(capture=capture):
                self._start(capture)
            case StopCapture(capture=capture):
                self._stop(capture)
            case CloseMediaRoom(room=room):
                for capture in [ref for ref in self._started if ref.room == room]:
                    self._stop(capture)
            case OpenMediaRoom() | PublishTrack() | UnpublishTrack():
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

    def _start(self, capture: CaptureRef) -> None:
        fresh = CaptureStarted(capture, started_ms=self._clock.now().wall_ms)
        self._facts.put_at_once(self._started.get(capture, fresh))
        self._started.setdefault(capture, fresh)

    def _stop(self, capture: CaptureRef) -> None:
        stopped = CaptureStopped(capture, stopped_ms=self._clock.now().wall_ms, files=())
        self._facts.put_at_once(stopped)
        self._started.pop(capture, None)

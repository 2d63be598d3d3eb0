"""The plane ``none``: another system records; ours decides, numbers and announces segments.

Every request is accepted at once, and no file is ever named.
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
    PlaneFact,
    PlaneRequest,
    PublishTrack,
    ResumeCapture,
    StartCapture,
    StopCapture,
    UnpublishTrack,
)
from sfu_wrapper.model.media import Medium
from sfu_wrapper.ports.system import Clock

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

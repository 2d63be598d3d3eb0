"""Queued requests of one room, and their deadlines."""

import time
from dataclasses import dataclass, field
from typing import Final

from sfu_wrapper.core.media_plane import (
    CaptureRef,
    CloseMediaRoom,
    OpenMediaRoom,
    ResumeCapture,
    StartCapture,
    StopCapture,
)

RoomRequest = OpenMediaRoom | CloseMediaRoom | StartCapture | StopCapture | ResumeCapture

LIMIT: Final = 64  # requests of one room
START_WAITS_S: Final = 3.0  # for Janus to become available


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

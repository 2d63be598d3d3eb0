"""What waits in a line for its turn, and for how long."""

import time
from dataclasses import dataclass, field
from typing import Final

from sfu_wrapper.core.facts import CaptureRef
from sfu_wrapper.core.requests import (
    CloseMediaRoom,
    OpenMediaRoom,
    ResumeCapture,
    StartCapture,
    StopCapture,
)

Asked = OpenMediaRoom | CloseMediaRoom | StartCapture | StopCapture | ResumeCapture

LIMIT: Final = 64  # requests of one room
START_WAITS_S: Final = 3.0  # for Janus to be there


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A request. asked_s: monotonic; whoever starts wants to know soon, the others wait."""

    request: Asked
    asked_s: float = field(default_factory=time.monotonic)

    @property
    def by_s(self) -> float | None:
        """Until when it waits for Janus; None: for ever."""
        soon = isinstance(self.request, StartCapture | ResumeCapture)
        return self.asked_s + START_WAITS_S if soon else None

    @property
    def is_late(self) -> bool:
        """Whether it has waited for too long."""
        return self.by_s is not None and self.by_s <= time.monotonic()

    def starts(self, capture: CaptureRef) -> bool:
        """Whether it is a start of this capture that is still to be carried out."""
        match self.request:
            case StartCapture(capture=started):
                return started == capture and not self.is_late
        return False

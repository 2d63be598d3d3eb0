"""Clocks that a test sets: standing still, or the real ones put forward."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.service.rooms.actor import RoomActor

NOW_S = 1_590_392_548  # 2020-05-25T07:42:28Z
SOON_S = 0.02


class StandingClock:
    """A clock that moves when a test moves it."""

    def __init__(self, wall_s: float = NOW_S) -> None:
        self.wall_ms = round(wall_s * 1000)
        self.mono_ms = 0

    def now(self) -> Instant:
        """See ``Clock``."""
        return Instant(self.wall_ms, self.mono_ms)

    def pass_s(self, seconds: float) -> None:
        """Let so much time pass."""
        self.wall_ms += round(seconds * 1000)
        self.mono_ms += round(seconds * 1000)


class Ahead(SystemClock):
    """The real clocks, which a test may put forward."""

    def __init__(self) -> None:
        self.by_ms = 0

    def forward(self, seconds: float) -> None:
        """Put both forward."""
        self.by_ms += round(seconds * 1000)

    def now(self) -> Instant:
        """See ``Clock``."""
        real = super().now()
        return Instant(real.wall_ms + self.by_ms, real.mono_ms + self.by_ms)


@contextmanager
def noticing() -> Iterator[Ahead]:
    """A clock whose being put forward is noticed at once by every room."""
    timer_at = RoomActor._timer_at

    def soon(actor: RoomActor, delay_s: float) -> None:
        timer_at(actor, min(delay_s, SOON_S))

    with patch.object(RoomActor, "_timer_at", soon):
        yield Ahead()

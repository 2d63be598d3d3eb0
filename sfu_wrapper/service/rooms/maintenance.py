"""Periodic work: check broker and media plane, remove expired answers and old rooms.

``Monitor`` is the interface by which rooms report to health and metrics without knowing them.
"""

import asyncio
import logging
from typing import Final, Protocol

from sfu_wrapper.core.sync import Timeline
from sfu_wrapper.model.errors import RecordingError
from sfu_wrapper.model.media import Medium
from sfu_wrapper.observe.metrics import BROKER, MIXER, SFU, STORE, Health, Metrics
from sfu_wrapper.ports.media_plane import MediaPlane
from sfu_wrapper.ports.store import Store
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.rooms.relay import Relay

CHECK_S: Final = 0.5
FORGET_S: Final = 60.0
FORGET_WITHIN_S: Final = 10.0
BATCH_ROWS: Final = 500  # removed in one transaction; other writes come in between
DAY_MS: Final = 86_400_000

log = logging.getLogger(__name__)


class HealthMonitor:
    """Carries events of the rooms to health and metrics (``Monitor``)."""

    def __init__(self, health: Health, metrics: Metrics) -> None:
        self._health = health
        self._metrics = metrics

    def stored(self, done: bool) -> None:
        """See ``Monitor``."""
        self._health.report(STORE, done)

    def recording_missed(self) -> None:
        """See ``Monitor``."""
        self._metrics.recording_missed()


class Maintenance:
    """Periodic checks and clean-up.

    Args:
        store: where answers and rooms expire.
        plane: media plane to check.
        relay: publisher whose state is checked.
        clock: wall and monotonic clock.
        health: receives the results of the checks.
        room_days: days after which a settled room is removed from the store; 0: never.
    """

    def __init__(
        self,
        store: Store,
        plane: MediaPlane,
        relay: Relay,
        clock: Clock,
        health: Health,
        *,
        room_days: int = 0,
    ) -> None:
        self._store = store
        self._plane = plane
        self._relay = relay
        self._clock = clock
        self._health = health
        self._room_days = room_days
        self._began = clock.now()

    async def run(self) -> None:
        """Check the dependencies twice a second, and clean up once a minute, until cancelled."""
        loop = asyncio.get_running_loop()
        forget_at_s = loop.time()
        while True:
            self._health.report(BROKER, self._relay.status.failing is None)
            self._health.report(SFU, self._plane.is_available(Medium.VIDEO))
            self._health.report(MIXER, self._plane.is_available(Medium.AUDIO))
            if loop.time() >= forget_at_s:
                forget_at_s = loop.time() + FORGET_S
                await self._forget()
            await asyncio.sleep(CHECK_S)

    async def _forget(self) -> None:
        now = self._clock.now()
        # A wall clock set forward by years must not remove the rooms of those years.
        rooms_ms = min(now.wall_ms, Timeline(self._began, now).end_ms)
        try:
            async with asyncio.timeout(FORGET_WITHIN_S):
                await self._store.forget_answers(now.wall_ms)
                if self._room_days:
                    await self._forget_rooms(rooms_ms - self._room_days * DAY_MS)
        except (RecordingError, TimeoutError) as error:
            # Nothing is lost; the next round retries.
            log.warning("store.cleanupFailed", extra={"error": str(error)})

    async def _forget_rooms(self, ended_before_ms: int) -> None:
        """Remove rooms in small batches; the next round continues after a timeout."""
        while await self._store.forget_rooms(ended_before_ms, BATCH_ROWS) >= BATCH_ROWS:
            pass


class Monitor(Protocol):
    """Receiver of these reports."""

    def stored(self, done: bool) -> None:
        """Report that a commit was written (True) or failed."""
        ...

    def recording_missed(self) -> None:
        """Report that a wanted recording failed to start three times in a row."""
        ...


class NullMonitor:
    """Receiver that drops them."""

    def stored(self, done: bool) -> None:
        """See ``Monitor``."""

    def recording_missed(self) -> None:
        """See ``Monitor``."""

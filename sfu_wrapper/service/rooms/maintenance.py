"""Periodic work: check broker and media plane, remove expired answers and old rooms.

``Monitor`` is the interface by which rooms report to health and metrics without knowing them.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Protocol

from sfu_wrapper.core.effects import Announcement
from sfu_wrapper.core.sync import Timeline
from sfu_wrapper.model.errors import RecordingError, Unavailable
from sfu_wrapper.model.media import Medium
from sfu_wrapper.observe.controller_metrics import ControllerMetrics
from sfu_wrapper.observe.metrics import BROKER, MIXER, SFU, STORE, Health
from sfu_wrapper.ports.broker import Broker
from sfu_wrapper.ports.media_plane import MediaPlane
from sfu_wrapper.ports.store import Store
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.rooms.relay import Relay

CHECK_S: Final = 0.5
FORGET_S: Final = 60.0
DEPTHS_S: Final = 10.0
LOOK_WITHIN_S: Final = 5.0
FORGET_WITHIN_S: Final = 10.0
BATCH_ROWS: Final = 500  # removed in one transaction; other writes come in between
DAY_MS: Final = 86_400_000

log = logging.getLogger(__name__)


class HealthMonitor:
    """Carries events of the rooms to health and metrics (``Monitor``)."""

    def __init__(self, health: Health, metrics: ControllerMetrics) -> None:
        self._health = health
        self._metrics = metrics
        self.recording_missed = metrics.recording_missed
        self.announced = metrics.announced
        self.answered = metrics.answered
        self.plane_request = metrics.plane_request

    def stored(self, done: bool, seconds: float = 0.0) -> None:
        """See ``Monitor``."""
        self._health.report(STORE, done)
        if done:
            self._metrics.committed(seconds)


class Maintenance:
    """Periodic checks and clean-up.

    Attributes:
        depths: messages that waited in each queue at the last look, by its purpose.

    Args:
        store: where answers and rooms expire.
        plane: media plane to check.
        relay: publisher whose state is checked.
        broker: whose queues are looked at.
        queues: names of these queues by their purpose.
        clock: wall and monotonic clock.
        health: receives the results of the checks.
        room_days: days after which a settled room is removed from the store; 0: never.
    """

    def __init__(
        self,
        store: Store,
        plane: MediaPlane,
        relay: Relay,
        broker: Broker,
        queues: Mapping[str, str],
        clock: Clock,
        health: Health,
        *,
        room_days: int = 0,
    ) -> None:
        self.depths: dict[tuple[str, ...], float] = {}
        self._broker = broker
        self._queues = queues
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
        forget_at_s = look_at_s = loop.time()
        while True:
            self._health.report(BROKER, self._relay.status.failing is None)
            self._health.report(SFU, self._plane.is_available(Medium.VIDEO))
            self._health.report(MIXER, self._plane.is_available(Medium.AUDIO))
            if loop.time() >= forget_at_s:
                forget_at_s = loop.time() + FORGET_S
                await self._forget()
            if loop.time() >= look_at_s:
                look_at_s = loop.time() + DEPTHS_S
                await self._look_at_queues()
            await asyncio.sleep(CHECK_S)

    async def _look_at_queues(self) -> None:
        """Read the depths of the queues; one that cannot be read has none until it can."""
        for purpose, queue in self._queues.items():
            self.depths.pop((purpose,), None)
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(LOOK_WITHIN_S):
                    self.depths[purpose,] = await self._broker.depth(queue)

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

    def stored(self, done: bool, seconds: float = 0.0) -> None:
        """Report that a commit was written (True), in so many seconds, or failed."""
        ...

    def recording_missed(self) -> None:
        """Report that a wanted recording failed to start three times in a row."""
        ...

    def announced(self, announcement: Announcement) -> None:
        """Report an announcement that is committed."""
        ...

    def answered(self, endpoint: str, seconds: float) -> None:
        """Report the answer to a request, and the time since it came."""
        ...

    def plane_request(self, *, sent: bool) -> None:
        """Report a request to the media plane that was sent, or could not be."""
        ...


class NullMonitor:
    """Receiver that drops them."""

    def stored(self, done: bool, seconds: float = 0.0) -> None:
        """See ``Monitor``."""

    def recording_missed(self) -> None:
        """See ``Monitor``."""

    def announced(self, announcement: Announcement) -> None:
        """See ``Monitor``."""

    def answered(self, endpoint: str, seconds: float) -> None:
        """See ``Monitor``."""

    def plane_request(self, *, sent: bool) -> None:
        """See ``Monitor``."""

"""Broker as one worker uses it: open, measure queues and publish, over outages, until it stops.

Every wait is retried with growing pauses and ends with ``stop``; with a limit on outages
(``run_once``) it ends the worker as well. Outages are logged, repeated once a minute, and reported
to health.
"""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from sfu_wrapper.core.backoff import Backoff, Reminders
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.trace import TraceContext
from sfu_wrapper.observe.metrics import BROKER
from sfu_wrapper.ports.broker import Broker, Message, QueueSpec
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.worker.obstacles import WorkerMonitor
from sfu_wrapper.service.worker.scheduling import OutageLimit

BACKOFF: Final = Backoff(0.2, 5.0)
_BROKER: Final = "no broker"  # in error messages
_MANDATORY: Final = ("processed", "failed")

log = logging.getLogger(__name__)


class Stopped(Unavailable):
    """The worker stopped while a delivery waited; the delivery goes back."""


class BrokerLink:
    """Link of one worker to the broker.

    Args:
        broker: the broker.
        clock: timestamps of messages.
        monitor: receives the state of the broker.
        stopping: set once the worker is to stop.

    Attributes:
        outages: limit on outages of the broker, the store and the disks.
    """

    def __init__(
        self, broker: Broker, clock: Clock, monitor: WorkerMonitor, stopping: asyncio.Event
    ) -> None:
        self.outages = OutageLimit(clock)
        self._broker = broker
        self._clock = clock
        self._monitor = monitor
        self._stopping = stopping
        self._reminders = Reminders()

    async def open(self, queues: tuple[QueueSpec, ...]) -> bool:
        """Connect and declare the queues. Returns False if the worker was stopped before that."""
        pauses_s = iter(BACKOFF)
        while not self._stopping.is_set():
            try:
                await self._broker.open(queues)
            except Unavailable as error:
                self._unreachable(error)
                await self.pause(next(pauses_s))
            else:
                self._answered()
                return True
        return False

    async def depth(self, queue: str) -> int:
        """Return the length of a queue; 0 if stopped while the broker is unavailable."""
        while not self._stopping.is_set():
            try:
                depth = await self._broker.depth(queue)
            except Unavailable as error:
                self._unreachable(error)
                await self.pause(BACKOFF.first_s)
            else:
                self._answered()
                return depth
        return 0

    async def publish(
        self,
        key: str,
        message_id: str,
        body: bytes,
        room: str | None,
        trace: TraceContext | None = None,
    ) -> None:
        """Publish until the broker confirms. Raises Stopped at the limit on outages."""
        timestamp_ms = self._clock.now().wall_ms
        mandatory = key in _MANDATORY
        message = Message(
            key, message_id, body, room, timestamp_ms, mandatory=mandatory, trace=trace
        )
        for pause_s in BACKOFF:
            try:
                await self._broker.publish(message)
            except Unavailable as error:
                what = {"message_id": message_id, "error": error.detail}
                log.warning("job.publishFailed", extra=what)
                self._monitor.report(BROKER, False, error.detail)
                self.missed(_BROKER, error.detail)
                if self.outages.ended is not None:
                    raise Stopped("the result cannot be published") from error
                await asyncio.sleep(pause_s)
            else:
                self._answered()
                return

    async def pause(self, seconds: float) -> None:
        """Wait for a time or until stopped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def pause_job(self, seconds: float) -> None:
        """Wait within a job; raises Stopped, since a job that only waits is requeued at once."""
        await self.pause(seconds)
        if self._stopping.is_set():
            raise Stopped("the worker stops")

    def missed(self, what: str, why: str) -> None:
        """Record a failed attempt; stop the worker once the outage limit is exceeded."""
        if self.outages.unavailable(what, why):
            self._stopping.set()

    def _unreachable(self, error: Unavailable) -> None:
        if self._reminders.due(asyncio.get_running_loop().time()):
            log.warning("worker.brokerUnavailable", extra={"error": error.detail})
        self._monitor.report(BROKER, False, error.detail)
        self.missed(_BROKER, error.detail)

    def _answered(self) -> None:
        if self._reminders.over():
            log.info("worker.brokerRecovered")
        self._monitor.report(BROKER, True)
        self.outages.recovered(_BROKER)

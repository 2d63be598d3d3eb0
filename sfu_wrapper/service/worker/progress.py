"""Progress messages of a job: rate limited, never repeated, never blocking the job.

The job calls ``report`` with each step; a task publishes the latest state at most once per
interval. No message is retried, since it would be out of date.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sfu_wrapper.core.estimate import Standing
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.ids import SegmentNo
from sfu_wrapper.model.outcome import JobProgress
from sfu_wrapper.model.recording import SegmentInfo
from sfu_wrapper.ports.broker import Broker, Message
from sfu_wrapper.ports.clock import Clock
from sfu_wrapper.service.worker.job_progress import Progress
from sfu_wrapper.wire.progress import PROGRESS, encode_progress

log = logging.getLogger(__name__)


@asynccontextmanager
async def reporting(
    broker: Broker, clock: Clock, info: SegmentInfo, every_s: float
) -> AsyncIterator[Progress]:
    """Provide a callback for steps, and publish the latest one at most once in ``every_s``.

    Nothing is published after the context ends.
    """
    reporter = _Reporter(broker, clock, info, every_s)
    task = asyncio.create_task(reporter.run())
    try:
        yield reporter.report
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is not None:
            log.error("job.progressFailed", exc_info=task.exception())


class _Reporter:
    def __init__(self, broker: Broker, clock: Clock, info: SegmentInfo, every_s: float) -> None:
        self._broker = broker
        self._clock = clock
        self._info = info
        self._every_s = every_s
        self._changed = asyncio.Event()
        self._published = 0
        self._latest = Standing("", 0.0, 0.0)
        self._latest_ms = 0

    def report(self, standing: Standing) -> None:
        """Record the latest step of the job."""
        self._latest, self._latest_ms = standing, self._clock.now().mono_ms
        self._changed.set()

    async def run(self) -> None:
        """Publish changes until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            with suppress(Unavailable):
                await self._broker.publish(self._message())
            await asyncio.sleep(self._every_s)

    def _message(self) -> Message:
        now, info = self._clock.now(), self._info
        self._published += 1
        segment = info.segment or SegmentNo(1)
        latest, age_s = self._latest, (now.mono_ms - self._latest_ms) / 1000
        eta_s = max(latest.eta_s - age_s, 0.0)
        progress = JobProgress(info.uuid, segment, latest.stage, latest.percent, eta_s)
        return Message(
            PROGRESS,
            f"{info.uuid}:{segment}:{PROGRESS}:{self._published}",
            encode_progress(progress),
            info.room,
            now.wall_ms,
            persistent=False,
        )

"""Tells how far a job has come, for whoever listens: seldom, never twice, never in the way.

Nothing waits for it and nothing is tried again: what could not be told in time is out of date.
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
from sfu_wrapper.service.course import Progress
from sfu_wrapper.wire.progress import PROGRESS, encode_progress

log = logging.getLogger(__name__)


@asynccontextmanager
async def reporting(
    broker: Broker, clock: Clock, info: SegmentInfo, every_s: float
) -> AsyncIterator[Progress]:
    """Something to call with every step; publishes the latest once in ``every_s``.

    After the context nothing more of it is published.
    """
    reporter = _Reporter(broker, clock, info, every_s)
    task = asyncio.create_task(reporter.run())
    try:
        yield reporter.hear
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is not None:
            log.error("job.progressBroke", exc_info=task.exception())


class _Reporter:
    def __init__(self, broker: Broker, clock: Clock, info: SegmentInfo, every_s: float) -> None:
        self._broker = broker
        self._clock = clock
        self._info = info
        self._every_s = every_s
        self._news = asyncio.Event()
        self._told = 0
        self._latest = Standing("", 0.0, 0.0)
        self._heard_ms = 0

    def hear(self, standing: Standing) -> None:
        """The work has come so far."""
        self._latest, self._heard_ms = standing, self._clock.now().mono_ms
        self._news.set()

    async def run(self) -> None:
        """Tell, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            with suppress(Unavailable):
                await self._broker.publish(self._message())
            await asyncio.sleep(self._every_s)

    def _message(self) -> Message:
        now, info = self._clock.now(), self._info
        self._told += 1
        segment = info.segment or SegmentNo(1)
        latest, heard_s_ago = self._latest, (now.mono_ms - self._heard_ms) / 1000
        eta_s = max(latest.eta_s - heard_s_ago, 0.0)
        progress = JobProgress(info.uuid, segment, latest.stage, latest.percent, eta_s)
        return Message(
            PROGRESS,
            f"{info.uuid}:{segment}:{PROGRESS}:{self._told}",
            encode_progress(progress),
            info.room,
            now.wall_ms,
            persistent=False,
        )

"""Progress of a job, measured by the steps of its attempt and published at a limited rate; and log
lines about its result.

``ProgressTracker`` belongs to one attempt: the processor calls it with each step, and it passes a
``ProgressSnapshot`` to a callback. ``reporting`` provides that callback for the worker: a task
publishes the latest snapshot at most once per interval. No message is retried, since it would be
out of date, and the job never waits for the broker.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from sfu_wrapper.core.estimate import Estimate, ProgressSnapshot, ThroughputModel, parallel_s
from sfu_wrapper.model.errors import Stage, Unavailable
from sfu_wrapper.model.identity import SegmentNo
from sfu_wrapper.model.segment import Failed, JobProgress, Processed, SegmentInfo
from sfu_wrapper.ports.broker import Broker, Message
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.wire.job_messages import PROGRESS, encode_progress

Progress = Callable[[ProgressSnapshot], None]
Piece = TypeVar("Piece")
Work = Callable[[], Awaitable[Piece]]


class ProgressTracker:
    """Progress of one attempt, which starts when the object is made.

    Args:
        clock: measures the time taken.
        pace: model of this machine's throughput.
        initial_estimate: expected duration of each stage in seconds.
        progress: called with each step.
        at_once: number of pieces of a stage processed in parallel.
    """

    def __init__(
        self,
        clock: Clock,
        pace: ThroughputModel,
        initial_estimate: Mapping[Stage, float],
        progress: Progress,
        at_once: int = 1,
    ) -> None:
        self._clock = clock
        self._progress = progress
        self._at_once = at_once
        self._estimate = Estimate(pace, clock.now().mono_ms, initial_estimate)

    def expect(self, stage: Stage, seconds: float) -> None:
        """Replace the expected duration of a stage; 0 where the attempt skips the stage."""
        self._estimate.expect(stage, seconds)

    def reached(self, stage: Stage, percent: float) -> None:
        """Report that ``percent`` of a stage is done."""
        share = min(max(percent / 100, 0.0), 1.0)
        self._progress(self._estimate.reached(stage, share, self._clock.now().mono_ms))

    def through(self, stage: Stage, pieces: Iterable[tuple[Piece, float]]) -> Iterator[Piece]:
        """Yield the pieces of a stage one after another, and report each.

        Args:
            stage: name of the stage.
            pieces: the pieces with their expected durations in seconds.
        """
        listed = list(pieces)
        self.expect(stage, total_s := sum(seconds for _, seconds in listed))
        done_s = 0.0
        for piece, seconds in listed:
            self.reached(stage, 100 * done_s / total_s)
            yield piece
            done_s += seconds

    async def side_by_side(
        self, stage: Stage, pieces: Iterable[tuple[Work[Piece], float]]
    ) -> list[Piece]:
        """Run the pieces of a stage in parallel and return their results in order.

        If a piece fails, the others are cancelled and its error is raised.

        Args:
            stage: name of the stage.
            pieces: functions to call, with their expected durations in seconds.
        """
        listed = list(pieces)
        each_s = [seconds for _, seconds in listed]
        total_s, done_s = sum(each_s), 0.0
        self.expect(stage, parallel_s(each_s, self._at_once))
        gate = asyncio.Semaphore(self._at_once)

        async def done(work: Work[Piece], seconds: float) -> Piece:
            nonlocal done_s
            await gate.acquire()
            self.reached(stage, 100 * done_s / total_s)
            made = await work()
            done_s += seconds
            gate.release()  # kept after a failure, so that no further piece starts
            return made

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(done(*each)) for each in listed]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    def over(self) -> None:
        """Record the end of the last stage."""
        self._estimate.stage_done(self._clock.now().mono_ms)


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
        self._latest = ProgressSnapshot(Stage.PREPROCESS, 0.0, 0.0)
        self._latest_ms = 0

    def report(self, snapshot: ProgressSnapshot) -> None:
        """Record the latest step of the job."""
        self._latest, self._latest_ms = snapshot, self._clock.now().mono_ms
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


def log_done(result: Processed, *, repeated: bool) -> None:
    """Log the result of a segment, for operators; ``repeated``: it was processed before."""
    took_ms = result.processing_completed_ms - result.processing_started_ms
    what = {"uuid": result.uuid, "segment": result.segment, "output": result.output}
    how = {"files": len(result.files), "warnings": len(result.warnings), "took": took_ms / 1000}
    if repeated:
        log.info("job.repeated", extra=what)
        return
    log.info("job.processed", extra=what | how)
    for warning in result.warnings:
        named = {"uuid": result.uuid, "segment": result.segment, "warning": warning}
        log.warning("job.warning", extra=named)


def log_failed(failed: Failed) -> None:
    """Log the final failure of a segment, for operators."""
    what = {"uuid": failed.uuid, "segment": failed.segment, "attempts": failed.attempts}
    why = {"stage": failed.stage, "code": failed.code, "why": failed.detail}
    log.error("job.failed", extra=what | why)

"""A worker over a broker in memory, and processing that does as a test says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.adapters.memory.store import MemoryLeases
from sfu_wrapper.core.estimate import ProgressSnapshot
from sfu_wrapper.core.job import Retry
from sfu_wrapper.model.errors import JobCode, JobFailed, Stage
from sfu_wrapper.model.identity import SegmentNo
from sfu_wrapper.model.segment import Failed, Processed, SegmentInfo
from sfu_wrapper.ports.broker import Message, QueueSpec
from sfu_wrapper.service.worker.obstacles import NullWorkerMonitor
from sfu_wrapper.service.worker.processor import ProcessedSegment, job_of
from sfu_wrapper.service.worker.progress import Progress
from sfu_wrapper.service.worker.scheduling import WorkerSettings
from sfu_wrapper.service.worker.worker import Worker
from sfu_wrapper.wire.job_messages import encode_processed
from sfu_wrapper.wire.recording_info import encode_event
from tests.helpers.builders import segment_info
from tests.helpers.clocks import Ahead
from tests.helpers.wait import until

WORK, PROCESSED, FAILED = "processing_queue", "processed_queue", "failure_queue"

LIMIT = 4

QUEUES = (
    QueueSpec(WORK, ("recordingInfo",), dead_letter_key="failed", delivery_limit=LIMIT),
    QueueSpec(PROCESSED, ("processed",)),
    QueueSpec(FAILED, ("failed",)),
)

DEADLINE_S = 30.0

QUICK = Retry(attempts=3, first_s=0.001, factor=1)

PASSING = JobFailed(Stage.COMPOSE, JobCode.MUX_FAILED, "it broke", permanent=False)

FULL = JobFailed(Stage.COMPOSE, JobCode.NO_SPACE, "no space left", permanent=False)

LASTING = JobFailed(
    Stage.PREPROCESS, JobCode.UNREADABLE_MJR, "no media", permanent=True, file="a.mjr"
)


def segment(number: int = 1, uuid: str = "uuid-1", length_s: float = 15.193) -> SegmentInfo:
    return segment_info(uuid, number, length_ms=int(length_s * 1000))


def event(info: SegmentInfo) -> Message:
    return Message("recordingInfo", job_of(info), encode_event(info), info.room, mandatory=True)


class Reports(NullWorkerMonitor):
    """A monitor that keeps the last report of each part."""

    def __init__(self) -> None:
        self.parts: dict[str, tuple[bool, str]] = {}

    def report(self, part: str, there: bool, detail: str = "") -> None:
        """See ``WorkerMonitor``."""
        self.parts[part] = (there, detail)

    async def fullest_disk(self) -> str:
        """See ``WorkerMonitor``."""
        return "/mnt/films (ext4): 0 bytes of 2.0 GB free"


class Bench:
    """A worker's surroundings: a broker, and processing that does as it is told.

    tried: (job, attempt) in order. side_by_side: most jobs at once, and most of one job.
    """

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.leases = MemoryLeases()
        self.tried: list[tuple[str, int]] = []
        self.cleaned: list[tuple[str, bool]] = []
        self.uncleaned: list[SegmentInfo] | JobFailed = []
        self.outcomes: dict[str, list[Exception]] = {}
        self.percents: tuple[float, ...] = ()
        self.repeats: set[str] = set()  # jobs that were processed before
        self.gate: asyncio.Event | None = None
        self.clock = Ahead()
        self.space: bool | None = True
        self.looks = 0
        self.key_checks = 0
        self.key_error: JobFailed | None = None
        self.monitor = Reports()
        self.running: list[str] = []
        self.most_at_once = 0
        self.most_of_one = 0

    async def process(
        self, info: SegmentInfo, *, attempts: int, progress: Progress
    ) -> ProcessedSegment:
        """See ``Processing``."""
        for percent in self.percents:
            progress(ProgressSnapshot(Stage.COMPOSE, percent, 0))
        job = job_of(info)
        self.tried.append((job, attempts))
        self.running.append(job)
        self.most_at_once = max(self.most_at_once, len(self.running))
        self.most_of_one = max(self.most_of_one, self.running.count(job))
        try:
            await (self.gate.wait() if self.gate is not None else asyncio.sleep(0.001))
            if self.outcomes.get(job):
                raise self.outcomes[job].pop(0)
        finally:
            self.running.remove(job)
        return self._done(info, attempts)

    async def known(
        self, info: SegmentInfo, error: JobFailed
    ) -> tuple[ProcessedSegment | None, Failed | None]:
        """See ``Processing``."""
        job = job_of(info)
        if job in self.repeats:
            return self._done(info, 1), None
        begun = any(job == tried for tried, _ in self.tried)
        return None, await self.failure(info, error, 0) if begun else None

    def _done(self, info: SegmentInfo, attempts: int) -> ProcessedSegment:
        result = Processed(
            room=info.room,
            uuid=info.uuid,
            segment=info.segment or SegmentNo(1),
            output="none",
            started_ms=info.started_ms,
            completed_ms=info.completed_ms,
            encrypted=False,
            files=(),
            processing_started_ms=info.started_ms,
            processing_completed_ms=info.completed_ms,
            attempts=attempts,
            warnings=(),
            sync=(),
        )
        repeated = Path("manifest") if job_of(info) in self.repeats else None
        return ProcessedSegment(result, encode_processed(result), repeated)

    async def clean(self, info: SegmentInfo, *, raw: bool) -> None:
        """See ``Processing``."""
        self.cleaned.append((job_of(info), raw))

    async def left_over(self) -> tuple[SegmentInfo, ...]:
        """See ``Processing``."""
        if isinstance(self.uncleaned, JobFailed):
            raise self.uncleaned
        return tuple(self.uncleaned)

    async def failure(self, info: SegmentInfo, error: JobFailed, attempts: int) -> Failed:
        """See ``Processing``."""
        return Failed(
            room=info.room,
            uuid=info.uuid,
            segment=info.segment or SegmentNo(1),
            stage=error.stage,
            code=error.code,
            detail=error.detail,
            file=error.file,
            attempts=attempts,
            kept=(),
        )

    async def has_space(self, info: SegmentInfo) -> bool:
        """See ``Processing``."""
        self.looks += 1
        if self.space is None:
            raise JobFailed(
                Stage.PREPROCESS, JobCode.IO_ERROR, "the folder is away", permanent=False
            )
        return self.space

    async def check_key(self) -> None:
        """See ``Processing``."""
        self.key_checks += 1
        if self.key_error is not None:
            raise self.key_error

    def worker(self, **changes: Any) -> Worker:  # noqa: ANN401 fields of the settings
        given = WorkerSettings(
            queue=WORK, concurrency=2, retry=QUICK, drain_s=30, lease_s=10, space_s=0.01
        )
        settings = replace(given, **changes)
        return Worker(self.broker, self.leases, self, self.clock, QUEUES, settings, self.monitor)

    async def ask(self, *infos: SegmentInfo) -> None:
        await self.broker.open(QUEUES)
        for info in infos:
            await self.broker.publish(event(info))

    async def once(self, **changes: Any) -> None:  # noqa: ANN401 fields of the settings
        async with asyncio.timeout(DEADLINE_S):
            await self.worker(**changes).run_once()

    def holds(self, *, running: int, unsettled: int) -> bool:
        """Return whether all places are in use, so that the next segments wait for one."""
        return len(self.running) == running and self.broker.unsettled(WORK) == unsettled

    def told(self, key: str) -> list[Message]:
        return [message for message in self.broker.published if message.routing_key == key]

    async def until(self, condition: Callable[[], bool]) -> None:
        await until(condition, within_s=DEADLINE_S, pause_s=0.002)


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(worker.run())
    yield task
    worker.stop()
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.wait([task])


@pytest.fixture
def bench() -> Bench:
    return Bench()

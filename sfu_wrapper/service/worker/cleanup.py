"""Cleaning after segments of which all has been told; also after those whose worker died at it."""

import asyncio
import logging
from contextlib import suppress
from typing import Final, Protocol

from sfu_wrapper.model.errors import JobFailed, RecordingError, Unavailable
from sfu_wrapper.model.segment import Failed, SegmentInfo
from sfu_wrapper.observe.logs import of_recording
from sfu_wrapper.service.worker.processor import ProcessedSegment, job_of, log_name
from sfu_wrapper.service.worker.progress import Progress
from sfu_wrapper.service.worker.scheduling import Holder, LeaseLost

CATCH_UP_S: Final = 30.0

log = logging.getLogger(__name__)


class Cleanable(Protocol):
    """What knows of segments; ``service.worker.processor.Processor`` is it."""

    async def clean(self, info: SegmentInfo, *, raw: bool) -> None:
        """Remove temporary files, and raw ones where asked."""
        ...

    async def left_over(self) -> tuple[SegmentInfo, ...]:
        """Segments whose result stands and whose cleaning was cut short. Raises JobFailed."""
        ...


class Processing(Cleanable, Protocol):
    """What a worker has done with a segment; ``service.worker.processor.Processor`` is it."""

    async def process(
        self, info: SegmentInfo, *, attempts: int, progress: Progress
    ) -> ProcessedSegment:
        """Make and deliver everything of one segment. Raises JobFailed."""
        ...

    async def known(
        self, info: SegmentInfo, error: JobFailed
    ) -> tuple[ProcessedSegment | None, Failed | None]:
        """What can be told without a try: that it stands; that each one begun came to ``error``."""
        ...

    async def failure(self, info: SegmentInfo, error: JobFailed, attempts: int) -> Failed:
        """What to tell of a segment that failed for good."""
        ...

    async def has_space(self, info: SegmentInfo) -> bool:
        """Whether the disks have space for the work on it. Raises JobFailed."""
        ...


class Cleaner:
    """raw: whether raw files go as well."""

    def __init__(self, segments: Cleanable, holder: Holder, *, raw: bool) -> None:
        self._segments = segments
        self._holder = holder
        self._raw = raw

    async def clean(self, info: SegmentInfo) -> None:
        """After one segment, whose lease the caller has. A failure is logged and harms nobody."""
        try:
            await self._segments.clean(info, raw=self._raw)
        except RecordingError as error:
            log.warning("job.notCleaned", extra={"uuid": info.uuid, "error": error.detail})

    async def catch_up(self) -> None:
        """After all whose cleaning was cut short and nobody is at, within ``CATCH_UP_S``."""
        try:
            async with asyncio.timeout(CATCH_UP_S):
                for info in await self._segments.left_over():
                    with of_recording(log_name(info)), suppress(_Taken, LeaseLost):
                        async with self._holder.hold(job_of(info), _leave):
                            log.info("job.cleanedLate", extra={"uuid": info.uuid})
                            await self.clean(info)
        except (JobFailed, TimeoutError) as error:
            why = error.detail if isinstance(error, JobFailed) else "the disk does not answer"
            log.warning("worker.notTidied", extra={"error": why})


class _Taken(Unavailable):
    """Somebody else has the segment, or nobody can tell."""


async def _leave(_: float) -> None:
    raise _Taken("it is left to whoever has it")

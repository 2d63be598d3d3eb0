"""Removal of a segment's temporary and raw files, once its result is published.

The worker calls ``Cleaner.clean`` after it has acknowledged a delivery, with the segment's lease
held, and ``Cleaner.catch_up`` once at its start, for segments whose worker died while it cleaned.
Both only log a failure: the result is durable by then, and a later start cleans the rest.
"""

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
    """Cleaning part of ``service.worker.processor.Processor``."""

    async def clean(self, info: SegmentInfo, *, raw: bool) -> None:
        """Remove temporary files; with ``raw`` also the raw files."""
        ...

    async def left_over(self) -> tuple[SegmentInfo, ...]:
        """Return segments with a durable result and an interrupted cleaning. Raises JobFailed."""
        ...


class Processing(Cleanable, Protocol):
    """Processing of segments, as implemented by ``service.worker.processor.Processor``."""

    async def process(
        self, info: SegmentInfo, *, attempts: int, progress: Progress
    ) -> ProcessedSegment:
        """Render and deliver all output files of one segment. Raises JobFailed."""
        ...

    async def known(
        self, info: SegmentInfo, error: JobFailed
    ) -> tuple[ProcessedSegment | None, Failed | None]:
        """Return an outcome that needs no further attempt, else (None, None).

        Args:
            info: the segment.
            error: reason of the failure, where earlier attempts ended with their workers.
        """
        ...

    async def failure(self, info: SegmentInfo, error: JobFailed, attempts: int) -> Failed:
        """Return the report on a segment that failed for good."""
        ...

    async def has_space(self, info: SegmentInfo) -> bool:
        """Return True if the disks have space to process the segment. Raises JobFailed."""
        ...

    async def check_key(self) -> object:
        """Check that the encryption key can be used, if one is. Raises JobFailed."""
        ...


class Cleaner:
    """Cleaner of finished segments.

    Args:
        segments: the files of segments.
        holder: leases, so that no worker cleans a segment that another one holds.
        raw: remove the raw files as well.
    """

    def __init__(self, segments: Cleanable, holder: Holder, *, raw: bool) -> None:
        self._segments = segments
        self._holder = holder
        self._raw = raw

    async def clean(self, info: SegmentInfo) -> None:
        """Clean one segment, whose lease the caller holds. A failure is only logged."""
        try:
            await self._segments.clean(info, raw=self._raw)
        except RecordingError as error:
            log.warning("job.notCleaned", extra={"uuid": info.uuid, "error": error.detail})

    async def catch_up(self) -> None:
        """Clean the segments that an earlier worker left, within ``CATCH_UP_S``.

        Segments that another worker holds are skipped.
        """
        try:
            async with asyncio.timeout(CATCH_UP_S):
                for info in await self._segments.left_over():
                    with of_recording(log_name(info)), suppress(_Taken, LeaseLost):
                        async with self._holder.hold(job_of(info), _leave):
                            log.info("job.cleanupResumed", extra={"uuid": info.uuid})
                            await self.clean(info)
        except (JobFailed, TimeoutError) as error:
            why = error.detail if isinstance(error, JobFailed) else "the disk does not answer"
            log.warning("worker.cleanupFailed", extra={"error": why})


class _Taken(Unavailable):
    """Another worker holds the segment, or the store that would know is unavailable."""


async def _leave(_: float) -> None:
    raise _Taken("the worker that holds the segment cleans it")

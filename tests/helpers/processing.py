"""Processing of a worker that has little to do."""

from sfu_wrapper.model.errors import JobFailed
from sfu_wrapper.model.identity import SegmentNo
from sfu_wrapper.model.segment import Failed, Processed, SegmentInfo
from sfu_wrapper.service.worker.processor import ProcessedSegment
from sfu_wrapper.wire.job_messages import encode_processed


def done_without_files(info: SegmentInfo, attempts: int) -> ProcessedSegment:
    """Return the result of a segment in which nothing was recorded."""
    ms = info.started_ms
    number = info.segment or SegmentNo(1)
    result = Processed(info.room, info.uuid, number, "none", ms, ms, False, (), ms, ms, attempts)
    return ProcessedSegment(result, encode_processed(result))


class NothingElse:
    """What processing does beside ``process`` where a test is not about it: nothing, or a fault."""

    async def known(
        self, info: SegmentInfo, error: JobFailed
    ) -> tuple[ProcessedSegment | None, Failed | None]:
        """See ``service.worker.cleanup.Processing``."""
        return None, None

    async def clean(self, info: SegmentInfo, *, raw: bool) -> None:
        """See ``service.worker.cleanup.Processing``."""

    async def left_over(self) -> tuple[SegmentInfo, ...]:
        """See ``service.worker.cleanup.Processing``."""
        return ()

    async def failure(self, info: SegmentInfo, error: JobFailed, attempts: int) -> Failed:
        """See ``service.worker.cleanup.Processing``."""
        raise AssertionError(error)

    async def check_key(self) -> None:
        """See ``Processing``."""

    async def has_space(self, info: SegmentInfo) -> bool:
        """See ``service.worker.cleanup.Processing``."""
        return True

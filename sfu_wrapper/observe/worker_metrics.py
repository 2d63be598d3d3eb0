"""Metrics of a worker: its places, the stages of its jobs, their results, its disks.

Source: metrics.md, "Worker".
"""

from collections.abc import Callable
from typing import Final

from sfu_wrapper.model.errors import JobCode, Stage
from sfu_wrapper.observe.metrics import Metrics, Values

_STAGE_S: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
_FACTORS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_FAILED: Final = "failed"


class WorkerMetrics(Metrics):
    """Metrics of one worker.

    Args:
        places: number of segments that it processes at once.
    """

    def __init__(self, places: int) -> None:
        super().__init__()
        self._working = 0
        self.watch("worker_places", "Segments that the worker processes at once", lambda: places)
        self.watch("worker_busy", "Segments that are being processed", lambda: self._working)
        self._jobs = self.counter("jobs", "Segments by outcome", ("outcome", "code"))
        self._stages = self.histogram(
            "job_stage_seconds", "Seconds of a stage of an attempt", ("stage",), _STAGE_S
        )
        self._factor = self.histogram(
            "job_realtime_factor",
            "Seconds of processing for each second of a segment",
            (),
            _FACTORS,
        )
        self._jobs.labels("processed", "")
        for code in JobCode:  # a series that begins with 1 has no increase in Prometheus
            self._jobs.labels(_FAILED, code.value)
        for stage in Stage:
            self._stages.labels(stage.value)

    def begun(self) -> None:
        """Note that an attempt at a segment begins."""
        self._working += 1

    def ended(self) -> None:
        """Note that an attempt at a segment has ended."""
        self._working -= 1

    def stage(self, stage: Stage, seconds: float) -> None:
        """Observe the time of a stage of an attempt."""
        self._stages.labels(stage.value).observe(seconds)

    def processed(self, took_s: float, length_s: float) -> None:
        """Count a processed segment, with the times of its processing and of itself."""
        self._jobs.labels("processed", "").inc()
        if length_s > 0:
            self._factor.observe(took_s / length_s)

    def failed(self, code: str) -> None:
        """Count a segment that failed for good."""
        self._jobs.labels(_FAILED, code).inc()

    def watch_disks(self, read: Callable[[], Values]) -> None:
        """Register the free space of the folders, bytes."""
        self.watch_each("disk_free_bytes", "Free space for a folder", ("folder",), read)

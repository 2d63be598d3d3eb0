"""Obstacles of a worker: a full disk, and an encryption key that cannot be used (any more).

While one lasts the worker starts no segment, instead of failing each for good. ``Obstacles`` notes
it from a failed attempt, looks again before each further one, and reports both to a
``WorkerMonitor``, which knows health and metrics.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from sfu_wrapper.core.estimate import ProgressSnapshot
from sfu_wrapper.model.errors import JobCode, JobFailed, Stage
from sfu_wrapper.model.segment import SegmentInfo
from sfu_wrapper.ports.system import Clock

DISK: Final = "disk"
KEY: Final = "encryption"
OUTAGES: Final = {DISK: "no space on a disk", KEY: "no key for the encryption"}
ADVICE: Final = {
    DISK: "free disk space and start the worker again",
    KEY: "renew the key, or set encryption_key to another one, and start the worker again",
}
_NO_KEY: Final = (JobCode.KEY_UNUSABLE, JobCode.NO_GPG)

log = logging.getLogger(__name__)


class WorkerMonitor(Protocol):
    """Receiver of the state of a worker's dependencies."""

    def report(self, part: str, there: bool, detail: str = "") -> None:
        """Report a dependency as available or not, with details for operators."""
        ...

    async def fullest_disk(self) -> str:
        """Return the name and the space of the disk with the least space for results."""
        ...

    def begun(self) -> None:
        """Report that an attempt at a segment begins."""
        ...

    def ended(self) -> None:
        """Report that it has ended."""
        ...

    def stage(self, stage: Stage, seconds: float) -> None:
        """Report the time that a stage of an attempt took."""
        ...

    def processed(self, took_s: float, length_s: float) -> None:
        """Report a processed segment: the time of its last attempt, and its length."""
        ...

    def failed(self, code: str) -> None:
        """Report a segment that failed for good."""
        ...


class NullWorkerMonitor:
    """Receiver that drops reports and knows no disk."""

    def report(self, part: str, there: bool, detail: str = "") -> None:
        """See ``WorkerMonitor``."""

    async def fullest_disk(self) -> str:
        """See ``WorkerMonitor``."""
        return ""

    def begun(self) -> None:
        """See ``WorkerMonitor``."""

    def ended(self) -> None:
        """See ``WorkerMonitor``."""

    def stage(self, stage: Stage, seconds: float) -> None:
        """See ``WorkerMonitor``."""

    def processed(self, took_s: float, length_s: float) -> None:
        """See ``WorkerMonitor``."""

    def failed(self, code: str) -> None:
        """See ``WorkerMonitor``."""


class StageTimes:
    """Times of the stages of one attempt, from its progress.

    Args:
        monitor: receives them.
        clock: measures them.
        progress: gets each snapshot too.
    """

    def __init__(
        self, monitor: WorkerMonitor, clock: Clock, progress: Callable[[ProgressSnapshot], None]
    ) -> None:
        self._monitor = monitor
        self._clock = clock
        self._progress = progress
        self._stage = Stage.PREPROCESS
        self._since_ms = self._began_ms = clock.now().mono_ms

    def took_s(self) -> float:
        """Return the seconds since the attempt began."""
        return (self._clock.now().mono_ms - self._began_ms) / 1000

    def reached(self, snapshot: ProgressSnapshot) -> None:
        """Take a snapshot; a new stage ends the one before."""
        if snapshot.stage is not self._stage:
            self.over()
            self._stage = snapshot.stage
        self._progress(snapshot)

    def over(self) -> None:
        """End the present stage."""
        now_ms = self._clock.now().mono_ms
        self._monitor.stage(self._stage, (now_ms - self._since_ms) / 1000)
        self._since_ms = now_ms


class Obstacles:
    """Obstacles that the attempts of one worker met.

    Args:
        monitor: receives the obstacles and their ends.
        has_space: returns True if the disks have space for a segment; raises JobFailed.
        check_key: raises JobFailed while the key cannot be used.
        recovered: called with the name of an obstacle that is gone.

    Attributes:
        present: name and reason of each obstacle, oldest first.
    """

    def __init__(
        self,
        monitor: WorkerMonitor,
        has_space: Callable[[SegmentInfo], Awaitable[bool]],
        check_key: Callable[[], Awaitable[object]],
        recovered: Callable[[str], None],
    ) -> None:
        self.present: dict[str, str] = {}
        self._monitor = monitor
        self._has_space = has_space
        self._check_key = check_key
        self._recovered = recovered

    async def note(self, failure: JobFailed) -> None:
        """Note the obstacle that a failed attempt has met, if it is one."""
        if failure.code == JobCode.NO_SPACE and DISK not in self.present:
            disk = await self._monitor.fullest_disk()
            self._met(DISK, disk)
            log.error("worker.noSpace", extra={"why": failure.detail, "disk": disk})
        elif failure.code in _NO_KEY and KEY not in self.present:
            self._met(KEY, failure.detail)
            log.error("worker.keyUnusable", extra={"why": failure.detail})

    def excuses(self, failure: JobFailed) -> bool:
        """Return True if the failure says nothing about the segment: the attempt does not count."""
        return failure.code in _NO_KEY

    async def allow(self, info: SegmentInfo) -> bool:
        """Return True if a segment may be started; looks again at each obstacle."""
        if DISK in self.present and await self._space_is_back(info):
            self._gone(DISK)
            log.info("worker.diskSpaceRecovered")
        if KEY in self.present and await self._key_is_back():
            self._gone(KEY)
            log.info("worker.keyRecovered")
        return not self.present

    async def _space_is_back(self, info: SegmentInfo) -> bool:
        try:
            return await self._has_space(info)
        except JobFailed:  # the attempt will report the error
            return True

    async def _key_is_back(self) -> bool:
        try:
            await self._check_key()
        except JobFailed:
            return False
        return True

    def _met(self, name: str, detail: str) -> None:
        self.present[name] = detail
        self._monitor.report(name, False, detail)

    def _gone(self, name: str) -> None:
        del self.present[name]
        self._monitor.report(name, True)
        self._recovered(name)

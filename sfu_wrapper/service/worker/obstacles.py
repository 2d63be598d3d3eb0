"""Obstacles of a worker: a full disk, and an encryption key that cannot be used (any more).

While one lasts the worker starts no segment, instead of failing each for good. ``Obstacles`` notes
it from a failed attempt, looks again before each further one, and reports both to a
``WorkerMonitor``, which knows health and metrics.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from sfu_wrapper.model.errors import JobCode, JobFailed
from sfu_wrapper.model.segment import SegmentInfo

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


class NullWorkerMonitor:
    """Receiver that drops reports and knows no disk."""

    def report(self, part: str, there: bool, detail: str = "") -> None:
        """See ``WorkerMonitor``."""

    async def fullest_disk(self) -> str:
        """See ``WorkerMonitor``."""
        return ""


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

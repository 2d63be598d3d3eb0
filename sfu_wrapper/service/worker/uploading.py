"""Upload of finished files into an object store, and their removal from there.

Steps of one upload, each of which may be the last one of a worker that dies:

1. The files are durable at their final names, and the manifest says so, but is *unfinished*.
2. Each file is uploaded, and checked by length and content.
3. The manifest is finished. From here on the worker publishes, acknowledges and cleans, which
   removes the local copies.

An unfinished job is continued from its files on disk, and not processed again, unless a file is
missing. While the store is away the segment waits without a place, so that others are processed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.core.finished import place_below
from sfu_wrapper.model.errors import JobCode, JobFailed, RecordingError, Stage, Unavailable
from sfu_wrapper.model.segment import FinishedFile, Processed
from sfu_wrapper.ports.objects import ObjectStore
from sfu_wrapper.ports.storage import Measured, RecordingStorage
from sfu_wrapper.service.worker.obstacles import WorkerMonitor

STORAGE: Final = "storage"  # part of health
OUTAGE: Final = "no object store"  # in error messages
FILES_AT_ONCE: Final = 2  # more would share a slow link, and all of them miss their deadlines

_BACKOFF: Final = Backoff(1.0, 60.0)

log = logging.getLogger(__name__)


class ResultLost(Exception):
    """A finished file is missing before it was uploaded; the segment has to be processed again."""


class Uploads:
    """Uploads of one worker, of all its segments.

    Args:
        objects: the store.
        storage: finished files and manifests.
    """

    def __init__(self, objects: ObjectStore, storage: RecordingStorage) -> None:
        self.url = objects.url
        self._objects = objects
        self._storage = storage
        self._places = asyncio.Semaphore(FILES_AT_ONCE)

    async def upload(self, job: str, result: Processed) -> None:
        """Upload the files of a job, and finish it.

        Raises:
            Unavailable: the store does not answer, or refuses.
            JobFailed: the disk refuses.
            ResultLost: a file is missing; the job is not finished and runs again.
        """
        for file in result.files:
            name = place_below(result, file)
            try:
                async with self._places:
                    await self._objects.upload(self._storage.final(name), name, _content(file))
            except FileNotFoundError as error:
                await self._storage.give_up(job)
                raise ResultLost(str(error)) from error
        await self._storage.finish(job)

    async def upload_in_the_end(
        self,
        job: str,
        result: Processed,
        pause: Callable[[float], Awaitable[None]],
        outage: "Outage",
    ) -> None:
        """Upload the files of a job, however long the store is away.

        Args:
            job: the job.
            result: its files.
            pause: waits that many seconds before another attempt; raises to give up.
            outage: reports the store as away, and as back.

        Raises:
            ResultLost: as ``upload``.
        """
        for pause_s in _BACKOFF:
            try:
                await self.upload(job, result)
            except (Unavailable, JobFailed) as error:
                outage.began(error)
            else:
                outage.ended()
                return
            await pause(pause_s)


class Outage:
    """State of the object store, as logs, health and ``--once`` see it.

    Args:
        monitor: receives the state.
        missed: called with the reason for each failed attempt.
        recovered: called once the store is back.
    """

    def __init__(
        self,
        monitor: WorkerMonitor,
        missed: Callable[[str], None],
        recovered: Callable[[], None],
    ) -> None:
        self._monitor = monitor
        self._missed = missed
        self._recovered = recovered
        self._lasts = False

    def began(self, error: RecordingError) -> None:
        """Report a failed attempt; the first one of an outage is logged."""
        if not self._lasts:
            log.error("worker.storageAway", extra={"why": error.detail})
        self._lasts = True
        self._monitor.report(STORAGE, False, error.detail)
        self._missed(error.detail)

    def ended(self) -> None:
        """Report a successful attempt."""
        if self._lasts:
            log.info("worker.storageRecovered")
        self._lasts = False
        self._monitor.report(STORAGE, True)
        self._recovered()


class UploadedFiles:
    """``ObjectRemoval`` from an object store.

    Args:
        objects: the store.
        name_of: returns the name of the object for the name of a finished file; None: not ours.
    """

    def __init__(self, objects: ObjectStore, name_of: Callable[[str], str | None]) -> None:
        self._objects = objects
        self._name_of = name_of

    async def remove(self, names: Sequence[str], urls: Sequence[str]) -> None:
        """See the port."""
        folder = f"{self._objects.url}/"
        for url in urls:
            if not url.startswith(folder):
                raise elsewhere(url)
        found = [name for name in map(self._name_of, names) if name is not None]
        found += (url.removeprefix(folder) for url in urls)
        try:
            await self._objects.remove(tuple(dict.fromkeys(found)))
        except Unavailable as error:
            raise JobFailed(
                Stage.DELIVER, JobCode.IO_ERROR, error.detail, permanent=False
            ) from error


def elsewhere(url: str) -> JobFailed:
    """Return the failure to remove an object from a store that this worker does not have."""
    detail = f"{url} is in another store than storage.url: set that to its store, and restart"
    return JobFailed(Stage.DELIVER, JobCode.IO_ERROR, detail, permanent=False)


def _content(file: FinishedFile) -> Measured:
    return Measured(file.size_bytes, file.sha256)

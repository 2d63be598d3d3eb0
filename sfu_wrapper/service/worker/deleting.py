"""Deletion of recordings by a worker, from the request to the ``deleted`` message.

In:  deliveries of ``deletionRequested`` messages, and ``recordingInfo`` of deleted recordings.
Out: one ``deleted`` message per recording; none for raw files alone.

Steps of one deletion, each of which may be the last one of a worker that dies:

1. ``accept``: the request becomes a durable *order* in the folder of the results. From now on the
   segment is not processed any more, and each worker that starts finishes the order.
2. With the lease of the job: remove the store's objects, finished files, raw files, temporary files
   and the log. The manifest goes last, because it names the files.
3. Write the *mark*, which holds the ``deleted`` message, and publish that message.
4. Remove the order, acknowledge the request.

A request whose job another task holds (it is being processed) is acknowledged with its order: the
worker that holds the job carries it out at its end (``resume``). A file that cannot be removed is
logged and reported to health; the order stays and is tried again every ``retry_s`` seconds.

A redelivered ``recordingInfo`` of a marked job is acknowledged and processes nothing; raw files
that it names are removed, since they may have been unknown before (``refuses``).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.core.retention import DAY_MS, steady_ms
from sfu_wrapper.model.errors import JobFailed, Malformed, RecordingError, Unavailable
from sfu_wrapper.model.recording import Deleted, DeletionRequest
from sfu_wrapper.model.segment import SegmentInfo
from sfu_wrapper.ports.broker import Broker, Delivery
from sfu_wrapper.ports.storage import DeletionStorage, ObjectRemoval, RecordingStorage
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.worker.file_names import FileNames, find_names, raw_names
from sfu_wrapper.service.worker.obstacles import WorkerMonitor
from sfu_wrapper.service.worker.processor import job_of
from sfu_wrapper.service.worker.scheduling import Holder, LeaseLost
from sfu_wrapper.service.worker.uploading import elsewhere
from sfu_wrapper.wire.deletion_messages import (
    DELETED,
    deleted_id,
    encode_deleted,
    encode_request,
    parse_deletion,
)

DELETIONS: Final = "deletions"  # part of health
ORDERS: Final = 1_000  # open orders that one round looks at

_BACKOFF: Final = Backoff(1.0, 60.0)
_RETURN_S: Final = 1.0

Pause = Callable[[float], Awaitable[None]]
Publish = Callable[[str, str, bytes, str | None], Awaitable[None]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeletionSettings:
    """Settings of the deletions of a worker.

    Attributes:
        queue: where requests come from.
        held: most requests held at once.
        retry_s: seconds between two rounds over open orders, and over what is too old.
        event_s: seconds after which a request no longer awaits its ``recordingInfo``.
        log_days: days that logs are kept; 0: for ever.
        mark_days: days that marks of deleted recordings are kept; 0: for ever.
    """

    queue: str = "deletion_queue"
    held: int = 16
    retry_s: float = 60.0
    event_s: float = 86_400.0
    log_days: int = 90
    mark_days: int = 400


class _Taken(Unavailable):
    """Another task holds the job, or the store that would know is unavailable."""


class Deleter:
    """Deleter of recordings.

    Args:
        storage: manifests and temporary files.
        removal: orders, marks, and the removal of files.
        objects: object store that holds copies of the finished files; None: there is none.
        holder: leases, so that no job is deleted and processed at the same time.
        publish: publishes key, message id, body and room until the broker confirms.
        clock: source of time.
        settings: queue and times.
        monitor: receives the state of the deletions.
    """

    def __init__(
        self,
        storage: RecordingStorage,
        removal: DeletionStorage,
        objects: ObjectRemoval | None,
        holder: Holder,
        publish: Publish,
        clock: Clock,
        settings: DeletionSettings,
        monitor: WorkerMonitor,
    ) -> None:
        self._storage = storage
        self._removal = removal
        self._objects = objects
        self._holder = holder
        self._publish = publish
        self._clock = clock
        self._settings = settings
        self._monitor = monitor
        self._began = clock.now()
        self._busy = 0
        self._failing: set[str] = set()

    @property
    def idle(self) -> bool:
        """True while no request is being handled."""
        return self._busy == 0

    async def depth(self, broker: Broker) -> int:
        """Return the number of requests that wait; 0 if the broker does not say."""
        with suppress(Unavailable):
            return await broker.depth(self._settings.queue)
        return 0

    async def run(self, broker: Broker) -> None:
        """Handle requests and open orders until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._rounds())
            deliveries = broker.consume(self._settings.queue, self._settings.held)
            async with aclosing(deliveries):
                async for delivery in deliveries:
                    self._busy += 1
                    try:
                        await self._handle(delivery)
                    finally:
                        self._busy -= 1

    async def refuses(self, info: SegmentInfo, pause: Pause) -> bool:
        """Return True if the segment is deleted, or being deleted, and is not to be processed.

        Then its raw files are removed and an open order is carried out, however long it takes: only
        this event may name the raw files.

        Args:
            info: the segment.
            pause: waits that many seconds before another attempt; raises to give up.
        """
        for pause_s in _BACKOFF:
            with suppress(JobFailed):  # reported; the disk may come back
                return await self._refuses(info, pause)
            await pause(pause_s)
        return False

    async def _refuses(self, info: SegmentInfo, pause: Pause) -> bool:
        job = job_of(info)
        deleted = await self._removal.mark(job) is not None
        if not deleted and await self._removal.order(job) is None:
            return False
        log.info("job.deleted", extra={"uuid": info.uuid, "segment": info.segment})
        if deleted:
            names = raw_names(info)
            await self._removal.remove_raw(names.videos, names.audio)
        await self._resume(job, info, pause)
        return True

    async def resume(self, info: SegmentInfo) -> None:
        """Carry out an order that was accepted while the segment was processed."""
        with suppress(JobFailed):  # reported; the next round tries again
            await self._resume(job_of(info), info, _leave)

    async def catch_up(self) -> None:
        """Carry out all open orders, as far as no other task holds them."""
        try:
            for body in await self._removal.orders(ORDERS):
                request = _request(body)
                if request is not None:
                    await self._try(await self._job_of(request), request)
        except RecordingError as error:
            log.warning("deletion.notResumed", extra={"error": error.detail})

    async def _rounds(self) -> None:
        while True:
            await self.catch_up()
            await self._sweep()
            await asyncio.sleep(self._settings.retry_s)

    async def _sweep(self) -> None:
        """Remove logs and marks that are too old. A clock that was set forward does not count."""
        now_ms = steady_ms(self._began, self._clock.now())

        def before_ms(days: int) -> int | None:
            return now_ms - days * DAY_MS if days else None

        of = self._settings
        try:
            count = await self._removal.sweep(before_ms(of.log_days), before_ms(of.mark_days))
        except JobFailed as error:
            log.warning("deletion.sweepFailed", extra={"error": error.detail})
        else:
            if count:
                log.info("deletion.swept", extra={"files": count})

    async def _handle(self, delivery: Delivery) -> None:
        """Handle one request until it is acknowledged or returned."""
        request = _request(delivery.body)
        try:
            if request is not None:
                await self._accept(request)
        except Exception as error:  # one request must not end the others
            unexpected = not isinstance(error, RecordingError)
            what = {"message_id": delivery.message_id, "error": str(error)}
            log.warning("deletion.returned", extra=what, exc_info=unexpected)
            await asyncio.sleep(_RETURN_S)  # the disk or the broker is away: no busy loop
            with suppress(Unavailable):
                await delivery.requeue()
        else:
            with suppress(Unavailable):  # it is delivered again, and then answered by its mark
                await delivery.ack()

    async def _accept(self, request: DeletionRequest) -> None:
        job = await self._job_of(request)
        if not request.raw_only and (mark := await self._removal.mark(job)) is not None:
            await self._report(mark)
            return
        body = encode_request(request)
        await self._removal.put_order(job, body, raw_only=request.raw_only)
        await self._try(job, request)

    async def _try(self, job: str, request: DeletionRequest) -> None:
        """Carry out an order; report a failure, after which the order stays open."""
        with suppress(JobFailed):
            await self._carry_out(job, request, None, _leave)

    async def _resume(self, job: str, info: SegmentInfo, pause: Pause) -> None:
        body = await self._removal.order(job)
        request = None if body is None else _request(body)
        if request is not None:
            await self._carry_out(job, request, info, pause)

    async def _carry_out(
        self, job: str, request: DeletionRequest, info: SegmentInfo | None, pause: Pause
    ) -> None:
        """Carry out an order, unless another task holds the job or its event is awaited.

        Raises:
            JobFailed: a file stays; it was reported.
        """
        try:
            async with self._holder.hold(job, pause):
                await self._delete(job, request, info)
        except JobFailed as error:
            self._failed(job, error)
            raise
        except (_Taken, LeaseLost):
            log.info("deletion.waits", extra={"job": job})
            return
        self._failing.discard(job)
        if not self._failing:
            self._monitor.report(DELETIONS, True)

    def _failed(self, job: str, error: JobFailed) -> None:
        what = {"job": job, "code": error.code, "error": error.detail}
        if job in self._failing:
            log.warning("deletion.failedAgain", extra=what)
        else:
            log.error("deletion.failed", extra=what)
        self._failing.add(job)
        self._monitor.report(DELETIONS, False, f"{job}: {error.detail}")

    async def _delete(self, job: str, request: DeletionRequest, info: SegmentInfo | None) -> None:
        mark = await self._removal.mark(job)
        if mark is None:
            names = await find_names(job, request, info, self._storage, self._removal)
            if info is None and self._awaits(request, names):
                return
            await self._remove(job, request, names)
            if not request.raw_only:
                # Nothing is left now: from here on the mark answers.
                done_ms = self._clock.now().wall_ms
                deleted = Deleted(request.key, request.room, request.reason, done_ms)
                mark = encode_deleted(deleted)
                await self._removal.put_mark(job, mark)
        if mark is not None and not request.raw_only:
            await self._report(mark)
        await self._removal.close_order(job, raw_only=request.raw_only)
        what = {"uuid": request.key.uuid, "segment": request.key.segment}
        log.info("deletion.done", extra=what | {"reason": request.reason.value})

    def _awaits(self, request: DeletionRequest, names: FileNames) -> bool:
        """Return True if the event may still arrive, which names the raw files."""
        if not request.awaits_event or names != FileNames():
            return False
        age_ms = steady_ms(self._began, self._clock.now()) - request.requested_ms
        return age_ms < self._settings.event_s * 1000

    async def _remove(self, job: str, request: DeletionRequest, names: FileNames) -> None:
        if not request.raw_only:
            await self._remove_objects(job, names)
        await self._removal.remove_raw(names.videos, names.audio)
        if not request.raw_only:
            await self._removal.remove_log(job.replace(":", "-"))
            await self._removal.remove_results(job, names.results)
        # The event goes last: it names the raw files.
        await self._storage.clear(job, lasting=False)
        await self._storage.clear(job)

    async def _remove_objects(self, job: str, names: FileNames) -> None:
        """Remove finished files from the object store, except those of other jobs."""
        if self._objects is None:
            for url in names.urls:
                raise elsewhere(url)
            return
        owners = [(name, await self._removal.owner(name)) for name in names.results]
        ours = [name for name, owner in owners if owner in (None, job)]
        if ours or names.urls:
            await self._objects.remove(ours, names.urls)

    async def _report(self, mark: bytes) -> None:
        deleted = parse_deletion(mark)
        if isinstance(deleted, Deleted):
            await self._publish(DELETED, deleted_id(deleted), mark, deleted.room)

    async def _job_of(self, request: DeletionRequest) -> str:
        """Return the job of a recording; events of older senders have no number of the segment."""
        job = f"{request.key.uuid}:{request.key.segment}"
        if request.key.segment == 1 and request.files:
            owner = await self._removal.owner(request.files[0])
            if owner is not None and owner.startswith(f"{request.key.uuid}:t"):
                return owner
        return job


MakeDeleter = Callable[[Holder, Publish, WorkerMonitor], Deleter]


def _request(body: bytes) -> DeletionRequest | None:
    """Read a request; None, and a line in the log, for anything else."""
    try:
        read = parse_deletion(body)
    except Malformed as error:
        log.warning("deletion.malformed", extra={"error": error.detail})
        return None
    return read if isinstance(read, DeletionRequest) else None


async def _leave(_: float) -> None:
    raise _Taken("another task holds the job, and carries out the order at its end")

"""Main loop of the recording service: one task per delivery, from the queue to the acknowledgement.

In:  deliveries of ``recordingInfo`` events, from ``Intake``.
Out: one ``processed`` or ``failed`` message per segment, and ``progress`` messages meanwhile.

Each task goes through these steps, and may die after any of them:

1. Parse the event. An unreadable message becomes a ``failed`` message at once.
2. Wait for a place (``PrioritySemaphore``), then for the lease of the job (``Holder``).
3. Attempt: ``Processing.process`` makes the files and the manifest durable. A failed attempt is
   repeated after a pause, without the place, until ``core.job.pause_before_next`` gives up.
4. Publish the outcome until the broker confirms it.
5. Acknowledge the delivery.
6. Clean temporary and raw files.

The order is the contract: a worker killed between two steps leaves the delivery unacknowledged, so
that the segment is delivered again, its manifest is found, and the same message is published. The
lease keeps two workers off one segment. A segment requests it only once it has a place, so that
segments that only wait cost the store nothing.

Deletions of recordings run next to the segments (``service.worker.deleting``): a segment that is
deleted is acknowledged without being processed.

The broker, the store and the disks may be unavailable: every wait for them is retried, ends with
``stop``, and with ``run_once`` also at the outage limit.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from sfu_wrapper.core.fairness import Claim, owner_of
from sfu_wrapper.core.job import (
    as_failure,
    no_result,
    pause_before_next,
    priority_ms,
)
from sfu_wrapper.model.errors import JobFailed, Malformed, RecordingError, Unavailable
from sfu_wrapper.model.segment import Failed, SegmentInfo
from sfu_wrapper.observe.logs import of_recording
from sfu_wrapper.observe.metrics import STORE
from sfu_wrapper.ports.broker import Broker, Delivery, QueueSpec
from sfu_wrapper.ports.system import Clock, JobLeases
from sfu_wrapper.service.worker.broker_link import BrokerLink, Stopped
from sfu_wrapper.service.worker.cleanup import Cleaner, Processing
from sfu_wrapper.service.worker.deleting import MakeDeleter
from sfu_wrapper.service.worker.intake import Intake
from sfu_wrapper.service.worker.obstacles import (
    ADVICE,
    OUTAGES,
    NullWorkerMonitor,
    Obstacles,
    StageTimes,
    WorkerMonitor,
)
from sfu_wrapper.service.worker.processor import (
    ProcessedSegment,
    job_of,
    log_name,
)
from sfu_wrapper.service.worker.progress import Progress, log_done, log_failed, reporting
from sfu_wrapper.service.worker.scheduling import (
    Closed,
    Dismissed,
    Holder,
    LeaseLost,
    OutageLimit,
    Place,
    PrioritySemaphore,
    WorkerSettings,
)
from sfu_wrapper.service.worker.uploading import OUTAGE, Outage, ResultLost, Uploads
from sfu_wrapper.wire.job_messages import encode_failed, encode_poison
from sfu_wrapper.wire.recording_info import parse_event

_REQUEUE_S: Final = 5.0
_LOOKS: Final = 2  # in a row that find no work, before a worker ends
_STORE: Final = "no store"  # in error messages
_UNMONITORED: Final = NullWorkerMonitor()

log = logging.getLogger(__name__)


class Worker:
    """Recording service that consumes one queue.

    Args:
        broker: source of segments, receiver of outcomes.
        leases: one lease per job, shared by all workers.
        processing: work on one segment.
        clock: source of time.
        queues: queues declared when the broker is first reached.
        settings: limits and pauses.
        monitor: receives the state of the dependencies.
        deleter: creates the deleter of recordings; None: this worker deletes nothing.
        uploads: uploads into an object store; None: finished files stay local.
    """

    def __init__(
        self,
        broker: Broker,
        leases: JobLeases,
        processing: Processing,
        clock: Clock,
        queues: tuple[QueueSpec, ...],
        settings: WorkerSettings,
        monitor: WorkerMonitor = _UNMONITORED,
        deleter: MakeDeleter | None = None,
        uploads: Uploads | None = None,
    ) -> None:
        self._broker = broker
        self._stopping = asyncio.Event()
        self._link = BrokerLink(broker, clock, monitor, self._stopping)
        self._holder = Holder(leases, self._store_answered, settings.lease_s)
        self._deleter = deleter(self._holder, self._link.publish, monitor) if deleter else None
        self._cleaner = Cleaner(processing, self._holder, raw=settings.clean_raw)
        self._processing = processing
        self._clock = clock
        self._queues = queues
        self._settings = settings
        self._limit = next((q.delivery_limit for q in queues if q.name == settings.queue), None)
        self._jobs: set[asyncio.Task[None]] = set()
        self._places = PrioritySemaphore(settings.concurrency, clock)
        self._poison = asyncio.Lock()
        self._monitor = monitor
        self._uploads = uploads
        self._outage = Outage(
            monitor,
            partial(self._link.missed, OUTAGE),
            lambda: self._link.outages.recovered(OUTAGE),
        )
        self._obstacles = Obstacles(
            monitor,
            processing.has_space,
            processing.check_key,
            lambda what: self._link.outages.recovered(OUTAGES[what]),
        )

    def stop(self) -> None:
        """Start no more segments; ``run`` returns once the running ones have ended."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until stopped. When cancelled, requeue the segments that run.

        Raises:
            Misconfigured: the broker cannot be used at all.
        """
        if await self._open():
            await self._session(self._stopping.wait)

    async def run_once(self) -> None:
        """Work until the queue is empty, or stopped.

        Raises:
            Misconfigured: as ``run``.
            Unavailable: an outage exceeded the limit; the messages held were requeued.
        """
        self._link.outages = OutageLimit(self._clock, self._settings.outage_limit_s)
        if await self._open():
            while not self._stopping.is_set() and await self._depth() > 0:
                await self._session(self._idle)
        if self._link.outages.ended is not None:
            raise self._link.outages.ended

    async def _open(self) -> bool:
        """Connect, and finish what an earlier worker left. Returns False if stopped before."""
        if not await self._link.open(self._queues):
            return False
        reads = {"queue": self._settings.queue, "atOnce": self._settings.concurrency}
        log.info("worker.ready", extra=reads)
        await self._cleaner.catch_up()
        if self._deleter is not None:
            await self._deleter.catch_up()
        return True

    async def _depth(self) -> int:
        """Return the number of waiting segments and deletions."""
        depth = await self._link.depth(self._settings.queue)
        return depth if self._deleter is None else depth + await self._deleter.depth(self._broker)

    def _store_answered(self, error: RecordingError | None) -> None:
        self._monitor.report(STORE, error is None, "" if error is None else error.detail)
        if error is None:
            self._link.outages.recovered(_STORE)
        else:
            self._link.missed(_STORE, error.detail)

    async def _idle(self) -> None:
        """Return once no segment runs or waits, or the worker is stopped.

        A message on its way from the queue to its task is in neither, so one look is not enough.
        """
        looks = 0
        while not self._stopping.is_set() and looks < _LOOKS:
            await self._link.pause(0.1)
            looks = looks + 1 if await self._has_nothing() else 0

    async def _has_nothing(self) -> bool:
        deletes = self._deleter is not None and not self._deleter.idle
        return not self._jobs and not deletes and await self._depth() == 0

    async def _session(self, over: Callable[[], Awaitable[object]]) -> None:
        """Start segments until ``over`` returns, then wait for the running ones to end."""
        self._places = PrioritySemaphore(self._settings.concurrency, self._clock)
        async with asyncio.TaskGroup() as group:
            taking = [group.create_task(self._intake(group).run())]
            if self._deleter is not None:
                taking.append(group.create_task(self._deleter.run(self._broker)))
            await over()
            self._places.close()
            # Deliveries that ``Intake`` has not passed on yet return to the queue with this.
            for task in taking:
                task.cancel()
            await asyncio.wait(taking)
            if self._jobs:
                still = {"segments": len(self._jobs), "seconds": self._settings.drain_s}
                log.info("worker.finishing", extra=still)
                await asyncio.wait(self._jobs, timeout=self._settings.drain_s)
            for job in self._jobs:
                job.cancel()

    def _intake(self, group: asyncio.TaskGroup) -> Intake:
        def begin(delivery: Delivery, ahead: bool) -> "asyncio.Task[None]":
            since_ms = self._clock.now().mono_ms
            job = group.create_task(self._handle(delivery, since_ms, ahead=ahead))
            self._jobs.add(job)
            job.add_done_callback(self._jobs.discard)
            return job

        places, holding = self._places, lambda: len(self._jobs)
        worn_at = None if self._limit is None else self._limit // 2
        settings = replace(self._settings.intake, worn_at=worn_at)
        return Intake(self._broker, settings, begin, holding, places.dismiss)

    async def _handle(self, delivery: Delivery, since_ms: int, *, ahead: bool) -> None:
        """Handle one delivery until it is acknowledged, requeued, or lost with its connection."""
        try:
            await self._settle(delivery, since_ms, ahead=ahead)
        except (Stopped, Closed, Dismissed, LeaseLost):
            await self._requeue(delivery)
        except ResultLost as error:
            log.warning("job.resultLost", extra={"why": str(error)})
            await self._requeue(delivery)
        except asyncio.CancelledError:
            await self._requeue(delivery)
            raise
        except Exception:  # one segment must not end the others
            log.exception("job.crashed", extra={"message_id": delivery.message_id})
            await self._requeue(delivery)

    async def _requeue(self, delivery: Delivery) -> None:
        log.info("job.requeued", extra={"message_id": delivery.message_id})
        with suppress(Unavailable, TimeoutError):  # then the broker has it back already
            async with asyncio.timeout(_REQUEUE_S):
                await delivery.requeue()

    async def _settle(self, delivery: Delivery, since_ms: int, *, ahead: bool) -> None:
        try:
            info = parse_event(delivery.body)
        except Malformed as error:
            await self._refuse(delivery, error)
            return
        if self._deleter is not None and await self._deleter.refuses(info, self._link.pause_job):
            await self._acknowledge(delivery)
            return
        await self._take_turn(info, delivery, since_ms, ahead=ahead)
        if self._deleter is not None:  # its deletion may have been requested meanwhile
            await self._deleter.resume(info)

    async def _take_turn(
        self, info: SegmentInfo, delivery: Delivery, since_ms: int, *, ahead: bool
    ) -> None:
        rank = priority_ms(since_ms, info.completed_ms - info.started_ms)
        is_new = delivery.deliveries == 0  # each message is returned once only
        claim = Claim(owner_of(info), rank, since_ms, returnable=ahead and is_new)
        with of_recording(log_name(info), delivery.trace), self._places.place(claim) as place:
            await place.take()
            async with self._holder.hold(job_of(info), partial(self._pause_outside, place)):
                await self._work(info, delivery, place)

    async def _refuse(self, delivery: Delivery, error: Malformed) -> None:
        """Report a message that is no recordingInfo, one at a time."""
        async with self._poison:
            log.warning("job.poison", extra={"why": error.detail})
            message_id, body = encode_poison(delivery.body, error.detail)
            await self._link.publish("failed", message_id, body, None)
            await self._acknowledge(delivery)

    async def _pause_outside(self, place: Place, seconds: float) -> None:
        """Wait as ``_pause_job`` does, without the place."""
        place.leave()
        await self._link.pause_job(seconds)
        await place.take()

    async def _work(self, info: SegmentInfo, delivery: Delivery, place: Place) -> None:
        job = job_of(info)
        every_s = self._settings.progress_s
        async with reporting(self._broker, self._clock, info, every_s) as progress:
            done, failed = await self._attempts(info, delivery.deliveries, place, progress)
        place.leave()
        publish = partial(self._link.publish, trace=delivery.trace)
        if done is not None and done.uploads and self._uploads is not None:
            pause = self._link.pause_job
            await self._uploads.upload_in_the_end(job, done.result, pause, self._outage)
        if done is not None:
            log_done(done.result, repeated=done.repeated is not None)
            await publish("processed", f"{job}:processed", done.message, info.room)
        elif failed is not None:
            log_failed(failed)
            self._monitor.failed(failed.code)
            await publish("failed", f"{job}:failed", encode_failed(failed), info.room)
        if await self._acknowledge(delivery) and done is not None:
            await self._cleaner.clean(info)

    async def _attempts(
        self, info: SegmentInfo, deliveries: int, place: Place, progress: Progress
    ) -> tuple[ProcessedSegment | None, Failed | None]:
        """Process a segment, with retries. Returns the result, or the failure in its place."""
        is_last = self._limit is not None and deliveries >= self._limit
        # A segment whose earlier attempts all ended with their workers is not attempted again.
        if is_last and any(known := await self._processing.known(info, no_result(deliveries))):
            return known
        attempt = 1
        while True:
            await place.take()
            begin = attempt > 1 or await self._obstacles.allow(info)
            outcome = await self._attempt(info, attempt, progress) if begin else None
            place.leave()  # another segment may use it while this one waits
            match outcome:
                case None:
                    for what in self._obstacles.present:
                        self._link.missed(OUTAGES[what], ADVICE[what])
                    await self._link.pause_job(self._settings.space_s)
                case JobFailed() if self._obstacles.excuses(outcome):
                    attempt = 1  # it begins once the obstacle is gone
                case ProcessedSegment():
                    return outcome, None
                case JobFailed():
                    pause_s = pause_before_next(self._settings.retry, attempt, outcome)
                    if pause_s is None:
                        return None, await self._processing.failure(info, outcome, attempt)
                    await self._link.pause_job(pause_s)
                    attempt += 1

    async def _attempt(
        self, info: SegmentInfo, attempt: int, progress: Progress
    ) -> ProcessedSegment | JobFailed:
        times = StageTimes(self._monitor, self._clock, progress)
        self._monitor.begun()
        try:
            done = await self._processing.process(info, attempts=attempt, progress=times.reached)
        except Exception as error:
            failure = as_failure(error)
            what = {"uuid": info.uuid, "attempt": attempt, "stage": failure.stage}
            what |= {"file": failure.file} if failure.file else {}
            log.warning(
                "job.attemptFailed",
                extra=what | {"code": failure.code, "why": failure.detail},
                exc_info=not isinstance(error, RecordingError),
            )
            await self._obstacles.note(failure)
            return failure
        else:
            if done.repeated is None:
                length_s = (info.completed_ms - info.started_ms) / 1000
                self._monitor.processed(times.took_s(), length_s)
            return done
        finally:
            times.over()
            self._monitor.ended()

    async def _acknowledge(self, delivery: Delivery) -> bool:
        """Acknowledge; returns False if it failed, and another worker repeats the message."""
        try:
            await delivery.ack()
        except Unavailable as error:
            log.warning("job.notAcknowledged", extra={"error": error.detail})
            return False
        return True

"""The recording service's loop: takes segments from the queue, has each processed, tells, settles.

The order is the contract: the result is durable (processor) → its message is confirmed → the
delivery is acknowledged → temporary files are cleaned. Killed anywhere in between, the segment is
delivered again and comes to the same message. A lease keeps two workers off one segment; a segment
takes it when it has a place, so that those that only wait cost the store nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from sfu_wrapper.core.fairness import Claim, owner_of
from sfu_wrapper.core.job import (
    NO_SPACE,
    Retry,
    as_failure,
    no_result,
    pause_before_next,
    priority_ms,
)
from sfu_wrapper.model.errors import JobFailed, Malformed, RecordingError, Unavailable
from sfu_wrapper.model.segment import Failed, SegmentInfo
from sfu_wrapper.observe.logs import of_recording
from sfu_wrapper.ports.broker import Broker, Delivery, Message, QueueSpec
from sfu_wrapper.ports.system import Clock, JobLeases
from sfu_wrapper.service.worker.cleanup import Cleaner, Processing
from sfu_wrapper.service.worker.intake import LOOK_AHEAD, Intake, IntakeSettings
from sfu_wrapper.service.worker.processor import (
    ProcessedSegment,
    job_of,
    log_done,
    log_failed,
    log_name,
)
from sfu_wrapper.service.worker.progress import Progress, reporting
from sfu_wrapper.service.worker.scheduling import (
    LEASE_S,
    Closed,
    Dismissed,
    Holder,
    LeaseLost,
    OutageLimit,
    Place,
    PrioritySemaphore,
)
from sfu_wrapper.wire.job_messages import encode_failed, encode_poison
from sfu_wrapper.wire.recording_info import parse_event

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
_HAND_BACK_S: Final = 5.0
_BROKER, _STORE, _SPACE = "no broker", "no store", "no space on a disk"  # as it is told
_HELD_MORE: Final = 2  # so that there is a choice where one segment runs at a time

log = logging.getLogger(__name__)


class _Stopped(Unavailable):
    """It was told to stop while it waited; the delivery goes back."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker works.

    Attributes:
        queue: the queue that it reads, one of its declared queues.
        concurrency: number of segments processed in parallel.
        retry: number of tries and the pauses between them.
        drain_s: how long running segments may go on once the worker was told to stop.
        clean_raw: whether raw files are removed after success.
        lease_s: how long a dead worker's segments stay taken.
        progress_s: shortest time between two ``progress`` messages of one job.
        space_s: time between two looks at a full disk.
        patience_s: how long ``run_once`` waits for an unavailable broker, store or disk.
        look_ahead, look_s, pause_s: see ``IntakeSettings``.
    """

    queue: str = "processing_queue"
    concurrency: int = 1
    retry: Retry = field(default_factory=Retry)
    drain_s: float = 60.0
    clean_raw: bool = True
    lease_s: float = LEASE_S
    progress_s: float = 1.0
    space_s: float = 5.0
    patience_s: float = 60.0
    look_ahead: int = LOOK_AHEAD
    look_s: float = 30.0
    pause_s: float = 1.0

    @property
    def held(self) -> int:
        """Most messages held at once while no backlog waits."""
        return 2 * self.concurrency + _HELD_MORE

    @property
    def intake(self) -> IntakeSettings:
        """Bounds of what is held."""
        return IntakeSettings(self.queue, self.held, self.look_ahead, self.look_s, self.pause_s)


class Worker:
    """One recording service. queues: declared when the broker is first reached."""

    def __init__(
        self,
        broker: Broker,
        leases: JobLeases,
        processing: Processing,
        clock: Clock,
        queues: tuple[QueueSpec, ...],
        settings: WorkerSettings,
    ) -> None:
        self._broker = broker
        self._holder = Holder(leases, self._store_answered, settings.lease_s)
        self._cleaner = Cleaner(processing, self._holder, raw=settings.clean_raw)
        self._processing = processing
        self._clock = clock
        self._queues = queues
        self._settings = settings
        self._limit = next((q.delivery_limit for q in queues if q.name == settings.queue), None)
        self._stopping = asyncio.Event()
        self._jobs: set[asyncio.Task[None]] = set()
        self._turns = PrioritySemaphore(settings.concurrency, clock)
        self._poison = asyncio.Lock()
        self._is_crammed = False
        self._patience = OutageLimit(clock)

    def stop(self) -> None:
        """Take no more; ``run`` returns once what runs is finished or handed back."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until stopped. When cancelled, everything that runs is handed back.

        Raises:
            Misconfigured: the broker cannot be used at all.
        """
        if await self._open():
            await self._cleaner.catch_up()
            await self._session(self._stopping.wait)

    async def run_once(self) -> None:
        """Work until the queue is empty, or stopped.

        Raises:
            Misconfigured: as ``run``.
            Unavailable: something was away for too long; what was held went back.
        """
        self._patience = OutageLimit(self._clock, self._settings.patience_s)
        if await self._open():
            await self._cleaner.catch_up()
            while not self._stopping.is_set() and await self._depth() > 0:
                await self._session(self._idle)
        if self._patience.ended is not None:
            raise self._patience.ended

    async def _open(self) -> bool:
        """Reach the broker. False when it was stopped before that."""
        pause_s = _FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                await self._broker.open(self._queues)
            except Unavailable as error:
                log.warning("worker.brokerAway", extra={"error": error.detail})
                self._missed(_BROKER, error.detail)
                await self._pause(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                self._patience.back(_BROKER)
                reads = {"queue": self._settings.queue, "atOnce": self._settings.concurrency}
                log.info("worker.ready", extra=reads)
                return True
        return False

    def _missed(self, what: str, why: str) -> None:
        """It is away; whoever is not to stay ends after a while, as if it was told to stop."""
        if self._patience.away(what, why):
            self._stopping.set()

    def _store_answered(self, error: RecordingError | None) -> None:
        if error is None:
            self._patience.back(_STORE)
        else:
            self._missed(_STORE, error.detail)

    async def _depth(self) -> int:
        """How many wait; 0 when it was told to stop while the broker is away."""
        while not self._stopping.is_set():
            try:
                depth = await self._broker.depth(self._settings.queue)
            except Unavailable as error:
                log.warning("worker.brokerAway", extra={"error": error.detail})
                self._missed(_BROKER, error.detail)
                await self._pause(_FIRST_PAUSE_S)
            else:
                self._patience.back(_BROKER)
                return depth
        return 0

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until it is told to stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _pause_job(self, seconds: float) -> None:
        """The same, within a job: one that only waits is handed back at once."""
        await self._pause(seconds)
        if self._stopping.is_set():
            raise _Stopped("told to stop")

    async def _idle(self) -> None:
        """Return once nothing runs and nothing waits, or it was told to stop."""
        while not self._stopping.is_set():
            await self._pause(0.1)
            if not self._jobs and await self._depth() == 0:
                return

    async def _session(self, over: Callable[[], Awaitable[object]]) -> None:
        """Take segments until ``over``, then see what runs to its end."""
        self._turns = PrioritySemaphore(self._settings.concurrency, self._clock)
        async with asyncio.TaskGroup() as group:
            intake = group.create_task(self._intake(group).run())
            await over()
            self._turns.close()
            # What the broker has delivered and nobody has taken yet goes back with this.
            intake.cancel()
            await asyncio.wait([intake])
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

        turns, holding = self._turns, lambda: len(self._jobs)
        worn_at = None if self._limit is None else self._limit // 2
        settings = replace(self._settings.intake, worn_at=worn_at)
        return Intake(self._broker, settings, begin, holding, turns.dismiss)

    async def _handle(self, delivery: Delivery, since_ms: int, *, ahead: bool) -> None:
        """One delivery to its end: acknowledged, handed back, or lost with its link."""
        try:
            await self._settle(delivery, since_ms, ahead=ahead)
        except (_Stopped, Closed, Dismissed, LeaseLost):
            await self._hand_back(delivery)
        except asyncio.CancelledError:
            await self._hand_back(delivery)
            raise
        except Exception:  # one segment must not end the others
            log.exception("job.crashed", extra={"message_id": delivery.message_id})
            await self._hand_back(delivery)

    async def _hand_back(self, delivery: Delivery) -> None:
        log.info("job.handedBack", extra={"message_id": delivery.message_id})
        with suppress(Unavailable, TimeoutError):  # then the broker has it back already
            async with asyncio.timeout(_HAND_BACK_S):
                await delivery.requeue()

    async def _settle(self, delivery: Delivery, since_ms: int, *, ahead: bool) -> None:
        try:
            info = parse_event(delivery.body)
        except Malformed as error:
            await self._refuse(delivery, error)
            return
        rank = priority_ms(since_ms, info.completed_ms - info.started_ms)
        is_new = delivery.deliveries == 0  # each message goes back once only
        claim = Claim(owner_of(info), rank, since_ms, returnable=ahead and is_new)
        with of_recording(log_name(info)), self._turns.place(claim) as place:
            await place.take()
            async with self._holder.hold(job_of(info), partial(self._pause_outside, place)):
                await self._work(info, delivery, place)

    async def _refuse(self, delivery: Delivery, error: Malformed) -> None:
        """Report a message that is no recordingInfo; one at a time, however many there are."""
        async with self._poison:
            log.warning("job.poison", extra={"why": error.detail})
            message_id, body = encode_poison(delivery.body, error.detail)
            await self._tell("failed", message_id, body, None)
            await self._acknowledge(delivery)

    async def _pause_outside(self, place: Place, seconds: float) -> None:
        """Wait as ``_pause_job`` does, while others may have the place."""
        place.leave()
        await self._pause_job(seconds)
        await place.take()

    async def _work(self, info: SegmentInfo, delivery: Delivery, place: Place) -> None:
        job = job_of(info)
        every_s = self._settings.progress_s
        async with reporting(self._broker, self._clock, info, every_s) as progress:
            done, failed = await self._attempts(info, delivery.deliveries, place, progress)
        place.leave()
        if done is not None:
            log_done(done)
            await self._tell("processed", f"{job}:processed", done.message, info.room)
        elif failed is not None:
            log_failed(failed)
            await self._tell("failed", f"{job}:failed", encode_failed(failed), info.room)
        if await self._acknowledge(delivery) and done is not None:
            await self._cleaner.clean(info)

    async def _attempts(
        self, info: SegmentInfo, deliveries: int, place: Place, progress: Progress
    ) -> tuple[ProcessedSegment | None, Failed | None]:
        """One of both: what came of it, or why nothing did."""
        is_last = self._limit is not None and deliveries >= self._limit
        # Where each earlier try ended with its worker it is not tried once more.
        if is_last and any(known := await self._processing.known(info, no_result(deliveries))):
            return known
        attempt = 1
        while True:
            await place.take()
            begin = attempt > 1 or await self._may_begin(info)
            outcome = await self._attempt(info, attempt, progress) if begin else None
            place.leave()  # others go on while this one waits
            match outcome:
                case None:
                    self._missed(_SPACE, "free some and start it again")
                    await self._pause_job(self._settings.space_s)
                case ProcessedSegment():
                    return outcome, None
                case JobFailed():
                    pause_s = pause_before_next(self._settings.retry, attempt, outcome)
                    if pause_s is None:
                        return None, await self._processing.failure(info, outcome, attempt)
                    await self._pause_job(pause_s)
                    attempt += 1

    async def _attempt(
        self, info: SegmentInfo, attempt: int, progress: Progress
    ) -> ProcessedSegment | JobFailed:
        try:
            return await self._processing.process(info, attempts=attempt, progress=progress)
        except Exception as error:
            failure = as_failure(error)
            what = {"uuid": info.uuid, "attempt": attempt, "stage": failure.stage}
            what |= {"file": failure.file} if failure.file else {}
            log.warning(
                "job.attemptFailed",
                extra=what | {"code": failure.code, "why": failure.detail},
                exc_info=not isinstance(error, RecordingError),
            )
            if failure.code == NO_SPACE and not self._is_crammed:
                self._is_crammed = True
                log.error("worker.noSpace", extra={"why": failure.detail})  # noqa: TRY400 told above
            return failure

    async def _may_begin(self, info: SegmentInfo) -> bool:
        """Once a disk was full, nothing more is begun before there is space for it."""
        if self._is_crammed and await self._has_space(info):
            self._is_crammed = False
            self._patience.back(_SPACE)
            log.info("worker.spaceAgain")
        return not self._is_crammed

    async def _has_space(self, info: SegmentInfo) -> bool:
        try:
            return await self._processing.has_space(info)
        except JobFailed:  # the attempt will say what is wrong with the folders
            return True

    async def _tell(self, key: str, message_id: str, body: bytes, room: str | None) -> None:
        """Publish until it is confirmed, however long that takes to whoever is to stay."""
        timestamp_ms = self._clock.now().wall_ms
        message = Message(key, message_id, body, room, timestamp_ms, mandatory=True)
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await self._broker.publish(message)
            except Unavailable as error:
                log.warning("job.notTold", extra={"message_id": message_id, "error": error.detail})
                self._missed(_BROKER, error.detail)
                if self._patience.ended is not None:
                    raise _Stopped("nobody takes the result") from error
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            else:
                self._patience.back(_BROKER)
                return

    async def _acknowledge(self, delivery: Delivery) -> bool:
        """Whether the broker still took it from us; else another worker will repeat the message."""
        try:
            await delivery.ack()
        except Unavailable as error:
            log.warning("job.notAcknowledged", extra={"error": error.detail})
            return False
        return True

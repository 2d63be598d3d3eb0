"""The recording service's loop: every segment comes to one told result, whatever dies."""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.adapters.memory.leases import MemoryLeases
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.core.estimate import Standing
from sfu_wrapper.core.job import Retry
from sfu_wrapper.model.errors import JobFailed, Misconfigured, Unavailable
from sfu_wrapper.model.ids import ConfbridgeId, RoomId, RoomUuid, SegmentNo, UserId
from sfu_wrapper.model.instant import Moment
from sfu_wrapper.model.outcome import Failed, Processed
from sfu_wrapper.model.recording import SegmentInfo
from sfu_wrapper.observe.recordinglogs import recording_logs
from sfu_wrapper.ports.broker import Message, QueueSpec
from sfu_wrapper.service.worker.processor import Done, job_of
from sfu_wrapper.service.worker.progress import Progress
from sfu_wrapper.service.worker.worker import Worker, WorkerSettings
from sfu_wrapper.wire.processed import encode_processed
from sfu_wrapper.wire.recording_info import encode_event

WORK, PROCESSED, FAILED = "processing_queue", "processed_queue", "failure_queue"
LIMIT = 4
QUEUES = (
    QueueSpec(WORK, ("recordingInfo",), dead_letter_key="failed", delivery_limit=LIMIT),
    QueueSpec(PROCESSED, ("processed",)),
    QueueSpec(FAILED, ("failed",)),
)
DEADLINE_S = 30.0
QUICK = Retry(attempts=3, first_s=0.001, factor=1)
PASSING = JobFailed("compose", "MUX_FAILED", "it broke", permanent=False)
FULL = JobFailed("compose", "NO_SPACE", "no space left", permanent=False)
LASTING = JobFailed("preprocess", "UNREADABLE_MJR", "no media", permanent=True, file="a.mjr")


def segment(number: int = 1, uuid: str = "uuid-1", length_s: float = 15.193) -> SegmentInfo:
    return SegmentInfo(
        room=RoomId("room"),
        uuid=RoomUuid(uuid),
        confbridge_id=ConfbridgeId("bridge"),
        segment=SegmentNo(number),
        started_ms=1_590_392_548_633,
        completed_ms=1_590_392_548_633 + int(length_s * 1000),
    )


def event(info: SegmentInfo) -> Message:
    return Message("recordingInfo", job_of(info), encode_event(info), info.room, mandatory=True)


class Clock(SystemClock):
    """May be put forward."""

    ahead_ms = 0

    def now(self) -> Moment:
        now = super().now()
        return replace(now, mono_ms=now.mono_ms + self.ahead_ms)


class Bench:
    """A worker's surroundings: a broker, and processing that does as it is told.

    tried: (job, attempt) in order. side_by_side: most jobs at once, and most of one job.
    """

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.leases = MemoryLeases()
        self.tried: list[tuple[str, int]] = []
        self.cleaned: list[tuple[str, bool]] = []
        self.uncleaned: list[SegmentInfo] | JobFailed = []
        self.outcomes: dict[str, list[Exception]] = {}
        self.percents: tuple[float, ...] = ()
        self.repeats: set[str] = set()  # jobs that were processed before
        self.gate: asyncio.Event | None = None
        self.clock = Clock()
        self.space: bool | None = True
        self.looks = 0
        self.running: list[str] = []
        self.most_at_once = 0
        self.most_of_one = 0

    async def process(self, info: SegmentInfo, *, attempts: int, progress: Progress) -> Done:
        """See ``Processing``."""
        for percent in self.percents:
            progress(Standing("compose", percent, 0))
        job = job_of(info)
        self.tried.append((job, attempts))
        self.running.append(job)
        self.most_at_once = max(self.most_at_once, len(self.running))
        self.most_of_one = max(self.most_of_one, self.running.count(job))
        try:
            await (self.gate.wait() if self.gate is not None else asyncio.sleep(0.001))
            if self.outcomes.get(job):
                raise self.outcomes[job].pop(0)
        finally:
            self.running.remove(job)
        return self._done(info, attempts)

    async def known(self, info: SegmentInfo, error: JobFailed) -> tuple[Done | None, Failed | None]:
        """See ``Processing``."""
        job = job_of(info)
        if job in self.repeats:
            return self._done(info, 1), None
        begun = any(job == tried for tried, _ in self.tried)
        return None, await self.failure(info, error, 0) if begun else None

    def _done(self, info: SegmentInfo, attempts: int) -> Done:
        result = Processed(
            room=info.room,
            uuid=info.uuid,
            segment=info.segment or SegmentNo(1),
            output="none",
            started_ms=info.started_ms,
            completed_ms=info.completed_ms,
            encrypted=False,
            files=(),
            processing_started_ms=info.started_ms,
            processing_completed_ms=info.completed_ms,
            attempts=attempts,
            warnings=(),
            sync=(),
        )
        repeated = Path("manifest") if job_of(info) in self.repeats else None
        return Done(result, encode_processed(result), repeated)

    async def clean(self, info: SegmentInfo, *, raw: bool) -> None:
        """See ``Processing``."""
        self.cleaned.append((job_of(info), raw))

    async def left_over(self) -> tuple[SegmentInfo, ...]:
        """See ``Processing``."""
        if isinstance(self.uncleaned, JobFailed):
            raise self.uncleaned
        return tuple(self.uncleaned)

    async def failure(self, info: SegmentInfo, error: JobFailed, attempts: int) -> Failed:
        """See ``Processing``."""
        return Failed(
            room=info.room,
            uuid=info.uuid,
            segment=info.segment or SegmentNo(1),
            stage=error.stage,
            code=error.code,
            detail=error.detail,
            file=error.file,
            attempts=attempts,
            kept=(),
        )

    async def has_space(self, info: SegmentInfo) -> bool:
        """See ``Processing``."""
        self.looks += 1
        if self.space is None:
            raise JobFailed("preprocess", "IO_ERROR", "the folder is away", permanent=False)
        return self.space

    def worker(self, **changes: Any) -> Worker:  # noqa: ANN401 fields of the settings
        given = WorkerSettings(
            queue=WORK, concurrency=2, retry=QUICK, drain_s=30, lease_s=10, space_s=0.01
        )
        settings = replace(given, **changes)
        return Worker(self.broker, self.leases, self, self.clock, QUEUES, settings)

    async def ask(self, *infos: SegmentInfo) -> None:
        await self.broker.open(QUEUES)
        for info in infos:
            await self.broker.publish(event(info))

    async def once(self, **changes: Any) -> None:  # noqa: ANN401 fields of the settings
        async with asyncio.timeout(DEADLINE_S):
            await self.worker(**changes).run_once()

    def holds(self, *, running: int, unsettled: int) -> bool:
        """Return whether all places are in use, so that the next segments wait for one."""
        return len(self.running) == running and self.broker.unsettled(WORK) == unsettled

    def told(self, key: str) -> list[Message]:
        return [message for message in self.broker.published if message.routing_key == key]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 nothing to wait on but what it did
                await asyncio.sleep(0.002)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(worker.run())
    yield task
    worker.stop()
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.wait([task])


async def test_a_segment_is_processed_told_settled_and_cleaned(bench: Bench) -> None:
    await bench.ask(segment(2))
    await bench.once()

    (message,) = bench.told("processed")
    assert message.message_id == "uuid-1:2:processed"
    assert message.correlation_id == "room"
    assert message.mandatory
    assert message.timestamp_ms > 0
    assert json.loads(message.body)["status"] == "processed"
    assert bench.cleaned == [("uuid-1:2", True)]
    assert await bench.broker.depth(WORK) == 0


async def test_whoever_listens_hears_how_far_it_is_and_nothing_after_the_result(
    bench: Bench,
) -> None:
    bench.percents = (1, 2, 3)
    await bench.ask(segment(2))
    await bench.once()

    keys = [message.routing_key for message in bench.broker.published]
    assert keys == ["recordingInfo", "progress", "processed"]
    (message,) = bench.told("progress")
    assert message.message_id == "uuid-1:2:progress:1"
    assert not message.persistent
    assert not message.mandatory


async def test_two_segments_of_an_older_sender_are_no_repeat_of_each_other(bench: Bench) -> None:
    older = [replace(segment(length_s=length_s), segment=None) for length_s in (5, 10)]
    await bench.ask(*older)
    await bench.once()

    assert {message.message_id for message in bench.told("processed")} == {
        "uuid-1:t1590392553633:processed",
        "uuid-1:t1590392558633:processed",
    }


async def test_raw_files_stay_where_they_are_wanted(bench: Bench) -> None:
    await bench.ask(segment())
    await bench.once(clean_raw=False)

    assert bench.cleaned == [("uuid-1:1", False)]


async def test_nothing_is_acknowledged_before_its_message_is_confirmed(bench: Bench) -> None:
    await bench.ask(segment())
    async with running(bench.worker()):
        bench.broker.lost_confirms = 1
        await bench.until(lambda: len(bench.told("processed")) == 1)
        assert bench.cleaned == []
        await bench.until(lambda: bench.cleaned != [])

    assert [one.message_id for one in bench.told("processed")] == ["uuid-1:1:processed"] * 2
    assert len({one.body for one in bench.told("processed")}) == 1


async def test_a_passing_fault_is_tried_again(bench: Bench) -> None:
    bench.outcomes["uuid-1:1"] = [PASSING, Unavailable("the folder is away")]
    await bench.ask(segment())
    await bench.once()

    assert bench.tried == [("uuid-1:1", 1), ("uuid-1:1", 2), ("uuid-1:1", 3)]
    assert json.loads(bench.told("processed")[0].body)["processing"]["attempts"] == 3
    assert bench.told("failed") == []


async def test_an_operator_reads_what_became_of_each_segment(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.outcomes["uuid-1:2"] = [LASTING]
    bench.repeats = {"uuid-1:3"}
    await bench.ask(segment(1), segment(2), segment(3))
    with caplog.at_level(logging.INFO, "sfu_wrapper"):
        async with running(bench.worker(concurrency=1)):
            await bench.until(lambda: len(bench.told("processed") + bench.told("failed")) == 3)

    said = [(one.message, getattr(one, "segment", None)) for one in caplog.records]
    assert said[0] == ("worker.ready", None)
    assert [one for one in said if one[0] in {"job.processed", "job.failed", "job.repeated"}] == [
        ("job.processed", 1),
        ("job.failed", 2),
        ("job.repeated", 3),
    ]


async def test_after_all_its_tries_a_segment_fails_and_keeps_its_files(bench: Bench) -> None:
    bench.outcomes["uuid-1:1"] = [PASSING] * 9
    await bench.ask(segment())
    await bench.once()

    (message,) = bench.told("failed")
    assert message.message_id == "uuid-1:1:failed"
    told = json.loads(message.body)
    assert told["error"]["code"] == "MUX_FAILED"
    assert told["attempts"] == 3
    assert bench.cleaned == []
    assert await bench.broker.depth(WORK) == 0


async def test_a_lasting_fault_fails_at_once(bench: Bench) -> None:
    bench.outcomes["uuid-1:1"] = [LASTING]
    await bench.ask(segment())
    await bench.once()

    assert bench.tried == [("uuid-1:1", 1)]
    assert json.loads(bench.told("failed")[0].body)["error"]["file"] == "a.mjr"


async def test_a_bug_fails_its_own_segment_alone(bench: Bench) -> None:
    bench.outcomes["uuid-1:1"] = [KeyError("oops")] * 9
    await bench.ask(segment(1), segment(2))
    await bench.once()

    assert [one.message_id for one in bench.told("failed")] == ["uuid-1:1:failed"]
    assert [one.message_id for one in bench.told("processed")] == ["uuid-1:2:processed"]


@pytest.mark.parametrize(
    "body", [b"{", b"\xff\x00", b"[]", b'{"recordingInfo": 3}', b"x" * (5 << 20)]
)
async def test_what_is_no_recording_info_goes_to_the_failures(bench: Bench, body: bytes) -> None:
    await bench.broker.open(QUEUES)
    await bench.broker.publish(Message("recordingInfo", "any", body))
    await bench.ask(segment())
    await bench.once()

    (message,) = bench.told("failed")
    told = json.loads(message.body)
    assert message.message_id == hashlib.sha256(body).hexdigest()
    assert (told["uuid"], told["segment"]) == (None, None)
    assert len(told["raw"]) <= 64 * 1024
    assert len(bench.told("processed")) == 1
    assert await bench.broker.depth(WORK) == 0


async def test_as_many_segments_run_side_by_side_as_configured(bench: Bench) -> None:
    await bench.ask(*(segment(n) for n in range(1, 10)))
    await bench.once(concurrency=3)

    assert bench.most_at_once == 3
    assert len(bench.told("processed")) == 9


async def test_the_shortest_that_it_holds_is_next(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    lengths = {1: 3600, 2: 1800, 3: 60, 4: 600}
    await bench.ask(*(segment(n, length_s=length) for n, length in lengths.items()))
    async with running(bench.worker(concurrency=1)):
        await bench.until(lambda: bench.broker.unsettled(WORK) == 4)
        bench.gate.set()
        await bench.until(lambda: len(bench.told("processed")) == 4)

    # The first had nobody to be compared with.
    assert [job for job, _ in bench.tried] == ["uuid-1:1", "uuid-1:3", "uuid-1:4", "uuid-1:2"]


async def test_a_long_segment_is_overtaken_only_for_as_long_as_it_is(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment(1), segment(2, length_s=600))
    async with running(bench.worker(concurrency=1)):
        await bench.until(lambda: bench.broker.unsettled(WORK) == 2)
        bench.clock.ahead_ms += 590_000
        await bench.ask(segment(3, length_s=60))
        await bench.until(lambda: bench.broker.unsettled(WORK) == 3)
        bench.gate.set()
        await bench.until(lambda: len(bench.told("processed")) == 3)

    assert [job for job, _ in bench.tried] == ["uuid-1:1", "uuid-1:2", "uuid-1:3"]


async def flood(bench: Bench, owner: str, count: int) -> None:
    """Ask for so many segments of one owner, each of a room of its own."""
    await bench.broker.open(QUEUES)
    one = event(replace(segment(), owner=UserId(owner)))
    for n in range(count):
        body = one.body.replace(b'"uuid":"uuid-1"', b'"uuid":"%s-%d"' % (owner.encode(), n))
        await bench.broker.publish(replace(one, body=body))


@pytest.mark.parametrize("look_ahead", [0, 20])
async def test_of_a_long_queue_no_more_is_held_than_there_is_a_choice(
    bench: Bench, look_ahead: int
) -> None:
    bench.gate = asyncio.Event()
    await flood(bench, "alice@example", 10_000)
    most = 6 + look_ahead
    worker = bench.worker(concurrency=2, drain_s=0, look_ahead=look_ahead, pause_s=0.01)
    async with running(worker):
        await bench.until(lambda: len(bench.running) == 2 and bench.broker.unsettled(WORK) >= most)
        await asyncio.sleep(0.05)
        assert bench.broker.unsettled(WORK) == most
        assert await bench.broker.depth(WORK) == 10_000 - most


async def test_one_segment_behind_the_flood_of_another_owner_is_next(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await flood(bench, "alice@example", 900)
    await bench.ask(replace(segment(uuid="bob", length_s=3600), owner=UserId("bob@example")))
    async with running(bench.worker(concurrency=2, drain_s=0)):
        await bench.until(lambda: bench.holds(running=2, unsettled=901))
        bench.gate.set()
        await bench.until(lambda: "bob:1" in dict(bench.tried))

    assert [job for job, _ in bench.tried].index("bob:1") <= 2  # two were running


async def test_while_others_wait_one_owner_has_no_more_than_half_of_the_places(
    bench: Bench,
) -> None:
    bench.gate = asyncio.Event()
    for owner in ("alice@example", "bob@example"):
        await flood(bench, owner, 40)
    async with running(bench.worker(concurrency=4, drain_s=0)):
        await bench.until(lambda: bench.holds(running=4, unsettled=80))
        bench.gate.set()
        await bench.until(lambda: len(bench.told("processed")) == 80)

    begun = [job.partition("@")[0] for job, _ in bench.tried]
    assert begun[:4] == ["alice"] * 4  # nobody else was known of
    for first in range(8, 72, 8):
        assert 3 <= begun[first : first + 8].count("bob") <= 5


async def test_what_a_look_ahead_found_goes_back_once_for_workers_that_come_later(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sfu_wrapper")
    bench.gate = asyncio.Event()
    await flood(bench, "alice@example", 30)
    looking = bench.worker(concurrency=1, drain_s=0, look_s=0.05, pause_s=3600)
    async with running(looking):
        await bench.until(lambda: "worker.backlogReturned" in caplog.messages)
        await bench.until(lambda: bench.broker.unsettled(WORK) == 4)
        async with running(bench.worker(concurrency=1, drain_s=0, look_s=0.05, pause_s=0.01)):
            await bench.until(lambda: len(bench.running) == 2)  # both have work
            await bench.until(lambda: bench.broker.unsettled(WORK) == 30)
            await asyncio.sleep(0.2)
            assert bench.broker.unsettled(WORK) == 30  # not once more

    assert caplog.messages.count("worker.backlogReturned") == 1


async def test_a_worker_that_may_not_ask_for_the_backlog_takes_what_it_gets(bench: Bench) -> None:
    class Discreet(MemoryBroker):
        async def depth(self, queue: str) -> int:
            raise Unavailable("ACCESS_REFUSED")

    bench.broker = Discreet()
    await flood(bench, "alice@example", 30)
    async with running(bench.worker(pause_s=0.001)):
        await bench.until(lambda: len(bench.told("processed")) == 30)


async def test_links_lost_again_and_again_leave_no_pile_of_deliveries(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await flood(bench, "alice@example", 500)
    worker = bench.worker(concurrency=1, drain_s=0, look_ahead=8, pause_s=0.01)
    tasks: list[int] = []
    async with running(worker):
        for _ in range(20):
            await asyncio.sleep(0.01)  # a link that holds for a moment
            tasks.append(len(asyncio.all_tasks()))
            bench.broker.cut()
        assert bench.running == ["alice@example-0:1"]

    assert max(tasks) < 3 * (4 + 8) + 20


async def test_where_messages_come_back_again_and_again_a_worker_looks_at_fewer_of_them(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that takes them back after half an hour gives them up in the end."""
    bench.gate = asyncio.Event()
    await flood(bench, "alice@example", 40)
    for _ in range(LIMIT // 2):
        deliveries = bench.broker.consume(WORK, 40)
        held = [await anext(deliveries) for _ in range(40)]
        for delivery in held:
            await delivery.requeue()
        await deliveries.aclose()
    worker = bench.worker(concurrency=1, drain_s=0, look_ahead=20, pause_s=0.001)
    async with running(worker):
        await bench.until(lambda: caplog.messages.count("worker.looksLess") >= 3)
        await asyncio.sleep(0.05)
        assert bench.broker.unsettled(WORK) <= 4 + 5


@pytest.mark.parametrize(("small", "most"), [(0, 10), (4, 15)])
async def test_of_large_messages_only_so_many_are_held_as_memory_is_meant_for_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, small: int, most: int
) -> None:
    """100 KB in all; also where those that are held first are small and tell nothing."""
    monkeypatch.setattr("sfu_wrapper.service.worker.intake.LOOK_BYTES", 100_000)
    bench.gate = asyncio.Event()
    await bench.broker.open(QUEUES)
    for n in range(60):
        message = event(segment(n + 1))
        more = b',"more":"%s"}' % (b"x" * (0 if n < small else 10_000))
        await bench.broker.publish(replace(message, body=message.body[:-1] + more))
    async with running(bench.worker(concurrency=1, drain_s=0)):
        await bench.until(lambda: bench.broker.unsettled(WORK) > 4 + small)
        await asyncio.sleep(0.05)
        assert bench.broker.unsettled(WORK) <= most


async def test_a_segment_that_waits_for_its_turn_holds_no_lease(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment(1), segment(2))
    async with running(bench.worker(concurrency=1, drain_s=0)):
        await bench.until(lambda: bench.broker.unsettled(WORK) == 2 and bench.running != [])
        assert await bench.leases.acquire("uuid-1:2", "another worker", 1000)


async def test_a_flood_of_poison_is_reported_one_by_one_and_keeps_no_segment_waiting(
    bench: Bench,
) -> None:
    class Counting(MemoryBroker):
        at_once = most_at_once = 0

        async def publish(self, message: Message) -> None:
            self.at_once += message.routing_key == "failed"
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                await super().publish(message)
            finally:
                self.at_once -= message.routing_key == "failed"

    bench.broker = broker = Counting()
    await broker.open(QUEUES)
    for n in range(300):
        await broker.publish(Message("recordingInfo", f"{n}", b"poison %d" % n))
    await bench.ask(segment())
    await bench.once()

    assert len({message.message_id for message in bench.told("failed")}) == 300
    assert broker.most_at_once == 1
    assert len(bench.told("processed")) == 1


async def test_while_one_waits_to_be_tried_again_others_go_on(bench: Bench) -> None:
    bench.outcomes["uuid-1:1"] = [PASSING]
    await bench.ask(segment(1), segment(2), segment(3))
    retry = replace(QUICK, first_s=2, longest_s=2)
    await bench.once(concurrency=1, retry=retry)

    assert [job for job, _ in bench.tried] == ["uuid-1:1", "uuid-1:2", "uuid-1:3", "uuid-1:1"]


async def test_after_a_full_disk_nothing_is_begun_until_there_is_space(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.outcomes["uuid-1:1"] = [FULL] * 9
    bench.space = False
    await bench.ask(segment(1), segment(2))
    async with running(bench.worker(concurrency=1)):
        await bench.until(lambda: bench.told("failed") != [] and bench.looks > 3)
        assert [job for job, _ in bench.tried] == ["uuid-1:1"] * 3
        bench.space = True
        await bench.until(lambda: bench.told("processed") != [])

    assert json.loads(bench.told("failed")[0].body)["error"]["code"] == "NO_SPACE"
    actions = [record.message for record in caplog.records]
    assert actions.count("worker.noSpace") == 1


async def test_folders_that_cannot_be_asked_for_space_are_left_to_the_attempt(bench: Bench) -> None:
    bench.outcomes["uuid-1:1"] = [FULL] * 9
    bench.space = None
    await bench.ask(segment(1), segment(2))
    await bench.once(concurrency=1)

    assert [one.message_id for one in bench.told("processed")] == ["uuid-1:2:processed"]


async def test_whoever_waits_for_space_is_handed_back_when_it_is_told_to_stop(bench: Bench) -> None:
    bench.outcomes["uuid-1:1"] = [FULL] * 9
    bench.space = False
    await bench.ask(segment(1), segment(2), segment(3))
    async with running(bench.worker(concurrency=1, drain_s=1000)):
        await bench.until(lambda: bench.told("failed") != [] and bench.looks > 1)

    assert await bench.broker.depth(WORK) == 2


async def test_each_segment_has_a_log_of_its_own(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "sfu_wrapper")
    bench.outcomes["uuid-1:1"] = [PASSING]
    await bench.ask(segment(1), segment(2))
    with recording_logs(tmp_path, logging.Formatter("%(message)s")):
        await bench.once()

    assert (tmp_path / "uuid-1-1.log").read_text() == "job.attemptFailed\n"
    assert not (tmp_path / "uuid-1-2.log").exists()


async def test_the_same_segment_is_never_worked_on_twice_at_once(bench: Bench) -> None:
    await bench.ask(segment(), segment())
    await bench.once()

    assert bench.most_of_one == 1
    assert {one.message_id for one in bench.told("processed")} == {"uuid-1:1:processed"}


async def test_two_workers_that_get_the_same_segment_at_once_work_on_it_one_after_the_other(
    bench: Bench,
) -> None:
    await bench.ask(segment(), segment(), segment(), segment())
    async with running(bench.worker(lease_s=2)), running(bench.worker(lease_s=2)):
        await bench.until(lambda: len(bench.cleaned) == 4)

    assert bench.most_of_one == 1
    assert {one.message_id for one in bench.told("processed")} == {"uuid-1:1:processed"}


@pytest.mark.parametrize("once", [False, True])
async def test_what_a_dead_worker_has_not_cleaned_the_next_one_does(
    bench: Bench, once: bool
) -> None:
    bench.uncleaned = [segment(1), segment(2), segment(3)]
    await bench.leases.acquire("uuid-1:2", "whoever is at it", 1000)
    worker = bench.worker()
    if once:
        await worker.run_once()
    else:
        async with running(worker):
            await bench.until(lambda: len(bench.cleaned) == 2)

    assert bench.cleaned == [("uuid-1:1", True), ("uuid-1:3", True)]
    assert bench.tried == []


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_disk_on_which_nothing_can_be_cleaned_keeps_no_worker_from_its_work(
    bench: Bench,
    hangs: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench.uncleaned = JobFailed("deliver", "IO_ERROR", "the folder is away", permanent=False)
    if hangs:
        monkeypatch.setattr("sfu_wrapper.service.worker.cleanup.CATCH_UP_S", 0.01)
        monkeypatch.setattr(bench, "left_over", asyncio.Event().wait)
    await bench.ask(segment())
    await bench.worker().run_once()

    assert len(bench.told("processed")) == 1
    assert "worker.notTidied" in caplog.messages


async def test_a_segment_that_another_worker_holds_waits(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sfu_wrapper")
    await bench.leases.acquire("uuid-1:1", "another", 1000)
    await bench.ask(segment())
    async with running(bench.worker(lease_s=2)):
        await bench.until(lambda: "lease.waits" in caplog.messages)
        assert bench.tried == []
        await bench.leases.release("uuid-1:1", "another")
        await bench.until(lambda: bench.cleaned != [])

    assert caplog.messages.count("lease.waits") == 1


async def test_a_worker_that_loses_its_lease_stops_that_work(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    class Lost(MemoryLeases):
        times = 0

        async def acquire(self, job: str, holder: str, ttl_s: float) -> bool:
            self.times += 1
            if 1 < self.times < 12:
                raise Unavailable("the store is away")
            return await super().acquire(job, holder, ttl_s)

    bench.leases = Lost()
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    async with running(bench.worker(lease_s=0.06)):
        await bench.until(lambda: len(bench.tried) == 2)
        bench.gate.set()
        await bench.until(lambda: bench.cleaned != [])

    assert bench.most_of_one == 1
    assert "lease.lost" in caplog.messages
    assert "job.crashed" not in caplog.messages


async def test_a_worker_that_has_no_time_to_end_leaves_no_lease(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment(1), segment(2), segment(3))
    async with running(bench.worker(drain_s=0, concurrency=1)):
        await bench.until(lambda: bench.broker.unsettled(WORK) == 3 and bench.running != [])

    for number in (1, 2, 3):
        assert await bench.leases.acquire(f"uuid-1:{number}", "another", 1)


async def test_a_store_that_hangs_lets_no_lease_run_out_unnoticed(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sfu_wrapper")

    class Hanging(MemoryLeases):
        hangs = False

        async def acquire(self, job: str, holder: str, ttl_s: float) -> bool:
            await self._hang()
            return await super().acquire(job, holder, ttl_s)

        async def release(self, job: str, holder: str) -> None:
            await self._hang()
            await super().release(job, holder)

        async def _hang(self) -> None:
            if self.hangs:
                await asyncio.sleep(3 * DEADLINE_S)

    bench.leases = leases = Hanging()
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    async with running(bench.worker(lease_s=0.06, drain_s=0)):
        await bench.until(lambda: bench.running != [])
        leases.hangs = True
        await bench.until(lambda: bench.running == [])
        await bench.until(lambda: "job.handedBack" in caplog.messages)


async def test_while_the_store_is_damaged_nothing_is_begun_and_nothing_is_given_up(
    bench: Bench,
) -> None:
    class Damaged(MemoryLeases):
        damaged = True

        async def acquire(self, job: str, holder: str, ttl_s: float) -> bool:
            if self.damaged:
                raise Misconfigured("the store is damaged: restore it from a backup")
            return await super().acquire(job, holder, ttl_s)

    bench.leases = leases = Damaged()
    await bench.ask(segment())
    async with running(bench.worker(lease_s=0.06)):
        await asyncio.sleep(0.1)
        assert (bench.tried, bench.told("failed")) == ([], [])
        leases.damaged = False
        await bench.until(lambda: bench.cleaned != [])
        bench.gate = asyncio.Event()
        await bench.ask(segment(2))
        await bench.until(lambda: bench.running == ["uuid-1:2"])
        leases.damaged = True
        await bench.until(lambda: bench.running == [])  # another may have it by now

    assert bench.told("failed") == []


async def test_stopping_lets_what_runs_finish(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sfu_wrapper")
    bench.gate = asyncio.Event()
    await bench.ask(segment(1), segment(2), segment(3))
    worker = bench.worker()
    async with running(worker) as task:
        await bench.until(lambda: len(bench.running) == 2)
        worker.stop()
        await asyncio.sleep(0.02)
        assert not task.done()
        bench.gate.set()

    assert len(bench.told("processed")) == 2
    assert await bench.broker.depth(WORK) == 1
    assert "worker.finishing" in caplog.messages


async def test_what_does_not_finish_in_time_is_handed_back(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment(1), segment(2))
    async with running(bench.worker(drain_s=0.02)):
        await bench.until(lambda: len(bench.running) == 2)

    assert await bench.broker.depth(WORK) == 2
    assert bench.told("processed") == []
    assert await bench.leases.acquire("uuid-1:1", "the next", 1)


async def test_a_job_that_only_waits_is_handed_back_at_once(bench: Bench) -> None:
    await bench.leases.acquire("uuid-1:1", "another", 1000)
    bench.outcomes["uuid-1:2"] = [PASSING] * 9
    await bench.ask(segment(1), segment(2))
    retry = replace(QUICK, first_s=1000, longest_s=1000)
    async with running(bench.worker(drain_s=1000, retry=retry)):
        await bench.until(lambda: len(bench.tried) == 1 and not bench.running)

    assert await bench.broker.depth(WORK) == 2


async def test_a_cancelled_worker_hands_back_what_runs(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    task = asyncio.create_task(bench.worker().run())
    await bench.until(lambda: bench.running != [])
    task.cancel()
    await asyncio.wait([task])

    assert await bench.broker.depth(WORK) == 1


async def test_a_lost_link_repeats_the_message_and_no_work_is_lost(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    async with running(bench.worker(lease_s=0.02)):
        await bench.until(lambda: bench.running != [])
        bench.broker.cut()
        bench.gate.set()
        await bench.until(lambda: bench.cleaned != [])

    assert await bench.broker.depth(WORK) == 0
    assert {one.message_id for one in bench.told("processed")} == {"uuid-1:1:processed"}


async def test_a_segment_that_ends_its_worker_each_time_fails_for_good(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    for n in range(LIMIT):
        async with running(bench.worker(drain_s=0.0)):
            await bench.until(lambda n=n: len(bench.tried) == n + 1)  # type: ignore[misc]  # bound now
    bench.gate.set()
    await bench.once()

    assert len(bench.tried) == LIMIT
    assert json.loads(bench.told("failed")[0].body)["error"]["code"] == "NO_RESULT"
    assert await bench.broker.depth(WORK) == 0


async def test_segments_that_were_only_held_by_workers_that_another_ended_do_not_fail_with_it(
    bench: Bench,
) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment(1, length_s=1), segment(2), segment(3))
    for n in range(LIMIT):
        async with running(bench.worker(drain_s=0.0, concurrency=1)):
            await bench.until(lambda n=n: len(bench.tried) == n + 1)  # type: ignore[misc]  # bound now
    bench.gate.set()
    await bench.once()

    assert [one.message_id for one in bench.told("failed")] == ["uuid-1:1:failed"]
    assert {one.message_id for one in bench.told("processed")} == {
        "uuid-1:2:processed",
        "uuid-1:3:processed",
    }


async def test_a_result_that_stands_is_told_however_often_its_message_was_handed_out(
    bench: Bench,
) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    for n in range(LIMIT):
        async with running(bench.worker(drain_s=0.0)):
            await bench.until(lambda n=n: len(bench.tried) == n + 1)  # type: ignore[misc]  # bound now
    bench.repeats.add("uuid-1:1")  # the last of them had delivered, and could tell nobody
    await bench.once()

    assert bench.told("failed") == []
    assert [one.message_id for one in bench.told("processed")] == ["uuid-1:1:processed"]
    assert bench.cleaned == [("uuid-1:1", True)]


async def test_a_broker_that_is_away_is_waited_for(bench: Bench) -> None:
    await bench.ask(segment())
    bench.broker.away = True
    async with running(bench.worker()):
        await asyncio.sleep(0.02)
        bench.broker.away = False
        bench.broker.stir()
        await bench.until(lambda: bench.cleaned != [])


async def test_stopping_ends_the_waiting_for_a_broker(bench: Bench) -> None:
    bench.broker.away = True
    async with running(bench.worker()) as task:
        await asyncio.sleep(0.01)
    assert task.done()
    worker = bench.worker()
    worker.stop()
    await worker.run_once()


async def test_once_ends_when_the_broker_goes_away_and_it_is_told_to_stop(bench: Bench) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    worker = bench.worker(drain_s=0)
    task = asyncio.create_task(worker.run_once())
    await bench.until(lambda: bench.running != [])
    bench.broker.away = True
    bench.gate.set()
    await asyncio.sleep(0.3)
    worker.stop()
    async with asyncio.timeout(DEADLINE_S):
        await task


async def test_files_that_cannot_be_cleaned_do_not_undo_the_result(bench: Bench) -> None:
    async def broken(info: SegmentInfo, *, raw: bool) -> None:
        raise Unavailable("the folder is away")

    bench.clean = broken  # type: ignore[method-assign]  # one that fails
    await bench.ask(segment())
    await bench.once()

    assert len(bench.told("processed")) == 1
    assert await bench.broker.depth(WORK) == 0


async def test_a_segment_whose_failure_cannot_be_told_ends_in_the_dead_letters(
    bench: Bench,
) -> None:
    async def broken(info: SegmentInfo, error: JobFailed, attempts: int) -> Failed:
        raise OSError("I/O error")

    bench.failure = broken  # type: ignore[method-assign]  # one that fails
    bench.outcomes["uuid-1:1"] = [LASTING] * 99
    await bench.ask(segment(1), segment(2))
    await bench.once()

    (dead,) = bench.told("failed")
    assert dead.body == event(segment(1)).body
    assert [one.message_id for one in bench.told("processed")] == ["uuid-1:2:processed"]


async def test_once_waits_for_a_broker_that_is_away_for_a_moment(bench: Bench) -> None:
    class Fickle(MemoryBroker):
        refusals = 2

        async def depth(self, queue: str) -> int:
            self.refusals -= 1
            if self.refusals >= 0:
                raise Unavailable("away for a moment")
            return await super().depth(queue)

    bench.broker = Fickle()
    await bench.ask(segment())
    await bench.once()

    assert len(bench.told("processed")) == 1


async def test_a_message_that_cannot_be_acknowledged_is_cleaned_by_whoever_repeats_it(
    bench: Bench,
) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    async with running(bench.worker(concurrency=1)) as task:
        await bench.until(lambda: bench.running != [])
        bench.broker.cut()
        bench.gate.set()
        await bench.until(lambda: len(bench.told("processed")) == 2 and bench.cleaned != [])
        assert not task.done()

    assert bench.cleaned == [("uuid-1:1", True)]


async def test_once_does_not_wait_for_a_broker_for_ever(bench: Bench) -> None:
    bench.broker.away = True

    with pytest.raises(Unavailable, match=r"^no broker for 0\.05 s: "):
        await bench.once(patience_s=0.05)


async def test_once_gives_up_on_a_broker_that_goes_away_and_its_result_stands(
    bench: Bench,
) -> None:
    bench.gate = asyncio.Event()
    await bench.ask(segment())
    task = asyncio.create_task(bench.once(patience_s=0.05))
    await bench.until(lambda: bench.running != [])
    bench.broker.away = True
    bench.gate.set()

    with pytest.raises(Unavailable, match="no broker"):
        await task
    assert bench.cleaned == []
    bench.broker.away = False
    bench.broker.cut()  # the link of the worker that has ended
    assert await bench.broker.depth(WORK) == 1


async def test_once_does_not_wait_for_space_for_ever(bench: Bench) -> None:
    bench.outcomes["uuid-1:1"] = [FULL] * 9
    bench.space = False
    await bench.ask(segment(1), segment(2))

    with pytest.raises(Unavailable, match="no space on a disk"):
        await bench.once(concurrency=1, patience_s=0.05)

    assert await bench.broker.depth(WORK) == 1


async def test_once_does_not_wait_for_the_store_for_ever(bench: Bench) -> None:
    class Away(MemoryLeases):
        async def acquire(self, job: str, holder: str, ttl_s: float) -> bool:
            raise Unavailable("disk I/O error")

    bench.leases = Away()
    await bench.ask(segment())

    with pytest.raises(Unavailable, match=r"no store for .*: disk I/O error"):
        await bench.once(patience_s=0.05)

    assert bench.tried == []


async def test_what_comes_back_in_time_is_waited_for_anew(bench: Bench) -> None:
    class Fickle(MemoryBroker):
        """Away every other time, altogether for longer than anybody has patience for once."""

        asked = 0

        async def depth(self, queue: str) -> int:
            self.asked += 1
            bench.clock.ahead_ms += 20_000
            if self.asked % 2:
                raise Unavailable("away for a moment")
            return await super().depth(queue)

    bench.broker = Fickle()
    await bench.ask(*(segment(n) for n in range(1, 6)))
    await bench.once(concurrency=1, patience_s=30)

    assert len(bench.told("processed")) == 5

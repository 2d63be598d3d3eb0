"""Results reach the list of recordings, on every broker, whatever happens to a controller."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.queue_file.broker import QueueFile
from sfu_wrapper.model.recording import Deleted, DeletionReason, Recording, RecordingState
from sfu_wrapper.model.segment import JobProgress
from sfu_wrapper.ports.broker import Broker, Message, QueueSpec, ReceivedMessage
from sfu_wrapper.ports.recordings import SegmentFacts
from sfu_wrapper.ports.store import Commit, OutboxRow
from sfu_wrapper.service.recordings import feed as module
from sfu_wrapper.service.recordings.deletion_commits import Committer
from sfu_wrapper.service.recordings.feed import IndexFeed
from sfu_wrapper.wire.deletion_messages import encode_deleted
from sfu_wrapper.wire.job_messages import encode_failed, encode_processed
from tests.helpers.indexed import facts, failed, key, processed
from tests.helpers.live import live
from tests.helpers.rabbitmq import ApartBroker, Names, RabbitServer
from tests.helpers.results import DONE, LOST, progress, publish, recorded, segment
from tests.helpers.wait import logged, until

QUEUE = "index"
SPEC = QueueSpec(QUEUE, ("processed", "failed", "deleted"))
DELETED = Deleted(key(), facts().room, DeletionReason.RETENTION, 8_000)
PROCESSED = Message("processed", "p", encode_processed(processed()))
FAILED = Message("failed", "f", encode_failed(failed(event=None)))
GONE = Message("deleted", "d", encode_deleted(DELETED))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETURN_S", 0.01)
    monkeypatch.setattr(module, "RETRY_S", 0.01)


class Scene:
    """A store with one recording that waits, and feeds of its index."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.store = MemoryStore()
        self.news: list[ReceivedMessage] = []
        committer = Committer(self.store, lambda _: None)
        clock = SystemClock()
        self.feed = IndexFeed(broker, QUEUE, self.store.index, committer, clock, self.news.append)

    async def know(self, *numbers: int) -> None:
        """Segments that are over."""
        changes = tuple(SegmentFacts(facts(number)) for number in numbers)
        await self.store.commit(Commit(recordings=changes), 1)

    @asynccontextmanager
    async def fed(self) -> AsyncIterator[None]:
        """The feed runs while the context lasts."""
        task = asyncio.create_task(self.feed.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    @property
    def recording(self) -> Recording:
        """Segment 1."""
        found = self.store.index.recording(key())
        assert found is not None
        return found

    async def reaches(self, state: RecordingState) -> None:
        """Wait for a state."""
        await until(lambda: self.recording.state is state)

    async def is_empty(self) -> bool:
        """The queue has no message that waits."""
        return await self.broker.depth(QUEUE) == 0


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    broker = MemoryBroker()
    await broker.open((SPEC,))
    scene = Scene(broker)
    await scene.know(1)
    yield scene
    await broker.close()


async def a_result_waits_for_the_controller(broker: Broker) -> None:
    """Three results while nobody reads; then all of them count, and none is left."""
    await broker.open((SPEC,))
    scene = Scene(broker)
    await scene.know(1, 2)
    for message in (FAILED, PROCESSED, GONE, PROCESSED):
        await broker.publish(message)
    async with scene.fed():
        await scene.reaches(RecordingState.DELETED)
        await until(scene.is_empty)

    assert scene.recording.outcome == processed(warnings=())
    assert {received.message_id for received in scene.news} == {"p", "f"}
    async with scene.fed():
        again = encode_processed(processed(key(2)))
        await broker.publish(Message("processed", "p2", again))
        await until(lambda: scene.store.index.recording(key(2)).state is RecordingState.READY)  # type: ignore[union-attr]
    await broker.close()


async def test_results_wait_in_memory() -> None:
    await a_result_waits_for_the_controller(MemoryBroker())


async def test_results_wait_in_the_queue_file(tmp_path: Path) -> None:
    await a_result_waits_for_the_controller(QueueFile(tmp_path / "queue.db"))


@pytest.mark.system
async def test_results_wait_at_rabbitmq(rabbitmq: RabbitServer) -> None:
    await a_result_waits_for_the_controller(ApartBroker(rabbitmq.url, Names()))


@pytest.mark.parametrize(
    ("message", "state"),
    [
        (PROCESSED, RecordingState.READY),
        (FAILED, RecordingState.FAILED),
        (GONE, RecordingState.DELETED),
    ],
    ids=["processed", "failed", "deleted"],
)
async def test_each_message_moves_its_recording(
    scene: Scene, message: Message, state: RecordingState
) -> None:
    async with scene.fed():
        await scene.broker.publish(message)
        await scene.reaches(state)


async def test_a_job_that_the_broker_gave_up_on_has_failed(scene: Scene) -> None:
    info = {
        "conferenceId": "room",
        "recordingInfo": {
            "uuid": "uuid-1",
            "segment": 1,
            "started": "2026-11-24T04:13:01.002Z",
            "completed": "2026-11-24T04:13:12.345Z",
            "video": {},
            "audio": {},
        },
    }
    async with scene.fed():
        await scene.broker.publish(Message("failed", "dead", json.dumps(info).encode()))
        await scene.reaches(RecordingState.FAILED)


@pytest.mark.parametrize(
    ("message", "action"),
    [
        (Message("processed", "x", b"{"), "index.unreadable"),
        (Message("failed", "x", b'{"uuid": null, "status": "failed"}'), "index.unreadable"),
        (Message("deleted", "x", b"[]"), "index.unreadable"),
        (
            Message("processed", "x", encode_processed(processed(key(9)))),
            "index.unknown",
        ),
    ],
    ids=["no JSON", "poison", "no report", "unknown recording"],
)
async def test_what_cannot_be_used_is_logged_and_gone(
    scene: Scene, message: Message, action: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with scene.fed():
        await scene.broker.publish(message)
        await logged(caplog, action)
        await scene.broker.publish(PROCESSED)
        await scene.reaches(RecordingState.READY)
        await until(scene.is_empty)


async def test_a_message_stays_while_the_disk_is_full(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.store.failing = True
    async with scene.fed():
        await scene.broker.publish(PROCESSED)
        await logged(caplog, "index.notStored")
        assert scene.recording.state is RecordingState.QUEUED
        scene.store.failing = False
        await scene.reaches(RecordingState.READY)
        await until(scene.is_empty)


async def test_a_controller_that_dies_before_the_commit_loses_nothing(tmp_path: Path) -> None:
    first, second = (QueueFile(tmp_path / "queue.db") for _ in range(2))
    await first.open((SPEC,))
    scene = Scene(first)
    await scene.know(1)
    scene.store.failing = True
    async with scene.fed():
        await first.publish(PROCESSED)
        await until(lambda: len(scene.news) > 0)
    await first.close()
    scene.store.failing = False

    await second.open((SPEC,))
    next_one = Scene(second)
    next_one.feed = IndexFeed(
        second,
        QUEUE,
        scene.store.index,
        Committer(scene.store, lambda _: None),
        SystemClock(),
        next_one.news.append,
    )
    async with next_one.fed():
        await scene.reaches(RecordingState.READY)
    await second.close()


async def test_one_message_with_a_bug_ends_no_other(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def news(received: ReceivedMessage) -> None:
        if received.message_id == "f":
            raise ZeroDivisionError

    monkeypatch.setattr(scene.feed, "_news", news)
    monkeypatch.setattr(module, "WORN", 2)
    async with scene.fed():
        await scene.broker.publish(FAILED)
        await scene.broker.publish(PROCESSED)
        await scene.reaches(RecordingState.READY)
        await until(lambda: caplog.messages.count("index.failed") == 3)
        await until(scene.is_empty)


async def test_many_results_of_one_recording_leave_the_last_one(scene: Scene) -> None:
    async with scene.fed():
        for n in range(100):
            result = encode_processed(processed(processing_completed_ms=4_000 + n % 50))
            await scene.broker.publish(Message("processed", f"p{n}", result))
        await scene.broker.publish(GONE)
        await scene.reaches(RecordingState.DELETED)
        await until(scene.is_empty)

    assert scene.recording.outcome == processed(processing_completed_ms=4_049, warnings=())


async def test_a_deletion_that_is_done_is_in_the_audit_log_once(scene: Scene) -> None:
    async with scene.fed():
        for _ in range(2):
            await scene.broker.publish(GONE)
            await scene.reaches(RecordingState.DELETED)
            await until(scene.is_empty)
    rows = scene.store.audit.entries(facts().domain, 0, 10)

    (noted,) = [json.loads(row.entry) for row in rows]
    assert (noted["action"], noted["object"]) == ("recording.deleted", str(key()))
    assert (noted["actor"], noted["details"]) == (None, {"reason": "retention"})


async def test_the_first_progress_begins_the_processing(scene: Scene) -> None:
    begun = JobProgress(key().uuid, key().segment, "compose", 1.0, None)
    scene.feed.progressed(begun)  # nobody listens yet
    async with scene.fed():
        await asyncio.sleep(0)
        for _ in range(3):
            scene.feed.progressed(begun)
        await scene.reaches(RecordingState.PROCESSING)
        scene.feed.progressed(begun)

    assert scene.recording.version == 2


# With a whole controller


async def test_a_result_that_came_between_two_controllers_is_known_to_both_ways() -> None:
    store, broker = MemoryStore(), MemoryBroker()
    async with live(store=store, broker=broker) as controller:
        await recorded(controller)
    await publish(broker, "processed", DONE)
    async with live(store=store, broker=broker) as controller:
        owner = await controller.client("alice")

        async def both_know() -> bool:
            found = store.index.recording(key(1, "call"))
            shown = (await segment(owner)).get("processing", {})
            ready = found is not None and found.state is RecordingState.READY
            return ready and shown.get("state") == "processed"

        await until(both_know)


async def test_a_running_job_is_shown_as_one() -> None:
    async with live() as controller:
        await recorded(controller)
        await progress(controller.broker, 2)

        def state() -> RecordingState | None:
            found = controller.store.index.recording(key(1, "call"))
            return None if found is None else found.state

        await until(lambda: state() is RecordingState.PROCESSING)
        await publish(controller.broker, "processed", DONE)
        await until(lambda: state() is RecordingState.READY)


class Told(MemoryStore):
    """Remembers the events of its commits."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def _commit(self, commit: Commit, epoch: int) -> tuple[OutboxRow, ...]:
        rows = super()._commit(commit, epoch)
        self.told += [event.type for event in commit.events]
        return rows


async def test_a_result_without_all_media_is_committed_with_the_news_that_it_is_missed() -> None:
    store = Told()
    async with live(store=store) as controller:
        await recorded(controller)
        await publish(controller.broker, "failed", LOST)
        await until(lambda: "recording.failed" in store.told)

    assert store.told[-2:] == ["recording.failed", "recording.missed"]


async def test_each_change_is_committed_with_one_event() -> None:
    store = Told()
    async with live(store=store) as controller:
        made = await recorded(controller)
        for _ in range(3):
            await publish(controller.broker, "processed", DONE)
        await until(lambda: "recording.ready" in store.told)
        await made.service.ok("endRoom", {"room": "call"})
        await made.owner.event("roomEnded")

    types = ["recording.started", "recording.stopped", "recording.ready", "room.ended"]
    # The start takes more than a twentieth of a call of milliseconds, so that it counts as missed.
    assert [type_ for type_ in store.told if type_ != "recording.missed"] == types

"""What the recording service publishes reaches the people of the room, over real WebSockets."""

import asyncio

import pytest

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.ports.broker import Message
from sfu_wrapper.ports.store import PartRow, RoomRow
from tests.helpers.calls import Call
from tests.helpers.live import Live, Peer, live
from tests.helpers.results import DONE, ERROR, LOST, progress, publish, recorded, segment


async def heard_by_nobody_else(*peers: Peer) -> None:
    """Nothing of the results came to these, who have seen everything that was sent before."""
    for peer in peers:
        await peer.ok("ping")
        assert not {name for name in peer.events() if "Process" in name}


async def test_a_processed_segment_is_told_to_the_owner_and_the_creating_service() -> None:
    async with live() as controller:
        made = await recorded(controller)
        phone = await controller.client("alice")
        uninvolved = await controller.client("other-service", "service")
        admin = await controller.client("boss", "domain-admin")
        await publish(controller.broker, "processed", DONE)
        told = [
            await peer.event("roomRecordingProcessed") for peer in (made.owner, phone, made.service)
        ]
        shown = [await segment(peer) for peer in (made.owner, made.other)]
        await heard_by_nobody_else(made.other, uninvolved, admin)

    files = [{"name": "rec-1.webm", "kind": "merged", "bytes": 205221}]
    assert told == [{"room": "call", "segment": 1, "files": files}] * 3
    assert [each["processing"] for each in shown] == [{"state": "processed"}] * 2


async def test_a_segment_that_failed_for_good_is_told_to_the_same() -> None:
    async with live() as controller:
        made = await recorded(controller)
        await publish(controller.broker, "failed", LOST)
        told = [
            await peer.event("roomRecordingProcessingFailed") for peer in (made.owner, made.service)
        ]
        shown = await segment(made.other)
        await heard_by_nobody_else(made.other)

    assert told == [{"room": "call", "segment": 1, "error": ERROR}] * 2
    assert shown["processing"] == {"state": "failed"}


async def test_a_room_of_a_user_s_own_is_told_of_to_its_owner_alone() -> None:
    async with live() as controller:
        service = await controller.service()
        made = await recorded(controller)
        await made.owner.ok("createRoom", {"id": "mine", "uuid": "mine", "record": False})
        await made.owner.ok("joinRoom", {"room": "mine"})
        await made.other.ok("joinRoom", {"room": "mine"})
        await made.owner.ok("startRoomRecording", {"room": "mine"})
        await made.owner.ok("stopRoomRecording", {"room": "mine"})
        await publish(controller.broker, "processed", DONE, "mine")
        told = await made.owner.event("roomRecordingProcessed")
        await heard_by_nobody_else(made.other, service, made.service)

    assert told["room"] == "mine"


async def test_a_room_that_is_long_over_is_told_of_too() -> None:
    async with live() as controller:
        made = await recorded(controller)
        await made.owner.ok("endRoom", {"room": "call"})
        await made.owner.event("roomEnded")
        await publish(controller.broker, "processed", DONE)

        assert (await made.owner.event("roomRecordingProcessed"))["room"] == "call"


class Read(MemoryStore):
    """Counts how often the parts of a room are read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def parts(self, uuid: RoomUuid) -> tuple[PartRow, ...]:
        self.reads += 1
        return super().parts(uuid)


async def test_a_room_that_is_over_is_read_once_for_all_its_news() -> None:
    store = Read()
    async with live(store=store) as controller:
        made = await recorded(controller)
        await made.owner.ok("endRoom", {"room": "call"})
        await made.owner.event("roomEnded")
        store.reads = 0
        for percent in range(1, 20):
            await progress(controller.broker, percent)
        await publish(controller.broker, "processed", DONE)
        await made.owner.event("roomRecordingProcessed")

    assert store.reads == 1


async def test_how_far_it_is_can_be_asked() -> None:
    async with live() as controller:
        made = await recorded(controller)
        await progress(controller.broker, 41.5)
        async with asyncio.timeout(20):
            while (shown := await segment(made.other))["processing"]["percent"] == 1:
                pass

    assert shown["processing"] == {
        "state": "processing",
        "stage": "compose",
        "percent": 41.5,
        "etaSeconds": 3.5,
    }


async def test_a_repeat_and_late_progress_tell_nobody_anything() -> None:
    async with live() as controller:
        made = await recorded(controller)
        for _ in range(3):
            await publish(controller.broker, "processed", DONE)
        await progress(controller.broker, 99)
        await publish(controller.broker, "failed", LOST)
        await fence(controller, made)
        events = made.owner.events()
        shown = await segment(made.owner)

    assert events.count("roomRecordingProcessed") == 1
    assert events.count("roomRecordingProcessingFailed") == 1  # that of the fence
    assert shown["processing"] == {"state": "processed"}


async def fence(controller: Live, made: Call) -> None:
    """Return when everything published so far has been heard: a second segment's result has."""
    before = len(made.owner.received)
    await made.started()
    await made.stopped()
    await publish(controller.broker, "failed", LOST | {"segment": 2})
    await made.owner.receive(
        lambda frame: (
            frame["type"] == "event"
            and frame["payload"]["event"] == "roomRecordingProcessingFailed"
            and frame["payload"]["payload"]["segment"] == 2
        ),
        since=before,
    )


async def test_a_segment_that_failed_may_yet_be_processed() -> None:
    async with live() as controller:
        made = await recorded(controller)
        await publish(controller.broker, "failed", LOST)
        await publish(controller.broker, "failed", LOST)
        await publish(controller.broker, "processed", DONE)
        await made.owner.event("roomRecordingProcessed")

        assert made.owner.events().count("roomRecordingProcessingFailed") == 1


async def test_what_the_broker_gave_up_on_has_failed() -> None:
    async with live() as controller:
        made = await recorded(controller)
        (job,) = [m for m in controller.broker.published if m.routing_key == "recordingInfo"]
        await controller.broker.publish(Message("failed", job.message_id, job.body))
        told = await made.owner.event("roomRecordingProcessingFailed")

    assert told["error"] == {
        "stage": "event",
        "code": "NO_RESULT",
        "message": "the broker gave up on it",
    }


async def test_what_is_unreadable_or_of_another_installation_ends_nothing() -> None:
    async with live() as controller:
        made = await recorded(controller)
        for key in ("processed", "failed", "progress"):
            await controller.broker.publish(Message(key, "m", b"\xff no JSON"))
            await controller.broker.publish(Message(key, "m", b'{"uuid":null}'))
        await publish(controller.broker, "processed", DONE, "another room's")
        await publish(controller.broker, "processed", DONE | {"segment": 7})
        await publish(controller.broker, "processed", DONE)

        await made.owner.event("roomRecordingProcessed")
        assert made.owner.events().count("roomRecordingProcessed") == 1


class Reluctant(MemoryStore):
    """Does not give a room when it is asked for one, as often as it is told to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[Exception] = []

    def room(self, uuid: RoomUuid) -> RoomRow | None:
        if self.failures:
            raise self.failures.pop()
        return super().room(uuid)


@pytest.mark.parametrize(
    ("failure", "logged"),
    [(Unavailable("disk"), "notification.notSent"), (ValueError("a bug"), "notification.failed")],
)
async def test_a_store_that_cannot_be_read_costs_one_notice_alone(
    failure: Exception, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Reluctant()
    async with live(store=store) as controller:
        made = await recorded(controller)
        await made.owner.ok("endRoom", {"room": "call"})
        await made.owner.event("roomEnded")
        store.failures = [failure]
        await publish(controller.broker, "failed", LOST)
        await publish(controller.broker, "processed", DONE)
        await made.owner.event("roomRecordingProcessed")

    assert logged in caplog.messages


async def test_results_outlive_the_room_and_the_controller() -> None:
    store = MemoryStore()
    async with live(store=store) as controller:
        made = await recorded(controller)
        await publish(controller.broker, "processed", DONE)
        await made.owner.event("roomRecordingProcessed")
        await made.started()
        await made.owner.ok("endRoom", {"room": "call"})
        await made.owner.event("roomRecordingStopped")
        await publish(controller.broker, "failed", LOST | {"segment": 2})
        await made.owner.event("roomRecordingProcessingFailed")
    async with live(store=store) as controller:
        alice, bob = await controller.client("alice"), await controller.client("bob")
        admin = await controller.client("boss", "domain-admin")
        shown = [
            (await peer.ok("getRoom", {"room": "call"}))["segments"] for peer in (alice, admin, bob)
        ]

    files = [{"name": "rec-1.webm", "kind": "merged", "bytes": 205221}]
    for segments in shown:
        assert [each["processing"]["state"] for each in segments] == ["processed", "failed"]
    for first, second in shown[:2]:
        assert (first["files"], second["error"]) == (files, ERROR)
    assert not {"files", "error"} & (shown[2][0].keys() | shown[2][1].keys())


async def test_a_result_of_a_room_that_goes_on_is_known_after_a_restart() -> None:
    store = MemoryStore()
    async with live(store=store) as controller:
        made = await recorded(controller)
        await publish(controller.broker, "processed", DONE)
        await made.owner.event("roomRecordingProcessed")
    async with live(store=store) as controller:
        shown = await segment(await controller.client("alice"))

    assert shown["processing"] == {"state": "processed"}
    assert shown["files"][0]["name"] == "rec-1.webm"

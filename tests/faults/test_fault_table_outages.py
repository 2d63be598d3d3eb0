"""What happens while broker or store are away: rows of policy.md over live WebSockets."""

import asyncio
import resource
from pathlib import Path

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.model.identity import (
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    RoomUuid,
)
from tests.helpers.calls import (
    BOTH,
    Call,
    call,
    events_of,
    faulty,
    files,
    is_available,
    is_unavailable,
    page,
    report,
    reported,
)
from tests.helpers.live import Json, connected, live
from tests.helpers.processes import environment, free_port, queued, serve
from tests.helpers.wait import until

SEGMENTS = 3
ALWAYS_VIDEO = RecordingPermissions(RecordingType.VIDEO, RecordingProfile.ALWAYS)


async def test_the_broker_is_away() -> None:
    broker = MemoryBroker()
    async with live(broker=broker) as controller:
        talk = await call(controller)
        broker.unavailable = True
        for number in range(1, SEGMENTS + 1):
            assert (await talk.started())["segment"] == number
            assert (await talk.stopped())["segment"] == number
        assert reported(broker) == []
        await until(lambda: is_unavailable(controller.http_url, "broker"))
        status, _ = await page(f"{controller.http_url}/health/ready")
        assert status == 200, "calls go on"

        broker.unavailable = False
        await report(broker, SEGMENTS)
        mine = [each for each in broker.published if each.message_id.startswith("call:")]
        assert [(each.routing_key, each.message_id.split(":")[1]) for each in mine] == [
            (key, str(number))
            for number in range(1, SEGMENTS + 1)
            for key in ("roomRecordingStarted", "recordingInfo", "roomRecordingStopped")
        ]


async def test_the_broker_is_away_while_nothing_happens() -> None:
    broker = MemoryBroker()
    async with live(broker=broker) as controller:
        await until(lambda: is_available(controller.http_url, "broker"))
        broker.unavailable = True
        await until(lambda: is_unavailable(controller.http_url, "broker"))
        broker.unavailable = False
        await until(lambda: is_available(controller.http_url, "broker"))


async def test_the_broker_is_away_when_the_controller_starts_and_when_it_stops() -> None:
    store, broker = MemoryStore(), MemoryBroker()
    broker.unavailable = True
    async with live(store=store, broker=broker) as controller:
        talk = await call(controller)
        await talk.started()
        await talk.stopped()
    assert broker.published == []
    broker.unavailable = False
    async with live(store=store, broker=broker):
        assert [each["segment"] for each in await report(broker)] == [1]


async def test_the_store_cannot_write(tmp_path: Path) -> None:
    store = MemoryStore()
    async with faulty(tmp_path, store=store) as bench:
        talk = await call(bench.controller)
        await talk.started()
        before = store.room(RoomUuid("call"))
        store.failing = True
        refused: dict[str, Json] = {
            "stopRoomRecording": {"room": "call"},
            "updateMedia": {"room": "call", "media": {"audio": True}},
            "leaveRoom": {"room": "call"},
            "endRoom": {"room": "call"},
            "createRoom": {"id": "another"},
        }
        for endpoint, payload in refused.items():
            assert await talk.owner.refused(endpoint, payload) in ("OVERLOADED", "INTERNAL")
        await until(lambda: is_unavailable(bench.controller.http_url, "store"))
        status, _ = await page(f"{bench.controller.http_url}/health/ready")
        assert status == 503
        assert store.room(RoomUuid("call")) == before, "no state has changed"
        assert await talk.segments() == ["recording"]
        written = size(tmp_path)
        await until(lambda: grown(tmp_path, written))  # the running captures go on

        store.failing = False
        assert (await talk.stopped())["segment"] == 1
        (info,) = await report(bench.controller.broker)
        assert (info["incomplete"], len(files(info))) == (False, 2)
        await talk.owner.ok("createRoom", {"id": "another"})
        await until(lambda: is_available(bench.controller.http_url, "store"))


async def test_the_store_cannot_write_when_a_start_is_confirmed(tmp_path: Path) -> None:
    store = MemoryStore()
    async with faulty(tmp_path, store=store) as bench:
        talk = await call(bench.controller)
        # Of two captures the first confirmation may come alone, and its commit answers nobody.
        await bench.controller.permit("alice", ALWAYS_VIDEO)
        bench.hold()
        start = asyncio.create_task(talk.owner.ask("startRoomRecording", request_id="one"))
        await until(lambda: in_state(talk, "starting"))
        store.failing = True
        bench.release()
        assert (await start)["error"]["code"] == "OVERLOADED"
        assert events_of(talk.other, "roomRecordingStarted") == [], "it could not be stored"

        store.failing = False
        started = await talk.other.event("roomRecordingStarted")
        again = await talk.owner.ask("startRoomRecording", request_id="one")
        assert again["payload"]["segment"] == started["segment"] == 1
        await talk.stopped()
        assert [each["segment"] for each in await report(bench.controller.broker)] == [1]


async def test_the_store_cannot_write_when_a_stop_is_confirmed(tmp_path: Path) -> None:
    store = MemoryStore()
    async with faulty(tmp_path, store=store) as bench:
        talk = await call(bench.controller)
        await talk.started()
        bench.hold()
        stop = asyncio.create_task(talk.owner.ask("stopRoomRecording", request_id="two"))
        await until(lambda: in_state(talk, "stopping"))
        store.failing = True
        bench.release()
        assert (await stop)["error"]["code"] == "OVERLOADED"
        again = asyncio.create_task(talk.owner.ask("stopRoomRecording", request_id="two"))
        store.failing = False
        stopped = await talk.other.event("roomRecordingStopped")
        assert (await again)["payload"]["segment"] == stopped["segment"] == 1
        (info,) = await report(bench.controller.broker)
        assert info["incomplete"] is False


async def test_the_disk_of_the_store_is_full(tmp_path: Path) -> None:
    port, http_port = free_port(), free_port()
    url, http = f"ws://127.0.0.1:{port}", f"http://127.0.0.1:{http_port}"
    env = environment(
        tmp_path, WEBSOCKET__PORT=str(port), HTTP__PORT=str(http_port), ROOMS__RECORD="all"
    )
    controller = await serve(env)
    async with connected(url, "alice") as alice, connected(url, "bob") as bob:
        await alice.ok("createRoom", {"id": "call"})
        for peer in (alice, bob):
            await peer.ok("joinRoom", {"room": "call", "media": BOTH})
        await alice.event("roomRecordingStarted")
        free = resource.prlimit(controller.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(controller.process.pid, resource.RLIMIT_FSIZE, (0, free[1]))
        assert await alice.refused("stopRoomRecording", {"room": "call"}) == "OVERLOADED"
        assert await bob.refused("leaveRoom", {"room": "call"}) == "OVERLOADED"
        assert (await page(f"{http}/health/ready"))[0] == 503
        written = size(tmp_path)
        await until(lambda: grown(tmp_path, written))  # the running captures go on

        resource.prlimit(controller.process.pid, resource.RLIMIT_FSIZE, free)
        stopped = await alice.ok("stopRoomRecording", {"room": "call"})
        assert stopped["segment"] == 1
        await until(lambda: is_available(http, "store"))
    assert await controller.terminate() == 0
    (message,) = await queued(tmp_path)
    info = message["recordingInfo"]
    assert (info["segment"], info["incomplete"], len(files(info))) == (1, False, 2)


async def in_state(talk: Call, state: str) -> bool:
    """Whether the one segment is so."""
    return await talk.segments() == [state]


def size(folder: Path) -> int:
    """How much media there is below a folder, bytes."""
    return sum(file.stat().st_size for file in folder.rglob("*.mjr"))


async def grown(folder: Path, size_bytes: int) -> bool:
    """Whether there is more by now."""
    return size(folder) > size_bytes

"""What must cost one request at most: stores that cannot be read, full queues, bad moments."""

import asyncio
from collections.abc import Iterator

import pytest

from sfu_wrapper.adapters.memory.plane import Behaviour, MemoryPlane
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.core.media_plane import (
    CaptureChanged,
    CaptureRef,
    CaptureStarted,
    CloseMediaRoom,
    RoomFound,
    StopCapture,
)
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import OwnerPermissions, RoomUuid, SegmentNo, UserKey
from sfu_wrapper.model.media import Medium
from sfu_wrapper.ports.store import Commit
from tests.helpers import stores
from tests.helpers.calls import Call, call, is_unavailable
from tests.helpers.clocks import Ahead, noticing
from tests.helpers.held_store import HeldStore
from tests.helpers.live import connected, live
from tests.helpers.wait import until

ROOM = {"room": "call"}


@pytest.fixture
def clock() -> Iterator[Ahead]:
    with noticing() as clock:
        yield clock


class Unreadable(MemoryStore):
    """A store of which permissions cannot be read while ``torn`` is set."""

    torn = False

    def permissions(self, owner: UserKey) -> OwnerPermissions:
        """See ``Store``."""
        if self.torn:
            raise Unavailable("the disk cannot be read")
        return super().permissions(owner)


async def test_a_store_that_cannot_be_read_is_overloaded_and_takes_no_room_id() -> None:
    store = Unreadable()
    async with live(store=store) as controller:
        talk = await call(controller, kind="meeting")
        store.torn = True
        asked = {"id": "new", "uuid": "new"}
        assert await talk.owner.refused("createRoom", asked) == "OVERLOADED"
        assert await talk.owner.refused("startRoomRecording", ROOM) == "OVERLOADED"
        assert await talk.owner.refused("getRoom", ROOM) == "OVERLOADED"
        assert await talk.owner.refused("joinRoom", ROOM) == "OVERLOADED"
        store.torn = False
        await talk.owner.ok("createRoom", asked)
        assert (await talk.started())["segment"] == 1


async def test_a_busy_room_that_one_has_left_is_not_taken_for_one_that_one_is_in() -> None:
    store = HeldStore()
    async with live(store=store) as controller:
        left = await call(controller, "left", kind="meeting")
        await left.owner.ok("createRoom", {"id": "here", "kind": "meeting"})
        await left.owner.ok("joinRoom", {"room": "here"})
        await left.owner.ok("leaveRoom", {"room": "left"})
        await left.owner.ok("ping")
        store.held = True
        busy = asyncio.create_task(left.other.ok("updateMedia", {"room": "left", "media": {}}))
        await asyncio.sleep(0)  # it is sent
        await left.other.ok("ping")  # and has been read
        assert (await left.owner.ok("getRoom"))["room"] == "here"
        assert not busy.done(), "it was busy all the time"
        store.release()
        await busy


async def test_a_room_that_one_is_about_to_join_counts() -> None:
    store = HeldStore()
    async with live(store=store) as controller:
        alice = await controller.client("alice")
        await alice.ok("createRoom", {"id": "call", "kind": "meeting"})
        store.held = True
        joining = asyncio.create_task(alice.ok("joinRoom", ROOM))
        await asyncio.sleep(0)
        asked = asyncio.create_task(alice.ok("getRoom"))
        await asyncio.sleep(0)
        await alice.ok("ping")  # both have been read
        store.release()
        assert (await asked)["state"] == "established"
        await joining


async def test_a_room_that_was_left_and_joined_over_another_connection_is_not_of_this_one() -> None:
    async with live() as controller:
        alice, device = await controller.client("alice"), await controller.client("alice")
        for room in ("one", "two"):
            await alice.ok("createRoom", {"id": room, "kind": "meeting"})
        bob = await controller.client("bob")
        await bob.ok("joinRoom", {"room": "one"})  # keeps it open
        await alice.ok("joinRoom", {"room": "one"})
        await alice.ok("joinRoom", {"room": "two"})
        assert await alice.refused("getRoom") == "ROOM_REQUIRED"
        assert await device.refused("getRoom") == "ROOM_REQUIRED"
        await device.ok("leaveRoom", {"room": "one"})
        await device.ok("joinRoom", {"room": "one"})
        assert (await alice.ok("getRoom"))["room"] == "two"
        assert (await device.ok("getRoom"))["room"] == "one"


async def test_a_store_that_hangs_is_overloaded_and_who_asks_again_gets_the_outcome(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = HeldStore()
    async with live(store=store) as controller:
        talk = await call(controller)
        store.held = True
        monkeypatch.setattr("sfu_wrapper.service.rooms.actor.COMMIT_TIMEOUT_S", 0.2)
        first = asyncio.create_task(talk.owner.ask("startRoomRecording", ROOM, request_id="one"))
        await asyncio.sleep(0)  # it is sent
        assert await talk.other.refused("leaveRoom", ROOM) == "OVERLOADED"
        assert (await first)["error"]["code"] == "OVERLOADED"
        assert await is_unavailable(controller.http_url, "store")
        assert (await talk.shown())["segments"] == [], "nothing is stored yet"

        monkeypatch.undo()
        store.release()
        answers = [await first]

        async def is_answered() -> bool:
            answers.append(await talk.owner.ask("startRoomRecording", ROOM, request_id="one"))
            return bool(answers[-1]["status"] == "ok")

        await until(is_answered)
        assert answers[-1]["payload"]["segment"] == 1
        assert await talk.segments() == ["recording"]
        assert len((await talk.shown())["participants"]) == 2, "who was refused has not left"
        await talk.stopped()
        assert not await is_unavailable(controller.http_url, "store")


async def test_a_capture_of_a_room_that_nobody_holds_is_stopped_and_costs_nobody_else() -> None:
    plane = MemoryPlane()
    orphan = CaptureRef(RoomUuid("gone"), SegmentNo(1), Medium.VIDEO)
    async with live(plane=plane) as controller:
        talk = await call(controller)
        plane.full = True
        plane.emit(CaptureStarted(orphan, 1))
        await talk.owner.ok("ping")
        plane.full = False
        plane.emit(CaptureChanged(orphan, ()))

        async def is_stopped() -> bool:
            return StopCapture(orphan) in plane.asked

        await until(is_stopped)
        assert (await talk.started())["segment"] == 1


async def test_a_media_room_that_a_dead_controller_left_is_closed_and_no_other() -> None:
    store = MemoryStore()
    async with live(store=store) as dead:
        await (await call(dead, "over")).service.ok("endRoom", {"room": "over"})
    removed = stores.room("removed", life="ended", settled=True, ended_ms=1)
    await store.commit(Commit(removed), stores.EPOCH)
    await store.forget_rooms(2, 10)
    plane = MemoryPlane()
    async with live(store=store, plane=plane) as controller:
        talk = await call(controller, "living")
        plane.full = True
        plane.emit(RoomFound(RoomUuid("over"), Medium.VIDEO))
        await talk.owner.ok("ping")
        plane.full = False
        for uuid in ("living", "of-somebody-else", "removed", "over"):
            plane.emit(RoomFound(RoomUuid(uuid), Medium.VIDEO))

        async def are_closed() -> bool:
            return CloseMediaRoom(RoomUuid("over")) in plane.asked

        await until(are_closed)
        closed = [each.room for each in plane.asked if isinstance(each, CloseMediaRoom)]
        assert closed == ["removed", "over"]
        assert (await talk.started())["segment"] == 1


async def test_a_request_that_the_full_plane_does_not_take_runs_into_its_deadline(
    clock: Ahead,
) -> None:
    plane = MemoryPlane()
    async with live("media.timeoutSeconds=10", plane=plane, clock=clock) as controller:
        talk = await call(controller)
        plane.full = True
        start = asyncio.create_task(talk.start())
        await until(lambda: is_in(talk, "starting"))
        clock.forward(10)
        assert (await start)["error"]["code"] == "MEDIA_FAILED"
        plane.full = False
        assert (await talk.started())["segment"] == 2
        plane.full = True
        stop = asyncio.create_task(talk.stop())
        await until(lambda: is_in(talk, "stopping"))
        clock.forward(10)
        assert (await stop)["error"]["code"] == "MEDIA_FAILED"
        plane.full = False
        clock.forward(10)
        await talk.owner.event("roomRecordingStopped")


async def is_in(talk: Call, state: str) -> bool:
    """Whether the last segment is so."""
    return (await talk.segments())[-1:] == [state]


async def test_no_room_is_made_while_the_controller_stops() -> None:
    plane = MemoryPlane()
    codes: list[str] = []
    draining = asyncio.Event()
    async with live(plane=plane) as controller:
        talk = await call(controller)
        await talk.started()
        for medium in Medium:
            plane.behave(medium, "stop", Behaviour.HOLD)
        late = asyncio.create_task(make_rooms(controller.url, plane, draining, codes))
        await draining.wait()
    await late
    assert codes == ["OVERLOADED"]


async def make_rooms(url: str, plane: MemoryPlane, ready: asyncio.Event, codes: list[str]) -> None:
    """Ask for rooms until one is refused, then let the stop be confirmed."""
    async with connected(url, "zoe") as zoe, connected(url, "bob") as bob:
        ready.set()

        async def refused() -> bool:
            answer = await zoe.ask("createRoom")
            codes.extend([answer["error"]["code"]] if answer["status"] == "error" else [])
            return bool(codes)

        await until(refused)
        plane.release()
        await bob.event("roomRecordingStopped")

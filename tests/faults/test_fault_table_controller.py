"""What happens when the controller goes: rows of policy.md, mostly as processes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.adapters.memory.plane import Behaviour, MemoryPlane
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.model.media import Medium
from sfu_wrapper.wire.strict_json import iso
from tests.helpers.calls import BOTH, Call, call, closings, events_of, report, reported
from tests.helpers.live import DOMAIN, Json, Peer, connected, live
from tests.helpers.processes import environment, free_port, is_running, queued, serve
from tests.helpers.wait import until


@dataclass(slots=True)
class Place:
    """An installation in a folder, in which every call is recorded."""

    folder: Path
    url: str
    env: dict[str, str]

    @asynccontextmanager
    async def people(self) -> AsyncIterator[tuple[Peer, Peer]]:
        """The two who are in the call, connected."""
        async with connected(self.url, "alice") as alice, connected(self.url, "bob") as bob:
            yield alice, bob

    async def infos(self) -> list[dict[str, Any]]:
        """The recordingInfo messages that were published, in order."""
        return [message["recordingInfo"] for message in await queued(self.folder)]


def place(folder: Path) -> Place:
    """A new one."""
    port = free_port()
    env = environment(folder, WEBSOCKET__PORT=str(port), HTTP__PORT="0", ROOMS__RECORD="all")
    return Place(folder, f"ws://127.0.0.1:{port}", env)


async def begin(here: Place, alice: Peer, bob: Peer) -> dict[str, Any]:
    """Make the call; its first segment runs."""
    async with connected(here.url, "room-service", "service") as service:
        await service.ok("createRoom", {"id": "call", "owner": "alice", "domain": DOMAIN})
    for peer in (alice, bob):
        await peer.ok("joinRoom", {"room": "call", "media": BOTH})
    return await alice.event("roomRecordingStarted")


async def test_the_controller_is_stopped_by_sigterm(tmp_path: Path) -> None:
    here = place(tmp_path)
    controller = await serve(here.env)
    async with here.people() as (alice, bob):
        await begin(here, alice, bob)
        assert await controller.terminate() == 0
        for peer in (alice, bob):
            stopped = await peer.event("roomRecordingStopped")
            assert (stopped["segment"], stopped["reason"]) == (1, "restart")
        assert events_of(alice, "roomEnded") == []
    (info,) = await here.infos()
    assert (info["segment"], info["incomplete"]) == (1, False)

    controller = await serve(here.env)
    async with here.people() as (alice, bob):
        again = await running(alice, 2)
        assert (again["segment"], again["by"]) == (2, "system")
        await alice.ok("stopRoomRecording", {"room": "call"})
    assert await controller.terminate() == 0
    assert [info["segment"] for info in await here.infos()] == [2]


async def test_the_controller_is_killed_and_the_plane_with_it(tmp_path: Path) -> None:
    here = place(tmp_path)
    controller = await serve(here.env)
    async with here.people() as (alice, bob):
        started = await begin(here, alice, bob)
        (plane,) = children(controller.process.pid)
        await controller.kill()
    await until(lambda: has_ended(plane))
    died = iso(time.time_ns() // 1_000_000)
    controller = await serve(here.env)
    async with here.people() as (alice, bob):
        again = await running(alice, 2)
        shown = await alice.ok("getRoom", {"room": "call"})
        first = shown["segments"][0]
        assert (first["state"], first["reason"]) == ("stopped", "restart")
        assert first["startedAt"] == started["startedAt"]
        assert (again["segment"], again["by"]) == (2, "system")
        await alice.ok("stopRoomRecording", {"room": "call"})
    assert await controller.terminate() == 0
    one, two = await here.infos()
    assert (one["segment"], one["incomplete"], two["segment"]) == (1, True, 2)
    assert one["completed"] == first["stoppedAt"] < died <= two["started"]
    assert max(closings(one)) == one["completed"], "at its last known written time"


async def test_the_controller_is_killed_and_the_plane_still_writes(tmp_path: Path) -> None:
    store, broker, plane = MemoryStore(), MemoryBroker(), Outliving()
    with suppress(Killed):
        async with live(store=store, broker=broker, plane=plane) as controller:
            talk = await call(controller, record=True)
            started = await talk.other.event("roomRecordingStarted")
            raise Killed
    assert reported(broker) == []

    async with live(store=store, broker=broker, plane=plane) as controller:
        alice = await controller.client("alice")
        goes_on = await running(alice, 1)
        assert (goes_on["segment"], goes_on["startedAt"]) == (1, started["startedAt"])
        await alice.ok("stopRoomRecording", {"room": "call"})
        (info,) = await report(broker)
        assert (info["segment"], info["incomplete"]) == (1, False)
        assert plane.running == ()


async def test_the_controller_is_killed_while_a_start_is_not_answered_yet(tmp_path: Path) -> None:
    store, broker, plane = MemoryStore(), MemoryBroker(), Outliving()
    for medium in Medium:
        plane.behave(medium, "start", Behaviour.MUTE)
    with suppress(Killed):
        async with live(store=store, broker=broker, plane=plane) as controller:
            talk = await call(controller)
            start = asyncio.create_task(talk.owner.ask("startRoomRecording", request_id="one"))
            await until(lambda: has_segment(talk))
            start.cancel()
            raise Killed

    async with live(store=store, broker=broker, plane=plane) as controller:
        alice = await controller.client("alice")
        answer = await alice.ask("startRoomRecording", request_id="one")
        assert answer["payload"]["segment"] == 1, "the same request is answered, and done once"
        assert len((await alice.ok("getRoom", {"room": "call"}))["segments"]) == 1


def children(pid: int) -> list[int]:
    """Its child processes."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def has_ended(pid: int) -> bool:
    """Whether that process is there no more."""
    return not is_running(pid)


class Outliving(MemoryPlane):
    """A plane that goes on when its controller goes, as an SFU does."""

    async def close(self) -> None:
        """Nobody told it to end."""


class Killed(Exception):
    """Ends a controller without the orderly way out."""


async def has_segment(talk: Call) -> bool:
    """Whether the first segment is there, in whatever state."""
    return len(await talk.segments()) == 1


async def running(peer: Peer, segment: int) -> Json:
    """That segment of the call, once it runs."""
    found: list[Json] = []

    async def look() -> bool:
        shown = await peer.ok("getRoom", {"room": "call"})
        found[:] = shown["segments"][segment - 1 :]
        return bool(found) and found[0]["state"] == "recording"

    await until(look, pause_s=0.05)
    return found[0]

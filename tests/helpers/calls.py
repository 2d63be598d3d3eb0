"""Calls in a live controller: made, recorded and looked at as their users do it.

Rooms made here have their id for uuid and confbridge id too, so that messages are told by it.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.adapters.simulated.faults import Faults
from sfu_wrapper.adapters.simulated.plane import SimulatedPlane
from sfu_wrapper.model.identity import RecordingPermissions, RecordingProfile, RecordingType
from sfu_wrapper.ports.store import Store
from tests.helpers.clocks import Ahead, noticing
from tests.helpers.live import DOMAIN, Json, Live, Peer, live
from tests.helpers.planes import simulated
from tests.helpers.processes import freeze
from tests.helpers.wait import until

ALWAYS = RecordingPermissions(RecordingType.ALL, RecordingProfile.ALWAYS)
BOTH = {"audio": True, "video": True}
WAIT_S = 20.0  # a deadline, not a measurement
LOOK_S = 0.02
ANSWER_S = 10.0  # within which a media plane must have answered


@dataclass(slots=True)
class Call:
    """A call between an owner and another one, and the room service beside them."""

    room: str
    owner: Peer
    other: Peer
    service: Peer

    async def start(self) -> Json:
        """The owner starts a recording; the whole response."""
        return await self.owner.ask("startRoomRecording", {"room": self.room})

    async def started(self) -> Json:
        """The owner starts a recording, which must be ok."""
        return await self.owner.ok("startRoomRecording", {"room": self.room})

    async def stop(self) -> Json:
        """The owner stops it; the whole response."""
        return await self.owner.ask("stopRoomRecording", {"room": self.room})

    async def stopped(self) -> Json:
        """The owner stops it, which must be ok."""
        return await self.owner.ok("stopRoomRecording", {"room": self.room})

    async def shown(self) -> Json:
        """What getRoom says."""
        return await self.service.ok("getRoom", {"room": self.room})

    async def segments(self) -> list[str]:
        """The state of each segment, in order."""
        return [str(each["state"]) for each in (await self.shown())["segments"]]


@dataclass(slots=True)
class Faulty:
    """A live controller over the simulated plane, which does wrong what it is told to."""

    controller: Live
    plane: SimulatedPlane
    clock: Ahead

    def spoil(self, faults: str) -> None:
        """From now on this goes wrong (fault-switches.md, "Fault switches"); "" for nothing."""
        self.plane.set_faults(Faults.parse(faults))

    def run_out(self) -> None:
        """Whatever the plane has not answered yet it has not answered in time."""
        self.clock.forward(ANSWER_S)

    def hold(self) -> None:
        """The plane stands still."""
        assert self.plane.child_pid is not None
        freeze(self.plane.child_pid)

    def release(self) -> None:
        """It goes on, and does what it was asked meanwhile."""
        assert self.plane.child_pid is not None
        os.kill(self.plane.child_pid, signal.SIGCONT)


@asynccontextmanager
async def faulty(
    folder: Path,
    *overrides: str,
    store: Store | None = None,
    broker: MemoryBroker | None = None,
) -> AsyncIterator[Faulty]:
    """A controller whose simulated plane runs and has recorded something."""
    plane = simulated(folder)
    chosen = (f"media.timeoutSeconds={ANSWER_S}", *overrides)
    with noticing() as clock:
        async with live(
            *chosen, store=store, plane=plane, broker=broker, clock=clock
        ) as controller:
            await _warm_up(controller)
            yield Faulty(controller, plane, clock)


async def _warm_up(controller: Live) -> None:
    """Until the plane's child process has been born, starts are answered MEDIA_FAILED."""
    await controller.permit("warm-owner", ALWAYS)
    warm = await call(controller, "warm-up", owner="warm-owner", other="warm-other", media={})
    async with asyncio.timeout(WAIT_S):
        while (await warm.start())["status"] != "ok":
            pass
    await warm.service.ok("endRoom", {"room": "warm-up"})
    await warm.owner.event("roomRecordingStopped")


async def call(
    controller: Live,
    room: str = "call",
    *,
    owner: str = "alice",
    other: str = "bob",
    media: Json | None = None,
    **wish: Any,  # noqa: ANN401 - JSON
) -> Call:
    """An established call; ``wish`` is what createRoom is asked beside ids and owner.

    It does not record by itself unless ``record`` says so.
    """
    service = await controller.service()
    await controller.permit(owner, ALWAYS)
    ids = {"id": room, "uuid": room, "confbridgeId": room, "owner": owner, "domain": DOMAIN}
    await service.ok("createRoom", {"record": False} | ids | wish)
    mine, theirs = await controller.client(owner), await controller.client(other)
    for peer in (mine, theirs):
        await peer.ok("joinRoom", {"room": room, "media": BOTH if media is None else media})
    return Call(room, mine, theirs, service)


async def back_off(controller: Live) -> None:
    """Return when a recording that is wanted would have been tried again after one failure.

    The plane must refuse the start of one further segment: that of a room which is made for this.
    """
    wanted = await call(controller, "back-off", owner="carol", other="dave", record=True)
    await wanted.owner.event("roomRecordingFailed")
    await wanted.owner.event("roomRecordingStarted")
    await wanted.service.ok("endRoom", {"room": wanted.room})


def events_of(peer: Peer, name: str, room: str = "call") -> list[Json]:
    """The payloads of every such event of a room so far."""
    events = [frame["payload"] for frame in peer.received if frame["type"] == "event"]
    named = [event["payload"] for event in events if event["event"] == name]
    return [payload for payload in named if payload["room"] == room]


async def page(url: str) -> tuple[int, str]:
    """Status and text of an HTTP GET."""

    def get() -> tuple[int, str]:
        try:
            answer: HTTPResponse = urlopen(url, timeout=WAIT_S)
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()
        with answer:
            return answer.status, answer.read().decode()

    return await asyncio.to_thread(get)


async def is_unavailable(url: str, part: str) -> bool:
    """Whether health says that this part is away."""
    return not await is_available(url, part)


async def is_available(url: str, part: str) -> bool:
    """Whether health says that this part is there."""
    _, text = await page(f"{url}/health/ready")
    state: str = json.loads(text)["parts"][part]["state"]
    return state == "ok"


async def metric(controller: Live, name: str) -> float:
    """One number of /metrics."""
    _, text = await page(f"{controller.http_url}/metrics")
    (line,) = (each for each in text.splitlines() if each.startswith(f"sfu_wrapper_{name} "))
    return float(line.split()[1])


def reported(broker: MemoryBroker, room: str = "call") -> list[Json]:
    """Every recordingInfo of a room so far, in order."""
    bodies = (json.loads(each.body) for each in broker.published if _is_info(each.routing_key))
    return [body["recordingInfo"] for body in bodies if body["recordingInfo"]["uuid"] == room]


async def report(broker: MemoryBroker, count: int = 1, room: str = "call") -> list[Json]:
    """As ``reported``, once there are so many."""

    async def there() -> bool:
        return len(reported(broker, room)) >= count

    await until(there)
    return reported(broker, room)


def files(info: Json) -> list[str]:
    """The names of the video files of a recordingInfo."""
    streams = [stream for user in info["video"].values() for stream in user.values()]
    return [file["filename"] for stream in streams for file in stream.values()]


def mixes(info: Json) -> list[str]:
    """The names of its audio files."""
    mixed = [files for mixer in info["audio"].values() for files in mixer.values()]
    return [file["filename"] for files in mixed for file in files.values()]


def closings(info: Json) -> list[str]:
    """The ends of all files of a recordingInfo, as it says."""
    kinds = [*info["video"].values(), *info["audio"].values()]
    return [
        file["stopTime"] for streams in kinds for each in streams.values() for file in each.values()
    ]


def still_written(folder: Path, info: Json) -> list[str]:
    """The video files of a recordingInfo that somebody has open for writing."""
    paths = {str(folder / "raw" / name.lstrip("/")): name for name in files(info)}
    opened = set()
    for fd in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            opened.add(str(fd.readlink()))
    return [name for path, name in paths.items() if path in opened]


def _is_info(routing_key: str) -> bool:
    return routing_key == "recordingInfo"

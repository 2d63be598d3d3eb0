"""Real Janus that is killed and started again while calls are recorded and people come and go."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from sfu_wrapper.formats.mjr import Reader
from sfu_wrapper.model.errors import RecordingError
from tests.helpers.calls import call, files, mixes
from tests.helpers.janus import JanusServer, running_janus
from tests.helpers.januscalls import COLOURS, SFU, RealCall, is_recording, plane_at
from tests.helpers.live import Peer, live
from tests.helpers.publishers import Camera, person
from tests.helpers.segment_reports import ALLOWED, Restless, outcome, reported_once
from tests.helpers.wait import until

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(120)]

RESTARTS = 2
CALLS = 2
BACK_S = 30.0
LOOK_S = 0.1
VISIT_S = 3.0  # of somebody who looks in, if Janus answers


@dataclass(slots=True)
class Busy:
    """Calls over one Janus, and a guest who comes and goes in all of them."""

    server: JanusServer
    dice: random.Random
    calls: list[RealCall]
    guest: Peer

    def restless(self) -> Restless:
        """Return what people do, whether or not there is a Janus."""
        return Restless(self.dice, (self._start, self._stop, self._visit, self._go))

    def _any(self) -> RealCall:
        return self.dice.choice(self.calls)

    async def _start(self) -> str:
        return await start(self._any())

    async def _stop(self) -> str:
        await asyncio.sleep(self.dice.uniform(0, 0.3))
        return await stop(self._any())

    async def _visit(self) -> str:
        """Join a call and publish a camera for a moment."""
        room = self._any().call.room
        answer = await outcome(self.guest, "joinRoom", {"room": room, "media": {"video": True}})
        with suppress(RecordingError, OSError, TimeoutError):
            async with asyncio.timeout(VISIT_S), person(self.server.address) as connection:
                await connection.send_video(room, "p-carol", Camera(COLOURS["carol"]))
                await asyncio.sleep(self.dice.uniform(0, 0.5))
        return answer

    async def _go(self) -> str:
        await outcome(self.guest, "leaveRoom", {"room": self._any().call.room})
        return "ok"


@asynccontextmanager
async def busy(server: JanusServer, folder: Path, dice: random.Random) -> AsyncIterator[Busy]:
    chosen = (*SFU, "media.timeoutSeconds=4", "quotas.segmentsPerMinute=0")
    plane = plane_at(server, server.address, folder)
    async with live(*chosen, plane=plane) as controller, AsyncExitStack() as stack:
        real = []
        for number in range(CALLS):
            talk = await call(controller, f"call-{number}", media={})
            real.append(RealCall(controller, talk, server, folder))
            stack.push_async_callback(real[-1].go)
            await real[-1].come("alice", "bob")
        yield Busy(server, dice, real, await controller.client("carol"))


async def start(real: RealCall) -> str:
    return await outcome(real.call.owner, "startRoomRecording", {"room": real.call.room})


async def stop(real: RealCall) -> str:
    return await outcome(real.call.owner, "stopRoomRecording", {"room": real.call.room})


async def restart(people: Busy) -> None:
    """Kill Janus in the middle of everything, start it again, and look who is left."""
    for real in people.calls:
        await until(partial(can_record, real), within_s=BACK_S, pause_s=LOOK_S)
    restless = people.restless()
    acting = asyncio.create_task(restless.run())
    await asyncio.sleep(people.dice.uniform(0.5, 1.5))
    people.server.kill()
    for real in people.calls:
        await real.go()
    await asyncio.sleep(people.dice.uniform(0, 1.0))
    await asyncio.to_thread(people.server.start)
    acting.cancel()
    await asyncio.gather(acting, return_exceptions=True)
    assert restless.answers.keys() <= ALLOWED | {"ok"}, restless.answers
    for real in people.calls:
        for user in ("alice", "bob"):
            await real.shows(user)  # nobody publishes at a Janus that has just started
        await real.come("alice", "bob")


async def can_record(real: RealCall) -> bool:
    """Return True if the call is recorded, as its owner wants it."""
    answer = await start(real)
    assert answer in ALLOWED | {"ok"}, answer
    return bool((await real.call.shown())["recording"]["active"])


async def restarts(server: JanusServer, folder: Path, times: int, seed: int) -> tuple[int, int]:
    """Restart Janus that often; return how many calls and events there were."""
    async with busy(server, folder, random.Random(seed)) as people:  # noqa: S311  # no secret
        for _ in range(times):
            await restart(people)
        for real in people.calls:
            await until(partial(is_over, real), within_s=BACK_S, pause_s=LOOK_S)
            assert await is_recording(server, real.call.room) == [False, False]
        rooms = {real.call.room: real.call.other for real in people.calls}
        infos = await reported_once(people.calls[0].controller, rooms)
        names = [name for info in infos for name in (*files(info), *mixes(info))]
        assert len(set(names)) == len(names)
        for info in infos:
            for video in people.calls[0].videos(info):
                assert list(Reader(video.read_bytes()).frames()), video
        return len(rooms), len(infos)


async def is_over(real: RealCall) -> bool:
    """Return True once a stop has been confirmed and no segment is under way."""
    assert await stop(real) in ALLOWED | {"ok"}
    return set(await real.call.segments()) <= {"stopped", "failed"}


async def test_no_publisher_and_no_recording_outlives_restarts_of_janus(
    tmp_path: Path, note: Callable[[str], None]
) -> None:
    with running_janus(tmp_path / "janus") as server:
        calls, events = await restarts(server, tmp_path, RESTARTS, seed=1)
    note(f"{RESTARTS} restarts, {calls} calls, {events} events")

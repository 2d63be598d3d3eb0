"""SIGKILL at each commit, publish and media-plane call in turn, and many times at random.

All deaths hit one installation, one after the other, during a storm of starts and stops; what is
checked is what is left after the last of them.
"""

import asyncio
import json
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from sfu_wrapper.wire.room_state import StoredRoom, decode_room
from tests.helpers.live import DOMAIN, Peer, connected
from tests.helpers.processes import Command, environment, free_port, queued, serve, start

ROOMS = ("north", "south")
CALLS = (1, 2, 3, 5, 8)
POINTS = tuple(product(("commit", "publish", "plane"), CALLS, ("before", "after")))
AT_RANDOM = [30, pytest.param(100, marks=pytest.mark.soak)]  # deaths
PROCESSED = 6  # of the interrupted segments, spread over all of them
STORM_S = 0.6
QUIET_S = 30.0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("at_random", AT_RANDOM)
async def test_nothing_is_lost_or_doubled_or_stuck_wherever_the_controller_dies(
    tmp_path: Path, note: Callable[[str], None], at_random: int
) -> None:
    there = Installation(tmp_path)
    await there.begin()
    for point, number, when in POINTS:
        await there.die_at(f"{point}:{number}:{when}")
    await there.die_at_random(at_random, random.Random(7))  # noqa: S311 the same every time
    rooms = await there.end()
    events = await queued(tmp_path)

    note(f"it struck in: {dict(there.struck)}")
    assert sum(there.struck.values()) >= len(POINTS) + at_random
    assert {"idle", "starting", "recording", "stopping"} <= {phase for _, phase in there.struck}
    told = Counter((e["conferenceId"], e["recordingInfo"]["segment"]) for e in events)
    for room, segments in rooms.items():
        check_segments(room, segments, told)
    interrupted = [event for event in events if event["recordingInfo"]["incomplete"]]
    for event in interrupted[:: max(1, len(interrupted) // PROCESSED)]:
        await there.process(event)


class Installation:
    """One store, one queue, one set of folders; controllers come and go."""

    def __init__(self, folder: Path) -> None:
        self.struck: Counter[tuple[str, str]] = Counter()
        self._folder = folder
        self._url = f"ws://127.0.0.1:{(port := free_port())}"
        self._env = environment(
            folder,
            WEBSOCKET__PORT=str(port),
            HTTP__PORT="0",
            ROOMS__RECORD="all",
            ROOMS__RECONNECT_GRACE_SECONDS="600",
            QUOTAS__SEGMENTS_PER_MINUTE="0",  # the storm toggles faster than people do
            WEBSOCKET__REQUESTS_PER_SECOND="5000",
            LOG__LEVEL="info",
        )
        # A killed process leaves torn coverage data, and pays for collecting it.
        for name in [name for name in self._env if name.startswith("COVERAGE")]:
            del self._env[name]

    async def begin(self) -> None:
        """Two calls that are established."""
        controller = await serve(self._env)
        async with connected(self._url, "room-service", "service") as service:
            for room in ROOMS:
                wish = {"id": room, "owner": "alice", "domain": DOMAIN, "record": False}
                await service.ok("createRoom", wish)
                for user in ("alice", "bob"):
                    media = {"audio": True, "video": True}
                    await service.ok("joinRoom", {"room": room, "user": user, "media": media})
        await controller.terminate()

    async def die_at(self, doom: str) -> None:
        """A controller that dies there, if the storm gets it so far; killed otherwise."""
        doomed = await start(self._env | {"DOOM": doom}, "serve", module="tests.helpers.doomed")
        await self._storm(doomed, 10 * STORM_S)
        await self._bury(doomed, doom.split(":", maxsplit=1)[0])

    async def die_at_random(self, times: int, chance: random.Random) -> None:
        """Killed from outside at some moment of the storm."""
        for _ in range(times):
            controller = await start(self._env, "serve")
            await self._storm(controller, chance.uniform(0.05, STORM_S))
            await self._bury(controller, "random")

    async def end(self) -> dict[str, list[dict[str, Any]]]:
        """A last controller lives: both rooms can record once more, then end. Their segments."""
        controller = await serve(self._env)
        async with connected(self._url, "alice") as alice:
            for room in ROOMS:
                await settled(alice, room)
                with suppress(AssertionError):  # recording was wanted, so it runs already
                    await alice.ok("startRoomRecording", {"room": room})
                await alice.ok("stopRoomRecording", {"room": room})
            found = {}
            for room in ROOMS:
                found[room] = (await alice.ok("endRoom", {"room": room}))["segments"]
        assert await controller.terminate() == 0
        return found

    async def process(self, event: dict[str, Any]) -> None:
        """What an interrupted segment left on disk makes a recording."""
        file = self._folder / "event.json"
        file.write_text(json.dumps(event))
        command = await start(self._env, "process", str(file))
        assert await command.ended() == 0, command.lines[-3:]

    async def _storm(self, controller: Command, seconds: float) -> None:
        """Starts and stops in both rooms until it is over or the controller is."""
        gone = (ConnectionClosed, InvalidHandshake, OSError, AssertionError)
        with suppress(TimeoutError, ExceptionGroup, *gone):
            await controller.logged("ready")
            async with asyncio.timeout(seconds), connected(self._url, "alice") as alice:
                await asyncio.gather(*(toggle(alice, room, controller) for room in ROOMS))

    async def _bury(self, controller: Command, why: str) -> None:
        await controller.kill()
        for phase in phases(self._folder / "state" / "store.db"):
            self.struck[why, phase] += 1


async def toggle(peer: Peer, room: str, controller: Command) -> None:
    """Start and stop for as long as anybody answers."""
    while controller.process.returncode is None:
        for endpoint in ("startRoomRecording", "stopRoomRecording"):
            async with asyncio.timeout(2):
                await peer.ask(endpoint, {"room": room})


async def settled(peer: Peer, room: str) -> None:
    """Wait until nothing of the room is under way."""
    async with asyncio.timeout(QUIET_S):
        while True:
            shown = await peer.ok("getRoom", {"room": room})
            last = shown["segments"][-1]["state"]
            if last in {"recording", "stopped", "failed"}:
                return
            await asyncio.sleep(0.1)


def phases(file: Path) -> list[str]:
    """What the rooms were doing, as far as was durable."""
    with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT state FROM rooms").fetchall()
    connection.close()
    return [decode_room(StoredRoom(state)).capture.value for (state,) in rows]


def check_segments(
    room: str, segments: Sequence[dict[str, Any]], told: Counter[tuple[str, int]]
) -> None:
    """Numbers 1, 2, 3 …; one event for what ran, at most one for what never did."""
    assert [segment["segment"] for segment in segments] == list(range(1, len(segments) + 1))
    for segment in segments:
        events = told[room, segment["segment"]]
        if segment["state"] == "stopped":
            assert events == 1, segment
        else:
            assert segment["state"] == "failed", segment
            assert events <= 1, segment

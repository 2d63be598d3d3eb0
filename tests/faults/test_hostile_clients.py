"""100 hostile clients beside 200 good ones: these get every answer, those leave nothing behind."""

import asyncio
import itertools
import json
import random
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import pytest
from websockets.asyncio.client import connect

from tests.helpers.hostile import KINDS
from tests.helpers.live import Gateway, Peer, connected, token
from tests.helpers.processes import Command, environment, free_port, start

GOOD, HOSTILE = 200, 100
STORM_S = 15.0
PAUSE_S = 1.0  # of a good client between two requests
GROWTH_MIB = 150  # what 100 of them may cost at once, 1.5 MiB each
LEFT_MIB = 60  # and when they are gone: buffers, and what the interpreter does not give back
GONE_S = 30.0  # until the last of them is given up


@dataclass(slots=True)
class Measured:
    """How long answers took, in s; what the server held meanwhile, in MiB."""

    answers_s: list[float] = field(default_factory=list)
    peak_mib: float = 0

    def percentile(self, percent: float) -> float:
        """In ms."""
        ordered = sorted(self.answers_s)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_two_hundred_good_clients_get_every_answer_beside_a_hundred_hostile_ones(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    measured = Measured()
    async with serving(tmp_path) as (url, server):
        idle = sockets(server)
        async with people(url) as owners:
            before_mib = resident_mib(server)
            async with asyncio.TaskGroup() as group:
                storm = group.create_task(strike(url))
                watch = group.create_task(watch_memory(server, measured))
                for owner, other in owners:
                    group.create_task(talk(owner, storm, measured, record=True))
                    group.create_task(talk(other, storm, measured, record=False))
                struck = await storm
                watch.cancel()
        async with asyncio.timeout(GONE_S):
            while sockets(server) > idle:  # noqa: ASYNC110  # of another process
                await asyncio.sleep(0.1)
        after_mib = resident_mib(server)
        broke = [line for line in server.lines if line["level"] in ("error", "critical")]

    told = {
        f"p{percent}_ms": round(measured.percentile(percent), 1) for percent in (50, 95, 99, 100)
    }
    memory = {"before": before_mib, "peak": measured.peak_mib, "after": after_mib}
    for name, value in {"answers": len(measured.answers_s), **told, **memory, **struck}.items():
        record_property(name, value)
    print(len(measured.answers_s), "answers", told, "MiB", memory, "struck", struck)

    assert set(struck) == {kind.__name__ for kind in KINDS}
    assert measured.peak_mib < before_mib + GROWTH_MIB
    assert after_mib < before_mib + LEFT_MIB
    assert broke == []


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[str, Command]]:
    """A real controller with embedded store and queue."""
    port = free_port()
    settings = {
        "WEBSOCKET__PORT": str(port),
        "HTTP__PORT": "0",
        "ROOMS__RECORD": "all",
        "RECORD_RECORDING_AT_START": "false",
        "MEDIA__SFU": "none",
        "MEDIA__MIXER": "none",
        "LOG__LEVEL": "info",
    }
    server = await start(environment(folder, **settings), "serve")
    try:
        await server.logged("ready")
        yield f"ws://127.0.0.1:{port}", server
        assert await server.terminate() == 0
    finally:
        await server.kill()


@asynccontextmanager
async def people(url: str) -> AsyncIterator[list[tuple[Peer, Peer]]]:
    """A hundred calls of two; half of the people come over one gateway."""
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(gateway_of(url))
        calls = []
        for number in range(GOOD // 2):
            names = (f"owner-{number}", f"other-{number}")
            pair = []
            for name in names:
                if number % 2:
                    pair.append(await gateway.client(name))
                else:
                    pair.append(await stack.enter_async_context(connected(url, name)))
            owner, other = pair
            await owner.ok("createRoom", {"id": f"room-{number}"})
            for peer in (owner, other):
                await peer.ok("joinRoom", {"room": f"room-{number}"})
            calls.append((owner, other))
        yield calls


@asynccontextmanager
async def gateway_of(url: str) -> AsyncIterator[Gateway]:
    """A gateway that is being read."""
    header = {"Authorization": f"Bearer {token('gateway-1', 'gateway')}"}
    async with (
        connect(f"{url}/gateway", additional_headers=header, proxy=None) as connection,
        asyncio.TaskGroup() as group,
    ):
        gateway = Gateway(connection)
        reading = group.create_task(gateway.read())
        try:
            yield gateway
        finally:
            reading.cancel()


async def talk(
    peer: Peer, storm: "asyncio.Task[dict[str, int]]", measured: Measured, *, record: bool
) -> None:
    """Ask as long as the storm lasts; owners with permission record; each answer must be ok."""
    asked = ("getRoom", "startRoomRecording", "ping", "stopRoomRecording")
    await asyncio.sleep(PAUSE_S * random.random())  # noqa: S311  # people are not in step
    for endpoint in itertools.cycle(asked if record else ("getRoom", "ping")):
        if storm.done() and endpoint != "stopRoomRecording":
            return
        began = perf_counter()
        await peer.ok(endpoint)  # has a deadline
        measured.answers_s.append(perf_counter() - began)
        peer.received.clear()
        await asyncio.sleep(PAUSE_S)


async def strike(url: str) -> dict[str, int]:
    """Let them loose; how often each kind has struck."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.helpers.hostile", url, str(HOSTILE), str(STORM_S)),
        stdout=PIPE,
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    struck: dict[str, int] = json.loads(out)
    return struck


async def watch_memory(server: Command, measured: Measured) -> None:
    """Remember the most that it holds."""
    while True:
        measured.peak_mib = max(measured.peak_mib, resident_mib(server))
        await asyncio.sleep(0.2)


def resident_mib(server: Command) -> float:
    """What a process holds in memory."""
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return round(pages * 4096 / 2**20, 1)


def sockets(server: Command) -> int:
    """How many sockets a process has open."""
    return sum(_is_socket(link) for link in Path(f"/proc/{server.process.pid}/fd").iterdir())


def _is_socket(link: Path) -> bool:
    with suppress(FileNotFoundError):  # it was closed meanwhile
        return str(link.readlink()).startswith("socket:")
    return False

"""RabbitMQ is stopped, killed and frozen while segments end: every event arrives, in order."""

import asyncio
import json
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import pytest

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.adapters.planes.composite_plane import NoPlane
from sfu_wrapper.adapters.rabbitmq.broker import RabbitBroker
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.app.controller import Parts, Running, controller
from sfu_wrapper.config.load import load
from sfu_wrapper.ports.broker import QueueSpec
from tests.helpers.live import DOMAIN, SECRET, Peer, connected
from tests.helpers.rabbitmq import RabbitServer
from tests.helpers.wait import until

pytestmark = pytest.mark.system

ROOMS, SEGMENTS_A_ROOM = 10, 50
MOST = {"calm": 50, "stopped": 20, "killed": 40, "frozen": 50}  # so that every phase has some
STOPPED_S, FROZEN_S, KILLS = 30.0, 15.0, 5
CAUGHT_UP_S = 60.0
STORM_S = 300.0  # at most


@pytest.fixture
def rabbit(tmp_path: Path) -> Iterator[RabbitServer]:
    """A broker that is this test's to maltreat."""
    server = RabbitServer(tmp_path / "rabbit")
    server.start()
    yield server
    server.stop()


@pytest.mark.timeout(420)
async def test_500_segments_survive_a_broker_that_is_stopped_killed_and_frozen(
    rabbit: RabbitServer, tmp_path: Path
) -> None:
    answered: Counter[str] = Counter()
    weather = Weather(rabbit)
    async with running(rabbit.url, tmp_path) as here, AsyncExitStack() as stack:
        rooms = [await call(stack, here.url, number) for number in range(ROOMS)]
        async with asyncio.TaskGroup() as group:
            storm = group.create_task(weather.blow(here.http_url))
            for owner in rooms:
                group.create_task(toggle(owner, weather, answered, storm))
        async with asyncio.timeout(CAUGHT_UP_S):
            await here.relay.flushed()
            await said(here.http_url, "ok")
        events = await arrived(rabbit.url)

    assert weather.health_during == {"stopped": "degraded", "frozen": "degraded"}
    assert all(answered[phase] for phase in ("stopped", "killed", "frozen")), answered
    expected = {f"room-{n}": list(range(1, SEGMENTS_A_ROOM + 1)) for n in range(ROOMS)}
    assert events == expected


class Weather:
    """What happens to the broker. phase: what is going on now."""

    def __init__(self, rabbit: RabbitServer) -> None:
        self.phase = "calm"
        self.health_during: dict[str, str] = {}
        self._rabbit = rabbit

    async def blow(self, http_url: str) -> None:
        """Everything bad, one after the other."""
        await asyncio.sleep(1)
        self.phase = "stopped"
        await asyncio.to_thread(self._rabbit.kill)
        self.health_during["stopped"] = await said(http_url, "degraded")
        await asyncio.sleep(STOPPED_S)
        await asyncio.to_thread(self._rabbit.start)
        self.phase = "killed"
        for _ in range(KILLS):
            await asyncio.to_thread(self._rabbit.kill)
            await asyncio.to_thread(self._rabbit.start)
            await asyncio.sleep(0.5)
        await said(http_url, "ok")
        self.phase = "frozen"
        self._rabbit.pause()
        await asyncio.sleep(FROZEN_S)
        self.health_during["frozen"] = await said(http_url, "degraded")
        self._rabbit.resume()
        self.phase = "calm"


@asynccontextmanager
async def running(url: str, folder: Path) -> AsyncIterator[Running]:
    """A controller with a durable store and this broker; the plane ``none`` writes no files."""
    settings = load(
        Path("config"),
        {},
        (
            "websocket.port=0",
            "http.port=0",
            "rooms.record=all",
            "quotas.segmentsPerMinute=0",  # the storm toggles faster than people do
            f"auth.secret={SECRET}",
        ),
    )
    clock = SystemClock()
    store, broker = SqliteStore(folder / "store.db"), RabbitBroker(url)
    try:
        async with controller(settings, Parts(store, broker, NoPlane(clock), clock)) as here:
            yield here
    finally:
        await broker.close()
        store.close()


async def call(stack: AsyncExitStack, url: str, number: int) -> Peer:
    """A direct call that is established and not recorded yet; its owner."""
    room, names = f"room-{number}", (f"owner-{number}", f"other-{number}")
    owner, other = [await stack.enter_async_context(connected(url, name)) for name in names]
    await owner.ok("createRoom", {"id": room, "record": False, "domain": DOMAIN})
    for peer in (owner, other):
        await peer.ok("joinRoom", {"room": room})
    return owner


async def toggle(
    owner: Peer, weather: Weather, answered: Counter[str], storm: "asyncio.Task[None]"
) -> None:
    """Fifty segments, spread over the whole storm."""
    for number in range(1, SEGMENTS_A_ROOM + 1):
        started = await owner.ok("startRoomRecording")
        await owner.ok("stopRoomRecording")
        assert started["segment"] == number
        answered[weather.phase] += 1
        if not storm.done():
            await asyncio.sleep(2.2)

        def is_next(done: int = number) -> bool:
            return storm.done() or done < MOST[weather.phase]

        await until(is_next, within_s=STORM_S, pause_s=0.1)


async def said(http_url: str, status: str) -> str:
    """What health says, waited for."""
    async with asyncio.timeout(CAUGHT_UP_S):
        while True:
            body = await asyncio.to_thread(_get, f"{http_url}/health/ready")
            found = str(json.loads(body)["status"])
            if found == status:
                return found
            await asyncio.sleep(0.2)


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as response:
        body: bytes = response.read()
        return body


async def arrived(url: str) -> dict[str, list[int]]:
    """The segments of each room in the order of arrival, repeats dropped."""
    broker = RabbitBroker(url)
    await broker.open((QueueSpec("processing_queue", ("recordingInfo",)),))
    seen: set[str | None] = set()
    rooms: dict[str, list[int]] = {}
    left = await broker.depth("processing_queue")
    async with aclosing(broker.consume("processing_queue", 1)) as deliveries:
        while left:
            delivery = await anext(deliveries)
            left -= 1
            event = json.loads(delivery.body)
            if delivery.message_id not in seen:
                seen.add(delivery.message_id)
                number = event["recordingInfo"]["segment"]
                rooms.setdefault(event["conferenceId"], []).append(number)
            await delivery.ack()
    await broker.close()
    return rooms

"""A consumer that knows only events.md, on a real RabbitMQ: one valid recordingInfo a segment.

It is written against the page, not against our code: plain aio-pika, a check of its own, the queue
that the page names. The controller is a process of its own with the simulated media plane.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from tests.helpers.live import DOMAIN, connected
from tests.helpers.processes import environment, free_port, start
from tests.helpers.rabbitmq import RabbitServer

pytestmark = pytest.mark.system

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SEGMENTS = 3


@pytest.fixture(scope="module")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitServer]:
    """A broker of this module's own."""
    server = RabbitServer(tmp_path_factory.mktemp("rabbit"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def controller_url(rabbit: RabbitServer, tmp_path: Path) -> AsyncIterator[str]:
    """A controller that publishes there."""
    port = free_port()
    env = environment(
        tmp_path,
        WEBSOCKET__PORT=str(port),
        HTTP__PORT="0",
        ROOMS__RECORD="all",
        RABBITMQ__ADDRESS=rabbit.url,
    )
    command = await start(env, "serve")
    await command.logged("ready")
    yield f"ws://127.0.0.1:{port}"
    assert await command.terminate() == 0


@pytest.mark.timeout(120)
async def test_each_segment_gives_one_valid_recording_info(
    rabbit: RabbitServer, controller_url: str, tmp_path: Path
) -> None:
    async with (
        connected(controller_url, "room-service", "service") as service,
        connected(controller_url, "alice") as alice,
        connected(controller_url, "bob") as bob,
    ):
        wish = {"id": "call", "owner": "alice", "domain": DOMAIN, "record": False}
        created = await service.ok("createRoom", wish)
        for peer in (alice, bob):
            await peer.ok("joinRoom", {"room": "call", "media": {"audio": True, "video": True}})
        spans = []
        for _ in range(SEGMENTS):
            asked = {"askedMs": time.time() * 1000}
            started = await alice.ok("startRoomRecording")
            await asyncio.sleep(0.5)
            spans.append(asked | started | await alice.ok("stopRoomRecording"))
        messages = await consumed(rabbit.url, "processing_queue", SEGMENTS)

    bodies = [json.loads(message.body) for message in messages]
    assert [message.message_id for message in messages] == [
        f"{created['uuid']}:{number}" for number in range(1, SEGMENTS + 1)
    ]
    for message, body, span in zip(messages, bodies, spans, strict=True):
        check_properties(message)
        check_event(body, created, span)
        for file in files(body["recordingInfo"]["video"]):
            raw = tmp_path / "raw" / file["filename"].lstrip("/")
            assert raw.read_bytes()[:8] == b"MJR00002"
        for file in files(body["recordingInfo"]["audio"]):
            assert (tmp_path / "raw-audio" / file["filename"]).read_bytes()[:4] == b"RIFF"


async def consumed(url: str, queue: str, wanted: int) -> list[AbstractIncomingMessage]:
    """So many messages of a queue that is there already, and no more than these."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        source = await channel.declare_queue(queue, passive=True)
        found = []
        async with asyncio.timeout(30), source.iterator() as deliveries:
            async for message in deliveries:
                await message.ack()
                found.append(message)
                if len(found) == wanted:
                    break
        left = await channel.declare_queue(queue, passive=True)
        assert left.declaration_result.message_count == 0
        return found


def check_properties(message: AbstractIncomingMessage) -> None:
    """The row "properties" of the page."""
    assert message.exchange == "sfu_wrapper.events"
    assert message.routing_key == message.type == "recordingInfo"
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert message.content_type == "application/json"
    assert message.correlation_id == "call"
    assert message.app_id == "sfu-wrapper"
    assert message.timestamp is not None


def check_event(body: dict[str, Any], created: dict[str, Any], span: dict[str, Any]) -> None:
    """The shape of the page, and what the clients were told."""
    info = body["recordingInfo"]
    assert body["conferenceId"] == "call"
    assert info["uuid"] == created["uuid"]
    assert info["confbridgeId"] == created["confbridgeId"]
    assert (info["segment"], info["owner"], info["type"]) == (span["segment"], "alice", "all")
    assert info["domain"] == DOMAIN
    assert (info["incomplete"], info["missing"]) == (False, [])
    assert (info["started"], info["completed"]) == (span["startedAt"], span["stoppedAt"])
    assert set(info["video"]) == set(info["participants"]) == {"alice", "bob"}
    assert all(set(streams) == {"sfuvideo"} for streams in info["video"].values())
    (mix,) = files(info["audio"])
    assert mix["mixer"] == "simulated"
    started_ms = datetime.fromisoformat(span["startedAt"]).timestamp() * 1000
    early_ms = started_ms - span["askedMs"]
    assert 0 <= mix["delayMs"] <= early_ms + 1, "what of it came before the segment was confirmed"
    for file in [*files(info["video"]), mix]:
        assert TIME.fullmatch(file["startTime"])
        assert info["started"] <= file["startTime"] <= file["stopTime"] <= info["completed"]
    for stays in info["participants"].values():
        for stay in stays:
            assert info["started"] <= stay["joined"] <= stay["left"] <= info["completed"]


def files(groups: dict[str, dict[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The innermost values: one a file, under its start in epoch milliseconds."""
    found = []
    for streams in groups.values():
        for starts in streams.values():
            for key, file in starts.items():
                assert re.fullmatch(r"\d{13}", key)
                found.append(file)
    return found

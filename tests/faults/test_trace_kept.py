"""The trace of a client's request reaches the finished recording, though the controller is killed.

The broker is away when the segment ends, so that its message is stored and not yet published.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from opentelemetry.propagate import extract
from opentelemetry.trace import get_current_span

from tests.helpers.live import DOMAIN, connected
from tests.helpers.processes import environment, free_port, serve, start
from tests.helpers.rabbitmq import RabbitServer

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACE = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01", "tracestate": "vendor=1"}


@pytest.fixture
def rabbit(tmp_path: Path) -> Iterator[RabbitServer]:
    """A broker that this test starts and stops."""
    server = RabbitServer(tmp_path / "rabbit")
    server.start()
    yield server
    server.stop()


@pytest.mark.system
@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("traced", [True, False], ids=["traced", "untraced"])
async def test_a_trace_outlives_the_death_of_the_controller_between_commit_and_publish(
    rabbit: RabbitServer, tmp_path: Path, *, traced: bool
) -> None:
    url = f"ws://127.0.0.1:{(port := free_port())}"
    env = environment(
        tmp_path,
        WEBSOCKET__PORT=str(port),
        HTTP__PORT="0",
        ROOMS__RECORD="all",
        RECORD_RECORDING_AT_START="false",
        RABBITMQ__ADDRESS=rabbit.url,
    )
    controller = await serve(env)
    async with connected(url, "room-service", "service") as service:
        await service.ok("createRoom", {"id": "call", "owner": "alice", "domain": DOMAIN})
    async with connected(url, "alice") as alice, connected(url, "bob") as bob:
        for peer in (alice, bob):
            await peer.ok("joinRoom", {"room": "call", "media": {"audio": True, "video": True}})
        begun = await alice.ask("startRoomRecording", {"room": "call"}, **TRACE if traced else {})
        assert begun["status"] == "ok", begun
        await asyncio.sleep(1)  # some media
        await asyncio.to_thread(rabbit.kill)
        await alice.ok("stopRoomRecording", {"room": "call"})
    await controller.kill()

    await asyncio.to_thread(rabbit.start)
    again = await serve(env)
    work = await start(env, "worker")
    headers, result = await headers_of(rabbit.url, "processed_queue")
    assert await again.terminate() == 0
    assert await work.terminate() == 0

    assert result["status"] == "processed"
    found = get_current_span(extract(headers)).get_span_context()
    assert {name: headers.get(name) for name in TRACE} == (
        TRACE if traced else dict.fromkeys(TRACE)
    )
    assert (found.is_valid, found.is_remote) == (traced, traced)
    assert format(found.trace_id, "032x") == (TRACE_ID if traced else "0" * 32)
    lines = {line["message"]: line.get("trace_id") for line in controller.lines + work.lines}
    expected = TRACE_ID if traced else None
    assert (lines["recording.started"], lines["job.processed"]) == (expected, expected)


async def headers_of(url: str, queue: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The headers and the body of the first message of a queue, read as a consumer does."""
    connection = await aio_pika.connect(url)
    async with connection, asyncio.timeout(90):
        channel = await connection.channel()
        while True:
            try:
                found = await (await channel.declare_queue(queue, passive=True)).get(fail=False)
            except aio_pika.exceptions.ChannelClosed:  # the worker has not declared it yet
                channel = await connection.channel()
                found = None
            if found is not None:
                return dict(found.headers), json.loads(found.body)
            await asyncio.sleep(0.2)

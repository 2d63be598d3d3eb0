"""An installation of real parts, in which a call is recorded, read over HTTP, and deleted.

Controller and worker are processes of their own with a real RabbitMQ between them; the media plane
is the simulated one, whose pictures say who is seen and when.
"""

import asyncio
import base64
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aio_pika
import numpy as np
from PIL import Image

from sfu_wrapper.adapters.simulated.pattern import StripData
from sfu_wrapper.ports.broker import EXCHANGE
from tests.helpers.chromium import Page
from tests.helpers.http import Answer, exchange, request_of
from tests.helpers.live import DOMAIN, connected, token
from tests.helpers.merged import HEIGHT, WIDTH, tiles_of
from tests.helpers.processes import Command, environment, free_port, start
from tests.helpers.tcp_proxy import TcpProxy, tcp_proxy
from tests.helpers.wait import until

CALL_S = 4.0
_READY_S = 90.0  # a deadline: other tests run beside the worker


@dataclass
class Installation:
    """A running installation.

    Attributes:
        folder: its folders.
        websocket_url: where clients connect to.
        proxy: through it everything reads over HTTP, so that it sees the requests.
        worker: the worker.
        messages: what was published about segments, by routing key.
    """

    folder: Path
    websocket_url: str
    proxy: TcpProxy
    worker: Command
    messages: dict[str, aio_pika.abc.AbstractIncomingMessage] = field(default_factory=dict)

    async def record(self) -> str:
        """Record a call of alice and bob; return the address of its recording."""
        async with (
            connected(self.websocket_url, "room-service", "service") as service,
            connected(self.websocket_url, "alice") as alice,
            connected(self.websocket_url, "bob") as bob,
        ):
            wish = {"id": "call", "owner": "alice", "domain": DOMAIN, "record": False}
            created = await service.ok("createRoom", wish)
            for peer in (alice, bob):
                await peer.ok("joinRoom", {"room": "call", "media": {"audio": True, "video": True}})
            await alice.ok("startRoomRecording")
            await asyncio.sleep(CALL_S)
            await alice.ok("stopRoomRecording")
        return f"/recordings/{created['uuid']}/1"

    async def ask(
        self, method: str, path: str, *roles: str, body: object = None, user: str = "alice"
    ) -> Answer:
        """Ask the controller, as the owner or with the roles of somebody else."""
        name = "admin" if roles else user
        headers = {"Host": f"127.0.0.1:{self.proxy.port}"}
        request = request_of(method, path, token(name, *roles), body, headers)
        return await exchange("127.0.0.1", self.proxy.port, request)

    async def in_state(self, path: str, state: str) -> dict[str, Any]:
        """Return the recording once it is in that state."""
        found: dict[str, Any] = {}

        async def reached() -> bool:
            nonlocal found
            found = (await self.ask("GET", path)).json
            assert found["state"] != "failed", found
            return bool(found["state"] == state)

        await until(reached, within_s=_READY_S, pause_s=0.1)
        return found

    async def link(self, path: str, name: str) -> str:
        """Return an address of a file that works without a token."""
        answer = await self.ask("POST", f"{path}/links", body={"name": name, "seconds": 600})
        assert answer.status == 200, answer.body
        return str(answer.json["url"])

    async def audited(self) -> list[str]:
        """Return the actions in the audit log of the domain, in order."""
        answer = await self.ask("GET", "/audit?limit=500", "domain-admin")
        return [each["action"] for each in answer.json["entries"]]

    def delivered(self) -> list[str]:
        """Return the names of finished files on the local disk."""
        out = self.folder / "out"
        files = (path.relative_to(out) for path in out.rglob("*") if path.is_file())
        return sorted(str(path) for path in files if path.parts[0] != ".sfu-wrapper")

    def ranges(self, proxy: TcpProxy | None = None) -> list[int]:
        """Return the first bytes that were asked for by ranges, in order."""
        found = re.findall(rb"(?i)\r\nrange: bytes=(\d+)-", bytes((proxy or self.proxy).heads))
        return [int(first) for first in found]


@asynccontextmanager
async def installation(folder: Path, broker: str, **settings: str) -> AsyncIterator[Installation]:
    """Run a controller and a worker with further settings ``SECTION__KEY``, and end them."""
    port, http_port = free_port(), free_port()
    secrets = {name: settings.pop(name) for name in tuple(settings) if name.startswith("AWS_")}
    env = secrets | environment(
        folder,
        WEBSOCKET__PORT=str(port),
        HTTP__PORT=str(http_port),
        ROOMS__RECORD="all",
        RECORD_RECORDING_AT_START="false",
        RABBITMQ__ADDRESS=broker,
        WORKER__CONCURRENCY="1",
        **settings,
    )
    async with AsyncExitStack() as stack:
        controller = await start(env, "serve")
        stack.push_async_callback(controller.kill)  # where the test fails
        await controller.logged("ready")
        worker = await start(env, "worker")
        stack.push_async_callback(worker.kill)
        await worker.logged("worker.ready")
        proxy = await stack.enter_async_context(tcp_proxy(http_port))
        messages = await stack.enter_async_context(_collected(broker))
        yield Installation(folder, f"ws://127.0.0.1:{port}", proxy, worker, messages)
        assert await worker.terminate() == 0
        assert await controller.terminate() == 0


@asynccontextmanager
async def _collected(
    broker: str,
) -> AsyncIterator[dict[str, aio_pika.abc.AbstractIncomingMessage]]:
    """Collect what is published about segments from now on."""
    found: dict[str, aio_pika.abc.AbstractIncomingMessage] = {}
    async with await aio_pika.connect(broker) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        for key in ("recordingInfo", "processed"):
            await queue.bind(EXCHANGE, key)

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            found[str(message.routing_key)] = message

        await queue.consume(take, no_ack=True)
        yield found


async def publish_again(
    broker: str, messages: dict[str, aio_pika.abc.AbstractIncomingMessage]
) -> None:
    """Publish messages once more, as a broker does after a lost acknowledgement."""
    async with await aio_pika.connect(broker) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        for key, message in messages.items():
            again = aio_pika.Message(
                message.body,
                message_id=message.message_id,
                correlation_id=message.correlation_id,
                content_type=message.content_type,
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            )
            await exchange.publish(again, key)


async def play(page: Page, url: str) -> None:
    """Play a file in the browser, in its own size at the top left corner, without sound."""
    await page.ask(
        "Emulation.setDeviceMetricsOverride",
        {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False},
    )
    await page.run(
        "document.body.style.margin = 0;"
        "globalThis.video = document.createElement('video'); document.body.append(video);"
        f"video.muted = true; video.src = {json.dumps(url)}; video.play()"
    )
    await page.until("video.currentTime > 0.2")


async def shown_at(page: Page, at_s: float) -> tuple[StripData, ...]:
    """Seek to a time, and return what the tiles of the picture on the screen say then."""
    await page.run(f"video.pause(); video.currentTime = {at_s}")
    await page.until(f"!video.seeking && video.currentTime === {at_s} && video.readyState >= 2")
    # Two frames of the page later the picture of that time has been painted.
    await page.run("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT, "scale": 1}
    shot = await page.ask("Page.captureScreenshot", {"format": "png", "clip": clip})
    image = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("L")
    return tiles_of(np.asarray(image, np.uint8))

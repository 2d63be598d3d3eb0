"""A gateway server over fake rooms, and connections to it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.gateway.server import GatewayServer, serve
from sfu_wrapper.gateway.settings import GatewaySettings
from sfu_wrapper.ports.system import Clock
from tests.helpers.gatewayfakes import FakeRooms, authenticator, token

FAR = 4_000_000_000  # epoch seconds: tokens of these tests do not run out
SETTINGS = GatewaySettings(port=0)


@asynccontextmanager
async def running(
    rooms: FakeRooms, settings: GatewaySettings = SETTINGS, clock: Clock | None = None
) -> AsyncIterator[GatewayServer]:
    clock = clock or SystemClock()
    async with serve(settings, rooms, authenticator(clock), clock) as server:
        yield server


def client(
    server: GatewayServer,
    path: str = "/client",
    headers: dict[str, str] | None = None,
    origin: str | None = None,
    max_queue: int = 16,
) -> connect:
    return connect(
        f"ws://{server.host}:{server.port}{path}",
        compression=None,
        additional_headers=headers,
        origin=None if origin is None else Origin(origin),
        max_queue=max_queue,
        max_size=None,
    )


def bearer(**claims: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(**({'exp': FAR} | claims))}"}


def gateway(server: GatewayServer, max_queue: int = 16) -> connect:
    headers = bearer(sub="gw", roles=["gateway"])
    return client(server, "/gateway", headers, max_queue=max_queue)


async def read(connection: ClientConnection) -> dict[str, Any]:
    message = await connection.recv()
    assert isinstance(message, str)
    answer: dict[str, Any] = json.loads(message)
    return answer


async def close_code(connection: ClientConnection) -> int | None:
    """Read to the end, and say how it ended."""
    with suppress(ConnectionClosed):
        while True:
            await connection.recv()
    return connection.close_code

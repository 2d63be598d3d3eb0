"""Memory after the end of a connection: nothing is left for a garbage collection to find."""

import asyncio
import gc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from websockets.server import ServerProtocol

from sfu_wrapper.gateway.client_link import Buffer, ClientLink
from sfu_wrapper.gateway.gateway_link import GatewayLink
from sfu_wrapper.gateway.send_queue import SendQueue
from sfu_wrapper.gateway.session import AuthenticatedClient, Session
from sfu_wrapper.gateway.transport import Connection
from tests.helpers.gatewayfakes import FakeRooms
from tests.helpers.gatewaylive import SETTINGS, bearer, running
from tests.helpers.hostile import Target, asking
from tests.helpers.wait import until

OURS = (
    Connection, ServerProtocol, ClientLink, GatewayLink, Buffer, SendQueue, Session,
    AuthenticatedClient,
)  # fmt: skip


@pytest.fixture
def uncollected() -> Iterator[Callable[[], Counter[str]]]:
    """Count objects of connections that were not there at first, while nothing is collected.

    Frozen objects are left out of the count, which otherwise walks over all that tests have loaded.
    """
    gc.collect()
    gc.disable()
    gc.freeze()
    try:
        yield _held
    finally:
        gc.unfreeze()
        gc.enable()


def _held() -> Counter[str]:
    return Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, OURS))


@pytest.mark.parametrize("path", ["/client", "/gateway"])
@pytest.mark.parametrize("ends", ["by the client", "by a wrong frame", "at its timeout"])
async def test_a_connection_that_is_over_is_freed_at_once(
    path: str, ends: str, uncollected: Callable[[], Counter[str]]
) -> None:
    settings = replace(SETTINGS, auth_timeout_s=0.05)
    given = bearer(roles=["gateway" if path == "/gateway" else "user"])["Authorization"][7:]
    silent = ends == "at its timeout" and path == "/client"
    opened: list[int] = []
    async with running(FakeRooms(), settings) as server:
        target = Target(f"ws://{server.host}:{server.port}")

        async def connect() -> None:
            async with target.websocket(None if silent else given, path) as (reader, writer):
                if silent:
                    await reader.read()  # until the server no longer waits for our closing frame
                    return
                writer.write(asking("ping"))
                await reader.readexactly(2)
                opened.append(sum(uncollected().values()))
                if ends == "by a wrong frame":
                    writer.write(b"\xf1\x80" + bytes(4))
                    await reader.read()

        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(connect())
        assert silent or min(opened) > 0
        await until(lambda: not uncollected())

"""What a connection leaves behind: nothing that only a garbage collection would find."""

import gc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from websockets.server import ServerProtocol

from sfu_wrapper.gateway.client_link import ClientLink
from sfu_wrapper.gateway.gateway_link import GatewayLink
from sfu_wrapper.gateway.send_queue import Buffer, SendQueue
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
    """Count objects of connections that were not there at first; nothing is collected meanwhile."""
    gc.collect()
    gc.disable()
    before = _held()
    try:
        yield lambda: _held() - before
    finally:
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
    async with running(FakeRooms(), settings) as server:
        target = Target(f"ws://{server.host}:{server.port}")
        for _ in range(5):
            async with target.websocket(None if silent else given, path) as (reader, writer):
                if silent:
                    await reader.read()
                    continue
                writer.write(asking("ping"))
                await reader.readexactly(2)
                if ends == "by a wrong frame":
                    writer.write(b"\xf1\x80" + bytes(4))
                    await reader.read()
        await until(lambda: not uncollected())

"""Floods of connections: who has no identity makes room, and everybody else gets in."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sfu_wrapper.gateway import lobby
from sfu_wrapper.gateway.lobby import Arrival, Lobby, LobbySettings, bind
from sfu_wrapper.gateway.server import GatewayServer
from sfu_wrapper.gateway.shares import Proxies, Shares, read_network
from sfu_wrapper.model.errors import Unavailable
from tests.helpers.gatewayfakes import FakeRooms, request
from tests.helpers.gatewaylive import SETTINGS, bearer, client, close_code, gateway, read, running
from tests.helpers.wait import until

PATIENT = replace(SETTINGS, auth_timeout_s=600, head_s=600)
LOOPBACK = Proxies([read_network("127.0.0.0/8")])

Held = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def held(
    server: GatewayServer, count: int, sent: bytes = b"", source: str = "127.0.0.1"
) -> AsyncIterator[list[Held]]:
    """Sockets that have sent so much and say nothing more."""
    found: list[Held] = []
    try:
        for _ in range(count):
            reader, writer = await asyncio.open_connection(
                server.host, server.port, local_addr=(source, 0)
            )
            writer.write(sent)
            found.append((reader, writer))
        yield found
    finally:
        for _, writer in found:
            writer.close()


async def was_cut(reader: asyncio.StreamReader) -> bool:
    """Wait until the server ends the connection."""
    with suppress(ConnectionError):
        async with asyncio.timeout(20):
            assert await reader.read() == b""
    return True


async def still_open(sockets: list[Held]) -> int:
    """How many of them the server has not closed."""
    await asyncio.sleep(0)
    return sum(not reader.at_eof() and reader.exception() is None for reader, _ in sockets)


async def answered(connection: ClientConnection) -> bool:
    """Whether a request gets its response."""
    await connection.send(request("ping"))
    return bool((await read(connection))["payload"]["status"] == "ok")


@pytest.mark.parametrize("sent", [b"", b"GET /client HTTP/1.1\r\nHost: x\r\n"])
async def test_client_gateway_and_service_get_in_while_hundreds_of_sockets_are_silent(
    sent: bytes,
) -> None:
    settings = replace(PATIENT, max_unauthenticated=50)
    async with (
        running(FakeRooms(), settings) as server,
        held(server, 300, sent) as silent,
        client(server, headers=bearer()) as alice,
        client(server, headers=bearer(sub="rooms", roles=["service"])) as service,
        gateway(server) as link,
    ):
        assert await answered(alice)
        assert await answered(service)
        await link.send("{")
        assert (await read(link))["type"] == "error"

        assert all([await was_cut(reader) for reader, _ in silent[:250]])
        assert await still_open(silent[255:]) >= 40
        assert server.strangers <= 50


async def test_a_client_that_has_not_authenticated_makes_room_with_a_reason() -> None:
    settings = replace(PATIENT, max_unauthenticated=2)
    async with running(FakeRooms(), settings) as server, client(server) as waiting:
        await until(lambda: server.connections == 1)
        async with held(server, 2):
            assert await close_code(waiting) == 1013


async def test_who_authenticates_in_time_has_a_place_of_its_own() -> None:
    settings = replace(PATIENT, max_unauthenticated=2)
    async with running(FakeRooms(), settings) as server, client(server) as alice:
        token = bearer()["Authorization"].removeprefix("Bearer ")
        await alice.send(request("authenticate", token=token))
        assert (await read(alice))["payload"]["status"] == "ok"
        async with held(server, 20) as silent:
            assert await was_cut(silent[0][0])
            assert await answered(alice)


async def test_a_flood_from_one_address_leaves_the_strangers_of_others_alone() -> None:
    settings = replace(PATIENT, max_unauthenticated=10)
    async with (
        running(FakeRooms(), settings) as server,
        held(server, 2, source="127.0.0.2") as others,
        held(server, 100, source="127.0.0.3") as flood,
    ):
        assert all([await was_cut(reader) for reader, _ in flood[:90]])
        assert await still_open(others) == 2


async def test_an_address_with_its_share_is_cut_and_others_are_not() -> None:
    settings = replace(PATIENT, max_connections_per_address=3)
    async with (
        running(FakeRooms(), settings) as server,
        held(server, 4, source="127.0.0.2") as greedy,
        client(server, headers=bearer()) as alice,
    ):
        assert await was_cut(greedy[3][0])
        assert await still_open(greedy[:3]) == 3
        assert await answered(alice)


async def test_clients_of_a_proxy_have_shares_of_their_own() -> None:
    settings = replace(PATIENT, max_connections_per_address=2, proxies=LOOPBACK)
    async with running(FakeRooms(), settings) as server, AsyncExitStack() as stack:

        async def behind(address: str) -> ClientConnection:
            headers = bearer() | {"X-Forwarded-For": address}
            return await stack.enter_async_context(client(server, headers=headers))

        for _ in range(2):
            await behind("198.51.100.7")
        with pytest.raises(InvalidStatus) as refused:
            await behind("198.51.100.7")
        other = await behind("198.51.100.8")

        assert refused.value.response.status_code == 503
        assert await answered(other)


async def test_gateways_and_the_service_have_a_reserve() -> None:
    settings = replace(PATIENT, max_connections=1, reserved_connections=2)
    async with (
        running(FakeRooms(), settings) as server,
        client(server, headers=bearer()),
        gateway(server),
        client(server, headers=bearer(roles=["service"])) as service,
    ):
        assert await answered(service)
        with pytest.raises(InvalidStatus) as refused:
            await client(server, headers=bearer(sub="bob"))
        with pytest.raises(InvalidStatus):
            await gateway(server)  # the reserve has an end, too

    assert refused.value.response.status_code == 503


async def test_a_request_that_does_not_come_in_time_or_is_too_long_is_cut() -> None:
    settings = replace(SETTINGS, head_s=0.3, max_head_bytes=2000)
    async with running(FakeRooms(), settings) as server:
        head = b"GET /client HTTP/1.1\r\nX: "
        for sent in (b"", head, head + b"x" * 2000):
            async with held(server, 40, sent) as late:
                assert all([await was_cut(reader) for reader, _ in late])


async def test_a_peer_that_goes_before_its_request_is_there_leaves_nothing() -> None:
    async with running(FakeRooms(), PATIENT) as server:
        async with held(server, 5, b"GET /cli"):
            await until(lambda: server.strangers == 5)
        await until(lambda: server.strangers == 0)


async def test_a_request_in_pieces_is_read_as_one() -> None:
    async with running(FakeRooms(), PATIENT) as server, held(server, 1) as sockets:
        reader, writer = sockets[0]
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        head = (
            "GET /client HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
        for byte in head[:-1]:
            writer.write(bytes([byte]))
            await writer.drain()
        writer.write(head[-1:])

        assert (await reader.readline()).startswith(b"HTTP/1.1 101")


async def test_without_descriptors_a_stranger_gives_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lobby, "_PAUSE_S", 0.01)

    class Exhausted(socket.socket):
        """A listener that finds no descriptor, twice."""

        failures = 0

        def accept(self) -> tuple[socket.socket, object]:
            if Exhausted.failures < 2:
                Exhausted.failures += 1
                raise OSError(errno.EMFILE, "too many open files")
            return super().accept()

    async def exhausted(host: str, port: int) -> list[socket.socket]:
        return [Exhausted(fileno=each.detach()) for each in await bind(host, port)]

    monkeypatch.setattr(lobby, "bind", exhausted)
    Exhausted.failures = 2
    async with running(FakeRooms(), PATIENT) as server, held(server, 1) as silent:
        await until(lambda: server.strangers == 1)
        Exhausted.failures = 0
        async with client(server, headers=bearer()) as alice:
            assert await answered(alice)
        assert await was_cut(silent[0][0])


async def test_a_lobby_that_closes_ends_those_who_wait() -> None:
    shares = Shares(10, 0, Proxies())
    here = Lobby(LobbySettings("127.0.0.1", 0, 60, 1000), shares, lambda _: asyncio.Protocol())
    port = await here.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await until(lambda: here.waiting == 1)
    here.close()
    here.close()
    await here.wait_closed()

    assert await was_cut(reader)
    assert not here.is_serving()
    assert shares.strangers == 0
    writer.close()


async def test_a_protocol_that_cannot_be_made_costs_its_own_connection_alone() -> None:
    shares = Shares(10, 0, Proxies())
    made = 0

    def broken(_: Arrival) -> asyncio.Protocol:
        nonlocal made
        made += 1
        raise ZeroDivisionError if made == 1 else OSError

    here = Lobby(LobbySettings("127.0.0.1", 0, 60, 1000), shares, broken)
    port = await here.open()
    for _ in range(2):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await was_cut(reader)
        writer.close()
    here.close()
    await here.wait_closed()

    assert made == 2
    assert shares.strangers == 0


async def test_every_address_of_a_host_has_the_same_port() -> None:
    listeners = await bind("localhost", 0)
    try:
        assert len({each.getsockname()[1] for each in listeners}) == 1
    finally:
        for each in listeners:
            each.close()


@pytest.mark.parametrize("host", ["203.0.113.1", "no such host"])
async def test_an_address_that_is_none_is_said(host: str) -> None:
    with pytest.raises(Unavailable, match="cannot listen on"):
        await bind(host, 0)


async def test_a_connection_that_is_cut_in_the_handshake_is_forgotten() -> None:
    async with running(FakeRooms(), PATIENT) as server:
        with suppress(ConnectionClosed):
            async with connect(f"ws://{server.host}:{server.port}/client") as quick:
                quick.transport.abort()
        await until(lambda: server.connections == 0 and server.strangers == 0)

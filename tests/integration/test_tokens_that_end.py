"""Tokens that expire on real connections: closed by a timer, though nobody says anything."""

import asyncio
import time

import pytest
from websockets.asyncio.client import ClientConnection

from sfu_wrapper.gateway import expiry
from tests.helpers.gatewayfakes import FakeRooms, frame, request, token
from tests.helpers.gatewaylive import bearer, client, close_code, read, running
from tests.helpers.wait import until

LASTS_S = 0.5


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection outlives its token by 0.2 s instead of a minute."""
    monkeypatch.setattr(expiry, "GRACE_MS", 200)


def soon() -> float:
    """When a token of these tests expires."""
    return time.time() + LASTS_S


async def close_reason(connection: ClientConnection) -> tuple[int | None, str | None]:
    async with asyncio.timeout(20):
        return await close_code(connection), connection.close_reason


async def test_a_silent_client_is_closed_and_leaves_its_rooms() -> None:
    rooms = FakeRooms()
    async with running(rooms) as server, client(server, headers=bearer(exp=soon())) as alice:
        await until(lambda: rooms.users() == ["alice"])

        assert await close_reason(alice) == (1008, "token expired")
        await until(lambda: rooms.users() == [])


async def test_a_client_that_authenticates_again_stays() -> None:
    rooms = FakeRooms()
    async with (
        running(rooms) as server,
        client(server, headers=bearer(exp=soon())) as alice,
        client(server, headers=bearer(sub="bob", exp=soon())) as bob,
    ):
        await alice.send(request("authenticate", token=token(exp=time.time() + 3600)))
        assert (await read(alice))["payload"]["status"] == "ok"
        assert await close_reason(bob) == (1008, "token expired")
        await alice.send(request("ping"))

        assert (await read(alice))["payload"]["status"] == "ok"


async def test_a_gateway_is_asked_for_another_token_and_goes_on_with_it() -> None:
    rooms = FakeRooms()
    headers = bearer(sub="gw", roles=["gateway"], exp=soon())
    async with running(rooms) as server, client(server, "/gateway", headers) as link:
        user = {"id": "alice", "domain": "example"}
        await link.send(frame("connect", "a", user=user))
        asked = await read(link)
        renewed = token(sub="gw", roles=["gateway"], exp=time.time() + 3600)
        await link.send(frame("authenticate", "", token=renewed))
        answer = await read(link)
        await link.send(frame("message", "a", data=request("ping")))

        assert (asked["type"], asked["code"]) == ("error", "UNAUTHENTICATED")
        assert answer["type"] == "authenticated"
        assert '"status":"ok"' in (await read(link))["data"]
        assert rooms.users() == ["alice"]


async def test_a_gateway_that_brings_none_is_closed_and_its_clients_with_it() -> None:
    rooms = FakeRooms()
    headers = bearer(sub="gw", roles=["gateway"], exp=soon())
    async with running(rooms) as server, client(server, "/gateway", headers) as link:
        await link.send(frame("connect", "a", user={"id": "alice", "domain": "example"}))
        await until(lambda: rooms.users() == ["alice"])

        assert (await read(link))["code"] == "UNAUTHENTICATED"
        assert await close_reason(link) == (1008, "token expired")
        await until(lambda: rooms.users() == [])

"""How fast one connection is read: a flood slows down its sender only."""

import asyncio
from contextlib import suppress
from dataclasses import replace

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from sfu_wrapper.gateway.settings import GatewaySettings
from tests.helpers.gatewayfakes import FakeRooms, request
from tests.helpers.gatewaylive import bearer, client, close_code, gateway, read, running
from tests.helpers.wait import until

SLOW = GatewaySettings(port=0, requests_per_second=100, requests_burst=1)
PINGS = 600  # six seconds of what one connection may send


async def test_a_client_that_floods_with_pings_waits_and_the_others_do_not() -> None:
    async with (
        running(FakeRooms(), SLOW) as server,
        client(server, headers=bearer(sub="mallory")) as flooder,
        client(server, headers=bearer()) as alice,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(PINGS):
            await flooder.ping()
        await flooder.send(request("ping"))
        late = group.create_task(read(flooder))
        await alice.send(request("ping"))
        prompt = await read(alice)

        assert prompt["payload"]["status"] == "ok"
        assert not late.done()
        assert (await late)["payload"]["status"] == "ok"


async def test_long_messages_count_by_their_length() -> None:
    async with (
        running(FakeRooms(), SLOW) as server,
        client(server, headers=bearer(sub="mallory")) as sender,
        client(server, headers=bearer()) as alice,
        asyncio.TaskGroup() as group,
    ):
        for number in range(5):
            await sender.send(request("ping", str(number), filling="x" * 60_000))
        late = group.create_task(read_all(sender, 5))
        await alice.send(request("ping"))
        prompt = await read(alice)

        assert prompt["payload"]["status"] == "ok"
        assert not late.done()
        assert await late == ["0", "1", "2", "3", "4"]


async def test_the_room_service_and_a_gateway_are_read_as_fast_as_they_send() -> None:
    settings = replace(SLOW, requests_per_second=1, service_requests_per_second=10_000)
    async with (
        running(FakeRooms(), settings) as server,
        client(server, headers=bearer(roles=["service"])) as service,
        gateway(server) as link,
    ):
        for number in range(PINGS):
            await service.send(request("ping", str(number)))
            await link.send("{")
        answers = await read_all(service, PINGS)  # at a user's pace: ten minutes
        errors = [await read(link) for _ in range(PINGS)]

    assert answers == [str(number) for number in range(PINGS)]
    assert {error["type"] for error in errors} == {"error"}


async def test_a_message_in_too_many_pieces_closes_its_connection() -> None:
    fast = replace(SLOW, requests_per_second=1e6, requests_burst=10**6)
    async with running(FakeRooms(), fast) as server, client(server, headers=bearer()) as mallory:
        with suppress(ConnectionClosed):
            await mallory.send("" for _ in range(5000))

        assert await close_code(mallory) == 1009


async def test_a_client_that_leaves_while_it_is_not_read_is_removed() -> None:
    rooms = FakeRooms()
    async with running(rooms, SLOW) as server:
        async with client(server, headers=bearer()) as flooder:
            for _ in range(PINGS):
                await flooder.ping()
            flooder.transport.abort()

        await until(lambda: rooms.users() == [] and server.connections == 0)


async def read_all(connection: ClientConnection, count: int) -> list[str]:
    """The ids of so many responses."""
    frames = [await read(connection) for _ in range(count)]
    return [str(one["payload"]["id"]) for one in frames]

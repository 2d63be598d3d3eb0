"""The gateway over a real WebSocket, with rooms that answer by themselves."""

import asyncio
import json
from contextlib import suppress
from dataclasses import replace

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus

from sfu_wrapper.gateway.server import GatewayServer
from sfu_wrapper.gateway.settings import MIB
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.service.rooms.sessions import Client
from tests.helpers.clocks import StandingClock
from tests.helpers.gatewayfakes import (
    PRODUCT_FRAME,
    PRODUCT_REQUEST,
    PRODUCT_SOCKET,
    FakeRooms,
    frame,
    request,
    token,
    vouched,
)
from tests.helpers.gatewaylive import (
    FAR,
    SETTINGS,
    bearer,
    client,
    close_code,
    gateway,
    read,
    running,
)
from tests.helpers.wait import until


async def test_the_products_own_frame_starts_a_recording() -> None:
    rooms = FakeRooms()
    async with running(rooms) as server, gateway(server) as link:
        await link.send(frame("connect", PRODUCT_SOCKET, user=vouched("alice")))
        await link.send(PRODUCT_FRAME)
        answer = await read(link)

    inner = json.loads(answer["data"])
    assert (answer["type"], answer["socketId"]) == ("message", PRODUCT_SOCKET)
    assert inner["type"] == "response"
    assert inner["payload"]["id"] == PRODUCT_REQUEST
    assert inner["payload"]["endpoint"] == "startRoomRecording"
    assert inner["payload"]["status"] == "ok"


async def test_a_token_in_the_header_is_enough() -> None:
    rooms = FakeRooms()
    async with running(rooms) as server, client(server, headers=bearer()) as alice:
        await alice.send(request("getRoom"))
        answer = await read(alice)

        assert rooms.users() == ["alice"]
    assert answer["payload"]["payload"]["user"] == "alice"
    assert rooms.users() == []


async def test_a_browser_authenticates_with_its_first_request() -> None:
    rooms = FakeRooms()
    async with running(rooms) as server, client(server) as alice:
        await alice.send(request("getRoom", "early"))
        early = await read(alice)
        await alice.send(request("authenticate", token=token(exp=FAR)))
        answer = await read(alice)
        await alice.send(request("getRoom", "late"))
        late = await read(alice)

    assert early["payload"]["error"]["code"] == "UNAUTHENTICATED"
    assert answer["payload"]["payload"] == {
        "user": "alice",
        "domain": "example",
        "roles": ["user"],
        "expiresAt": "2096-10-02T07:06:40.000Z",
    }
    assert late["payload"]["status"] == "ok"


async def test_a_client_that_does_not_authenticate_in_time_is_closed() -> None:
    settings = replace(SETTINGS, auth_timeout_s=0.1)
    async with running(FakeRooms(), settings) as server, client(server) as nobody:
        assert await close_code(nobody) == 1008


async def test_an_authenticated_client_outlasts_the_authentication_timeout() -> None:
    settings, clock = replace(SETTINGS, auth_timeout_s=0.1), StandingClock()
    async with (
        running(FakeRooms(), settings, clock) as server,
        client(server) as alice,
        client(server) as nobody,
    ):
        await alice.send(request("authenticate", token=token(exp=FAR)))
        await read(alice)
        clock.pass_s(0.1)
        assert await close_code(nobody) == 1008
        await alice.send(request("ping"))

        assert (await read(alice))["payload"]["status"] == "ok"


async def test_a_gateways_client_without_a_user_is_closed_in_time_and_alone() -> None:
    settings = replace(SETTINGS, auth_timeout_s=0.1)
    async with running(FakeRooms(), settings) as server, gateway(server) as link:
        await link.send(frame("connect", "s1"))
        await link.send(frame("connect", "s2", user=vouched("bob")))
        closed = await read(link)
        await link.send(frame("message", "s2", data=request("ping")))
        answer = await read(link)

    assert closed["type"] == "close"
    assert (closed["socketId"], closed["code"]) == ("s1", 1008)
    assert answer["socketId"] == "s2"


@pytest.mark.parametrize(
    ("path", "headers", "origin", "status"),
    [
        ("/elsewhere", bearer(), None, 404),
        ("/client/", bearer(), None, 404),
        ("/client", {"Authorization": "Bearer nonsense"}, None, 401),
        ("/client", {"Authorization": "Basic YTpi"}, None, 401),
        ("/gateway", {}, None, 401),
        ("/gateway", bearer(), None, 403),
        ("/client", bearer(), "https://app.example.com.evil.tld", 403),
        ("/client", bearer(), "null", 403),
        ("/client", bearer(), "https://app.example.com:8443", 403),
        ("/client", bearer(), "HTTPS://app.example.com", 403),
    ],
)
async def test_a_handshake_that_is_refused(
    path: str, headers: dict[str, str], origin: str | None, status: int
) -> None:
    settings = replace(SETTINGS, allowed_origins=frozenset({"https://app.example.com"}))
    async with running(FakeRooms(), settings) as server:
        with pytest.raises(InvalidStatus) as info:
            async with client(server, path, headers, origin=origin):
                pass

    assert info.value.response.status_code == status


async def test_an_allowed_origin_and_a_program_without_one_may_connect() -> None:
    allowed = "https://app.example.com"
    settings = replace(SETTINGS, allowed_origins=frozenset({allowed}))
    async with (
        running(FakeRooms(), settings) as server,
        client(server, "/client?x=1", headers=bearer(), origin=allowed) as browser,
        client(server, headers=bearer()) as program,
    ):
        for connection in (browser, program):
            await connection.send(request("ping"))

            assert (await read(connection))["payload"]["status"] == "ok"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"{}", 1003),
        ("{", 1007),
        ("x" * 70_000, 1009),
    ],
)
async def test_a_client_that_sends_something_else_is_closed(
    message: str | bytes, code: int
) -> None:
    async with running(FakeRooms()) as server, client(server, headers=bearer()) as alice:
        await alice.send(message)

        assert await close_code(alice) == code


async def test_text_that_is_no_utf8_closes_with_1007() -> None:
    async with running(FakeRooms()) as server, client(server, headers=bearer()) as alice:
        await alice.send(b"\xff\xfe", text=True)

        assert await close_code(alice) == 1007


async def test_a_gateway_frame_may_be_longer_than_a_clients_message() -> None:
    async with running(FakeRooms()) as server, gateway(server) as link:
        await link.send(frame("message", "s1", data=" " * 100_000))
        answer = await read(link)
        await link.send("x" * 1_100_000)

        assert await close_code(link) == 1009
    assert answer["socketId"] == "s1"
    assert json.loads(answer["data"])["payload"]["error"]["code"] == "BAD_REQUEST"


async def test_garbage_of_one_client_does_not_hurt_the_others_on_its_gateway() -> None:
    rooms = FakeRooms()
    garbage = ["", "{", "[]", "null", '{"type":"request"}', "\ud83d\ude00", "[" * 5000, "NaN"]
    async with running(rooms) as server, gateway(server) as link:
        await link.send(frame("connect", "good", user=vouched("alice")))
        for data in garbage:
            await link.send(frame("message", "bad", data=data))
        await link.send("{")
        await link.send(b"binary")
        await link.send(frame("nonsense", "bad"))
        await link.send(frame("message", "good", data=request("getRoom")))
        answers = [await read(link) for _ in range(len(garbage) + 4)]

    assert [a["socketId"] for a in answers[: len(garbage)]] == ["bad"] * len(garbage)
    assert [a["type"] for a in answers[len(garbage) : -1]] == ["error"] * 3
    assert answers[-1]["socketId"] == "good"
    assert json.loads(answers[-1]["data"])["payload"]["status"] == "ok"


async def test_many_clients_on_one_gateway_hear_of_each_other() -> None:
    rooms = FakeRooms()
    async with running(rooms) as server, gateway(server) as link:
        for name in ("alice", "bob"):
            await link.send(frame("connect", name, user=vouched(name)))
        await link.send(frame("message", "alice", data=request("getRoom")))
        heard = [await read(link) for _ in range(3)]

        assert rooms.users() == ["alice", "bob"]
    assert [one["socketId"] for one in heard] == ["alice", "alice", "bob"]
    assert [json.loads(one["data"])["type"] for one in heard] == ["response", "event", "event"]
    await until(lambda: rooms.users() == [])


async def test_an_answer_that_comes_later_is_sent_when_it_is_there() -> None:
    rooms = FakeRooms()
    async with running(rooms) as server, client(server, headers=bearer()) as alice:
        await alice.send(request("stopRoomRecording", "stop"))
        await alice.send(request("ping", "ping"))
        first = await read(alice)
        rooms.settle()
        second = await read(alice)

    assert [first["payload"]["id"], second["payload"]["id"]] == ["ping", "stop"]


async def test_a_flood_is_answered_with_when_to_come_back() -> None:
    settings = replace(SETTINGS, requests_per_second=1, requests_burst=3)
    clock = StandingClock()
    async with (
        running(FakeRooms(), settings, clock) as server,
        client(server, headers=bearer()) as alice,
    ):
        for number in range(5):
            await alice.send(request("ping", str(number)))
        answers = [(await read(alice))["payload"] for _ in range(5)]

    assert [answer["status"] for answer in answers] == ["ok"] * 3 + ["error"] * 2
    assert answers[-1]["error"]["code"] == "RATE_LIMITED"
    assert 0 < answers[-1]["error"]["details"]["retryAfter"] <= 1


FILLING = b'"' + b"x" * 1_000_000 + b'"'  # 16 of them do not fit between two sockets


async def deaf_client(server: GatewayServer, rooms: FakeRooms) -> ClientConnection:
    """One that is sent a lot and reads nothing."""
    connection = await client(server, headers=bearer(sub="deaf"), max_queue=1)
    await until(lambda: "deaf" in rooms.users())
    receiver = next(one for one in rooms.present if one.identity.user == "deaf")
    for _ in range(16):
        receiver.deliver(FILLING)
    return connection


async def test_a_client_that_does_not_read_is_closed_and_holds_up_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    rooms = FakeRooms()
    settings = replace(SETTINGS, slow_client_s=0.3, client_queue_bytes=64 * MIB)
    async with running(rooms, settings) as server, client(server, headers=bearer()) as alice:
        deaf = await deaf_client(server, rooms)
        await alice.send(request("ping"))
        answer = await read(alice)
        await until(lambda: "gateway.peer.slow" in caplog.messages)

        assert answer["payload"]["status"] == "ok"
        assert await close_code(deaf) == 1013
        await until(lambda: rooms.users() == ["alice"])


async def test_a_client_for_which_too_much_waits_is_closed_without_waiting_for_it() -> None:
    rooms = FakeRooms()
    settings = replace(SETTINGS, slow_client_s=60, client_queue_bytes=4 * MIB)
    async with running(rooms, settings) as server:
        deaf = await deaf_client(server, rooms)

        assert await close_code(deaf) == 1013
        await until(lambda: rooms.users() == [])


async def test_a_gateway_that_does_not_read_is_closed_as_a_whole(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    rooms = FakeRooms()
    async with running(rooms, replace(SETTINGS, slow_client_s=0.3)) as server:
        link = await gateway(server, max_queue=1)
        for name in ("alice", "bob"):
            await link.send(frame("connect", name, user=vouched(name)))
        await until(lambda: rooms.users() == ["alice", "bob"])
        for _ in range(8):
            rooms.broadcast(FILLING)
        await until(lambda: "gateway.peer.slow" in caplog.messages)

        assert await close_code(link) == 1013
        await until(lambda: rooms.users() == [])


async def test_a_peer_that_is_given_up_and_never_reads_again_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sfu_wrapper.gateway.send_queue._CLOSE_S", 0.2)
    rooms = FakeRooms()
    settings = replace(SETTINGS, slow_client_s=0.2, client_queue_bytes=64 * MIB)
    async with running(rooms, settings) as server:
        deaf = await deaf_client(server, rooms)

        await until(lambda: rooms.users() == [] and server.connections == 0)
        deaf.transport.abort()


async def test_requests_of_a_client_that_does_not_read_are_left_alone() -> None:
    rooms = FakeRooms()
    settings = replace(
        SETTINGS,
        requests_per_second=1e6,
        requests_burst=10**6,
        slow_client_s=60,
        client_queue_bytes=20 * MIB,
    )
    async with running(rooms, settings) as server:
        rooms.size = 1_000_000
        greedy = await client(server, headers=bearer(), max_queue=1)
        for number in range(64):  # far more answers than may wait
            await greedy.send(request("getRoom", str(number)))
        answers: list[str] = []
        while len(answers) < 64:
            answer = await read(greedy)
            if answer["type"] == "response":
                answers.append(answer["payload"]["id"])

        assert answers == [str(number) for number in range(64)]
        greedy.transport.abort()


async def test_at_the_end_everybody_is_told_that_the_server_goes_away() -> None:
    rooms = FakeRooms()
    async with running(rooms) as server:
        alice = await client(server, headers=bearer())
        link = await gateway(server)
        await until(lambda: server.connections == 2)

    assert await close_code(alice) == 1001
    assert await close_code(link) == 1001
    assert rooms.users() == []


async def test_a_peer_that_ignores_the_end_does_not_hold_it_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sfu_wrapper.gateway.server._SHUTDOWN_S", 0.2)
    rooms = FakeRooms()
    async with running(rooms, replace(SETTINGS, client_queue_bytes=64 * MIB)) as server:
        deaf = await deaf_client(server, rooms)

    assert rooms.users() == []
    deaf.transport.abort()


async def test_a_handshake_that_never_comes_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sfu_wrapper.gateway.server._SHUTDOWN_S", 0.1)
    async with asyncio.timeout(20), running(FakeRooms()) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        writer.write(b"GET /client HTTP/1.1\r\n")
        await writer.drain()

    with suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()


async def test_more_connections_than_allowed_are_turned_away() -> None:
    settings = replace(SETTINGS, max_connections=1)
    async with running(FakeRooms(), settings) as server, client(server, headers=bearer()):
        await until(lambda: server.connections == 1)
        with pytest.raises(InvalidStatus) as info:
            await client(server, headers=bearer())

    assert info.value.response.status_code == 503


async def test_an_address_in_use_is_said_to_be_so() -> None:
    async with running(FakeRooms()) as server:
        taken = replace(SETTINGS, port=server.port)
        with pytest.raises(Unavailable, match="cannot listen"):
            async with running(FakeRooms(), taken):
                pass


async def test_a_connection_that_is_cut_is_a_client_that_is_gone() -> None:
    rooms = FakeRooms()
    async with running(rooms) as server:
        alice = await client(server, headers=bearer())
        await until(lambda: rooms.users() == ["alice"])
        alice.transport.abort()
        await until(lambda: rooms.users() == [])

        assert rooms.story[-1][0] == "disconnected"


async def test_the_loss_of_a_gateway_with_many_clients_takes_many_short_rounds() -> None:
    class Rounds(FakeRooms):
        """Rooms that know how many clients have gone in each round of the event loop."""

        def __init__(self) -> None:
            super().__init__()
            self.gone = [0]

        def disconnected(self, client: Client) -> None:
            super().disconnected(client)
            self.gone[-1] += 1

    rooms = Rounds()
    async with running(rooms) as server, gateway(server) as link:
        for number in range(200):
            await link.send(frame("connect", f"s{number}", user=vouched(f"user-{number}")))
        await until(lambda: len(rooms.users()) == 200)
        link.transport.abort()
        async with asyncio.timeout(20):
            while rooms.users():
                rooms.gone.append(0)
                await asyncio.sleep(0)

    assert sum(rooms.gone) == 200
    assert max(rooms.gone) <= 20


async def test_the_clients_of_a_gateway_are_gone_when_the_server_has_ended() -> None:
    rooms = FakeRooms()
    async with running(rooms) as server, gateway(server) as link:
        for number in range(200):
            await link.send(frame("connect", f"s{number}", user=vouched(f"user-{number}")))
        await until(lambda: len(rooms.users()) == 200)

    assert rooms.users() == []


async def test_a_bug_ends_the_connection_that_met_it_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Buggy(FakeRooms):
        def connected(self, client: Client) -> None:
            if client.identity.user == "eve":
                raise ZeroDivisionError("a bug")
            super().connected(client)

    async with running(Buggy()) as server, client(server, headers=bearer()) as alice:
        eve = await client(server, headers=bearer(sub="eve"))

        assert await close_code(eve) == 1011
        await alice.send(request("ping"))
        assert (await read(alice))["payload"]["status"] == "ok"
    assert "gateway.connectionFailed" in caplog.messages


def head_of_a_frame(size: int) -> bytes:
    """The beginning of a text frame of so many bytes, and none of these."""
    return b"\x81\xfe" + size.to_bytes(2, "big") + b"mask"


@pytest.mark.parametrize("size", [9_217, 60_000])
async def test_a_stranger_that_announces_a_long_message_is_closed_before_it_has_sent_it(
    size: int,
) -> None:
    async with running(FakeRooms()) as server, client(server) as alice:
        alice.transport.write(head_of_a_frame(size))

        assert await close_code(alice) == 1009


async def test_a_long_message_is_received_once_its_sender_is_known() -> None:
    async with running(FakeRooms()) as server, client(server) as alice:
        await alice.send(request("authenticate", token=token(exp=FAR)))
        await read(alice)
        await alice.send(request("ping", x="x" * 60_000))

        assert (await read(alice))["payload"]["status"] == "ok"

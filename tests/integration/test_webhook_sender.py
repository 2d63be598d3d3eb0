"""The HTTP client of webhooks against real servers on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from sfu_wrapper.adapters.webhook_sender import HttpSender
from sfu_wrapper.model.errors import Unavailable
from tests.helpers import receivers
from tests.helpers.receivers import OK, certificate, endless, hang, receiver, slam, status
from tests.helpers.wait import until

HEADERS = {"content-type": "application/json", "webhook-id": "msg_1"}
BODY = b'{"type":"x"}'


@asynccontextmanager
async def sender(**options: object) -> AsyncIterator[HttpSender]:
    made = HttpSender(**{"allow_private": True, "deadline_s": 5.0} | options)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()


async def test_a_body_arrives_whole_with_its_headers() -> None:
    async with receiver() as there, sender() as client:
        assert await client.post(there.url + "?x=1", HEADERS, BODY * 10_000) == 204

    (request,) = there.requests
    assert request.body == BODY * 10_000
    assert request.path == "/hook?x=1"
    assert request.headers["host"] == there.url.split("/")[2]
    assert request.headers["webhook-id"] == "msg_1"


async def test_connections_are_used_again() -> None:
    async with receiver() as there, sender() as client:
        for _ in range(20):
            await client.post(there.url, HEADERS, BODY)

    assert (there.connections, len(there.requests)) == (1, 20)


async def test_a_connection_that_the_receiver_closed_meanwhile_costs_no_attempt() -> None:
    async def close_after(request: receivers.Request, writer: asyncio.StreamWriter) -> None:
        await OK(request, writer)
        writer.close()

    async with receiver(close_after) as there, sender() as client:
        for _ in range(5):
            assert await client.post(there.url, HEADERS, BODY) == 204

    assert len(there.requests) == 5


@pytest.mark.parametrize("code", [200, 301, 307, 404, 410, 500])
async def test_a_status_is_returned_and_a_redirect_not_followed(code: int) -> None:
    async with (
        receiver() as elsewhere,
        receiver(status(code, location=elsewhere.url)) as there,
        sender() as client,
    ):
        assert await client.post(there.url, HEADERS, BODY) == code

    assert elsewhere.requests == []


async def test_a_body_without_end_is_not_read() -> None:
    async with receiver(endless) as there, sender() as client:
        assert await client.post(there.url, HEADERS, BODY) == 200
        await until(lambda: there.busy == 0)  # the connection was closed under it


@pytest.mark.parametrize(
    ("answer", "why"), [(hang, "no response within 0.2 s"), (slam, "connection")]
)
async def test_no_answer_is_unavailable(answer: receivers.Answer, why: str) -> None:
    async with receiver(answer) as there, sender(deadline_s=0.2) as client:
        with pytest.raises(Unavailable, match=why):
            await client.post(there.url, HEADERS, BODY)


async def test_an_answer_that_is_no_http_is_unavailable() -> None:
    async def greet(_: receivers.Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n\r\n")

    async with receiver(greet) as there, sender() as client:
        with pytest.raises(Unavailable):
            await client.post(there.url, HEADERS, BODY)


async def test_a_closed_port_is_unavailable() -> None:
    async with receiver() as there:
        pass
    async with sender() as client:
        with pytest.raises(Unavailable, match="no connection"):
            await client.post(there.url, HEADERS, BODY)


async def test_https_is_verified_by_the_name_of_the_address(tmp_path: Path) -> None:
    server, accepting = certificate(tmp_path, "localhost")
    async with receiver(tls=server) as there, sender(tls=accepting) as client:
        assert await client.post(there.url, HEADERS, BODY) == 204
        assert there.requests[0].headers["host"].startswith("localhost:")


async def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    server, accepting = certificate(tmp_path, "elsewhere.example")
    async with receiver(tls=server) as there, sender(tls=accepting) as client:
        with pytest.raises(Unavailable, match="TLS failed"):
            await client.post(there.url, HEADERS, BODY)

    assert there.requests == []


async def test_an_unknown_issuer_is_refused(tmp_path: Path) -> None:
    server, _ = certificate(tmp_path, "localhost")
    async with receiver(tls=server) as there, sender() as client:
        with pytest.raises(Unavailable, match="TLS failed"):
            await client.post(there.url, HEADERS, BODY)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"])
async def test_private_addresses_are_refused_after_resolution(host: str) -> None:
    async with receiver() as there, sender(allow_private=False) as client:
        port = there.url.split(":")[2]
        with pytest.raises(Unavailable, match="not public"):
            await client.post(f"http://{host}:{port}", HEADERS, BODY)

    assert there.connections == 0


def resolving(*answers: str) -> object:
    """Let each look-up of a name have the next of these answers, the last one for ever."""
    left = list(answers)

    def look_up(host: str, port: int, **_: object) -> list[object]:
        address = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    return look_up


async def test_a_name_that_resolves_elsewhere_the_second_time_gains_nothing() -> None:
    connected: list[str] = []

    async def no_connection(address: str, *_: object, **__: object) -> None:
        connected.append(address)
        raise OSError("not here")

    look_up = resolving("1.1.1.1", "127.0.0.1")
    async with sender(allow_private=False) as client:
        with (
            patch("sfu_wrapper.adapters.webhook_sender.socket.getaddrinfo", look_up),
            patch("sfu_wrapper.adapters.webhook_sender.asyncio.open_connection", no_connection),
            pytest.raises(Unavailable, match="not here"),
        ):
            await client.post("http://name.example/", HEADERS, BODY)

    assert connected == ["1.1.1.1"]  # the address that was checked, not the name


async def test_a_name_with_one_private_address_is_refused() -> None:
    def look_up(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, 1, 6, "", (each, port)) for each in ("1.1.1.1", "10.0.0.1")]

    async with sender(allow_private=False) as client:
        with (
            patch("sfu_wrapper.adapters.webhook_sender.socket.getaddrinfo", look_up),
            pytest.raises(Unavailable, match="not public"),
        ):
            await client.post("http://name.example/", HEADERS, BODY)


async def test_idle_connections_are_few() -> None:
    async with receiver() as one, sender() as client:
        await asyncio.gather(*(client.post(one.url, HEADERS, BODY) for _ in range(40)))
        kept = sum(map(len, client._idle.values()))

    assert kept == 8

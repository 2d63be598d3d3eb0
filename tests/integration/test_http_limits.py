"""What is refused over HTTP before it costs anything (http.md, "Limits")."""

import asyncio
from dataclasses import replace

import pytest

from sfu_wrapper.gateway.limits import Refusals
from tests.helpers.http import ALWAYS, SETTINGS, parse, pass_for, world

ALICE = pass_for("alice")


@pytest.mark.parametrize("path", ["/rooms/" + "r" * 2048, "/rooms?after=" + "1" * 2048])
async def test_an_address_that_is_too_long_is_refused_before_its_token_is_looked_at(
    path: str,
) -> None:
    async with world() as here:
        answer = await here.ask("GET", path)
        fits = await here.ask("GET", path[:2048])

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")
    assert answer.json["details"] == {"path": "path"}
    assert (fits.status, fits.code) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("name", ["accept", "if-match", "if-none-match", "content-type"])
async def test_a_header_that_is_taken_apart_is_short(name: str) -> None:
    async with world() as here:
        answer = await here.ask("GET", "/permissions", ALICE, headers={name: "a," * 600})
        other = await here.ask("GET", "/rooms", ALICE, headers={"Cookie": "a," * 600})

    assert (answer.status, answer.code) == (400, "BAD_REQUEST")
    assert answer.json["details"] == {"path": f"header.{name}"}
    assert other.status == 200


async def test_a_query_of_many_parameters_is_not_taken_apart() -> None:
    async with world() as here:
        many = await here.ask("GET", "/rooms?" + "&".join(["limit=1"] * 17), ALICE)
        stranger = await here.ask("GET", "/rooms?" + "&".join(["limit=1"] * 17))

    assert (many.status, many.json["details"]) == (400, {"path": "query"})
    assert stranger.status == 401


@pytest.mark.parametrize("length", [str(10**12), "9" * 19])
async def test_a_body_that_is_announced_as_far_too_long_is_not_waited_for(length: str) -> None:
    head = (
        f"PUT /permissions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALICE}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
    async with world() as here:
        reader, writer = await asyncio.open_connection(here.server.host, here.server.port)
        writer.write(head.encode())
        async with asyncio.timeout(8):  # the server would wait for a body for 10 s
            found = await reader.readuntil(b"}")
        writer.close()

    assert parse(found).status == 413


async def test_of_a_body_of_many_unknown_fields_the_first_is_named() -> None:
    body = ALWAYS | {f"x{number}": 1 for number in range(4000)}
    async with world() as here:
        answer = await here.ask("PUT", "/permissions", ALICE, body)

    assert (answer.status, answer.json["details"]) == (400, {"path": "x0"})


@pytest.mark.parametrize("later", [False, True])
async def test_a_head_of_very_many_lines_is_refused_also_of_a_later_request(later: bool) -> None:
    fine = "GET /health/live HTTP/1.1\r\nHost: x\r\n"
    many = fine + "a: b\r\n" * 200
    async with world() as here:
        reader, writer = await asyncio.open_connection(here.server.host, here.server.port)
        if later:
            writer.write(f"{fine}\r\n".encode())
            async with asyncio.timeout(8):
                assert parse(await reader.readuntil(b"}")).status == 200
        writer.write(f"{many}\r\n".encode())
        async with asyncio.timeout(8):
            answer = parse(await reader.read())
        writer.close()

    assert answer.status == 400


async def test_a_head_of_a_hundred_lines_is_read() -> None:
    async with world() as here:
        headers = {f"x-{number}": "y" for number in range(100)}
        answer = await here.ask("GET", "/rooms", ALICE, headers=headers)

    assert answer.status == 200


@pytest.mark.parametrize(("token", "answers"), [("", 1), (f"Authorization: Bearer {ALICE}", 3)])
async def test_who_floods_with_what_is_refused_is_left_unread(
    token: str, answers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Refusals, "delay_s", lambda *_: 3600.0)
    lines = "\r\n".join(("GET /rooms HTTP/1.1", "Host: x", *([token] if token else ())))
    async with world(settings=replace(SETTINGS, head_s=0.5)) as here:
        reader, writer = await asyncio.open_connection(here.server.host, here.server.port)
        writer.write(f"{lines}\r\n\r\n".encode() * 3)
        async with asyncio.timeout(20):
            found = await reader.read()  # until it is cut, as one that sends nothing
        writer.close()

    assert found.count(b"HTTP/1.1 ") == answers

"""Attacks by a gateway, or by clients behind one."""

import asyncio
import itertools
import json

from scripts.attacks.field import Field, discard, flood, message, until_closed
from scripts.attacks.strangers import dear

CLIENTS = 1_000
REQUEST = {"type": "request", "payload": {"endpoint": "getRoom", "payload": {}, "id": "1"}}
DOMAIN = "example"


def _connect(socket_id: str, user: str) -> bytes:
    who = {"id": user, "domain": DOMAIN}
    return message(json.dumps({"type": "connect", "socketId": socket_id, "user": who}))


def _carry(socket_id: str, data: str) -> bytes:
    return message(json.dumps({"type": "message", "socketId": socket_id, "data": data}))


def _token(field: Field, number: int = 0) -> str:
    return field.token(f"bad-gateway-{number}", "gateway")


async def thousand_clients(field: Field) -> None:
    """One gateway with 1,000 clients, each of which floods."""
    connects = b"".join(_connect(f"s{n}", f"mallory-{n}") for n in range(CLIENTS))
    burst = b"".join(_carry(f"s{n}", json.dumps(REQUEST)) for n in range(CLIENTS))
    target = field.websockets()
    await field.go()

    async def one(_: int) -> None:
        link = target.websocket(_token(field), "/gateway")
        async with link as (reader, writer), asyncio.TaskGroup() as group:
            group.create_task(discard(reader))
            writer.write(connects)
            await flood(field, writer, "requests", burst, CLIENTS)

    await field.crowd(1, one)


async def slow_reader(field: Field) -> None:
    """One gateway with 1,000 clients that reads 1 KiB a second of their answers."""
    connects = b"".join(_connect(f"s{n}", f"mallory-{n}") for n in range(CLIENTS))
    asked = REQUEST | {"payload": {"endpoint": "x" * 250, "payload": {}, "id": "1"}}
    burst = b"".join(_carry(f"s{n}", json.dumps(asked)) for n in range(CLIENTS))
    target = field.websockets()
    await field.go()

    async def one(_: int) -> None:
        link = target.websocket(_token(field), "/gateway")
        async with link as (reader, writer), asyncio.TaskGroup() as group:
            group.create_task(_trickle(reader))
            writer.write(connects)
            await flood(field, writer, "requests", burst, CLIENTS)

    await field.crowd(1, one)


async def _trickle(reader: asyncio.StreamReader) -> None:
    while True:
        if not await reader.read(1024):
            raise EOFError
        await asyncio.sleep(1)


async def oversized_frames(field: Field) -> None:
    """Frames of a gateway that are longer than they may be, and those that just may."""
    too_long = message("x" * 2_000_000)
    inner = "".join(chr(each) for each in range(0x20, 0x7F)) * 10_500
    longest = _carry("s1", inner[:1_000_000])
    target = field.websockets()
    await field.go()

    async def one(number: int) -> None:
        async with target.websocket(_token(field), "/gateway") as (reader, writer):
            reading = asyncio.create_task(until_closed(reader))
            for _ in range(5):
                writer.write(longest if number % 2 else too_long)
                await writer.drain()
                field.count("frames")
            await asyncio.wait_for(reading, 2) if number % 2 == 0 else await asyncio.sleep(0.1)

    await field.crowd(4, one)


async def dear_frames(field: Field) -> None:
    """Messages of 64 KB and dear JSON of clients behind a gateway."""
    texts = [frame.partition(b"{")[2] for frame in dear(64_000)]
    burst = b"".join(_carry(f"s{n}", "{" + text.decode()) for n, text in enumerate(texts))
    connects = b"".join(_connect(f"s{n}", f"mallory-{n}") for n in range(len(texts)))
    target = field.websockets()
    await field.go()

    async def one(_: int) -> None:
        link = target.websocket(_token(field), "/gateway")
        async with link as (reader, writer), asyncio.TaskGroup() as group:
            group.create_task(discard(reader))
            writer.write(connects)
            await flood(field, writer, "messages", burst, len(texts))

    await field.crowd(1, one)


async def client_churn(field: Field) -> None:
    """Clients that a gateway connects and disconnects as fast as it is read."""
    burst = b"".join(
        _connect(f"s{n}", f"mallory-{n}")
        + message(json.dumps({"type": "disconnect", "socketId": f"s{n}"}))
        for n in range(200)
    )
    target = field.websockets()
    await field.go()

    async def one(_: int) -> None:
        link = target.websocket(_token(field), "/gateway")
        async with link as (reader, writer), asyncio.TaskGroup() as group:
            group.create_task(discard(reader))
            await flood(field, writer, "connects", burst, 400)

    await field.crowd(1, one)


async def too_many_clients(field: Field) -> None:
    """A gateway that connects ever more clients who never say who they are."""
    target = field.websockets()
    await field.go()

    async def one(_: int) -> None:
        link = target.websocket(_token(field), "/gateway")
        async with link as (reader, writer), asyncio.TaskGroup() as group:
            group.create_task(discard(reader))
            for begin in itertools.count(0, 500):
                connects = (
                    message(json.dumps({"type": "connect", "socketId": f"s{n}"}))
                    for n in range(begin, begin + 500)
                )
                writer.write(b"".join(connects))
                await writer.drain()
                field.count("connects", 500)
                await asyncio.sleep(0.05)

    await field.crowd(1, one)


async def gateway_churn(field: Field) -> None:
    """Gateways that connect with 100 clients, and are gone."""
    connects = b"".join(_connect(f"s{n}", f"mallory-{n}") for n in range(100))
    target = field.websockets()
    await field.go()

    async def one(number: int) -> None:
        async with target.websocket(_token(field, number), "/gateway") as (_, writer):
            writer.write(connects)
            await writer.drain()
            field.count("gateways")
            await asyncio.sleep(0.02)

    await field.crowd(8, one)

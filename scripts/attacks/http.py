"""Attacks over HTTP: floods with and without a token, long and slow bodies, numbers for nobody."""

import asyncio
import json

from scripts.attacks.field import Field, discard, until_closed

SOCKETS = 30
BODY = json.dumps({"recording": {"recordingType": "all", "recordingProfile": "always"}})


def _head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", "")).encode()


async def _requests(field: Field, what: str, *requests: bytes, sockets: int = SOCKETS) -> None:
    """Send them again and again on connections that stay open, pipelined, as fast as taken."""
    target = field.http()
    burst = b"".join(requests) * 10
    await field.go()

    async def one(_: int) -> None:
        async with target.tcp() as (reader, writer), asyncio.TaskGroup() as group:
            group.create_task(discard(reader))
            while True:
                writer.write(burst)
                await writer.drain()
                field.count(what, 10 * len(requests))
                await asyncio.sleep(0)

    await field.crowd(sockets, one)


async def without_token(field: Field) -> None:
    """Requests without a token, with one that is none, and for paths that do not exist."""
    await _requests(
        field,
        "requests",
        _head("GET", "/permissions"),
        _head("GET", "/rooms", "Authorization: Bearer a.b.c"),
        _head("GET", "/nothing"),
        _head("PUT", "/permissions/domain/example/user/bob"),
    )


async def with_token(field: Field) -> None:
    """Requests of one user: for rooms that do not exist, and of permissions."""
    bearer = f"Authorization: Bearer {field.token('mallory')}"
    length = f"Content-Length: {len(BODY)}"
    put = _head("PUT", "/permissions", bearer, "Content-Type: application/json", length)
    await _requests(
        field,
        "requests",
        _head("GET", "/rooms/none", bearer),
        put + BODY.encode(),
        _head("GET", "/rooms", bearer),
    )


async def metrics(field: Field) -> None:
    """``/metrics`` again and again, of 10 connections."""
    await _requests(field, "requests", _head("GET", "/metrics"), sockets=10)


async def connections(field: Field) -> None:
    """A connection a request, as fast as they are taken."""
    target = field.http()
    asked = _head("GET", "/health/live", "Connection: close")
    await field.go()

    async def one(_: int) -> None:
        async with target.tcp() as (reader, writer):
            writer.write(asked)
            await until_closed(reader)
            field.count("requests")

    await field.crowd(SOCKETS, one)


async def large_bodies(field: Field) -> None:
    """Bodies of 64 KB and of 4 MB, without a token and with one."""
    target = field.http()
    bearer = f"Authorization: Bearer {field.token('mallory')}"
    kind = "Content-Type: application/json"
    deep = b'{"recording":' + b"[" * 30_000 + b"]" * 30_000 + b"}"
    await field.go()

    async def one(number: int) -> None:
        body = deep if number % 2 else b"x" * 4_000_000
        lines = (kind, f"Content-Length: {len(body)}", *((bearer,) if number % 4 < 2 else ()))
        async with target.tcp() as (reader, writer):
            reading = asyncio.create_task(until_closed(reader))
            for _ in range(20):
                writer.write(_head("PUT", "/permissions", *lines) + body)
                await writer.drain()
                field.count("bodies")
            reading.cancel()

    await field.crowd(12, one)


async def slow_bodies(field: Field) -> None:
    """500 bodies, a byte every half second."""
    target = field.http()
    bearer = f"Authorization: Bearer {field.token('mallory')}"
    head = _head(
        "PUT", "/permissions", bearer, "Content-Type: application/json", "Content-Length: 65000"
    )
    await field.go()
    gate = asyncio.Semaphore(64)

    async def one(_: int) -> None:
        async with gate:
            link = target.tcp()
            _reader, writer = await link.__aenter__()
        try:
            writer.write(head)
            while True:
                writer.write(b" ")
                await writer.drain()
                field.count("bytes")
                await asyncio.sleep(0.5)
        finally:
            await link.__aexit__(None, None, None)

    await field.crowd(500, one)

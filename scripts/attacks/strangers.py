"""Attacks by those who have no token: big and dear frames, half-open everything, wrong tokens."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

from scripts.attacks.field import Field, address, discard, flood, message, until_closed
from tests.helpers.hostile import PING, asking, frame

KIB = 1024
HEADS = 1_000
SILENT = 4_000
UPGRADE = b"GET /client HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"


def dear(size: int) -> Iterator[bytes]:
    """Yield frames of ``size`` bytes whose JSON is as costly as its author could make it."""
    begin = '{"type":"request","payload":{"endpoint":"createRoom","id":"1","payload":{"invited":['
    names = (size - len(begin) - 8) // 10
    yield message(begin + ",".join(f'"u{number:06}"' for number in range(names)) + "]}}}")
    yield message(begin + ",".join("1" for _ in range((size - len(begin) - 8) // 2)) + "]}}}")
    deep = (size - 100) // 2
    yield message('{"type":"request","payload":' + "[" * deep + "]" * deep + "}")
    keys = ",".join(f'"k{number}":1' for number in range(size // 11))
    yield message(
        '{"type":"request","payload":{"endpoint":"ping","id":"1","payload":{' + keys + "}}}"
    )
    quoted = "\\\\" * ((size - 120) // 4)
    yield message('{"type":"request","payload":{"endpoint":"ping","id":"' + quoted + '"}}')


async def _paced(field: Field, size: int, a_second: float) -> None:
    """Send so many frames a second in all, each over a connection without a token."""
    frames = list(dear(size))
    target = field.websockets()
    await field.go()
    due_s = time.monotonic()

    async def one(_: int) -> None:
        nonlocal due_s
        async with target.websocket(None) as (reader, writer):
            reading = asyncio.create_task(until_closed(reader))
            while not reading.done():
                due_s = max(due_s + 1 / a_second, time.monotonic() - 1)
                await asyncio.sleep(due_s - time.monotonic())
                writer.write(frames[field.struck["frames"] % len(frames)])
                await writer.drain()
                field.count("frames")

    await field.crowd(8, one)


async def big_frames_25(field: Field) -> None:
    """64 KiB frames without a token, 25 a second."""
    await _paced(field, 64_000, 25)


async def big_frames(field: Field) -> None:
    """64 KiB frames without a token, as fast as they are taken."""
    await _paced(field, 64_000, 2_000)


async def frames_9kb(field: Field) -> None:
    """Frames of 9 KiB without a token, just as long as a token needs."""
    await _paced(field, 9 * KIB - 16, 2_000)


async def stranger_floods(field: Field) -> None:
    """Small requests without a token on 50 connections, as fast as they are taken."""
    burst = b"".join(asking("startRoomRecording", number) for number in range(200))
    target = field.websockets()
    await field.go()

    async def one(_: int) -> None:
        async with target.websocket(None) as (reader, writer), asyncio.TaskGroup() as group:
            group.create_task(discard(reader))
            await flood(field, writer, "requests", burst, 200)

    await field.crowd(50, one)


async def _hold(field: Field, count: int, head: bytes, *, http: bool = False) -> None:
    """Open sockets, send what is half of something, and hold them."""
    await field.go()
    await asyncio.sleep(0)
    gate = asyncio.Semaphore(64)  # connects at once, as the system's own queue is short

    async def one(number: int) -> None:
        source = address(number)
        target = field.http(source) if http else field.websockets(source)
        async with AsyncExitStack() as stack:
            async with gate:
                reader, writer = await stack.enter_async_context(target.tcp())
                writer.write(head)
                field.count("sockets")
            await until_closed(reader)
        field.struck["shown out"] += 1
        await asyncio.sleep(0.5)

    await field.crowd(count, one)


async def half_open_heads(field: Field) -> None:
    """1,000 sockets with half the head of a handshake each."""
    await _hold(field, HEADS, UPGRADE)


async def half_open_http(field: Field) -> None:
    """1,000 sockets with half an HTTP head each."""
    await _hold(field, HEADS, b"GET /rooms HTTP/1.1\r\nHost: localhost\r\nX-", http=True)


async def silent_sockets(field: Field) -> None:
    """4,000 sockets that say nothing at all."""
    await _hold(field, SILENT, b"")


async def silent_http(field: Field) -> None:
    """1,500 silent sockets at the HTTP port, more than it takes."""
    await _hold(field, 1_500, b"", http=True)


async def silent_websockets(field: Field) -> None:
    """1,000 WebSockets without a token that say nothing until they are closed, and come again."""
    await field.go()
    gate = asyncio.Semaphore(32)

    async def one(number: int) -> None:
        target = field.websockets(address(number))
        async with AsyncExitStack() as stack:
            async with gate:
                reader, _ = await stack.enter_async_context(target.websocket(None))
                field.count("sockets")
            await until_closed(reader)

    await field.crowd(1_000, one)


async def slow_handshakes(field: Field) -> None:
    """300 handshakes, a byte at a time."""
    target = field.websockets()
    await field.go()

    async def one(_: int) -> None:
        async with target.tcp() as (_reader, writer):
            for byte in target.handshake(None):
                writer.write(bytes([byte]))
                await writer.drain()
                field.count("bytes")
                await asyncio.sleep(0.1)

    await field.crowd(300, one)


async def upgrades(field: Field) -> None:
    """Connections that are opened and dropped at once, as fast as they are taken."""
    target = field.websockets()
    await field.go()

    async def one(_: int) -> None:
        async with target.websocket(None):
            field.count("connections")

    await field.crowd(16, one)


async def wrong_tokens(field: Field) -> None:
    """Tokens with a wrong signature, in handshakes and in ``authenticate``: RS256."""
    good = field.token("mallory")
    head, _, signature = good.rpartition(".")
    bad = f"{head}.{signature[:-8]}AAAAAAAA"
    target = field.websockets()
    burst = b"".join(asking("authenticate", number, token=bad) for number in range(40))
    await field.go()

    async def one(number: int) -> None:
        async with target.websocket(None if number % 2 else bad) as (reader, writer):
            field.count("handshakes")
            if number % 2 == 0:
                return
            async with asyncio.TaskGroup() as group:
                group.create_task(discard(reader))
                await flood(field, writer, "tokens", burst, 40)

    await field.crowd(20, one)


async def pings(field: Field) -> None:
    """Pings of the greatest size without a token, pongs unread."""
    target = field.websockets()
    burst = frame(PING, b"p" * 125) * 200
    await field.go()

    async def one(_: int) -> None:
        async with target.websocket(None) as (_reader, writer):
            await flood(field, writer, "pings", burst, 200)

    await field.crowd(20, one)


async def fragments(field: Field) -> None:
    """Messages in empty pieces, without an end."""
    target = field.websockets()
    burst = frame(0, fin=False) * 200
    await field.go()

    async def one(_: int) -> None:
        async with target.websocket(None) as (reader, writer), asyncio.TaskGroup() as group:
            group.create_task(discard(reader))
            writer.write(frame(1, b"{", fin=False))
            await flood(field, writer, "fragments", burst, 200)

    await field.crowd(20, one)


async def media_sockets(field: Field) -> None:
    """Handshakes at ``/media``, and big frames where one is let in."""
    target = field.websockets()
    frames = b"".join(dear(64_000))
    await field.go()

    async def one(_: int) -> None:
        async with target.websocket(None, "/media") as (reader, writer):
            field.count("connections")
            writer.write(frames)
            await until_closed(reader)

    await field.crowd(16, one)

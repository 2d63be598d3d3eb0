"""Attacks by those who have no token: big and dear frames, half-open everything, wrong tokens."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, suppress

from scripts.attacks.field import Field, address, discard, flood, message, until_closed
from tests.helpers.costlyframes import REFUSED
from tests.helpers.hostile import PING, asking, frame

KIB = 1024
HEADS = 1_000
SILENT = 4_000
UPGRADE = b"GET /client HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"


# Those of the costly frames that cost 0.1.0 most.
COSTLIEST = ("list of numbers for names", "list of wrong names", "list of lists for names")


def dear(size: int, kinds: Iterable[str] = REFUSED) -> list[bytes]:
    """Return frames of ``size`` bytes that cost their reader as much as their author could make."""
    return [message(REFUSED[kind](size)) for kind in kinds]


async def _paced(field: Field, frames: Sequence[bytes], a_second: float) -> None:
    """Send so many frames a second in all, two over each connection without a token.

    A connection is read at a bounded pace, so that further ones cost more than further frames.
    """
    target = field.websockets()
    await field.go()
    due_s = time.monotonic()

    async def one(_: int) -> None:
        nonlocal due_s
        due_s = max(due_s + 2 / a_second, time.monotonic() - 1)
        await asyncio.sleep(due_s - time.monotonic())
        async with target.websocket(None) as (reader, writer):
            for _ in range(2):
                writer.write(frames[field.struck["frames"] % len(frames)])
                await writer.drain()
                field.count("frames")
            with suppress(TimeoutError):
                await asyncio.wait_for(until_closed(reader), 1)

    await field.crowd(64, one)


async def big_frames_25(field: Field) -> None:
    """64 KiB frames without a token, 25 a second."""
    await _paced(field, dear(64_000, COSTLIEST), 25)


async def big_frames(field: Field) -> None:
    """64 KiB frames without a token, as fast as they are taken."""
    await _paced(field, dear(64_000), 500)


async def frames_9kb(field: Field) -> None:
    """Frames of 9 KiB without a token, just as long as a token needs."""
    await _paced(field, dear(9 * KIB - 16), 500)


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

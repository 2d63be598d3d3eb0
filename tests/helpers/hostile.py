"""People who mean harm: raw sockets that do what no WebSocket library would do.

Run as a program, so that what they cost is not taken from the good ones:
``python -m tests.helpers.hostile ws://127.0.0.1:PORT CLIENTS SECONDS``. Prints how often each kind
has struck, as one JSON object.
"""

import asyncio
import json
import os
import random
import socket
import struct
import sys
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from tests.helpers.live import token

TEXT, BINARY, CONTINUED, PING = 1, 2, 0, 9
FIN = 0x80
CHUNK = 200  # frames that are sent in one go


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True) -> bytes:
    """A frame as a client sends it; its mask is all zeros, so that it costs us nothing."""
    head = bytes([opcode | (FIN if fin else 0)])
    mask = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head += bytes([mask | size])
    elif size < 65536:
        head += bytes([mask | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mask | 127]) + struct.pack("!Q", size)
    return head + (bytes(4) if masked else b"") + payload


def asking(endpoint: str, number: int = 0, **payload: object) -> bytes:
    """A request in a frame."""
    body = {"endpoint": endpoint, "payload": payload, "id": f"h-{number}"}
    return frame(TEXT, json.dumps({"type": "request", "payload": body}).encode())


class Target:
    """The server under attack.

    Args:
        url: its address; only host and port count.
        source: local address to connect from; empty: the system's choice.

    Attributes:
        struck: number of strikes, by kind.
    """

    def __init__(self, url: str, source: str = "") -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 0
        self.source = source
        self.struck: Counter[str] = Counter()

    @asynccontextmanager
    async def tcp(self) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
        """A socket; it ends with a reset, as that of a program that was killed."""
        local = (self.source, 0) if self.source else None
        reader, writer = await asyncio.open_connection(
            self.host, self.port, limit=2**16, local_addr=local
        )
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    @asynccontextmanager
    async def websocket(
        self, bearer: str | None, path: str = "/client"
    ) -> AsyncIterator[tuple[StreamReader, StreamWriter]]:
        """A WebSocket, its handshake done (or refused)."""
        async with self.tcp() as (reader, writer):
            writer.write(self.handshake(bearer, path))
            await reader.readuntil(b"\r\n\r\n")
            yield reader, writer

    def handshake(self, bearer: str | None, path: str = "/client") -> bytes:
        """The request that opens a WebSocket."""
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        ]
        if bearer is not None:
            lines.append(f"Authorization: Bearer {bearer}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


Kind = Callable[[Target, str], Awaitable[None]]


async def floods(target: Target, user: str) -> None:
    """Valid requests as fast as they are taken; reads the answers."""
    burst = b"".join(asking("getRoom", number) for number in range(CHUNK))
    async with target.websocket(token(user)) as (reader, writer), asyncio.TaskGroup() as group:
        group.create_task(_discard(reader))
        while True:
            writer.write(burst)
            await writer.drain()
            target.struck["floods"] += CHUNK


async def never_reads(target: Target, user: str) -> None:
    """The same, and never reads an answer."""
    burst = b"".join(asking("getRoom", number) for number in range(CHUNK))
    async with target.websocket(token(user)) as (_, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of a socket has it
        while True:
            writer.write(burst)
            await writer.drain()
            target.struck["never_reads"] += CHUNK


async def huge_frames(target: Target, user: str) -> None:
    """Messages as big as allowed, frames that announce far more, headers that never end."""
    biggest = frame(TEXT, b"[" * 65_536)
    announced = b"\x81\xff" + struct.pack("!Q", 2**40) + bytes(4)
    for what in (biggest, announced):
        async with target.websocket(token(user)) as (reader, writer):
            writer.write(what + b"x" * 2**20)
            await _until_closed(reader)
            target.struck["huge_frames"] += 1
    async with target.tcp() as (reader, writer):
        writer.write(b"GET /client HTTP/1.1\r\n" + b"X-Long: " + b"x" * 2**20)
        await _until_closed(reader)


async def broken_frames(target: Target, user: str) -> None:
    """Whatever the protocol forbids."""
    broken = (
        bytes([0xF1, 0x80]) + bytes(4),  # reserved bits
        frame(0x3),  # a reserved opcode
        frame(TEXT, b"{}", masked=False),
        frame(CONTINUED, b"of nothing"),
        frame(PING, b"x" * 126),
        frame(TEXT, b"\xff\xfe"),
        frame(TEXT, b"\xed\xa0\x80"),  # half a surrogate pair
        frame(BINARY, os.urandom(100)),
        frame(TEXT, b"no JSON"),
        b"GET / HTTP/1.1\r\n\r\n",
    )
    async with target.websocket(token(user)) as (reader, writer):
        writer.write(random.choice(broken))  # noqa: S311  # any will do
        await _until_closed(reader)
        target.struck["broken_frames"] += 1
    await asyncio.sleep(0.01)


async def half_open(target: Target, user: str) -> None:
    """Says nothing any more: before the handshake, or after it, without a token or with one."""
    async with (
        target.tcp(),
        target.websocket(None),
        target.websocket(token(user)) as (_, writer),
    ):
        writer.write(frame(TEXT, b'{"type":"request"', fin=False))  # and never the rest
        target.struck["half_open"] += 1
        await asyncio.Event().wait()


async def wrong_tokens(target: Target, user: str) -> None:
    """Tokens of others, expired ones, no tokens at all; in the handshake and in requests."""
    for bearer in ("x" * 9000, "a.b.c", token(user, ttl_s=-10), token(user)[:-4] + "AAAA", ""):
        async with target.websocket(bearer):
            target.struck["wrong_tokens"] += 1
    async with target.websocket(None) as (reader, writer):
        for number in range(100):
            writer.write(asking("authenticate", number, token="x.y.z"))
            writer.write(asking("startRoomRecording", number))
        await reader.read(4096)
        target.struck["wrong_tokens"] += 200


async def slow_loris(target: Target, user: str) -> None:
    """A handshake that takes for ever, a byte at a time."""
    async with target.tcp() as (_, writer):
        for byte in target.handshake(token(user)):
            writer.write(bytes([byte]))
            await writer.drain()
            target.struck["slow_loris"] += 1
            await asyncio.sleep(0.2)


async def pings(target: Target, user: str) -> None:
    """Pings of the greatest size, and never reads a pong."""
    burst = frame(PING, b"p" * 125) * CHUNK
    async with target.websocket(token(user)) as (_, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # as above
        while True:
            writer.write(burst)
            await writer.drain()
            target.struck["pings"] += CHUNK


async def fragments(target: Target, user: str) -> None:
    """A message in pieces of nothing, without an end."""
    async with target.websocket(token(user)) as (reader, writer), asyncio.TaskGroup() as group:
        group.create_task(_discard(reader))
        writer.write(frame(TEXT, b"{", fin=False))
        while True:
            writer.write(frame(CONTINUED, fin=False) * CHUNK)
            await writer.drain()
            target.struck["fragments"] += CHUNK


async def bombs(target: Target, user: str) -> None:
    """JSON that is dear to read: deep, long, with keys twice, with numbers without an end."""
    dear = (
        b'{"a":' * 10_000,
        b"[" * 30_000 + b"]" * 30_000,
        b"{" + b",".join(b'"k":1' for _ in range(10_000)) + b"}",
        b"[" + b"9" * 60_000 + b"]",
        b'{"type":"request","payload":{"endpoint":"createRoom","id":"1","payload":{"invited":['
        + b",".join(b'"u%d"' % number for number in range(7_000))
        + b"]}}}",
    )
    async with target.websocket(token(user)) as (reader, writer), asyncio.TaskGroup() as group:
        group.create_task(_discard(reader))
        while True:
            writer.write(frame(TEXT, random.choice(dear)))  # noqa: S311  # any will do
            await writer.drain()
            target.struck["bombs"] += 1


KINDS: tuple[Kind, ...] = (
    floods,
    never_reads,
    huge_frames,
    broken_frames,
    half_open,
    wrong_tokens,
    slow_loris,
    pings,
    fragments,
    bombs,
)


async def strike(url: str, clients: int, seconds: float) -> Counter[str]:
    """As many clients as said, of each kind the same number, again and again."""
    target = Target(url)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for number in range(clients):
                kind = KINDS[number % len(KINDS)]
                group.create_task(_again(kind, target, f"hostile-{number}"))
    return target.struck


async def _again(kind: Kind, target: Target, user: str) -> None:
    while True:
        with suppress(OSError, EOFError, ExceptionGroup):  # they were shown out
            await kind(target, user)
        await asyncio.sleep(0.05)


async def _discard(reader: StreamReader) -> None:
    while await reader.read(2**16):
        pass
    raise EOFError


async def _until_closed(reader: StreamReader) -> None:
    with suppress(OSError):
        while await reader.read(2**16):
            pass


if __name__ == "__main__":
    found = asyncio.run(strike(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
    print(json.dumps(found))

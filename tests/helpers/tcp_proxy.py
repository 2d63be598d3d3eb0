"""A TCP proxy that refuses, cuts, stalls, slows or damages what goes through it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_CHUNK = 64 * 1024
_HEAD = 4096
_MOST_HEADS = 1 << 20


@dataclass
class TcpProxy:
    """The state of a proxy, changed while it runs.

    Attributes:
        port: where it listens.
        refuses: connections are closed at once.
        answers: HTTP status with which requests are answered, instead of passing them on.
        cut_after: bytes from the client after which a connection is cut; None: never.
        most: number of connections that are refused, answered or cut before all pass; None: all.
        flows: while it is not set, nothing from clients is passed on.
        bytes_per_s: bytes that pass from the client in a second, on each connection; None: all.
        on_piece: called for each piece of either side, before it is passed on.
        damages: one bit is turned in the next piece from a client that is longer than this many
            bytes; None: in none.
        passed: bytes from clients that were passed on.
        heads: the first kilobytes of each piece from clients, where requests begin.
        faults: connections that were refused, answered or cut.
        damaged: pieces that were damaged.
    """

    port: int = 0
    refuses: bool = False
    answers: int | None = None
    cut_after: int | None = None
    most: int | None = None
    bytes_per_s: int | None = None
    on_piece: Callable[[], None] | None = None
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    damages: int | None = None
    passed: int = 0
    heads: bytearray = field(default_factory=bytearray)
    faults: int = 0
    damaged: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Cut all connections now."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    def heal(self) -> None:
        """Pass everything on from now."""
        self.refuses, self.answers, self.cut_after = False, None, None
        self.flows.set()

    def _count(self) -> None:
        self.faults += 1
        if self.faults == self.most:
            self.heal()

    def _piece(self) -> None:
        if self.on_piece is not None:
            self.on_piece()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count = 0
        while chunk := await reader.read(_CHUNK):
            count += len(chunk)
            self.heads += chunk[:_HEAD] if len(self.heads) < _MOST_HEADS else b""
            self._piece()
            await self.flows.wait()
            if self.cut_after is not None and count > self.cut_after:
                self._count()
                return
            if self.bytes_per_s is not None:
                await asyncio.sleep(len(chunk) / self.bytes_per_s)
            if self.damages is not None and len(chunk) > self.damages:
                self.damages = None
                self.damaged += 1
                chunk = chunk[:-1] + bytes([chunk[-1] ^ 1])
            writer.write(chunk)
            await writer.drain()
            self.passed += len(chunk)

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            self._piece()
            writer.write(chunk)
            await writer.drain()

    async def serve(
        self, to_port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass one connection on until either side ends it."""
        if self.refuses:
            self._count()
            writer.transport.abort()
            return
        if self.answers is not None:
            await _answer(reader, writer, self.answers)
            self._count()
            return
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", to_port)
        self._writers |= {writer, up_writer}
        up = asyncio.ensure_future(self._up(reader, up_writer))
        down = asyncio.ensure_future(self._down(up_reader, writer))
        try:
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            if down.done():
                writer.close()  # what is buffered goes out first
                with suppress(ConnectionError):
                    await writer.wait_closed()
        finally:
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            for each in (writer, up_writer):
                each.transport.abort()
                self._writers.discard(each)


@asynccontextmanager
async def tcp_proxy(to_port: int) -> AsyncIterator[TcpProxy]:
    """Run a proxy in front of a port of loopback."""
    proxy = TcpProxy()
    proxy.flows.set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError, asyncio.CancelledError):
            await proxy.serve(to_port, reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    lengths = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
    await reader.readexactly(sum(lengths))  # closing before that would reset the connection
    answer = f"HTTP/1.1 {status} Fault\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    writer.write(answer.encode())
    await writer.drain()
    writer.close()

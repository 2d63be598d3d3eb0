"""A TCP proxy that cuts, stalls or damages what goes through it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_CHUNK = 64 * 1024


@dataclass
class TcpProxy:
    """The state of a proxy, changed while it runs.

    Attributes:
        port: where it listens.
        refuses: connections are closed at once.
        cut_after: bytes from the client after which a connection is cut; None: never.
        flows: while it is not set, nothing from clients is passed on.
        damages: one bit is turned in the next piece from a client that is longer than this many
            bytes; None: in none.
        passed: bytes from clients that were passed on.
        cuts: connections that were cut for ``cut_after``.
        damaged: pieces that were damaged.
    """

    port: int = 0
    refuses: bool = False
    cut_after: int | None = None
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    damages: int | None = None
    passed: int = 0
    cuts: int = 0
    damaged: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Cut all connections now."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count = 0
        while chunk := await reader.read(_CHUNK):
            count += len(chunk)
            await self.flows.wait()
            if self.cut_after is not None and count > self.cut_after:
                self.cuts += 1
                return
            if self.damages is not None and len(chunk) > self.damages:
                self.damages = None
                self.damaged += 1
                chunk = chunk[:-1] + bytes([chunk[-1] ^ 1])
            writer.write(chunk)
            await writer.drain()
            self.passed += len(chunk)

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()

    async def serve(
        self, to_port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Pass one connection on until either side ends it."""
        if self.refuses:
            writer.transport.abort()
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
        with suppress(OSError, asyncio.CancelledError):
            await proxy.serve(to_port, reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()

"""The HTTP server within our own event loop: sockets, deadlines, its end. Knows no routes.

``uvicorn`` brings the protocol; it sets no signal handlers, no logging and no loop of its own here.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from sfu_wrapper.gateway.rest.app import RestApp, RestParts
from sfu_wrapper.gateway.rest.edge import Edge
from sfu_wrapper.gateway.rest.settings import HttpSettings
from sfu_wrapper.model.errors import Unavailable

_MAX_HEAD_BYTES = 16_384
_BACKLOG = 1024

log = logging.getLogger(__name__)


class HttpServer:
    """A running server. host, port: where it listens, the port that it was given for 0."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        """Its address, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class _Config(uvicorn.Config):
    """The server's own settings beside the library's."""

    def __init__(self, app: ASGIApp, settings: HttpSettings) -> None:
        super().__init__(
            app,
            http=_Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",  # it would say things of its own, and about every port scan
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        )
        self.settings = settings


class _Connection(H11Protocol):
    """A connection that has to bring its next request in time, once it has begun to."""

    _overdue: asyncio.TimerHandle | None = None

    @property
    def _settings(self) -> HttpSettings:
        assert isinstance(self.config, _Config)  # noqa: S101  # made so below
        return self.config.settings

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the library's own
        super().connection_made(transport)
        if len(self.connections) > self._settings.max_connections:
            log.warning("http.tooManyConnections")
            transport.abort()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._at_ease()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """While no request is under way one is due, however slowly it trickles in."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._at_ease()
        elif self._overdue is None:
            self._overdue = self.loop.call_later(self._settings.head_s, self.transport.abort)

    def _at_ease(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None


class _Uvicorn(uvicorn.Server):
    """Leaves signals alone, says when it listens, and ends in time."""

    def __init__(self, config: _Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def end(self, work: "asyncio.Task[None]", within_s: float) -> None:
        """Take no more requests, answer those under way; cut what does not go along."""
        self.should_exit = True
        done, _ = await asyncio.wait({work}, timeout=within_s)
        if not done:
            self.force_exit = True
            for connection in tuple(self.server_state.connections):
                transport: Any = connection.transport
                transport.abort()
            for task in tuple(self.server_state.tasks):
                task.cancel()
            await asyncio.wait({work}, timeout=within_s)


@asynccontextmanager
async def serve_http(settings: HttpSettings, parts: RestParts) -> AsyncIterator[HttpServer]:
    """Serve while the context lasts; at its end requests under way are answered.

    Raises:
        Unavailable: the address cannot be had.
    """
    listener = await _listen(settings)
    app = Edge(RestApp(settings, parts), parts.metrics, settings.request_s)
    server = _Uvicorn(_Config(app, settings))
    async with asyncio.TaskGroup() as group:
        work = group.create_task(server.serve(sockets=[listener]))
        try:
            await server.listening.wait()
            yield HttpServer(settings.host, listener.getsockname()[1])
        finally:
            await server.end(work, settings.stop_s)
            work.cancel()
            listener.close()


async def _listen(settings: HttpSettings) -> socket.socket:
    where = f"{settings.host} port {settings.port}"
    try:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as exc:
        raise Unavailable(f"cannot listen on {where}: {exc.strerror}") from exc
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind(address)
    except OSError as exc:
        listener.close()
        raise Unavailable(f"cannot listen on {where}: {exc.strerror}") from exc
    return listener

"""The HTTP server within our own event loop: sockets, deadlines, its end. Knows no routes.

``uvicorn`` brings the protocol; it sets no signal handlers, no logging and no loop of its own here.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import uvicorn
from h11 import RemoteProtocolError
from h11._receivebuffer import ReceiveBuffer
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from sfu_wrapper.gateway.limits import Refusals
from sfu_wrapper.gateway.lobby import Arrival, Lobby, LobbySettings
from sfu_wrapper.gateway.rest.app import RestApp
from sfu_wrapper.gateway.rest.middleware import EXCHANGE, STATUS, Edge, Exchange
from sfu_wrapper.gateway.settings import HttpSettings
from sfu_wrapper.gateway.shares import Shares
from sfu_wrapper.observe.metrics import Metrics

_MAX_HEAD_BYTES = 16_384
_PIECE_BYTES = 16_384  # read at once of one connection; the system would give 256 KiB
_MAX_HEAD_LINES = (
    128  # each costs the parser some microseconds, before anything is known of its sender
)

# Refused requests of all connections; each takes about a millisecond of the event loop.
_REFUSED_A_SECOND, _REFUSED_AT_ONCE = 200, 400
_LONGEST_WAIT_S = 5.0
_REFUSED, _BROKEN = 400, 500  # the first status of each

log = logging.getLogger(__name__)


class HttpServer:
    """Running server.

    Attributes:
        host: address that it listens on.
        port: port that it listens on; chosen by the system if the settings have 0.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        """Address of the server, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class _Config(uvicorn.Config):
    """Configuration of the library, with the settings of this server."""

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
            h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        )
        self.settings = settings
        self.piece = memoryview(bytearray(_PIECE_BYTES))
        self.refusals = Refusals(_REFUSED_A_SECOND, _REFUSED_AT_ONCE, _LONGEST_WAIT_S)


class _HeadBuffer(ReceiveBuffer):
    """Buffer of the parser that refuses a head of very many lines.

    The parser limits bytes only and has no setting for lines, so this replaces its buffer.
    """

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """Take the lines of a head, or None while it is not whole. Raises RemoteProtocolError."""
        lines = super().maybe_extract_lines()
        if lines is not None and len(lines) > _MAX_HEAD_LINES:
            raise RemoteProtocolError("too many header lines", error_status_hint=431)
        return lines


class _Connection(H11Protocol, asyncio.BufferedProtocol):
    """A connection whose request head is here, and later ones; each phase has its deadline.

    Without a request under way it is one of the strangers of ``shares``: the oldest of them make
    room for new connections. Whatever a peer does with a connection, it ends.
    """

    arrival: Arrival
    shares: Shares
    _overdue: asyncio.TimerHandle | None = None
    _held: asyncio.TimerHandle | None = None
    _phase: object = None  # the request under way; None: between two of them

    @property
    def _settings(self) -> HttpSettings:
        assert isinstance(self.config, _Config)  # noqa: S101  # made so below
        return self.config.settings

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the library's own
        super().connection_made(transport)
        self.conn._receive_buffer = _HeadBuffer()
        self.arrival.ticket.evict = transport.abort
        self.arrival.replay(self.data_received)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the shared buffer, whose bytes are copied before the next read."""
        assert isinstance(self.config, _Config)  # noqa: S101  # made so below
        return self.config.piece

    def buffer_updated(self, nbytes: int) -> None:
        """Take one piece: a connection with a long body goes on in the next round of the loop."""
        self.data_received(bytes(self.get_buffer(nbytes)[:nbytes]))

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        delay_s = self._delay_s()
        if delay_s > 0 and not self.transport.is_closing():
            self.flow.pause_reading()
            self._held = self.loop.call_later(delay_s, self._read_on)
        else:
            super().on_response_complete()
        self._watch()

    def _delay_s(self) -> float:
        """Return how long to leave the next request unread, also one that is here already."""
        assert isinstance(self.config, _Config)  # noqa: S101  # made so below
        status = self.scope["state"].get(STATUS, 0)
        if not _REFUSED <= status < _BROKEN:
            return 0
        return self.config.refusals.delay_s(int(self.loop.time() * 1000))

    def _read_on(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._at_ease()
        if self._held is not None:
            self._held.cancel()
        self.shares.leave(self.arrival.ticket)
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Set the deadline of a phase as it begins: of a request, or of the time until the next."""
        busy = self.cycle is not None and not self.cycle.response_complete
        phase = self.cycle if busy else None
        if phase is self._phase and self._overdue is not None:
            return
        self._phase = phase
        self._at_ease()
        settings = self._settings
        if busy:
            self.shares.identified(self.arrival.ticket)
            within_s = settings.request_s + settings.stop_s  # it is answered before
        else:
            self.shares.unidentified(self.arrival.ticket)
            within_s = settings.head_s
        self._overdue = self.loop.call_later(within_s, self._expire)

    def _expire(self) -> None:
        """Cut the connection, unless its response is a file that goes on at its least pace."""
        exchange = self.cycle.scope["state"].get(EXCHANGE) if self._phase is not None else None
        if isinstance(exchange, Exchange) and exchange.until_s is not None:
            left_s = exchange.until_s + self._settings.stop_s - self.loop.time()
            if left_s > 0:
                self._overdue = self.loop.call_later(left_s, self._expire)
                return
        self.transport.abort()

    def _at_ease(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None


class _Uvicorn(uvicorn.Server):
    """Leaves signals alone, takes its connections from a lobby, and ends in time."""

    def __init__(self, config: _Config) -> None:
        super().__init__(config)
        settings = config.settings
        self._shares = Shares(
            max(settings.max_connections - settings.max_requests, 1),
            settings.max_connections_per_address,
            settings.proxies,
        )
        self._lobby = Lobby(
            LobbySettings(settings.host, settings.port, settings.head_s, _MAX_HEAD_BYTES),
            self._shares,
            self._connection,
        )

    async def open(self) -> int:
        """Listen. Returns the port. Raises Unavailable if the address is in use."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.on_tick(0)  # the headers of every answer
        return await self._lobby.open()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.servers = [cast("asyncio.Server", self._lobby)]  # closed at the end, as theirs are
        self.started = True

    def _connection(self, arrival: Arrival) -> _Connection:
        connection = _Connection(self.config, self.server_state, app_state={})
        connection.arrival, connection.shares = arrival, self._shares
        return connection

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
async def serve_http(
    settings: HttpSettings, routes: RestApp, metrics: Metrics
) -> AsyncIterator[HttpServer]:
    """Serve while the context lasts; at its end requests under way are answered.

    Raises:
        Unavailable: the address is in use or not of this host.
    """
    app = Edge(routes, metrics, settings.request_s, settings.max_requests)
    server = _Uvicorn(_Config(app, settings))
    port = await server.open()
    async with asyncio.TaskGroup() as group:
        work = group.create_task(server.serve())
        try:
            yield HttpServer(settings.host, port)
        finally:
            await server.end(work, settings.stop_s)
            work.cancel()

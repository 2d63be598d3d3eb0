"""WebSocket transport on the ``websockets`` library: handshakes, bounded reading, shutdown.

What enters: sockets whose request head is complete (``lobby``). ``Listening`` makes a
``Connection`` of each, has ``check`` decide on the handshake, and awaits ``handler`` with an
accepted connection until that returns. What leaves: messages, by iterating the connection. The
handler calls ``yield_to_loop`` after each message. The transport knows nothing of the protocol
inside, so the settings of the library can be tested alone.

Reading rule: a connection is read in small pieces, and each frame or KiB costs a token of the
connection's bucket. While the bucket is overdrawn the socket is not read, so a peer that floods
slows down its own network and takes neither the event loop nor memory from others. The library
alone would answer pings without limit and read all that the system has.
"""

import asyncio
import logging
import math
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Self, cast

from websockets.asyncio.server import Server, ServerConnection
from websockets.http11 import Request, Response
from websockets.protocol import Event, State
from websockets.server import ServerProtocol

from sfu_wrapper.gateway.auth import Admitted, Path, Rejected
from sfu_wrapper.gateway.limits import Errands, TokenBucket, Turns
from sfu_wrapper.gateway.lobby import Arrival, Lobby, LobbySettings
from sfu_wrapper.gateway.settings import KIB, GatewaySettings
from sfu_wrapper.gateway.shares import Shares

_PIECE_BYTES = KIB  # of an untrusted peer; 170 of the smallest frames
_TRUSTED_PIECE_BYTES = 4 * KIB
_SLACK = 3  # frames a request: fragments, pings, pongs
_LONGEST_DEBT_S = 5.0
_TRUSTED_MESSAGES_A_TURN = 4  # of many clients
_TURNS_A_ROUND = 2
_DEPARTURES_A_ROUND = 2  # each wakes three tasks and ends the requests of its client
_TRY_AGAIN_LATER = 1013


@dataclass(slots=True)
class ReadLimits:
    """Limits of reading that all connections of one server share.

    Attributes:
        settings: limits of one connection.
        shares: places of connections; strangers are those without an identity.
        sockets: open connections, admitted or not.
        turns: bound on the messages handled in one round of the event loop.
        departures: clean-up of lost connections, of which a network failure takes thousands.
        buffer: memory that all connections read into, one at a time.
    """

    settings: GatewaySettings
    shares: Shares = field(init=False)
    sockets: "set[Connection]" = field(default_factory=set)
    turns: Turns = field(default_factory=lambda: Turns(_TURNS_A_ROUND))
    departures: Errands = field(default_factory=lambda: Errands(_DEPARTURES_A_ROUND))
    buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(_TRUSTED_PIECE_BYTES)))

    def __post_init__(self) -> None:
        """Create the shares by the settings."""
        settings = self.settings
        self.shares = Shares(
            settings.max_unauthenticated, settings.max_connections_per_address, settings.proxies
        )

    def pace(self) -> TokenBucket:
        """Return the bucket of one connection: a token is a frame, or a KiB of a longer one."""
        settings = self.settings
        return TokenBucket(_SLACK * settings.requests_per_second, _SLACK * settings.requests_burst)


class Connection(ServerConnection, asyncio.BufferedProtocol):
    """Connection that is read at a bounded pace.

    Attributes:
        admitted: result of the handshake.
        limits: read limits that all connections share.
        arrival: the accepted socket, with the bytes that were read before the handshake.
        trusted: True for a gateway and the room service, which are read at any rate.
    """

    admitted: Admitted
    limits: ReadLimits
    arrival: Arrival
    trusted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read the request that the lobby has received."""
        super().connection_made(transport)
        self._pace = self.limits.pace()
        self._frames = 0
        self._messages = 0
        self._held: asyncio.TimerHandle | None = None
        self.recv_messages.resume = self._read_on
        self.limits.sockets.add(self)
        self.arrival.ticket.evict = self._evict
        self.limits.shares.unidentified(self.arrival.ticket)
        self.arrival.replay(self.data_received)

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the place of the connection, and end its work in a later round."""
        self.limits.sockets.discard(self)
        self.limits.shares.leave(self.arrival.ticket)
        if self._held is not None:
            self._held.cancel()
        self.limits.departures.add(partial(self._depart, exc))

    def _depart(self, exc: Exception | None) -> None:
        """Notify the library and the handler that the connection is lost."""
        super().connection_lost(exc)
        self._break_cycles()

    def _break_cycles(self) -> None:
        """Remove references back to this object, so that its memory is freed at once.

        The garbage collector, which would free cycles later, pauses the event loop for longer the
        more connections there are.
        """
        self.recv_messages.resume = self.transport.resume_reading
        self.arrival.ticket.evict = self.transport.abort
        self.protocol.parser.close()
        for error in (self.protocol.parser_exc, self.protocol.handshake_exc):
            if error is not None:
                error.__traceback__ = None

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the shared buffer, whose bytes are copied before the next read."""
        return self.limits.buffer[: _TRUSTED_PIECE_BYTES if self.trusted else _PIECE_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        """Handle the bytes in the buffer, and charge them."""
        self._frames = 0
        self.data_received(bytes(self.limits.buffer[:nbytes]))
        if not self.trusted:
            self._charge(max(self._frames, nbytes / KIB))

    def process_event(self, event: Event) -> None:
        """Count a complete frame."""
        self._frames += 1
        super().process_event(event)

    @property
    def peer(self) -> str:
        """Address at the other end of the socket."""
        name = self.transport.get_extra_info("peername")
        return str(name[0]).partition("%")[0] if name else ""

    def come_from(self, client: str | None) -> bool:
        """Count this connection under the client that its proxy named.

        Returns:
            False if the client has its share of connections already.
        """
        return client is None or self.limits.shares.behind_proxy(self.arrival.ticket, client)

    def authenticated(self) -> None:
        """Free the place among the connections without an identity."""
        self.limits.shares.identified(self.arrival.ticket)

    async def yield_to_loop(self) -> None:
        """Wait for a turn: the next message may be here already and would come without waiting."""
        self._messages += 1
        if not self.trusted:
            await self.limits.turns.take()
        elif self._messages % _TRUSTED_MESSAGES_A_TURN == 0:
            await self.limits.turns.take(_TRUSTED_MESSAGES_A_TURN)

    async def send_together(self, messages: Sequence[bytes]) -> None:
        """Send text messages, UTF-8, with one write to the socket. Raises ConnectionClosed."""
        async with self.send_context():
            for message in messages:
                self.protocol.send_text(message)
            self.protocol.writes = [b"".join(self.protocol.writes)]

    def _evict(self) -> None:
        """Abort the connection in favour of another; with a close frame if the socket takes it."""
        if self.protocol.state is State.OPEN and not self.transport.get_write_buffer_size():
            self.protocol.fail(_TRY_AGAIN_LATER, "too many connections without a token")
            for data in self.protocol.data_to_send():
                self.transport.write(data)
        self.transport.abort()

    def _charge(self, cost: float) -> None:
        """Take tokens for the bytes that were read; pause reading while the bucket is overdrawn."""
        now_ms = math.floor(self.loop.time() * 1000)
        self._pace.wait_ms(now_ms)
        longest = _LONGEST_DEBT_S * _SLACK * self.limits.settings.requests_per_second
        self._pace.take(min(cost, longest))
        wait_ms = self._pace.wait_ms(now_ms)
        if wait_ms > 0 and self._held is None and not self.transport.is_closing():
            self.transport.pause_reading()
            self._held = self.loop.call_later(wait_ms / 1000, self._resume_reading)

    def _resume_reading(self) -> None:
        self._held = None
        if not self.recv_messages.paused:
            self._read_on()

    def _read_on(self) -> None:
        """Read again unless tokens are owed; the library calls it when messages were taken."""
        if self._held is None and not self.transport.is_closing():
            self.transport.resume_reading()


# The library would log headers, tokens included, and a traceback for every port scan.
_library_log = logging.getLogger(f"{__name__}.websockets")
_library_log.setLevel(logging.CRITICAL)

log = logging.getLogger(__name__)

_UNREAD = 4  # frames that wait for the handler, before no more are read
_HANDSHAKE_S = 10.0  # for our response to leave; the request has arrived
_SHUTDOWN_CODE = 1001

Handler = Callable[[Connection], Awaitable[None]]
CheckHandshake = Callable[[Connection, Request], Admitted | Rejected]


class Listening:
    """Running server, closed at the end of its context.

    The library's connections use it as their ``Server``, whose ``handler`` they call.
    """

    def __init__(self, limits: ReadLimits, handler: Handler, check: CheckHandshake) -> None:
        settings = limits.settings
        self._limits = limits
        self._handler = handler
        self._check_handshake = check
        self._lobby = Lobby(
            LobbySettings(settings.host, settings.port, settings.head_s, settings.max_head_bytes),
            limits.shares,
            self._connection,
        )
        self.handler_tasks: set[asyncio.Task[None]] = set()  # kept by the library's connections
        self._closing: list[asyncio.Task[None]] = []
        self.port = settings.port

    async def __aenter__(self) -> Self:
        """Return the running server."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the server."""
        self.close()
        await self.wait_closed()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """Listening sockets."""
        return self._lobby.sockets

    def is_serving(self) -> bool:
        """Return True while the server accepts connections."""
        return self._lobby.is_serving()

    async def start(self) -> None:
        """Listen. Raises Unavailable: the address is in use or not of this host."""
        self.port = await self._lobby.open()

    def close(self) -> None:
        """Stop accepting connections, and close every WebSocket with 1001."""
        self._lobby.close()
        self._closing = [
            asyncio.create_task(connection.close(_SHUTDOWN_CODE))
            for connection in self._limits.sockets
            if connection.protocol.state is State.OPEN
        ]

    async def wait_closed(self) -> None:
        """Wait until every connection is closed and its handler has returned."""
        await self._lobby.wait_closed()
        waiting = {*self._closing, *self.handler_tasks}
        if waiting:
            await asyncio.wait(waiting)

    async def handler(self, connection: ServerConnection) -> None:
        """Answer the handshake of a connection, and handle it; called by the connection."""
        ours = cast("Connection", connection)
        try:
            async with asyncio.timeout(_HANDSHAKE_S):
                await connection.handshake(self._admit, server_header=None)
            if connection.protocol.state is not State.OPEN:
                connection.transport.abort()
                return
            connection.start_keepalive()
            async with connection:
                await self._handler(ours)
        except Exception:
            connection.transport.abort()
        finally:
            self.handler_tasks.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _connection(self, arrival: Arrival) -> Connection:
        settings = self._limits.settings
        protocol = ServerProtocol(max_size=settings.max_message_bytes, logger=_library_log)
        connection = Connection(
            protocol,
            cast("Server", self),
            ping_interval=settings.ping_interval_s,
            max_queue=_UNREAD,
        )
        connection.limits, connection.arrival = self._limits, arrival
        return connection

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        ours = cast("Connection", connection)
        verdict = self._check_handshake(ours, request)
        if isinstance(verdict, Rejected):
            log.info("gateway.handshake.rejected", extra={"status": verdict.status.value})
            response = connection.respond(verdict.status, verdict.reason + "\n")
            if verdict.status is HTTPStatus.UNAUTHORIZED:
                response.headers["WWW-Authenticate"] = "Bearer"
            return response
        ours.admitted = verdict
        if verdict.identity is not None:
            ours.authenticated()
        if verdict.path is Path.GATEWAY:
            connection.protocol.max_message_size = self._limits.settings.max_gateway_frame_bytes
        return None


async def listen(limits: ReadLimits, handler: Handler, check: CheckHandshake) -> Listening:
    """Listen on the address of the settings.

    Args:
        limits: read limits, with the settings.
        handler: awaited with each accepted connection.
        check: decides on a handshake, before any message is read.

    Raises:
        Unavailable: the address is in use or not of this host.
    """
    server = Listening(limits, handler, check)
    await server.start()
    return server

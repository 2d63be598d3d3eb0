"""A WebSocket server with our settings, whatever is spoken over it.

``lobby`` accepts sockets and reads the request of each; what is here makes a WebSocket of one whose
request is complete, and ends them all. Apart from the server of the gateway, so that the settings
alone can be put to the test.

The bytes of one WebSocket on their way in: how many at a time, and how fast.

The library answers pings by itself, and takes whatever the system has for it in one piece; a peer
that floods could so keep the loop to itself, and memory with it if it does not read. Here it is
read in small pieces, and not at all while it owes for what it has sent: its own network slows
down, nobody else. Knows nothing of messages.
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

_PIECE_BYTES = KIB  # of somebody who is not trusted; 170 of the smallest frames
_TRUSTED_PIECE_BYTES = 4 * KIB
_SLACK = 3  # frames a request: fragments, pings, pongs
_LONGEST_DEBT_S = 5.0
_TRUSTED_MESSAGES_A_TURN = 4  # of many clients
_TURNS_A_ROUND = 4
_DEPARTURES_A_ROUND = 2  # each wakes three tasks and ends what its client had begun
_TRY_AGAIN_LATER = 1013


@dataclass(slots=True)
class ReadLimits:
    """What all connections of one server share.

    Attributes:
        shares: places of connections; their strangers have no identity yet.
        sockets: connections that are open, admitted or not.
        turns: in which their messages are handled.
        departures: what ends with connections that are lost: a network takes thousands at once.
    """

    settings: GatewaySettings
    shares: Shares = field(init=False)
    sockets: "set[Connection]" = field(default_factory=set)
    turns: Turns = field(default_factory=lambda: Turns(_TURNS_A_ROUND))
    departures: Errands = field(default_factory=lambda: Errands(_DEPARTURES_A_ROUND))
    buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(_TRUSTED_PIECE_BYTES)))

    def __post_init__(self) -> None:
        """Make the places that the settings give."""
        settings = self.settings
        self.shares = Shares(
            settings.max_unauthenticated, settings.max_connections_per_address, settings.proxies
        )

    def pace(self) -> TokenBucket:
        """How fast somebody is read: a token is a frame, or a KiB of a longer one."""
        settings = self.settings
        return TokenBucket(_SLACK * settings.requests_per_second, _SLACK * settings.requests_burst)


class Connection(ServerConnection, asyncio.BufferedProtocol):
    """A connection that is read at a bounded pace, and remembers what its handshake came to.

    trusted: read as fast as it sends: a gateway, the room service.
    """

    admitted: Admitted
    intake: ReadLimits
    arrival: Arrival
    trusted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read the request that has arrived already."""
        super().connection_made(transport)
        self._pace = self.intake.pace()
        self._frames = 0
        self._messages = 0
        self._held: asyncio.TimerHandle | None = None
        self.recv_messages.resume = self._read_on
        self.intake.sockets.add(self)
        self.arrival.ticket.evict = self._make_room
        self.intake.shares.unidentified(self.arrival.ticket)
        self.arrival.replay(self.data_received)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up the place of the connection."""
        self.intake.sockets.discard(self)
        self.intake.shares.leave(self.arrival.ticket)
        if self._held is not None:
            self._held.cancel()
        self.intake.departures.add(partial(self._depart, exc))

    def _depart(self, exc: Exception | None) -> None:
        """Tell all who work for this connection that it is gone."""
        super().connection_lost(exc)
        self._untie()

    def _untie(self) -> None:
        """Let go of what leads back here, so that memory is free as soon as nobody looks any more.

        Cycles would be left to the garbage collector, which holds up everybody for longer the more
        connections there are.
        """
        self.recv_messages.resume = self.transport.resume_reading
        self.arrival.ticket.evict = self.transport.abort
        self.protocol.parser.close()
        for error in (self.protocol.parser_exc, self.protocol.handshake_exc):
            if error is not None:
                error.__traceback__ = None

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read into; what is read is copied before anybody else reads."""
        return self.intake.buffer[: _TRUSTED_PIECE_BYTES if self.trusted else _PIECE_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        """Something was read."""
        self._frames = 0
        self.data_received(bytes(self.intake.buffer[:nbytes]))
        if not self.trusted:
            self._charge(max(self._frames, nbytes / KIB))

    def process_event(self, event: Event) -> None:
        """A frame is complete."""
        self._frames += 1
        super().process_event(event)

    @property
    def peer(self) -> str:
        """The address at the other end of the socket."""
        name = self.transport.get_extra_info("peername")
        return str(name[0]).partition("%")[0] if name else ""

    def come_from(self, client: str | None) -> bool:
        """Count this connection under its client, as its proxy named it.

        Returns:
            False where that client has its share of connections already.
        """
        return client is None or self.intake.shares.behind_proxy(self.arrival.ticket, client)

    def authenticated(self) -> None:
        """Leave the places that connections without an identity share."""
        self.intake.shares.identified(self.arrival.ticket)

    async def turn(self) -> None:
        """Let others go on: messages that are here already come without waiting."""
        self._messages += 1
        if not self.trusted:
            await self.intake.turns.take()
        elif self._messages % _TRUSTED_MESSAGES_A_TURN == 0:
            await self.intake.turns.take(_TRUSTED_MESSAGES_A_TURN)

    async def send_together(self, messages: Sequence[bytes]) -> None:
        """Send text messages, UTF-8, with one write to the socket. Raises ConnectionClosed."""
        async with self.send_context():
            for message in messages:
                self.protocol.send_text(message)
            self.protocol.writes = [b"".join(self.protocol.writes)]

    def _make_room(self) -> None:
        """End at once in favour of another: with a reason where it leaves without waiting."""
        if self.protocol.state is State.OPEN and not self.transport.get_write_buffer_size():
            self.protocol.fail(_TRY_AGAIN_LATER, "too many connections without a token")
            for data in self.protocol.data_to_send():
                self.transport.write(data)
        self.transport.abort()

    def _charge(self, cost: float) -> None:
        """Count what was read; do not read on before it is paid for."""
        now_ms = math.floor(self.loop.time() * 1000)
        self._pace.wait_ms(now_ms)
        longest = _LONGEST_DEBT_S * _SLACK * self.intake.settings.requests_per_second
        self._pace.take(min(cost, longest))
        wait_ms = self._pace.wait_ms(now_ms)
        if wait_ms > 0 and self._held is None and not self.transport.is_closing():
            self.transport.pause_reading()
            self._held = self.loop.call_later(wait_ms / 1000, self._paid)

    def _paid(self) -> None:
        self._held = None
        if not self.recv_messages.paused:
            self._read_on()

    def _read_on(self) -> None:
        """Read again, unless it still owes; also called when its messages were taken."""
        if self._held is None and not self.transport.is_closing():
            self.transport.resume_reading()


# The library would log headers, tokens included, and a traceback for every port scan.
_library_log = logging.getLogger(f"{__name__}.websockets")
_library_log.setLevel(logging.CRITICAL)

log = logging.getLogger(__name__)

_UNREAD = 4  # frames that are here and not looked at, before no more are read
_HANDSHAKE_S = 10.0  # for our answer to leave; the request is here already
_GOING_AWAY = 1001

Handler = Callable[[Connection], Awaitable[None]]
Judge = Callable[[Connection, Request], Admitted | Rejected]


class Listening:
    """A running server; at the end of the context it is closed.

    To the library's connections it is the ``Server`` that they ask who handles them.
    """

    def __init__(self, intake: ReadLimits, handler: Handler, judge: Judge) -> None:
        settings = intake.settings
        self._intake = intake
        self._handler = handler
        self._judge = judge
        self._lobby = Lobby(
            LobbySettings(settings.host, settings.port, settings.head_s, settings.max_head_bytes),
            intake.shares,
            self._connection,
        )
        self.handler_tasks: set[asyncio.Task[None]] = set()  # kept by the library's connections
        self._closing: list[asyncio.Task[None]] = []
        self.port = settings.port

    async def __aenter__(self) -> Self:
        """Return the server, which runs already."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the server."""
        self.close()
        await self.wait_closed()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets."""
        return self._lobby.sockets

    def is_serving(self) -> bool:
        """Return True while new connections are accepted."""
        return self._lobby.is_serving()

    async def start(self) -> None:
        """Listen. Raises Unavailable where the address cannot be had."""
        self.port = await self._lobby.open()

    def close(self) -> None:
        """Accept nothing more, and close every WebSocket with 1001."""
        self._lobby.close()
        self._closing = [
            asyncio.create_task(connection.close(_GOING_AWAY))
            for connection in self._intake.sockets
            if connection.protocol.state is State.OPEN
        ]

    async def wait_closed(self) -> None:
        """Wait until every connection is gone and its handler has returned."""
        await self._lobby.wait_closed()
        waiting = {*self._closing, *self.handler_tasks}
        if waiting:
            await asyncio.wait(waiting)

    async def handler(self, connection: ServerConnection) -> None:
        """Answer one handshake, and have the connection handled; called by the connection."""
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
        settings = self._intake.settings
        protocol = ServerProtocol(max_size=settings.max_message_bytes, logger=_library_log)
        connection = Connection(
            protocol,
            cast("Server", self),
            ping_interval=settings.ping_interval_s,
            max_queue=_UNREAD,
        )
        connection.intake, connection.arrival = self._intake, arrival
        return connection

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        ours = cast("Connection", connection)
        verdict = self._judge(ours, request)
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
            connection.protocol.max_message_size = self._intake.settings.max_gateway_frame_bytes
        return None


async def listen(intake: ReadLimits, handler: Handler, judge: Judge) -> Listening:
    """Listen where the settings say.

    Args:
        judge: decides on a handshake, before any message can be read.

    Raises:
        Unavailable: the address cannot be had.
    """
    server = Listening(intake, handler, judge)
    await server.start()
    return server

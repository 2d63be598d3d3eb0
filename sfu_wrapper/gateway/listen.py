"""A WebSocket server with our settings, whatever is spoken over it.

``lobby`` accepts sockets and reads the request of each; what is here makes a WebSocket of one whose
request is complete, and ends them all. Apart from the server of the gateway, so that the settings
alone can be put to the test.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Self, cast

from websockets.asyncio.server import Server, ServerConnection
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from sfu_wrapper.gateway.connection import Connection, Intake
from sfu_wrapper.gateway.handshake import Admitted, Path, Rejected
from sfu_wrapper.gateway.lobby import Arrival, Lobby, LobbySettings

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

    def __init__(self, intake: Intake, handler: Handler, judge: Judge) -> None:
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


async def listen(intake: Intake, handler: Handler, judge: Judge) -> Listening:
    """Listen where the settings say.

    Args:
        judge: decides on a handshake, before any message can be read.

    Raises:
        Unavailable: the address cannot be had.
    """
    server = Listening(intake, handler, judge)
    await server.start()
    return server

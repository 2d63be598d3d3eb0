"""The WebSocket server: sockets, time and tasks around the links, which do the talking.

One reader and one writer a connection. No connection waits for another one.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Protocol

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request

from sfu_wrapper.gateway.auth import Admitted, Authenticator, Path, Rejected, check_handshake
from sfu_wrapper.gateway.client_link import ClientLink
from sfu_wrapper.gateway.expiry import Alarms
from sfu_wrapper.gateway.gateway_link import GatewayLink
from sfu_wrapper.gateway.limits import Limits
from sfu_wrapper.gateway.send_queue import Outgoing, SendQueue
from sfu_wrapper.gateway.session import GatewayContext, MediaContext
from sfu_wrapper.gateway.settings import GatewaySettings
from sfu_wrapper.gateway.transport import Connection, Listening, ReadLimits, listen
from sfu_wrapper.gateway.webrtc_session import MediaSession
from sfu_wrapper.model.identity import Identity
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.rooms.sessions import RoomsApi

log = logging.getLogger(__name__)

_SHUTDOWN_S = 5.0  # how long peers get to agree to the end; then their sockets are cut


class _Link(Protocol):
    """What both links have in common."""

    @property
    def due_ms(self) -> int | None: ...
    @property
    def trusted(self) -> bool: ...
    @property
    def max_bytes(self) -> int: ...
    @property
    def identified(self) -> bool: ...
    def open(self) -> list[Outgoing]: ...
    def feed(self, messages: tuple[str | bytes], /) -> list[Outgoing]: ...
    def take(self) -> list[Outgoing]: ...
    def tick(self) -> list[Outgoing]: ...
    def close_some(self) -> bool: ...
    def close(self) -> None: ...


class GatewayServer:
    """A running server.

    host, port: where it listens, the port that it was given where the settings say 0.
    """

    def __init__(self, gate: GatewayContext) -> None:
        self._gate = gate
        self._open: set[Connection] = set()
        self._intake = ReadLimits(gate.settings)
        self._alarms = Alarms(gate.clock)
        self.host = gate.settings.host
        self.port = gate.settings.port

    @property
    def connections(self) -> int:
        """How many WebSockets are open."""
        return len(self._open)

    @property
    def strangers(self) -> int:
        """Number of connections without an identity, sockets without a request included."""
        return self._intake.shares.strangers

    async def start(self) -> Listening:
        """Listen. Raises Unavailable where the address cannot be had."""
        server = await listen(self._intake, self._handle, self._judge)
        self.port = server.port
        return server

    async def stop(self, server: Listening) -> None:
        """Close every connection with 1001; those that do not go along are cut."""
        server.close()
        try:
            async with asyncio.timeout(_SHUTDOWN_S):
                await server.wait_closed()
        except TimeoutError:
            for connection in list(self._intake.sockets):
                connection.transport.abort()
            await server.wait_closed()

    def _judge(self, connection: Connection, request: Request) -> Admitted | Rejected:
        settings = self._gate.settings
        forwarded = request.headers.get_all("X-Forwarded-For")
        if not connection.come_from(settings.proxies.client(connection.peer, forwarded)):
            return Rejected(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections of this address")
        verdict = check_handshake(request.path, request.headers, settings, self._gate.authenticator)
        if not isinstance(verdict, Admitted):
            return verdict
        if verdict.path is Path.MEDIA and self._gate.media is None:
            return Rejected(HTTPStatus.NOT_FOUND, "no media are carried here")
        most = settings.max_connections + settings.reserved_connections * verdict.is_vital
        if len(self._open) >= most:
            return Rejected(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")
        return verdict

    async def _handle(self, connection: Connection) -> None:
        """Feed the messages of a connection to its link until the connection is gone."""
        link, queue = self._open_link(connection)
        alarm = self._alarms.of(link, queue.put)
        self._open.add(connection)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(queue.run())
                try:
                    queue.put(link.open())
                    alarm.set()
                    _note(connection, link)
                    async for message in connection:
                        queue.put(link.feed((message,)))
                        alarm.set()
                        _note(connection, link)
                        await queue.room()
                        await connection.turn()
                except ConnectionClosed:
                    pass  # without a closing handshake: a client's network may fail at any time
                except Exception:
                    log.exception("gateway.connection.broke")
                    raise
                finally:
                    alarm.cancel()
                    queue.finish()
                    await self._let_go(link)
        finally:
            self._open.discard(connection)
            is_gateway = connection.admitted.path is Path.GATEWAY
            log.debug("gateway.connection.closed", extra={"gateway": is_gateway})

    def _open_link(self, connection: Connection) -> tuple[_Link, SendQueue]:
        """Return the link that the path of a connection names, and the queue that it sends to."""
        admitted = connection.admitted
        is_gateway = admitted.path is Path.GATEWAY
        settings = self._gate.settings
        limit = settings.gateway_queue_bytes if is_gateway else settings.client_queue_bytes
        queue = SendQueue(connection, limit, settings.slow_client_s)
        link: _Link

        def flush() -> None:
            queue.put(link.take())

        match admitted.path:
            case Path.GATEWAY:
                link = GatewayLink(self._gate, _identified(admitted), flush)
            case Path.CLIENT:
                link = ClientLink(self._gate, admitted.identity, flush)
            case Path.MEDIA:
                link = ClientLink(self._gate, admitted.identity, flush, MediaSession)
        log.debug("gateway.connection.opened", extra={"gateway": is_gateway})
        return link, queue

    async def _let_go(self, link: _Link) -> None:
        """End the clients of a link, which may have thousands, a few in each turn."""
        try:
            while link.close_some():
                await self._intake.turns.take()
        finally:
            link.close()


def _identified(admitted: Admitted) -> Identity:
    """Return the bearer of the handshake's token; a gateway has to bring one."""
    assert admitted.identity is not None  # noqa: S101  # ``check_handshake`` let it in for its role
    return admitted.identity


def _note(connection: Connection, link: _Link) -> None:
    """Tell the connection what the link knows by now of its peer."""
    connection.trusted = link.trusted
    connection.protocol.max_message_size = link.max_bytes
    if link.identified:
        connection.authenticated()


@asynccontextmanager
async def serve(
    settings: GatewaySettings,
    rooms: RoomsApi,
    authenticator: Authenticator,
    clock: Clock,
    media: MediaContext | None = None,
) -> AsyncIterator[GatewayServer]:
    """Listen while the context lasts; at its end all connections are closed with 1001.

    media: for ``/media``; None where nobody's media are carried.

    Raises:
        Unavailable: the address cannot be had.
    """
    gate = GatewayContext(settings, rooms, authenticator, clock, Limits(settings), media)
    server = GatewayServer(gate)
    listening = await server.start()
    try:
        yield server
    finally:
        await server.stop(listening)

"""WebSocket server: sockets, timers and tasks around the links, which speak the protocol.

``transport`` accepts a connection and calls ``_admit`` with its handshake, then ``_handle``.
``_handle`` makes the link that the path names and feeds it each message; frames that the link
returns go to the connection's ``SendQueue``. Each connection has one reader and one writer task,
so no connection waits for another one. An ``Alarm`` calls ``tick`` of a link at its ``due_ms``.
Thousands of tokens may expire in the same second: alarms of one server ring a bounded number at a
time, in one round of the event loop.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Protocol

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request

from sfu_wrapper.gateway.auth import Admitted, Authenticator, Path, Rejected, check_handshake
from sfu_wrapper.gateway.client_link import ClientLink
from sfu_wrapper.gateway.gateway_link import GatewayLink
from sfu_wrapper.gateway.limits import Errands, Limits
from sfu_wrapper.gateway.send_queue import Outgoing, SendQueue
from sfu_wrapper.gateway.session import GatewayContext, MediaContext
from sfu_wrapper.gateway.settings import GatewaySettings
from sfu_wrapper.gateway.transport import Connection, Listening, ReadLimits, listen
from sfu_wrapper.gateway.webrtc_session import MediaSession
from sfu_wrapper.model.identity import Identity
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.rooms.sessions import RoomsApi

log = logging.getLogger(__name__)

_SHUTDOWN_S = 5.0  # for closing handshakes; then the sockets are aborted
_RINGS_A_TURN = 16


class Ticking(Protocol):
    """Link with a deadline."""

    @property
    def due_ms(self) -> int | None:
        """Monotonic time in ms at which to call ``tick``; None: never."""
        ...

    def tick(self) -> list[Outgoing]:
        """Handle the deadlines that are reached. Returns the frames to send."""
        ...


class Alarms:
    """The alarms of all connections of one server."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._ringing = Errands(_RINGS_A_TURN)

    def of(self, link: Ticking, put: Callable[[list[Outgoing]], None]) -> "Alarm":
        """Return the alarm of one link. put: sends what its ticks return."""
        return Alarm(self, link, put)

    def ring(self, alarm: "Alarm") -> None:
        """Ring an alarm in its turn."""
        self._ringing.add(alarm.ring)


class Alarm:
    """Calls ``tick`` of a link when it is due."""

    def __init__(
        self, alarms: Alarms, link: Ticking, put: Callable[[list[Outgoing]], None]
    ) -> None:
        self._alarms = alarms
        self._link = link
        self._put = put
        self._due_ms: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self) -> None:
        """Set the timer to the present deadline of the link."""
        due_ms = self._link.due_ms
        if due_ms == self._due_ms:
            return
        self.cancel()
        self._due_ms = due_ms
        if due_ms is not None:
            delay_s = (due_ms - self._alarms.clock.now().mono_ms) / 1000
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(delay_s, 0), self._alarms.ring, self)

    def cancel(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._due_ms = None

    def ring(self) -> None:
        """Call ``tick``, unless the alarm was cancelled since it was due."""
        if self._timer is None:
            return
        self.cancel()
        self._put(self._link.tick())
        self.set()


class _Link(Ticking, Protocol):
    """Common interface of the links."""

    @property
    def trusted(self) -> bool: ...
    @property
    def max_bytes(self) -> int: ...
    @property
    def identified(self) -> bool: ...
    def open(self) -> list[Outgoing]: ...
    def feed(self, messages: tuple[str | bytes], /) -> list[Outgoing]: ...
    def take(self) -> list[Outgoing]: ...
    def close_some(self) -> bool: ...
    def close(self) -> None: ...


class GatewayServer:
    """Running server.

    Attributes:
        host: address that it listens on.
        port: port that it listens on; chosen by the system if the settings have 0.
    """

    def __init__(self, gate: GatewayContext) -> None:
        self._gate = gate
        self._open: set[Connection] = set()
        self._reads = ReadLimits(gate.settings)
        self._alarms = Alarms(gate.clock)
        self.host = gate.settings.host
        self.port = gate.settings.port

    @property
    def connections(self) -> int:
        """Number of open WebSockets."""
        return len(self._open)

    @property
    def strangers(self) -> int:
        """Number of connections without an identity, sockets without a request included."""
        return self._reads.shares.strangers

    async def start(self) -> Listening:
        """Listen. Raises Unavailable: the address is in use or not of this host."""
        server = await listen(self._reads, self._handle, self._admit)
        self.port = server.port
        return server

    async def stop(self, server: Listening) -> None:
        """Close every connection with 1001; abort those that do not answer in time."""
        server.close()
        try:
            async with asyncio.timeout(_SHUTDOWN_S):
                await server.wait_closed()
        except TimeoutError:
            for connection in list(self._reads.sockets):
                connection.transport.abort()
            await server.wait_closed()

    def _admit(self, connection: Connection, request: Request) -> Admitted | Rejected:
        settings = self._gate.settings
        forwarded = request.headers.get_all("X-Forwarded-For")
        if not connection.come_from(settings.proxies.client(connection.peer, forwarded)):
            return Rejected(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many connections from this address"
            )
        verdict = check_handshake(request.path, request.headers, settings, self._gate.authenticator)
        if not isinstance(verdict, Admitted):
            return verdict
        if verdict.path is Path.MEDIA and self._gate.media is None:
            return Rejected(HTTPStatus.NOT_FOUND, "/media is not served here")
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
                        await queue.wait_until_writable()
                        await connection.yield_to_loop()
                except ConnectionClosed:
                    pass  # without a closing handshake: a client's network may fail at any time
                except Exception:
                    log.exception("gateway.connectionFailed")
                    raise
                finally:
                    alarm.cancel()
                    queue.finish()
                    await self._release(link)
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

    async def _release(self, link: _Link) -> None:
        """End the clients of a link, which may have thousands, a few in each round."""
        try:
            while link.close_some():
                await self._reads.turns.take()
        finally:
            link.close()


def _identified(admitted: Admitted) -> Identity:
    """Return the bearer of the handshake's token, which a gateway always has."""
    assert admitted.identity is not None  # noqa: S101  # ``check_handshake`` let it in for its role
    return admitted.identity


def _note(connection: Connection, link: _Link) -> None:
    """Update the read limits of the connection by what the link knows of its peer."""
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

    Args:
        settings: address and limits.
        rooms: handles requests about rooms.
        authenticator: verifies tokens.
        clock: times of rate limits and of the expiry of tokens.
        media: for ``/media``; None: the media plane carries no media of browsers.

    Raises:
        Unavailable: the address is in use or not of this host.
    """
    gate = GatewayContext(settings, rooms, authenticator, clock, Limits(settings), media)
    server = GatewayServer(gate)
    listening = await server.start()
    try:
        yield server
    finally:
        await server.stop(listening)

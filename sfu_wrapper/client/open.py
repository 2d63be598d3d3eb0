"""Connections for clients: one socket for one user, or one for many behind a gateway."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from websockets.exceptions import ConnectionClosed

from sfu_wrapper.client.client import Client, ClientOptions, Closed
from sfu_wrapper.client.connection import Connection, RequestRefused, Send, Token
from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.model.errors import Code, RecordingError, Unavailable
from sfu_wrapper.model.identity import DomainId, UserId
from sfu_wrapper.wire.gateway_frames import (
    Carry,
    Closing,
    Fault,
    Vouched,
    connect_frame,
    disconnect_frame,
    message_frame,
    read_at_gateway,
    renewal_frame,
)

FIRST_S = 10.0  # within which the first connection must be open
DEFAULT = ClientOptions()


@asynccontextmanager
async def connect(
    url: str,
    *,
    token: Token,
    options: ClientOptions = DEFAULT,
    pauses: Backoff | None = None,
) -> AsyncIterator[Client]:
    """Connect one user while the context lasts.

    Args:
        url: address of the controller, such as ``ws://127.0.0.1:8765``.
        token: its token, or a function that returns a valid one for each attempt.
        options: deadlines and limits.
        pauses: between attempts; default: 0.5 s, 1 s, 2 s … 10 s, shortened at random.

    Raises:
        RequestRefused: the token is refused.
        Unavailable: no connection within 10 s.
    """
    client = Client(token, options)
    connection = Connection(f"{url}/client", token, client)
    if pauses is not None:
        connection.pauses = pauses
    client.drop = connection.drop
    async with _running(connection, client):
        yield client


@asynccontextmanager
async def connect_gateway(
    url: str, *, token: Token, options: ClientOptions = DEFAULT
) -> AsyncIterator["Gateway"]:
    """Connect a gateway, whose token has the role ``gateway``. Raises as ``connect``."""
    gateway = Gateway(token, options)
    connection = Connection(f"{url}/gateway", token, gateway)
    gateway.drop = connection.drop
    async with _running(connection, gateway):
        yield gateway


class Gateway:
    """Connection that carries many clients."""

    def __init__(self, token: Token, options: ClientOptions) -> None:
        self.drop: Callable[[], None] = lambda: None  # cuts the connection, which comes back
        self._token = token
        self._options = options
        self._numbers = itertools.count(1)
        self._clients: dict[str, tuple[Vouched, Client]] = {}
        self._send: Send | None = None
        self._ready = asyncio.Event()
        self._ended: RecordingError | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def client(
        self,
        user: str,
        domain: str,
        *,
        roles: Sequence[str] = (),
        options: ClientOptions | None = None,
    ) -> AsyncIterator[Client]:
        """Connect a user for whom the gateway vouches, while the context lasts.

        Args:
            user, domain: who it is.
            roles: further roles, as far as ``websocket.gatewayRoles`` allows.
            options: default: those of the gateway.
        """
        if self._ended is not None:
            raise self._ended
        socket_id = f"client-{next(self._numbers)}"
        client = Client(None, options or self._options)
        client.drop = self.drop
        vouched = Vouched(UserId(user), DomainId(domain), tuple(roles))
        self._clients[socket_id] = vouched, client
        try:
            if self._send is not None:
                await self._connect(self._send, socket_id)
            async with asyncio.timeout(FIRST_S):
                await client.ready()
            yield client
        finally:
            del self._clients[socket_id]
            client.end(Closed("the client is closed"))
            if self._send is not None:
                with suppress(ConnectionClosed):
                    await self._send(disconnect_frame(socket_id))

    async def ready(self) -> None:
        """Wait for the first connection. Raises RecordingError: there is going to be none."""
        await self._ready.wait()
        if self._ended is not None:
            raise self._ended

    async def opened(self, send: Send) -> None:
        """Connect all clients over a new socket."""
        self._send = send
        self._ready.set()
        await asyncio.gather(*(self._connect(send, each) for each in list(self._clients)))

    def received(self, text: str | bytes) -> None:
        """Pass a message on to the client that it is for. Raises Malformed."""
        match read_at_gateway(text):
            case Carry(socket_id=socket_id, data=data):
                if found := self._clients.get(socket_id):
                    found[1].received(data)
            case Closing(socket_id=socket_id, code=code, reason=reason):
                self._end_client(socket_id, Unavailable(f"closed with {code}: {reason}"))
            case Fault(code=Code.UNAUTHENTICATED, socket_id=None) if callable(self._token):
                self._renew(self._token())
            case Fault(code=code, message=message, socket_id=str(socket_id)):
                self._end_client(socket_id, RequestRefused(code, message))

    def lost(self) -> None:
        """Keep the requests of all clients until the next socket."""
        self._send = None
        for _, client in self._clients.values():
            client.lost()

    def end(self, error: RecordingError) -> None:
        """End all clients."""
        self._ended = self._ended or error
        self._send = None
        self._ready.set()
        for _, client in self._clients.values():
            client.end(self._ended)

    async def _connect(self, send: Send, socket_id: str) -> None:
        vouched, client = self._clients[socket_id]

        async def carry(message: str) -> None:
            await send(message_frame(socket_id, message.encode()).decode())

        await send(connect_frame(socket_id, vouched))
        await client.opened(carry)

    def _end_client(self, socket_id: str, error: RecordingError) -> None:
        if found := self._clients.get(socket_id):
            found[1].end(error)

    def _renew(self, token: str) -> None:
        """Send another token; the frame needs a task of its own, as receiving does not wait."""
        if self._send is None:
            return
        task = asyncio.create_task(_send_renewal(self._send, token))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _send_renewal(send: Send, token: str) -> None:
    with suppress(ConnectionClosed):
        await send(renewal_frame(token))


@asynccontextmanager
async def _running(connection: Connection, user: Client | Gateway) -> AsyncIterator[None]:
    """Keep a connection open while the context lasts; its end is that of its user."""

    async def run() -> None:
        try:
            await connection.run()
        except RecordingError as error:
            user.end(error)

    task = asyncio.create_task(run())
    try:
        try:
            async with asyncio.timeout(FIRST_S):
                await user.ready()
        except TimeoutError:
            detail = f"cannot connect to {connection.url} within {FIRST_S:g} s"
            raise Unavailable(detail) from None
        yield
    finally:
        user.end(Closed("the client is closed"))
        task.cancel()
        await asyncio.wait([task])

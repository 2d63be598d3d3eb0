"""A real controller in this process, and people who talk to it over real WebSockets."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.adapters.memory.plane import MemoryPlane
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.app.controller import Parts, controller
from sfu_wrapper.config.load import load
from sfu_wrapper.model.identity import DomainId, RecordingPermissions, UserId
from sfu_wrapper.ports.media_plane import BrowserMedia, MediaPlane, Trunk
from sfu_wrapper.ports.store import Store
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.wire.claims import Claims, encode

SECRET = "a secret of thirty-two bytes or more"
DOMAIN = "example"
ANSWER_S = 20.0
# No request of a test run is taken for a repeat of another one, nor of one that the answers in
# tests/samples/store-0.1.0.db are kept for: those have smaller numbers.
REQUESTS = itertools.count(101)

Json = dict[str, Any]


def retry_after(response: Json) -> float | None:
    """The seconds to wait before the request is sent again, None where its rate was admitted."""
    error = response.get("error", {})
    if error.get("code") != "RATE_LIMITED":
        return None
    return float(error["details"]["retryAfter"])


class Peer:
    """One client: requests in, responses and events out, in the order in which they came."""

    def __init__(self, user: str, send: Callable[[str], Any]) -> None:
        self.user = user
        self.received: list[Json] = []
        self._send = send
        self._news = asyncio.Condition()

    async def ask(
        self, endpoint: str, payload: Json | None = None, *, request_id: str = "", **more: object
    ) -> Json:
        """The whole body of the response: ``status``, and ``payload`` or ``error``.

        ``more``: further fields of the request, beside its id.
        """
        request_id = request_id or f"{self.user}-{next(REQUESTS)}"
        before = len(self.received)
        body = {"endpoint": endpoint, "payload": payload or {}, "id": request_id, **more}
        await self._send(json.dumps({"type": "request", "payload": body}))
        found = await self.receive(
            lambda frame: frame["type"] == "response" and frame["payload"]["id"] == request_id,
            since=before,
        )
        response: Json = found["payload"]
        return response

    async def ok(self, endpoint: str, payload: Json | None = None) -> Json:
        """The payload of a response that must be ok, sent again where the rate was limited."""
        response = await self.ask(endpoint, payload)
        async with asyncio.timeout(ANSWER_S):
            while (wait_s := retry_after(response)) is not None:
                await asyncio.sleep(wait_s)
                response = await self.ask(endpoint, payload)
        assert response["status"] == "ok", response
        answer: Json = response["payload"]
        return answer

    async def refused(self, endpoint: str, payload: Json | None = None) -> str:
        """The code of a response that must be an error."""
        response = await self.ask(endpoint, payload)
        assert response["status"] == "error", response
        return str(response["error"]["code"])

    async def event(self, name: str, *, since: int = 0) -> Json:
        """The payload of the first such event, waited for."""
        found = await self.receive(
            lambda frame: frame["type"] == "event" and frame["payload"]["event"] == name,
            since=since,
        )
        payload: Json = found["payload"]["payload"]
        return payload

    async def receive(self, wanted: Callable[[Json], bool], *, since: int = 0) -> Json:
        """The first frame from ``since`` on that is wanted."""
        async with asyncio.timeout(ANSWER_S), self._news:
            while True:
                for frame in self.received[since:]:
                    if wanted(frame):
                        return frame
                await self._news.wait()

    def events(self) -> list[str]:
        """The names of the events so far."""
        frames = (frame for frame in self.received if frame["type"] == "event")
        return [str(frame["payload"]["event"]) for frame in frames]

    async def take(self, message: str | bytes) -> None:
        """Something has come in."""
        async with self._news:
            self.received.append(json.loads(message))
            self._news.notify_all()


@dataclass(slots=True)
class Gateway:
    """One gateway connection that carries many clients."""

    connection: ClientConnection
    peers: dict[str, Peer] = field(default_factory=dict)
    frames: list[Json] = field(default_factory=list)

    async def send(self, frame: Json) -> None:
        """Send an outer frame."""
        await self.connection.send(json.dumps(frame))

    async def client(self, user: str, domain: str = DOMAIN, *, socket_id: str = "") -> Peer:
        """Vouch for a user on a socketId of its own."""
        socket_id = socket_id or f"socket-{user}-{len(self.peers)}"

        async def send(message: str) -> None:
            await self.send({"type": "message", "socketId": socket_id, "data": message})

        peer = self.peers[socket_id] = Peer(user, send)
        user_json = {"id": user, "domain": domain}
        await self.send({"type": "connect", "socketId": socket_id, "user": user_json})
        return peer

    async def read(self) -> None:
        """Hand each message to the client that it is for."""
        async for raw in self.connection:
            frame = json.loads(raw)
            self.frames.append(frame)
            if frame["type"] == "message":
                await self.peers[frame["socketId"]].take(frame["data"])


@dataclass(slots=True)
class Live:
    """A running controller. Connections made through it end with it."""

    url: str
    http_url: str
    store: Store
    broker: MemoryBroker
    stack: AsyncExitStack
    group: asyncio.TaskGroup

    async def client(self, user: str, *roles: str, domain: str = DOMAIN) -> Peer:
        """A client with a connection of its own."""
        link = connected(self.url, user, *roles, domain=domain)
        return await self.stack.enter_async_context(link)

    async def service(self) -> Peer:
        """The room service."""
        return await self.client("room-service", "service")

    async def gateway(self) -> Gateway:
        """A gateway connection."""
        header = {"Authorization": f"Bearer {token('gateway-1', 'gateway')}"}
        connection = await self.stack.enter_async_context(
            connect(f"{self.url}/gateway", additional_headers=header, proxy=None)
        )
        gateway = Gateway(connection)
        self.group.create_task(gateway.read())
        return gateway

    async def permit(self, user: str, permission: RecordingPermissions | None) -> None:
        """Store (or delete) a user's own permission."""
        await self.store.set_permission(DomainId(DOMAIN), UserId(user), permission)


def token(user: str, *roles: str, domain: str = DOMAIN, ttl_s: int = 3600) -> str:
    """A token that the live controller believes."""
    claims = Claims(
        sub=user, domain=domain, roles=list(roles or ("user",)), exp=int(time.time()) + ttl_s
    )
    return encode(claims, SECRET, "HS256")


@asynccontextmanager
async def live(
    *overrides: str,
    store: Store | None = None,
    plane: MediaPlane | None = None,
    broker: MemoryBroker | None = None,
    clock: Clock | None = None,
    browsers: BrowserMedia | None = None,
    trunk: Trunk | None = None,
) -> AsyncIterator[Live]:
    """A controller on free ports, over in-memory parts, configured by ``KEY=VALUE``."""
    chosen = ("websocket.port=0", "http.port=0", f"auth.secret={SECRET}", *overrides)
    settings = load(Path("config"), {}, chosen)
    broker = broker or MemoryBroker()
    parts = Parts(
        store or MemoryStore(),
        broker,
        plane or MemoryPlane(),
        clock or SystemClock(),
        browsers,
        trunk,
    )
    async with (
        controller(settings, parts) as running,
        asyncio.TaskGroup() as group,
        AsyncExitStack() as stack,
    ):
        yield Live(running.url, running.http_url, parts.store, broker, stack, group)


@asynccontextmanager
async def connected(url: str, user: str, *roles: str, domain: str = DOMAIN) -> AsyncIterator[Peer]:
    """One client on a connection of its own, while the context lasts."""
    header = {"Authorization": f"Bearer {token(user, *roles, domain=domain)}"}
    async with (
        connect(f"{url}/client", additional_headers=header, proxy=None) as connection,
        asyncio.TaskGroup() as group,
    ):
        peer = Peer(user, connection.send)
        pump = group.create_task(_pump(connection, peer))
        try:
            yield peer
        finally:
            pump.cancel()


async def _pump(connection: ClientConnection, peer: Peer) -> None:
    with suppress(ConnectionClosed):  # a controller may be killed; who waits runs into a deadline
        async for message in connection:
            await peer.take(message)

"""A controller's rooms and permissions in memory, its HTTP server on a free port, and who asks it.

Requests are written byte by byte, so that a test can also send what no client library would.
"""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sfu_wrapper.adapters.memory.plane import MemoryPlane
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.os.clock import SystemClock
from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.core.room import Rules
from sfu_wrapper.gateway.limits import Limits
from sfu_wrapper.gateway.rest.app import RestParts, controller_app
from sfu_wrapper.gateway.rest.server import HttpServer, serve_http
from sfu_wrapper.gateway.settings import GatewaySettings, HttpSettings
from sfu_wrapper.model.identity import DomainId, Identity, Role, UserId
from sfu_wrapper.observe.metrics import Health, Metrics
from sfu_wrapper.service.recordings.webhooks import Webhooks
from sfu_wrapper.service.rooms.permissions import Permissions
from sfu_wrapper.service.rooms.router import Rooms
from sfu_wrapper.wire.signaling import Request, parse_request
from tests.helpers.gatewayfakes import authenticator, token
from tests.helpers.recordings import recording_parts

SETTINGS = HttpSettings(port=0, stop_s=2)
ALWAYS = {"recording": {"recordingType": "all", "recordingProfile": "always"}}
SKIP = {"recording": {"recordingType": "none", "recordingProfile": "skip"}}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401  # whatever the server wrote
        """The body."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of problem details."""
        assert self.headers["content-type"] == "application/problem+json"
        return str(self.json["code"])


@dataclass(slots=True)
class Peer:
    """A client of the rooms that needs no socket."""

    key: str
    identity: Identity
    received: list[Json] = field(default_factory=list)

    def deliver(self, message: bytes) -> None:
        """See ``Client``."""
        self.received.append(json.loads(message))

    def charge(self, notices: int) -> None:
        """See ``Client``; it has no limit."""


@dataclass(slots=True)
class World:
    """A running server with all that stands behind it."""

    server: HttpServer
    store: MemoryStore
    rooms: Rooms
    permissions: Permissions
    health: Health
    metrics: Metrics
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def ask(
        self,
        method: str,
        path: str,
        bearer: str | None = None,
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request over a connection of its own. body: JSON, or bytes to be sent as they are."""
        return await self.raw(
            request_of(method, path, bearer, body, {"Host": "test"} | (headers or {}))
        )

    async def raw(self, request: bytes) -> Answer:
        """Send bytes; read one answer to the end of the connection."""
        return await exchange(self.server.host, self.server.port, request)

    def peer(self, user: str, *roles: Role, domain: str = "example") -> Peer:
        """Somebody connected."""
        identity = Identity(DomainId(domain), UserId(user), frozenset(roles or (Role.USER,)))
        peer = Peer(f"{user}-{next(self._numbers)}", identity)
        self.rooms.connected(peer)
        return peer

    def request(self, endpoint: str, payload: Json) -> Request:
        """A request under a new id."""
        inner = {"endpoint": endpoint, "payload": payload, "id": f"r{next(self._numbers)}"}
        return parse_request(json.dumps({"type": "request", "payload": inner}))

    async def do(self, peer: Peer, endpoint: str, **payload: object) -> Json:
        """One request over signaling; the response's payload."""
        request = self.request(endpoint, payload)
        request_id = request.id
        self.rooms.handle(peer, request)
        async with asyncio.timeout(20):
            while True:
                for each in peer.received:
                    if each["type"] == "response" and each["payload"]["id"] == request_id:
                        answer: Json = each["payload"]
                        return answer
                await asyncio.sleep(0)


def request_of(
    method: str, path: str, bearer: str | None, body: object, headers: dict[str, str]
) -> bytes:
    """One request after which the connection ends. body: JSON, or bytes to be sent as they are."""
    given = {"Connection": "close"}
    if bearer is not None:
        given["Authorization"] = f"Bearer {bearer}"
    sent = b""
    if body is not None:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        given |= {"Content-Type": "application/json", "Content-Length": str(len(sent))}
    given |= headers
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + sent


async def exchange(host: str, port: int, request: bytes) -> Answer:
    """Send bytes; read one answer to the end of the connection."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request)
        async with asyncio.timeout(20):
            return parse(await reader.read())
    finally:
        writer.close()


def parse(data: bytes) -> Answer:
    """One answer of HTTP/1.1 with a body that ends with the connection or its length."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    return Answer(int(first.split()[1]), headers, body)


def pass_for(user: str, *roles: str, domain: str = "example") -> str:
    """A token, good for an hour."""
    given = list(roles or ("user",))
    return token(sub=user, domain=domain, roles=given, exp=int(time.time()) + 3600)


@asynccontextmanager
async def world(
    settings: HttpSettings = SETTINGS,
    *,
    policy: PolicySettings | None = None,
    user_may_write: bool = True,
    store: MemoryStore | None = None,
    limits: GatewaySettings | None = None,
    folder: Path = Path("/nonexistent"),
    recordings: Json | None = None,
) -> AsyncIterator[World]:
    """A server over memory.

    limits: how often somebody may ask; by default a lot. folder: where its recordings are.
    recordings: further arguments of ``recording_parts``.
    """
    clock = SystemClock()
    policy = policy or PolicySettings()
    store = store or MemoryStore()
    rooms = Rooms(store, MemoryPlane(), clock, Rules(policy=policy))
    permissions = Permissions(store, clock, system=policy.system, user_may_write=user_may_write)
    health, metrics = Health(lambda: clock.now().wall_ms), Metrics()
    parts = RestParts(
        permissions=permissions,
        rooms=rooms.queries,
        recordings=recording_parts(store, clock, rooms.audit, folder, **(recordings or {})),
        authenticator=authenticator(clock),
        clock=clock,
        limits=Limits(limits or GatewaySettings(requests_per_second=1e6, requests_burst=10**6)),
        health=health,
        metrics=metrics,
        audit=rooms.audit,
        webhooks=Webhooks(store, clock),
    )
    async with serve_http(settings, controller_app(settings, parts), metrics) as server:
        facts = asyncio.create_task(rooms.run())
        try:
            yield World(server, store, rooms, permissions, health, metrics)
        finally:
            facts.cancel()
            rooms.close()

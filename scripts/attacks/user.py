"""WebSocket users for probing and for preparing attacks: requests out, responses in by their id.

Small on purpose: a prober measures others' waiting times and must cost little itself.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Json = dict[str, Any]

_numbers = itertools.count(1)


class Lost(Exception):
    """The connection ended before the response came."""


class User:
    """One client, on a connection of its own or behind a gateway.

    Args:
        name: user id, and the beginning of its request ids.
        send: sends one message.
    """

    def __init__(self, name: str, send: Callable[[str], Awaitable[None]]) -> None:
        self.name = name
        self._send = send
        self._waiting: dict[str, asyncio.Future[Json]] = {}
        self._lost = False

    async def ask(self, endpoint: str, payload: Json | None = None) -> Json:
        """Return the body of the response. Raises Lost."""
        if self._lost:
            raise Lost
        request_id = f"{self.name}-{next(_numbers)}"
        waiting: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = waiting
        body = {"endpoint": endpoint, "payload": payload or {}, "id": request_id}
        try:
            await self._send(json.dumps({"type": "request", "payload": body}))
            return await waiting
        except ConnectionClosed as exc:
            raise Lost from exc
        finally:
            self._waiting.pop(request_id, None)

    async def ok(self, endpoint: str, payload: Json | None = None) -> Json:
        """Return the payload of a response that must be ok. Raises Lost, RuntimeError."""
        response = await self.ask(endpoint, payload)
        if response["status"] != "ok":
            raise RuntimeError(f"{endpoint}: {response['error']}")
        answer: Json = response["payload"]
        return answer

    def take(self, message: str | bytes) -> None:
        """Hand in a received message; events are dropped."""
        frame = json.loads(message)
        if frame["type"] != "response":
            return
        waiting = self._waiting.get(frame["payload"].get("id", ""))
        if waiting is not None and not waiting.done():
            waiting.set_result(frame["payload"])

    def lose(self) -> None:
        """End every request that waits."""
        self._lost = True
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Lost())


@dataclass(slots=True)
class Gateway:
    """A connection to ``/gateway`` that vouches for users."""

    connection: ClientConnection
    users: dict[str, User] = field(default_factory=dict)

    async def user(self, name: str, domain: str) -> User:
        """Connect a user on a socketId of its own."""
        socket_id = f"socket-{name}"

        async def send(message: str) -> None:
            await self.send({"type": "message", "socketId": socket_id, "data": message})

        user = self.users[socket_id] = User(name, send)
        who = {"id": name, "domain": domain}
        await self.send({"type": "connect", "socketId": socket_id, "user": who})
        return user

    async def send(self, frame: Json) -> None:
        """Send an outer frame."""
        await self.connection.send(json.dumps(frame))

    async def read(self) -> None:
        """Hand each message to its user, until the connection ends."""
        with suppress(ConnectionClosed):
            async for text in self.connection:
                frame = json.loads(text)
                user = self.users.get(frame.get("socketId", ""))
                if user is not None and frame["type"] == "message":
                    user.take(frame["data"])
                elif user is not None and frame["type"] == "close":
                    user.lose()
        for user in self.users.values():
            user.lose()


@asynccontextmanager
async def direct(url: str, name: str, token: str, source: str = "") -> AsyncIterator[User]:
    """A user on a connection of its own, as long as the context lasts."""
    async with _opened(f"{url}/client", token, source) as connection:
        user = User(name, connection.send)

        async def read() -> None:
            with suppress(ConnectionClosed):
                async for text in connection:
                    user.take(text)
            user.lose()

        reading = asyncio.create_task(read())
        try:
            yield user
        finally:
            reading.cancel()


@asynccontextmanager
async def gateway(url: str, token: str, source: str = "") -> AsyncIterator[Gateway]:
    """A gateway connection, as long as the context lasts."""
    async with _opened(f"{url}/gateway", token, source) as connection:
        link = Gateway(connection)
        reading = asyncio.create_task(link.read())
        try:
            yield link
        finally:
            reading.cancel()


def _opened(url: str, token: str, source: str) -> connect:
    more: dict[str, Any] = {"local_addr": (source, 0)} if source else {}
    return connect(
        url,
        additional_headers={"Authorization": f"Bearer {token}"},
        compression=None,
        proxy=None,
        max_size=None,
        open_timeout=30,
        close_timeout=1,
        **more,
    )

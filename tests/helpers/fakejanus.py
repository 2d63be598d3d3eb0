"""Scripted Janus: speaks the protocol as recorded from a real one and answers as scripted.

Knows sessions and handles; what a plugin answers to a request is set by the test. ``heard`` is
every message.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import count
from typing import Any

import orjson
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from sfu_wrapper.adapters.janus.session import JanusAddress

Json = dict[str, Any]
Reply = Callable[[Json], Json | None]
"""Function from the body of a request to the plugin's data; None for no answer."""

ASYNCHRONOUS = {"join", "publish", "configure", "leave", "joinandconfigure", "changeroom"}


class FakeJanus:
    """Scripted Janus.

    Attributes:
        heard: Every message of every connection.
        replies: Answers of the plugin by request.
        silent: True to answer nothing, as when Janus hangs.
    """

    def __init__(self) -> None:
        self.heard: list[Json] = []
        self.replies: dict[str, Reply] = {}
        self.silent = False
        self.connections: list[ServerConnection] = []
        self.session_ids: list[int] = []
        self.handles: dict[int, tuple[int, str, ServerConnection]] = {}
        self._news = asyncio.Condition()
        self._ids = count(1000)
        self._server: Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """URL for clients."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def address(self) -> JanusAddress:
        """Address for our client."""
        return JanusAddress(self.url, "secret", keepalive_s=0.1)

    @property
    def impatient(self) -> JanusAddress:
        """Return the address with a short deadline, for answers that never come."""
        return replace(self.address, deadline_s=1.0)

    def asked(self, request: str) -> list[Json]:
        """Return the bodies of these requests so far."""
        bodies = [message.get("body", {}) for message in self.heard]
        return [body for body in bodies if body.get("request") == request]

    async def until(self, enough: Callable[[], bool]) -> None:
        """Wait until the received messages meet a condition."""
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(enough)

    async def start(self) -> None:
        """Listen; after ``stop`` on the same port."""
        protocol = Subprotocol("janus-protocol")
        self._server = await serve(
            self._serve, "127.0.0.1", self.port, subprotocols=[protocol], compression=None
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        """Stop, and forget all state."""
        self.handles.clear()
        if self._server is not None:
            for connection in self.connections:
                connection.transport.abort()
            self._server.close()
            await self._server.wait_closed()

    def cut(self) -> None:
        """Break all connections."""
        for connection in self.connections:
            connection.transport.abort()

    async def send(self, message: Json | str | bytes) -> None:
        """Send any text on the newest connection."""
        text = message if isinstance(message, str | bytes) else orjson.dumps(message).decode()
        await self.connections[-1].send(text)

    async def emit(self, handle: int, data: Json, **more: object) -> None:
        """Send an event of the plugin on a handle."""
        session, plugin, connection = self.handles[handle]
        event = {
            "janus": "event",
            "session_id": session,
            "sender": handle,
            "plugindata": {"plugin": plugin, "data": data},
        }
        await connection.send(orjson.dumps(event | more).decode())

    async def _serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        with suppress(Exception):  # whatever ends a connection
            async for text in connection:
                await self._answer(connection, orjson.loads(text))
        self.connections.remove(connection)

    async def _answer(self, connection: ServerConnection, message: Json) -> None:
        async with self._news:
            self.heard.append(message)
            self._news.notify_all()
        if self.silent:
            return
        for answer in self._answers(connection, message):
            known = {"session_id": message["session_id"]} if "session_id" in message else {}
            envelope = answer | known | {"transaction": message["transaction"]}
            await connection.send(orjson.dumps(envelope).decode())

    def _answers(self, connection: ServerConnection, message: Json) -> list[Json]:
        match message["janus"]:
            case "create":
                self.session_ids.append(next(self._ids))
                return [{"janus": "success", "data": {"id": self.session_ids[-1]}}]
            case "attach":
                handle = next(self._ids)
                self.handles[handle] = (message["session_id"], message["plugin"], connection)
                return [{"janus": "success", "data": {"id": handle}}]
            case "detach":
                self.handles.pop(message["handle_id"], None)
                return [{"janus": "success"}]
            case "keepalive" | "trickle":
                return [{"janus": "ack"}]
            case "message":
                return self._message(message)
            case other:
                error = {"code": 453, "reason": f"Unknown request '{other}'"}
                return [{"janus": "error", "error": error}]

    def _message(self, message: Json) -> list[Json]:
        handle, body = message["handle_id"], message["body"]
        if handle not in self.handles:
            error = {"code": 459, "reason": f"No such handle {handle} in session"}
            return [{"janus": "error", "error": error}]
        request = body["request"]
        acks: list[Json] = [{"janus": "ack"}] if request in ASYNCHRONOUS else []
        reply = self.replies.get(request)
        data = reply(body) if reply is not None else {"videoroom": "success"}
        if data is None:
            return acks
        plugin = self.handles[handle][1]
        return [
            *acks,
            {
                "janus": "event" if acks else "success",
                "sender": handle,
                "plugindata": {"plugin": plugin, "data": data},
            },
        ]


@asynccontextmanager
async def fake_janus() -> AsyncIterator[FakeJanus]:
    """Run a scripted Janus for the length of the context."""
    janus = FakeJanus()
    await janus.start()
    try:
        yield janus
    finally:
        await asyncio.wait_for(janus.stop(), 20)

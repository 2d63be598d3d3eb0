"""A client that keeps its place in a room over lost connections.

    python reconnecting.py ws://127.0.0.1:8765 TOKEN ROOM

Needs the package "websockets". The page docs/how-to/reconnecting.md explains it.
"""

import asyncio
import itertools
import json
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

Json = dict[str, Any]
FIRST_S, LONGEST_S = 0.5, 10.0  # pauses between attempts
# These mean: not carried out, send the same request again.
AGAIN = ("OVERLOADED", "RATE_LIMITED", "UNAUTHENTICATED", "INTERNAL")


class RefusedError(Exception):
    """The token or the room is refused: another attempt would get the same answer."""


class Client:
    """Requests that survive a lost connection, and a state that is always read again.

    Args:
        url: address of the controller, without a path.
        token: returns a valid token; called for each connection, since tokens expire.
        room: the room to be in.
        on_state: called with the answer of ``getRoom`` after each connection.
        on_event: called with each event. Events of the time without a connection never come.
    """

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        room: str,
        on_state: Callable[[Json], None],
        on_event: Callable[[str, Json], None],
    ) -> None:
        self._url = f"{url}/client"
        self._token = token
        self._room = room
        self._on_state = on_state
        self._on_event = on_event
        self._prefix = f"{random.getrandbits(64):x}"  # ids must differ from those of other runs
        self._numbers = itertools.count(1)
        self._connection: ClientConnection | None = None
        # Requests without an answer, by id. They are sent again, with the same id: the controller
        # carries each out once, and answers a repeat with the first answer.
        self._open: dict[str, tuple[str, asyncio.Future[Json]]] = {}

    async def request(self, endpoint: str, **payload: object) -> Json:
        """Return the body of the response, however many connections it takes."""
        request_id = f"{self._prefix}-{next(self._numbers)}"
        body = {"endpoint": endpoint, "payload": payload, "id": request_id}
        text = json.dumps({"type": "request", "payload": body})
        while True:
            answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
            self._open[request_id] = text, answer
            if self._connection is not None:
                with suppress(ConnectionClosed):
                    await self._connection.send(text)
            response = await answer
            if response["status"] == "ok" or response["error"]["code"] not in AGAIN:
                return response
            await asyncio.sleep(response["error"].get("details", {}).get("retryAfter", 1))

    async def run(self) -> None:
        """Connect, and connect again with growing pauses, until cancelled.

        Raises:
            RefusedError: the token is invalid, or the user may not join the room.
        """
        pause_s = FIRST_S
        while True:
            with suppress(OSError, InvalidHandshake, ConnectionClosed):
                async with connect(self._url, proxy=None, open_timeout=10) as connection:
                    await self._attach(connection)
                    pause_s = FIRST_S
                    async for text in connection:
                        self._take(json.loads(text))
            self._connection = None
            # A different pause for each client, so that they do not all come back at once.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311
            pause_s = min(pause_s * 2, LONGEST_S)

    async def _attach(self, connection: ClientConnection) -> None:
        """Authenticate, take the place in the room again, read the state, repeat open requests."""
        me = await self._direct(connection, "authenticate", token=self._token())
        if me["status"] == "error":
            raise RefusedError(me["error"]["message"])
        state = await self._direct(connection, "getRoom", room=self._room)
        if not self._takes_part(state, me["payload"]["user"]):
            # The first time, or the grace (rooms.reconnectGraceSeconds) is over.
            joined = await self._direct(connection, "joinRoom", room=self._room)
            if joined["status"] == "error":
                raise RefusedError(joined["error"]["message"])
            state = await self._direct(connection, "getRoom", room=self._room)
        self._connection = connection
        self._on_state(state["payload"])
        for text, _ in list(self._open.values()):
            await connection.send(text)

    def _takes_part(self, state: Json, user: str) -> bool:
        if state["status"] == "error":
            return False
        return any(each["user"] == user for each in state["payload"]["participants"])

    async def _direct(self, connection: ClientConnection, endpoint: str, **payload: str) -> Json:
        """Return the response to a request of this connection alone."""
        request_id = f"{self._prefix}-{next(self._numbers)}"
        body = {"endpoint": endpoint, "payload": payload, "id": request_id}
        await connection.send(json.dumps({"type": "request", "payload": body}))
        while True:
            frame = json.loads(await connection.recv())
            if frame["type"] == "response" and frame["payload"]["id"] == request_id:
                response: Json = frame["payload"]
                return response
            self._take(frame)

    def _take(self, frame: Json) -> None:
        body = frame["payload"]
        if frame["type"] == "event":
            self._on_event(body["event"], body["payload"])
        elif body["id"] in self._open:
            _, answer = self._open.pop(body["id"])
            answer.set_result(body)


async def main(url: str, token: str, room: str) -> None:
    """Print states and events; send ``updateMedia`` for each line of standard input."""

    def show(name: str, payload: Json) -> None:
        print(json.dumps({"event": name, "payload": payload}), flush=True)

    client = Client(url, lambda: token, room, lambda state: show("state", state), show)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(client.run())
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            media = {"audio": line.strip() == b"on"}
            show("answer", await client.request("updateMedia", room=room, media=media))
        running.cancel()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:4]))

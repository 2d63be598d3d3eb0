"""A record button in a terminal: join a room, show the button, press it with Enter.

    python record_button.py ws://127.0.0.1:8765 TOKEN ROOM

Needs the package "websockets". The page docs/how-to/record-button.md explains it.
"""

import asyncio
import itertools
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Json = dict[str, Any]


class RequestError(Exception):
    """An error response; ``code`` is one of docs/reference/errors.md."""

    def __init__(self, error: Json) -> None:
        super().__init__(error["message"])
        self.code = str(error["code"])


class Client:
    """One authenticated connection: requests with their responses, and events."""

    def __init__(self, connection: ClientConnection, on_event: Callable[[str, Json], None]) -> None:
        self._connection = connection
        self._on_event = on_event
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[Json]] = {}

    async def request(self, endpoint: str, **payload: object) -> Json:
        """Return the payload of the response. Raises RequestError, ConnectionClosed."""
        request_id = f"button-{next(self._numbers)}"
        self._waiting[request_id] = asyncio.get_running_loop().create_future()
        body = {"endpoint": endpoint, "payload": payload, "id": request_id}
        try:
            await self._connection.send(json.dumps({"type": "request", "payload": body}))
            response = await self._waiting[request_id]
        finally:
            del self._waiting[request_id]
        if response["status"] == "error":
            raise RequestError(response["error"])
        answer: Json = response["payload"]
        return answer

    async def read(self) -> None:
        """Read until the connection is closed; then all waiting requests fail."""
        try:
            async for text in self._connection:
                frame = json.loads(text)
                body = frame["payload"]
                if frame["type"] == "event":
                    self._on_event(body["event"], body["payload"])
                elif waiting := self._waiting.get(body["id"]):
                    waiting.set_result(body)
        finally:
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionError("the connection is lost"))


class RecordButton:
    """What the button shows, from what the controller says about the room.

    The controller alone decides: the button only predicts, so that no user presses in vain.
    """

    def __init__(self, client: Client, user: str, room: str) -> None:
        self._client = client
        self._user = user
        self._room = room
        self._state: Json = {}
        self._busy = False
        self.problem = ""

    @property
    def text(self) -> str:
        """The button: what it does if pressed, or why it does nothing."""
        recording = self._state.get("recording", {})
        sign = "● recording" if recording.get("active") else "○ not recording"
        if self._busy:
            return f"{sign} [...]"
        if self._state.get("owner") != self._user:
            return f"{sign} [only {self._state.get('owner')} may record]"
        if recording.get("active"):
            return f"{sign} [stop]"
        if self._state.get("state") != "established":
            return f"{sign} [the call has not begun]"
        if not recording.get("allowed"):
            return f"{sign} [not permitted: {recording.get('reason', 'ask your administrator')}]"
        return f"{sign} [record]"

    async def refresh(self) -> None:
        """Ask for the present state: at the beginning, and after each event about the room."""
        self._state = await self._client.request("getRoom", room=self._room)

    async def press(self) -> None:
        """Start, or stop. The answer may take seconds: the button is busy until then."""
        active = self._state["recording"]["active"]
        endpoint = "stopRoomRecording" if active else "startRoomRecording"
        self._busy, self.problem = True, ""
        try:
            await self._client.request(endpoint, room=self._room)
        except RequestError as error:
            # These two only say that another client was faster: the state says the rest.
            if error.code not in ("ALREADY_RECORDING", "NOT_RECORDING"):
                self.problem = f"{error.code}: {error}"
        finally:
            self._busy = False
        await self.refresh()


async def _read_keys(news: asyncio.Queue[str]) -> None:
    """Put "press" into the queue for each line of standard input."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        news.put_nowait("press")


async def _read_frames(client: Client, news: asyncio.Queue[str]) -> None:
    """Read until the connection is lost, then put "lost" into the queue."""
    with suppress(ConnectionClosed):
        await client.read()
    news.put_nowait("lost")  # reconnecting.py goes on from here


async def main(url: str, token: str, room: str) -> None:
    """Draw the button again whenever something changes, until the connection is lost."""
    news: asyncio.Queue[str] = asyncio.Queue()
    async with connect(f"{url}/client", proxy=None) as connection:
        client = Client(connection, lambda name, payload: news.put_nowait(name))
        reading = [
            asyncio.create_task(_read_frames(client, news)),
            asyncio.create_task(_read_keys(news)),
        ]
        try:
            me = await client.request("authenticate", token=token)
            await client.request("joinRoom", room=room, media={"audio": True, "video": True})
            button = RecordButton(client, me["user"], room)
            news.put_nowait("joined")
            while (word := await news.get()) != "lost":
                await (button.press() if word == "press" else button.refresh())
                print(button.text, button.problem, flush=True)
        finally:
            for task in reading:
                task.cancel()


if __name__ == "__main__":
    with suppress(ConnectionClosed, KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:4]))

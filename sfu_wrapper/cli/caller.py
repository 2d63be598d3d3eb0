"""Client of the controller, as in a web page: one WebSocket for requests, responses and events."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from sfu_wrapper.model.errors import RecordingError, Unavailable

ANSWER_S = 20.0  # the controller answers within media.timeoutSeconds and a commit

Json = dict[str, object]


class RequestRefused(RecordingError):
    """The controller responded with an error; ``code`` is the error's code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Caller:
    """Connection of one user.

    Args:
        connection: the open WebSocket.
        on_event: called with the name and the payload of each event.
    """

    def __init__(self, connection: ClientConnection, on_event: Callable[[str, Json], None]) -> None:
        self._connection = connection
        self._on_event = on_event
        self._ids = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[Json]] = {}

    async def request(self, endpoint: str, payload: Json | None = None) -> Json:
        """Send a request and return the payload of its response.

        Raises:
            RequestRefused: the response is an error.
            Unavailable: no response within ``ANSWER_S``, or the connection is lost.
        """
        request_id = f"r{next(self._ids)}"
        answer = self._waiting[request_id] = asyncio.get_running_loop().create_future()
        body = {"endpoint": endpoint, "payload": payload or {}, "id": request_id}
        try:
            await self._connection.send(json.dumps({"type": "request", "payload": body}))
            async with asyncio.timeout(ANSWER_S):
                response = await answer
        except (WebSocketException, TimeoutError) as error:
            raise Unavailable(f"no response to {endpoint}") from error
        finally:
            del self._waiting[request_id]
        return _payload(response)

    async def read(self) -> None:
        """Dispatch incoming messages until the connection ends; run by ``calling``."""
        async for message in self._connection:
            frame = json.loads(message)
            body = frame["payload"]
            if frame["type"] == "event":
                self._on_event(body["event"], body["payload"])
                continue
            waiting = self._waiting.get(body["id"])
            if waiting is not None and not waiting.done():
                waiting.set_result(body)


@asynccontextmanager
async def calling(
    url: str, token: str, on_event: Callable[[str, Json], None] = lambda _name, _payload: None
) -> AsyncIterator[Caller]:
    """Connect to ``/client`` with a token while the context lasts.

    Raises:
        Unavailable: no server listens there, or it refuses the token.
    """
    headers = {"Authorization": f"Bearer {token}"}
    try:
        connection = await connect(f"{url}/client", additional_headers=headers, proxy=None)
    except (OSError, WebSocketException, TimeoutError) as error:
        raise Unavailable(f"cannot connect to {url}: {error}") from error
    caller = Caller(connection, on_event)
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(caller.read())
        try:
            yield caller
        finally:
            reader.cancel()
            await connection.close()


def _payload(response: Json) -> Json:
    error = response.get("error")
    if isinstance(error, dict):
        raise RequestRefused(str(error["code"]), str(error["message"]))
    payload = response["payload"]
    if not isinstance(payload, dict):
        raise Unavailable("the response has no payload")
    return payload

"""WebSocket connection to Janus with one session on it, from opening to loss.

``open_session`` connects, creates the session and runs two tasks: ``listen`` matches answers with
requests by transaction id and passes events to the handles; ``keep_alive`` sends keepalives. The
caller attaches handles to plugins and sends requests over them.

Rules of this file
    1. Every request ends in one of three ways: answered, refused (``JanusRefused``), or lost with
       the session (``Unavailable``; Janus may or may not have carried it out).
    2. Janus carries out requests of one connection concurrently. A caller that needs an order
       waits for each answer.
    3. A missed deadline, an invalid message or a full event queue ends the session. The caller
       opens the next one and reads the state of Janus again.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException
from websockets.typing import Subprotocol

from sfu_wrapper.adapters.janus.errors import JanusRefused, refusal
from sfu_wrapper.model.errors import Unavailable

log = logging.getLogger(__name__)

Json = dict[str, object]

VIDEO_ROOM: Final = "janus.plugin.videoroom"
AUDIO_BRIDGE: Final = "janus.plugin.audiobridge"

_PROTOCOL: Final = Subprotocol("janus-protocol")
_CONNECT_S: Final = 5.0
_CLOSE_S: Final = 1.0
_EVENTS: Final = 1_000  # unread, of one handle; more end the session


@dataclass(frozen=True, slots=True)
class JanusAddress:
    """Address of Janus, and limits of a session.

    Attributes:
        url: WebSocket URL.
        api_secret: Sent with each request; None if Janus requires none.
        deadline_s: Time for an answer; a later one ends the session.
        keepalive_s: Interval of keepalives; Janus ends a session without any after 60 s.
        max_bytes: Limit of one message; a longer one ends the session.
    """

    url: str
    api_secret: str | None = field(default=None, repr=False)
    deadline_s: float = 15.0
    keepalive_s: float = 5.0
    max_bytes: int = 4_194_304  # the list of members of a large room


@dataclass(frozen=True, slots=True)
class JanusEvent:
    """Message that Janus sends on a handle without a request.

    Attributes:
        kind: ``event`` (of the plugin), ``webrtcup``, ``media``, ``slowlink``, ``hangup``, ….
        data: The plugin's part of an ``event``, otherwise the whole message.
        jsep: SDP of the message, if any.
    """

    kind: str
    data: Json
    jsep: Json | None = None


EventHandler = Callable[[JanusEvent], None]


@dataclass(slots=True, eq=False)
class _Pending:
    """Request without an answer yet.

    Attributes:
        sent_s: Loop time of the request.
        final: Kinds of answers that end it.
        answer: Future of the answer.
    """

    sent_s: float
    final: frozenset[str]
    answer: asyncio.Future[Json] = field(default_factory=asyncio.Future)


_SYNCHRONOUS: Final = frozenset({"success", "error"})
_ASYNCHRONOUS: Final = frozenset({"success", "error", "event"})  # an ack comes first
_INFORMED: Final = frozenset({"server_info", "error"})
_ACKNOWLEDGED: Final = frozenset({"ack", "error"})


class JanusSession:
    """Session at Janus; made by ``open_session``.

    Attributes:
        lost: Set once the session has ended.
    """

    def __init__(self, address: JanusAddress, connection: ClientConnection) -> None:
        self.lost = asyncio.Event()
        self._address = address
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._id: int | None = None
        self._pending: dict[str, _Pending] = {}
        self._handles: dict[int, Handle] = {}

    @property
    def overdue_s(self) -> float:
        """Age of the oldest unanswered request, seconds; 0 if there is none."""
        oldest_s = min((each.sent_s for each in self._pending.values()), default=None)
        return 0.0 if oldest_s is None else self._loop.time() - oldest_s

    async def attach(self, plugin: str, on_event: EventHandler | None = None) -> "Handle":
        """Attach a handle to a plugin. Raises Unavailable, JanusRefused.

        Args:
            plugin: Name of the plugin.
            on_event: Called with each event; None to read them from ``Handle.events``.
        """
        answer = await self._request({"janus": "attach", "plugin": plugin}, _SYNCHRONOUS)
        handle = Handle(self, _id_of(answer), on_event)
        self._handles[handle.id] = handle
        return handle

    async def request(self, message: Json, *, acknowledged: bool = False) -> Json:
        """Send a request of the session and return the answer.

        Args:
            message: The request without transaction and session id.
            acknowledged: True for requests that Janus answers with an ack alone.

        Raises:
            Unavailable: The session is lost; Janus may or may not have carried out the request.
            JanusRefused: The core of Janus refused it.
        """
        return await self._request(message, _ACKNOWLEDGED if acknowledged else _ASYNCHRONOUS)

    async def server_info(self) -> Json:
        """Return the server info of Janus. Raises Unavailable, JanusRefused."""
        return await self._request({"janus": "info"}, _INFORMED, in_session=False)

    def forget(self, handle: int) -> None:
        """Drop further events of this handle."""
        self._handles.pop(handle, None)

    async def _request(
        self, message: Json, final: frozenset[str], *, in_session: bool = True
    ) -> Json:
        if self.lost.is_set():
            raise _lost()
        transaction = secrets.token_hex(8)
        envelope = message | {"transaction": transaction}
        if self._id is not None and in_session:
            envelope["session_id"] = self._id
        if self._address.api_secret is not None:
            envelope["apisecret"] = self._address.api_secret
        pending = _Pending(self._loop.time(), final)
        self._pending[transaction] = pending
        try:
            async with asyncio.timeout(self._address.deadline_s):
                await self._connection.send(orjson.dumps(envelope).decode())
                answer = await pending.answer
        except TimeoutError:
            self._drop("no answer in time")
            raise _lost() from None
        except WebSocketException:
            self.lost.set()
            raise _lost() from None
        finally:
            self._pending.pop(transaction, None)
        if answer.get("janus") == "error":
            raise refusal(answer.get("error"), "code", "reason")
        return answer

    async def start(self) -> None:
        """Create the session at Janus. Raises Unavailable, JanusRefused."""
        self._id = _id_of(await self._request({"janus": "create"}, _SYNCHRONOUS))

    async def listen(self) -> None:
        """Dispatch incoming messages until the session is lost."""
        try:
            async for text in self._connection:
                self._on_message(text)
        except WebSocketException:
            pass
        finally:
            self.end()

    async def keep_alive(self) -> None:
        """Send keepalives until the session is lost."""
        while not self.lost.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self.lost.wait(), self._address.keepalive_s)
                return
            try:
                await self.request({"janus": "keepalive"}, acknowledged=True)
            except (JanusRefused, Unavailable):
                self.end()

    def end(self) -> None:
        """End the session: fail every waiting request and end the events of every handle."""
        self.lost.set()
        for pending in self._pending.values():
            if not pending.answer.done():
                pending.answer.set_exception(_lost())
                pending.answer.exception()  # mark as retrieved: the caller may be gone
        for handle in self._handles.values():
            handle.end()

    def _drop(self, why: str) -> None:
        if not self.lost.is_set():
            log.warning("janus.connectionDropped", extra={"url": self._address.url, "why": why})
        self.end()

    def _on_message(self, text: str | bytes) -> None:
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            message = None
        if not isinstance(message, dict):
            self._drop("Janus sent an invalid message")
            return
        kind = str(message.get("janus"))
        pending = self._pending.get(str(message.get("transaction")))
        if pending is not None:
            if kind in pending.final and not pending.answer.done():
                pending.answer.set_result(message)
        elif kind == "timeout":
            self._drop("Janus ended the session")
        elif kind != "ack":
            self._dispatch(kind, message)

    def _dispatch(self, kind: str, message: Json) -> None:
        sender = message.get("sender")
        handle = self._handles.get(sender) if isinstance(sender, int) else None
        if handle is not None and not handle.put(_event(kind, message)):
            self._drop("too many unread events")


class Handle:
    """Attachment of a session to a plugin; made by ``JanusSession.attach``."""

    def __init__(self, session: JanusSession, number: int, on_event: EventHandler | None) -> None:
        self.id = number
        self._on_event = on_event
        self._session = session
        self._events: asyncio.Queue[JanusEvent | None] = asyncio.Queue(_EVENTS + 1)

    async def request(self, body: Json, jsep: Json | None = None) -> Json:
        """Send a request to the plugin and return its answer.

        Raises:
            Unavailable: The session is lost; Janus may or may not have carried out the request.
            JanusRefused: The plugin or the core of Janus refused it.
        """
        data, _ = await self.negotiate(body, jsep)
        return data

    async def negotiate(self, body: Json, jsep: Json | None = None) -> tuple[Json, Json | None]:
        """Send a request as ``request`` does; return the answer and its SDP, if any."""
        message: Json = {"janus": "message", "handle_id": self.id, "body": body}
        if jsep is not None:
            message["jsep"] = jsep
        event = _event("event", await self._session.request(message))
        if "error_code" in event.data:
            raise refusal(event.data, "error_code", "error")
        return event.data, event.jsep

    async def trickle(self, candidate: Json) -> None:
        """Send one of our ICE candidates. Raises Unavailable, JanusRefused."""
        message: Json = {"janus": "trickle", "handle_id": self.id, "candidate": candidate}
        await self._session.request(message, acknowledged=True)

    async def detach(self) -> None:
        """Detach from the plugin and so leave the room. Never raises."""
        self._session.forget(self.id)
        self.end()
        with suppress(Unavailable, JanusRefused):
            await self._session.request({"janus": "detach", "handle_id": self.id})

    async def events(self) -> AsyncIterator[JanusEvent]:
        """Yield events until the session is lost. One reader."""
        while (event := await self._events.get()) is not None:
            yield event

    def put(self, event: JanusEvent) -> bool:
        """Pass on or queue an event. Returns False if the queue is full."""
        if self._on_event is not None:
            self._on_event(event)
            return True
        if self._events.qsize() >= _EVENTS:
            return False
        self._events.put_nowait(event)
        return True

    def end(self) -> None:
        """End the events of this handle."""
        with suppress(asyncio.QueueFull):
            self._events.put_nowait(None)


@asynccontextmanager
async def open_session(address: JanusAddress) -> AsyncIterator[JanusSession]:
    """Open a session for the length of the context.

    Raises:
        Unavailable: Janus cannot be reached.
        JanusRefused: Janus refused the session, as with a wrong API secret.
    """
    connection = await _connect(address)
    session = JanusSession(address, connection)
    tasks = [asyncio.create_task(session.listen()), asyncio.create_task(session.keep_alive())]
    try:
        await session.start()
        yield session
    finally:
        session.end()
        for task in tasks:
            task.cancel()
        try:
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await _close(connection)


async def _connect(address: JanusAddress) -> ClientConnection:
    try:
        return await connect(
            address.url,
            subprotocols=[_PROTOCOL],
            compression=None,
            proxy=None,
            max_size=address.max_bytes,
            open_timeout=_CONNECT_S,
            ping_interval=None,  # keepalives of Janus take their place
        )
    except (OSError, TimeoutError, ValueError, InvalidHandshake, InvalidURI) as error:
        raise Unavailable(f"Janus cannot be reached: {error}") from error


async def _close(connection: ClientConnection) -> None:
    """Close the connection, and with it the session; abort it if Janus does not answer."""
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await connection.close()
    finally:
        connection.transport.abort()  # also if this task is cancelled


def _event(kind: str, message: Json) -> JanusEvent:
    plugin, jsep = message.get("plugindata"), message.get("jsep")
    data = plugin.get("data") if isinstance(plugin, dict) else message
    return JanusEvent(
        kind, data if isinstance(data, dict) else {}, jsep if isinstance(jsep, dict) else None
    )


def _id_of(answer: Json) -> int:
    data = answer.get("data")
    number = data.get("id") if isinstance(data, dict) else None
    if not isinstance(number, int):
        raise Unavailable("Janus answered without an id")
    return number


def _lost() -> Unavailable:
    return Unavailable("the connection to Janus is lost")

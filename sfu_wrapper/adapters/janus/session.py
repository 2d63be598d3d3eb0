"""One connection to Janus with one session on it, from its opening to its loss.

A request is answered, refused (``JanusRefused``) or lost with the connection (``Unavailable``:
nobody knows whether it was carried out). Janus carries out requests of one connection side by
side, so whoever needs an order waits for each answer. One that is not answered in time, or events
that nobody reads, end the session: what is known of Janus is then read anew over the next one.
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
_EVENTS: Final = 1_000  # of one handle, before it is given up


@dataclass(frozen=True, slots=True)
class JanusAddress:
    """Where Janus is and how it is spoken to.

    deadline_s: an answer that takes longer ends the session.
    keepalive_s: between signs of life; a session without any dies at Janus after 60 s.
    max_bytes: of one message; a longer one ends the session.
    """

    url: str
    api_secret: str | None = field(default=None, repr=False)
    deadline_s: float = 15.0
    keepalive_s: float = 5.0
    max_bytes: int = 4_194_304  # the list of who is in a large room


@dataclass(frozen=True, slots=True)
class JanusEvent:
    """What Janus says unasked on a handle.

    kind: ``event`` (of the plugin), ``webrtcup``, ``media``, ``slowlink``, ``hangup`` and such.
    data: the plugin's own part of an ``event``, otherwise everything. jsep: its SDP, if any.
    """

    kind: str
    data: Json
    jsep: Json | None = None


Hear = Callable[[JanusEvent], None]


@dataclass(slots=True, eq=False)
class _Pending:
    """A request on its way. final: the answers that end it."""

    asked_s: float
    final: frozenset[str]
    answer: asyncio.Future[Json] = field(default_factory=asyncio.Future)


_SYNCHRONOUS: Final = frozenset({"success", "error"})
_ASYNCHRONOUS: Final = frozenset({"success", "error", "event"})  # an ack comes first
_INFORMED: Final = frozenset({"server_info", "error"})
_ACKNOWLEDGED: Final = frozenset({"ack", "error"})


class JanusSession:
    """Made by ``open_session``. lost: set once nothing more will come of it."""

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
        """How long the oldest request has been waiting; 0 where none is."""
        oldest_s = min((each.asked_s for each in self._pending.values()), default=None)
        return 0.0 if oldest_s is None else self._loop.time() - oldest_s

    async def attach(self, plugin: str, hear: Hear | None = None) -> "Handle":
        """A handle of this plugin. Raises Unavailable, JanusRefused.

        Args:
            hear: gets its events as they come; without it they are read from the handle.
        """
        answer = await self._ask({"janus": "attach", "plugin": plugin}, _SYNCHRONOUS)
        handle = Handle(self, _id_of(answer), hear)
        self._handles[handle.id] = handle
        return handle

    async def ask(self, message: Json, *, acknowledged: bool = False) -> Json:
        """Send any request of the session; ``acknowledged``: an ack is all that comes.

        Raises:
            Unavailable: the session is lost; it may or may not have been done.
            JanusRefused: the core of Janus said no.
        """
        return await self._ask(message, _ACKNOWLEDGED if acknowledged else _ASYNCHRONOUS)

    async def server_info(self) -> Json:
        """What Janus says of itself. Raises Unavailable, JanusRefused."""
        return await self._ask({"janus": "info"}, _INFORMED, in_session=False)

    def forget(self, handle: int) -> None:
        """Events of this handle are of no interest any more."""
        self._handles.pop(handle, None)

    async def _ask(self, message: Json, final: frozenset[str], *, in_session: bool = True) -> Json:
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
            self._give_up("it does not answer")
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
        """Make the session. Raises Unavailable, JanusRefused."""
        self._id = _id_of(await self._ask({"janus": "create"}, _SYNCHRONOUS))

    async def listen(self) -> None:
        """Hand out what comes, until the session is lost."""
        try:
            async for text in self._connection:
                self._hear(text)
        except WebSocketException:
            pass
        finally:
            self.give_up()

    async def keep_alive(self) -> None:
        """Say that we are here, until the session is lost."""
        while not self.lost.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self.lost.wait(), self._address.keepalive_s)
                return
            try:
                await self.ask({"janus": "keepalive"}, acknowledged=True)
            except (JanusRefused, Unavailable):
                self.give_up()

    def give_up(self) -> None:
        """Nothing more will come: say so to everybody who waits."""
        self.lost.set()
        for pending in self._pending.values():
            if not pending.answer.done():
                pending.answer.set_exception(_lost())
                pending.answer.exception()  # whoever asked may have gone meanwhile
        for handle in self._handles.values():
            handle.end()

    def _give_up(self, why: str) -> None:
        if not self.lost.is_set():
            log.warning("janus.givenUp", extra={"url": self._address.url, "why": why})
        self.give_up()

    def _hear(self, text: str | bytes) -> None:
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError:
            message = None
        if not isinstance(message, dict):
            self._give_up("it sent what is no message")
            return
        kind = str(message.get("janus"))
        pending = self._pending.get(str(message.get("transaction")))
        if pending is not None:
            if kind in pending.final and not pending.answer.done():
                pending.answer.set_result(message)
        elif kind == "timeout":
            self._give_up("it ended the session")
        elif kind != "ack":
            self._pass_on(kind, message)

    def _pass_on(self, kind: str, message: Json) -> None:
        sender = message.get("sender")
        handle = self._handles.get(sender) if isinstance(sender, int) else None
        if handle is not None and not handle.put(_event(kind, message)):
            self._give_up("more events came than could be read")


class Handle:
    """What a session has attached to a plugin. Made by ``JanusSession.attach``."""

    def __init__(self, session: JanusSession, number: int, hear: Hear | None) -> None:
        self.id = number
        self._hear = hear
        self._session = session
        self._events: asyncio.Queue[JanusEvent | None] = asyncio.Queue(_EVENTS + 1)

    async def ask(self, body: Json, jsep: Json | None = None) -> Json:
        """The plugin's answer to a request, whether it comes at once or later.

        Raises:
            Unavailable: the session is lost; it may or may not have been done.
            JanusRefused: the plugin, or the core of Janus, said no.
        """
        data, _ = await self.negotiate(body, jsep)
        return data

    async def negotiate(self, body: Json, jsep: Json | None = None) -> tuple[Json, Json | None]:
        """As ``ask``, with the SDP that comes with the answer, if any."""
        message: Json = {"janus": "message", "handle_id": self.id, "body": body}
        if jsep is not None:
            message["jsep"] = jsep
        event = _event("event", await self._session.ask(message))
        if "error_code" in event.data:
            raise refusal(event.data, "error_code", "error")
        return event.data, event.jsep

    async def trickle(self, candidate: Json) -> None:
        """Tell a candidate of ours. Raises Unavailable, JanusRefused."""
        message: Json = {"janus": "trickle", "handle_id": self.id, "candidate": candidate}
        await self._session.ask(message, acknowledged=True)

    async def detach(self) -> None:
        """Let go of it; whatever it published or joined is left. Never raises."""
        self._session.forget(self.id)
        self.end()
        with suppress(Unavailable, JanusRefused):
            await self._session.ask({"janus": "detach", "handle_id": self.id})

    async def events(self) -> AsyncIterator[JanusEvent]:
        """What Janus says unasked, until the session is lost. One reader."""
        while (event := await self._events.get()) is not None:
            yield event

    def put(self, event: JanusEvent) -> bool:
        """Take in an event; False where too many wait."""
        if self._hear is not None:
            self._hear(event)
            return True
        if self._events.qsize() >= _EVENTS:
            return False
        self._events.put_nowait(event)
        return True

    def end(self) -> None:
        """Nothing more will come."""
        with suppress(asyncio.QueueFull):
            self._events.put_nowait(None)


@asynccontextmanager
async def open_session(address: JanusAddress) -> AsyncIterator[JanusSession]:
    """A session while the context lasts.

    Raises:
        Unavailable: Janus cannot be reached.
        JanusRefused: it does not want us.
    """
    connection = await _connect(address)
    session = JanusSession(address, connection)
    tasks = [asyncio.create_task(session.listen()), asyncio.create_task(session.keep_alive())]
    try:
        await session.start()
        yield session
    finally:
        session.give_up()
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
            ping_interval=None,  # keepalives do that
        )
    except (OSError, TimeoutError, ValueError, InvalidHandshake, InvalidURI) as error:
        raise Unavailable(f"Janus cannot be reached: {error}") from error


async def _close(connection: ClientConnection) -> None:
    """Hang up, whether or not Janus says good-bye: with the connection goes the session."""
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await connection.close()
    finally:
        connection.transport.abort()  # also where nobody waits for that


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

"""A user's client: requests that survive a lost connection, and events.

Requests without an answer are kept, and sent again over the next connection with the same id: the
controller carries each out once (protocol.md, "Repeats"). After each loss the client takes its
places in rooms again, watches again, repeats, and yields ``Resumed``.
"""

import asyncio
import itertools
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar

from websockets.exceptions import ConnectionClosed

from sfu_wrapper.client.connection import RequestRefused, Send, Token
from sfu_wrapper.client.room import Room
from sfu_wrapper.model.errors import Code, RecordingError, Unavailable
from sfu_wrapper.wire.client_messages import (
    EventMessage,
    Response,
    read_answer,
    read_event,
    read_message,
    write_request,
)
from sfu_wrapper.wire.client_models import (
    Authenticated,
    Created,
    Event,
    Json,
    Received,
    RoomEnded,
    Rooms,
    Watching,
)

ANSWER_S: Final = 20.0  # the controller answers within media.timeoutSeconds and a commit
AGAIN_S: Final = 1.0  # pause before a request is sent again, where the answer names none
MAX_PENDING: Final = 1_024
# Not carried out and not kept: the same request may be sent again.
AGAIN: Final = frozenset({Code.OVERLOADED, Code.RATE_LIMITED, Code.UNAUTHENTICATED, Code.INTERNAL})


@dataclass(frozen=True, slots=True)
class Resumed:
    """The connection was lost and is back. Events of the time without it are not sent later.

    Attributes:
        watching: the present state of what is watched; None if nothing is.
    """

    watching: Watching | None


@dataclass(frozen=True, slots=True)
class PlaceLost:
    """After a lost connection, the user could not join this room again."""

    room: str
    error: RequestRefused


@dataclass(frozen=True, slots=True)
class EventsLost:
    """The oldest ``count`` events were dropped, because the program did not read them."""

    count: int


ClientEvent = Event | Resumed | PlaceLost | EventsLost
_Answer = TypeVar("_Answer", bound=Received)
_Wanted = TypeVar("_Wanted")


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """Options of a client.

    Attributes:
        answer_s: longest time for a request and all its repeats, in seconds.
        max_events: events that wait to be read; beyond it the oldest are dropped.
        repeats: send a request again that was refused with one of ``AGAIN``.
        on_frame: called with each response and event, before anything else.
        trace: called once for each request, where it is made; returns its ``traceparent`` and
            ``tracestate``, as a propagator injects them. Other entries are left out.
    """

    answer_s: float = ANSWER_S
    max_events: int = 1_000
    repeats: bool = True
    on_frame: Callable[[Response | EventMessage], None] = lambda _frame: None
    trace: Callable[[], Mapping[str, str]] = dict


@dataclass(slots=True)
class _Pending:
    text: str
    answer: asyncio.Future[Response]


@dataclass(slots=True)
class _Inbox:
    """Bounded queue of events."""

    limit: int
    events: deque[ClientEvent] = field(default_factory=deque)
    lost: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, event: ClientEvent) -> None:
        """Add an event; drop the oldest one if there are too many."""
        if len(self.events) >= self.limit:
            self.events.popleft()
            self.lost += 1
        self.events.append(event)
        self.news.set()

    def take(self) -> ClientEvent | None:
        """Return the oldest event; None if there is none."""
        if self.lost:
            count, self.lost = self.lost, 0
            return EventsLost(count)
        if self.events:
            return self.events.popleft()
        self.news.clear()
        return None


class Client:
    """User of the controller; made by ``connect`` or by a gateway."""

    def __init__(self, token: Token | None, options: ClientOptions) -> None:
        self.drop: Callable[[], None] = lambda: None  # cuts the connection, which comes back
        self._token = token
        self._options = options
        self._ids = itertools.count(1)
        self._prefix = secrets.token_hex(8)  # ids must differ from those of every other run
        self._pending: dict[str, _Pending] = {}
        self._send: Send | None = None
        self._sockets = 0
        self._ready = asyncio.Event()
        self._ended: RecordingError | None = None
        self._inbox = _Inbox(options.max_events)
        self._places: dict[str, Json] = {}  # payload of the joinRoom by which we are in a room
        self._topics: tuple[str, ...] = ()

    async def request(
        self,
        endpoint: str,
        payload: Mapping[str, object] | None = None,
        *,
        request_id: str = "",
    ) -> Json:
        """Send a request and return the payload of its response, over any number of connections.

        Args:
            endpoint: its name, such as ``startRoomRecording``.
            payload: as in protocol.md, "Endpoints".
            request_id: default: one that no other request has.

        Raises:
            RequestRefused: the response is an error.
            Unavailable: no response within ``answer_s``, or the client is closed.
        """
        return await self._carry_out(endpoint, payload or {}, request_id)

    async def create_room(self, room: str | None = None, **wish: object) -> Room:
        """Create a room; ``wish`` has further fields of ``createRoom``, by their wire names."""
        payload = wish if room is None else {"id": room, **wish}
        created = await self.answer(Created, "createRoom", payload)
        domain = wish.get("domain")
        return Room(self, created.room, domain if isinstance(domain, str) else None)

    def room(self, room: str, domain: str | None = None) -> Room:
        """Return a room that exists already; ``domain`` is its domain, if not the user's own."""
        return Room(self, room, domain)

    async def list_rooms(self, **filters: object) -> Rooms:
        """Return a page of rooms, the youngest first; filters: limit, after, state."""
        return await self.answer(Rooms, "listRooms", filters)

    async def watch(self, *topics: str) -> Watching:
        """Return the present state of ``rooms`` and ``recordings``; changes come as events."""
        watching = await self.answer(Watching, "watch", {"topics": list(topics)})
        self._topics = watching.topics
        return watching

    async def unwatch(self, *topics: str) -> None:
        """End the events about these topics; default: all."""
        payload = {"topics": list(topics)} if topics else {}
        self._topics = (await self.answer(Watching, "unwatch", payload)).topics

    async def authenticate(self, token: str) -> Authenticated:
        """Present another token on the same connection, such as before the first one expires."""
        return await self.answer(Authenticated, "authenticate", {"token": token})

    async def answer(
        self, model: type[_Answer], endpoint: str, payload: Mapping[str, object]
    ) -> _Answer:
        """Send a request and return its typed answer. Raises as ``request``, and Malformed."""
        return read_answer(model, await self.request(endpoint, payload))

    async def events(self) -> AsyncIterator[ClientEvent]:
        """Yield events until the client is closed.

        Raises:
            RecordingError: the connection was given up.
        """
        while True:
            event = self._inbox.take()
            if event is not None:
                yield event
            elif self._ended is not None:
                if isinstance(self._ended, Closed):
                    return
                raise self._ended
            else:
                await self._inbox.news.wait()

    async def event(self, wanted: type[_Wanted], *, timeout_s: float = ANSWER_S) -> _Wanted:
        """Return the next event of this type, and drop those before it. Raises Unavailable."""
        try:
            async with asyncio.timeout(timeout_s):
                async for event in self.events():
                    if isinstance(event, wanted):
                        return event
        except TimeoutError:
            pass
        raise Unavailable(f"no {wanted.__name__} within {timeout_s:g} s")

    def place_taken(self, room: str, payload: Json) -> None:
        """Remember how to join a room again after a lost connection."""
        self._places[room] = payload

    def place_left(self, room: str) -> None:
        """Forget a room."""
        self._places.pop(room, None)

    async def ready(self) -> None:
        """Wait for the first connection. Raises RecordingError: there is going to be none."""
        await self._ready.wait()
        if self._ended is not None:
            raise self._ended

    # For the connection that serves this client:

    async def opened(self, send: Send) -> None:
        """Take up a new connection: places, watches, then requests without an answer."""
        self._sockets += 1
        resuming = self._sockets > 1
        watching = await self._restore(send) if resuming else None
        repeated: set[str] = set()
        while missing := [key for key in self._pending if key not in repeated]:
            for key in missing:
                repeated.add(key)
                if pending := self._pending.get(key):
                    await send(pending.text)
        self._send = send
        self._ready.set()
        if resuming:
            self._inbox.put(Resumed(watching))

    def received(self, text: str | bytes) -> None:
        """Handle one message of the controller. Raises Malformed."""
        message = read_message(text)
        if message is None:
            return
        self._options.on_frame(message)
        if isinstance(message, Response):
            pending = self._pending.get(message.id)
            if pending is not None and not pending.answer.done():
                pending.answer.set_result(message)
            return
        event = read_event(message)
        if isinstance(event, RoomEnded):
            self.place_left(event.room)
        self._inbox.put(event)

    def lost(self) -> None:
        """Keep requests until the next connection."""
        self._send = None

    def end(self, error: RecordingError) -> None:
        """End the client: requests fail with this error, and so does each later one."""
        self._ended = self._ended or error
        self._send = None
        self._ready.set()
        self._inbox.news.set()
        for pending in self._pending.values():
            if not pending.answer.done():
                pending.answer.set_exception(self._ended)

    async def _carry_out(
        self,
        endpoint: str,
        payload: Mapping[str, object],
        request_id: str = "",
        send: Send | None = None,
    ) -> Json:
        """Send a request until it is decided.

        Args:
            endpoint, payload, request_id: as for ``request``.
            send: of the connection to use; None: of the present one, and of each later one.
        """
        request_id = request_id or f"{self._prefix}-{next(self._ids)}"
        text = write_request(endpoint, request_id, payload, self._options.trace())
        refused: RequestRefused | None = None
        try:
            async with asyncio.timeout(self._options.answer_s):
                while True:
                    response = await self._exchange(request_id, text, send)
                    if response.error is None:
                        return response.payload or {}
                    error = response.error
                    refused = RequestRefused(error.code, error.message, error.details)
                    if error.code not in AGAIN or not self._options.repeats:
                        raise refused
                    await self._prepare_repeat(refused)
        except TimeoutError:
            late = Unavailable(f"no response to {endpoint} in {self._options.answer_s:g} s")
            raise refused or late from None

    async def _exchange(self, request_id: str, text: str, send: Send | None) -> Response:
        """Send a request on this connection, or on each until one brings the response."""
        if self._ended is not None:
            raise self._ended
        if len(self._pending) >= MAX_PENDING:
            raise Unavailable(f"{MAX_PENDING} requests are without a response")
        pending = _Pending(text, asyncio.get_running_loop().create_future())
        self._pending[request_id] = pending
        try:
            if send := send or self._send:
                with suppress(ConnectionClosed):
                    await send(text)
            return await pending.answer
        finally:
            if self._pending.get(request_id) is pending:
                del self._pending[request_id]

    async def _prepare_repeat(self, refused: RequestRefused) -> None:
        """Wait until a request may be sent again; first present another token if one expired."""
        if refused.code == Code.UNAUTHENTICATED and callable(self._token):
            request_id = f"{self._prefix}-{next(self._ids)}"
            text = write_request("authenticate", request_id, {"token": self._token()})
            response = await self._exchange(request_id, text, None)
            if response.error is not None:
                raise RequestRefused(response.error.code, response.error.message)
            return
        wait_s = refused.details.get("retryAfter")
        await asyncio.sleep(wait_s if isinstance(wait_s, int | float) else AGAIN_S)

    async def _restore(self, send: Send) -> Watching | None:
        """Join again, watch again, on a connection that nothing else uses yet."""
        for room, payload in list(self._places.items()):
            try:
                await self._carry_out("joinRoom", payload, send=send)
            except RequestRefused as error:
                self.place_left(room)
                self._inbox.put(PlaceLost(room, error))
        if not self._topics:
            return None
        answer = await self._carry_out("watch", {"topics": list(self._topics)}, send=send)
        return read_answer(Watching, answer)


class Closed(Unavailable):
    """The program has closed the client."""

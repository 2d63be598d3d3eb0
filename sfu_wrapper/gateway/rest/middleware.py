"""ASGI middleware around the routes: form of addresses, deadline, errors, headers, metrics.

A response that takes long, such as a file, gets its ``Exchange`` from the state of its request: it
leaves the places of short requests to them, and extends its own deadline with each piece.
"""

import asyncio
import re
import time
from collections.abc import Callable
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sfu_wrapper.gateway.limits import Turns
from sfu_wrapper.gateway.rest.problems import internal, respond
from sfu_wrapper.model.errors import Code, Refused, Unavailable
from sfu_wrapper.observe.metrics import Metrics

# Of the characters of an id only these are ever written as escapes by an honest client; any other
# escape is a second way to write an address, or a way to write another one.
_OTHER_ESCAPE = re.compile(rb"%(?!40|3[Aa]|2[Bb])")
_HEALTH = "/health/"  # answered without a turn: it costs little and has to come in time
_TURNS_A_ROUND = 1  # requests that go on in one round of the event loop; each costs 1 to 2 ms
_METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"})
STATUS = "status"  # in the state of a request: of its answer
EXCHANGE = "exchange"  # in the state of a request: its ``Exchange``
_FILES = re.compile(rb"/(recordings/[^/]+/[^/]+/files|links/[^/]+/[^/]+)/")
_MAX_ADDRESS = 2048  # bytes of path and query: the longest that is meant has 600
_MAX_HEADER = 1024  # bytes of one that is taken apart here
_TAKEN_APART = frozenset(
    {b"accept", b"content-type", b"if-match", b"if-none-match", b"if-range", b"range"}
)
_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class Exchange:
    """Request under way, for a route whose response takes long.

    Args:
        head: True for HEAD, of which the routes see GET: the response needs no body.
        deadline: deadline of the whole request.
        leave: gives up its place among the requests under way.

    Attributes:
        until_s: monotonic time of the loop up to which the connection stays; None: the usual.
    """

    def __init__(self, head: bool, deadline: asyncio.Timeout, leave: Callable[[], None]) -> None:
        self.head = head
        self.until_s: float | None = None
        self.start_transfer = leave
        self._deadline = deadline

    def extend(self, by_s: float) -> None:
        """Move the deadline to ``by_s`` seconds from now."""
        self.until_s = asyncio.get_running_loop().time() + by_s
        self._deadline.reschedule(self.until_s)


class _Place:
    """Place of one request among those under way."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave: Callable[[], None] | None = leave

    def leave(self) -> None:
        """Give up the place, once."""
        if self._leave is not None:
            self._leave()
            self._leave = None


class Edge:
    """An ASGI application around the routes.

    Args:
        request_s: time for one request to be answered.
        max_requests: requests under way at once, health and metrics aside: these are answered
            however many others there are.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, request_s: float, max_requests: int) -> None:
        self._app = app
        self._metrics = metrics
        self._request_s = request_s
        self._max_requests = max_requests
        self._under_way = 0
        self._turns = Turns(_TURNS_A_ROUND)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError(f"the server speaks no {scope['type']}")
        began = time.monotonic()
        sent = _Sent(send, scope.get("state", {}))
        inner: Scope = dict(scope)
        counted = not _is_operational(scope["path"])
        self._under_way += counted
        place = _Place(self._left if counted else lambda: None)
        try:
            if not scope["path"].startswith(_HEALTH):
                await self._turns.take()
            if counted and self._under_way > self._max_requests:
                answer = respond(Unavailable("too many requests are under way; retry later"))
                await answer(inner, receive, sent)
            else:
                await self._answer(inner, receive, sent, place)
        finally:
            place.leave()
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(inner.get("route"), "path", "other")
            self._metrics.http(method, route, sent.status, time.monotonic() - began)

    def _left(self) -> None:
        self._under_way -= 1

    async def _answer(self, scope: Scope, receive: Receive, sent: "_Sent", place: _Place) -> None:
        head = scope["method"] == "HEAD"
        if head:
            scope["method"] = "GET"  # the server leaves the body out
        refused = _refusal(scope)
        if refused is not None:
            await respond(refused)(scope, receive, sent)
            return
        try:
            async with asyncio.timeout(self._request_s) as deadline:
                state = scope.setdefault("state", {})
                state[EXCHANGE] = Exchange(head, deadline, place.leave)
                await self._app(scope, receive, sent)
        except TimeoutError:
            if sent.started:
                raise  # the server cuts the connection
            answer = respond(Unavailable("this took too long; try again"))
            await answer(scope, receive, sent)
        except Exception as error:
            # The framework raises again what it has answered already.
            if not sent.started:
                await internal(error)(scope, receive, sent)
            elif not sent.finished:
                raise


def _before_file_name(path: bytes) -> bytes:
    """Return the part of a path with one form; the name of a file may need any escape.

    The index is searched for that name, so no spelling of it reaches anything else.
    """
    found = _FILES.match(path)
    return path if found is None else found[0]


def _is_operational(path: str) -> bool:
    return path.startswith(_HEALTH) or path == "/metrics"


def _refusal(scope: Scope) -> Refused | None:
    """Return the error in the head of a request, checked before its token; None: no error."""
    if len(scope["raw_path"]) + len(scope["query_string"]) > _MAX_ADDRESS:
        detail = f"the address may have {_MAX_ADDRESS} characters"
        return Refused(Code.BAD_REQUEST, detail, path="path")
    if _OTHER_ESCAPE.search(_before_file_name(scope["raw_path"])):
        detail = "write the path without escapes, but for @ : +"
        return Refused(Code.BAD_REQUEST, detail, path="path")
    for name, value in scope["headers"]:
        if len(value) > _MAX_HEADER and name in _TAKEN_APART:
            path = f"header.{name.decode()}"
            detail = f"{path} may have {_MAX_HEADER} characters"
            return Refused(Code.BAD_REQUEST, detail, path=path)
    return None


class _Sent:
    """Send callable that records the progress of a response."""

    def __init__(self, send: Send, state: dict[str, object]) -> None:
        self._send = send
        self._state = state
        self.status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
        self.started = False
        self.finished = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            self._state[STATUS] = self.status
            given = {name for name, _ in message["headers"]}
            added = [each for each in _HEADERS if each[0] not in given]
            message = {**message, "headers": [*message["headers"], *added]}
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.finished = True

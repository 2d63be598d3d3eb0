"""WebSocket that comes back: opened again with growing pauses, until that is of no use.

``Connection.run`` opens the socket and hands it to its ``User``: ``opened`` once for each socket,
``received`` for each message, ``lost`` when it is over. It returns, or raises, when another attempt
would not help (reconnecting.md, "The rules"):

=====================================  ========================================
handshake 401, 403, 404                RequestRefused: another token is needed
close 1003, 1007, 1009                 Malformed: a fault of the client
no connection for ``give_up_s``        Unavailable: repeats are no longer safe
anything else                          another attempt, after a pause
=====================================  ========================================
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
)

from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.model.errors import Code, Malformed, RecordingError, Unavailable

Token = str | Callable[[], str]
Send = Callable[[str], Awaitable[None]]

PAUSES: Final = Backoff(0.5, 10.0, jitter=random.random)
OPEN_S: Final = 10.0
CLOSE_S: Final = 2.0
GIVE_UP_S: Final = 300.0  # as long as the controller knows which requests it has carried out
MAX_BYTES: Final = 16 * 1024 * 1024  # of a message; a long page of rooms has less
_REFUSED: Final = {401: Code.UNAUTHENTICATED, 403: Code.FORBIDDEN, 404: Code.NOT_FOUND}
_OUR_FAULT: Final = (1003, 1007, 1009)


class RequestRefused(RecordingError):
    """The controller answered with an error; ``code`` is listed in errors.md.

    Attributes:
        details: further facts, such as ``retryAfter``.
    """

    def __init__(self, code: str, message: str, details: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.details = details or {}


class User(Protocol):
    """Part that uses the socket."""

    async def opened(self, send: Send) -> None:
        """Take up a new socket. Runs while messages are already received."""
        ...

    def received(self, text: str | bytes) -> None:
        """Handle one message. Raises Malformed."""
        ...

    def lost(self) -> None:
        """Stop sending: the socket is closed."""
        ...


@dataclass(slots=True)
class Connection:
    """A socket that is opened again.

    Attributes:
        url: address with its path.
        token: the token, or a function that returns a valid one; called for each attempt.
        user: what the messages are for.
        pauses: between attempts; they start over with each socket that was open.
        give_up_s: longest time without a socket, in seconds.
    """

    url: str
    token: Token
    user: User
    pauses: Backoff = PAUSES
    give_up_s: float = GIVE_UP_S
    _socket: ClientConnection | None = None

    async def run(self) -> None:
        """Keep a socket open until cancelled.

        Raises:
            RequestRefused, Malformed, Unavailable: see above.
        """
        loop = asyncio.get_running_loop()
        pauses, since_s = iter(self.pauses), loop.time()
        while True:
            try:
                if await self._once():
                    pauses, since_s = iter(self.pauses), loop.time()
            except (OSError, TimeoutError, InvalidHandshake) as error:
                _raise_if_refused(error)
                if loop.time() - since_s > self.give_up_s:
                    detail = f"no connection to {self.url} for {self.give_up_s:g} s: {error}"
                    raise Unavailable(detail) from error
            await asyncio.sleep(next(pauses))

    def drop(self) -> None:
        """Cut the socket without a close frame, as a lost network does; it is opened again."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def _once(self) -> bool:
        """Use one socket to its end. Returns True: it was open. Raises Malformed."""
        token = self.token if isinstance(self.token, str) else self.token()
        async with open_socket(
            self.url,
            additional_headers={"Authorization": f"Bearer {token}"},
            proxy=None,
            compression=None,
            open_timeout=OPEN_S,
            close_timeout=CLOSE_S,
            max_size=MAX_BYTES,
        ) as socket:
            self._socket = socket
            opening = asyncio.create_task(self.user.opened(socket.send))
            try:
                with suppress(ConnectionClosed):
                    async for text in socket:
                        self.user.received(text)
            finally:
                self._socket = None
                self.user.lost()
                opening.cancel()
                await asyncio.wait([opening])
            _raise_if_failed(opening)
        if socket.close_code in _OUR_FAULT:
            raise Malformed(f"closed with {socket.close_code}: {socket.close_reason}")
        return True


def _raise_if_refused(error: Exception) -> None:
    """Raise RequestRefused for a handshake that another attempt would not change."""
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        if code := _REFUSED.get(status):
            body = (error.response.body or b"").decode(errors="replace").strip()
            raise RequestRefused(code, f"HTTP {status}: {body or error}") from error


def _raise_if_failed(opening: asyncio.Task[None]) -> None:
    """Raise the error of a task that has ended; the loss of its socket is none."""
    error = None if opening.cancelled() else opening.exception()
    if error is not None and not isinstance(error, ConnectionClosed):
        raise error

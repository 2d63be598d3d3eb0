"""What a link has to send: in order, whether it came about in answer to something or later.

What waits to be sent over one WebSocket: bounded, in order, one writer.

Short frames that wait together leave together: each write to a socket costs more than most answers
do. A peer that does not read is given up here, so that it holds up nobody else.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from websockets.exceptions import ConnectionClosed

from sfu_wrapper.gateway.settings import KIB
from sfu_wrapper.gateway.transport import Connection


@dataclass(frozen=True, slots=True)
class Close:
    """End the WebSocket, after all that stands before it."""

    code: int
    reason: str


Outgoing = bytes | Close  # bytes: one text message, UTF-8


class Buffer:
    """Frames that wait to be taken.

    During a turn they are only collected, since whoever takes the turn takes them at its end; at
    other times ``on_ready`` is told of each.
    """

    __slots__ = ("_closed", "_frames", "_in_turn", "_on_ready")

    def __init__(self, on_ready: Callable[[], None]) -> None:
        self._frames: list[Outgoing] = []
        self._on_ready = on_ready
        self._in_turn = False
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether nothing more will be sent."""
        return self._closed

    def put(self, frame: Outgoing) -> None:
        """Add a frame; after a ``Close`` it is dropped."""
        if self._closed:
            return
        self._closed = isinstance(frame, Close)
        self._frames.append(frame)
        if not self._in_turn:
            self._on_ready()

    def take(self) -> list[Outgoing]:
        """All that waits; it is the caller's from now on."""
        frames, self._frames = self._frames, []
        return frames

    def drop(self) -> None:
        """The peer is gone: nothing is sent any more."""
        self._closed = True
        self._frames = []
        self._on_ready = _nobody  # which leads back here

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Collect without telling anybody."""
        self._in_turn = True
        try:
            yield
        finally:
            self._in_turn = False


def _nobody() -> None:
    """Be told for nobody."""


log = logging.getLogger(__name__)

_FAREWELL_S = 5.0  # how long a peer gets to agree to the end; then its socket is cut
_SLOW = Close(1013, "too slow")
_TOGETHER_BYTES = 16 * KIB  # of frames that leave together; a longer one leaves alone


class SendQueue:
    """Frames of one connection.

    limit_bytes: once more than that waits, the peer is given up. From a quarter of it on, its
        requests are left unread.
    slow_s: how long what is sent together may take to leave.
    """

    def __init__(self, connection: Connection, limit_bytes: int, slow_s: float) -> None:
        self._connection = connection
        self._limit_bytes = limit_bytes
        self._slow_s = slow_s
        self._frames: deque[Outgoing] = deque()
        self._bytes = 0
        self._ending = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def put(self, frames: Iterable[Outgoing]) -> None:
        """Add frames; never waits. What comes after the end is dropped."""
        for frame in frames:
            if self._ending:
                return
            if isinstance(frame, Close):
                self._ending = True
            else:
                self._bytes += len(frame)
            self._frames.append(frame)
            self._news.set()
        if self._bytes > self._limit_bytes:
            self._give_up()
        elif self._bytes > self._limit_bytes // 4:
            self._room.clear()

    async def room(self) -> None:
        """Wait until the peer has read enough to be read from again, or is given up."""
        await self._room.wait()

    def finish(self) -> None:
        """The connection is gone: let ``run`` end."""
        self._ending = True
        self._frames.clear()
        self._news.set()

    async def run(self) -> None:
        """Send until the end; returns when the connection is closed."""
        try:
            while (frame := await self._next()) is not None:
                if isinstance(frame, Close):
                    await self._farewell(frame)
                    return
                await self._send(self._with_next(frame))
        except ConnectionClosed:
            pass  # the reading side ends it
        finally:
            # Nobody sends any more: what is read yet may neither fill memory nor wait for room.
            self.finish()
            self._room.set()

    def _give_up(self) -> None:
        """Forget all that waits; the writer says so as soon as its present frame has left."""
        log.info("gateway.peer.overrun", extra={"bytes": self._bytes})
        self._frames.clear()
        self._frames.append(_SLOW)
        self._ending = True

    async def _next(self) -> Outgoing | None:
        while not self._frames:
            if self._ending:
                return None
            self._news.clear()
            await self._news.wait()
        return self._frames.popleft()

    def _with_next(self, frame: bytes) -> list[bytes]:
        """Return a frame and those after it that leave together with it."""
        together, size = [frame], len(frame)
        while self._frames:
            following = self._frames[0]
            if isinstance(following, Close) or size + len(following) > _TOGETHER_BYTES:
                break
            together.append(following)
            size += len(following)
            self._frames.popleft()
        return together

    async def _send(self, frames: list[bytes]) -> None:
        try:
            async with asyncio.timeout(self._slow_s):
                await self._connection.send_together(frames)
        except TimeoutError:
            log.info("gateway.peer.slow", extra={"seconds": self._slow_s})
            self._frames.clear()
            self._ending = True
            await self._farewell(_SLOW)
        self._bytes -= sum(map(len, frames))
        if self._bytes <= self._limit_bytes // 8:
            self._room.set()

    async def _farewell(self, close: Close) -> None:
        try:
            async with asyncio.timeout(_FAREWELL_S):
                await self._connection.close(close.code, close.reason)
        except TimeoutError:
            self._connection.transport.abort()

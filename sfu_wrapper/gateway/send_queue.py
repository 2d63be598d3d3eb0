"""Outgoing frames of one WebSocket, sent by one writer in order.

A ``SendQueue`` belongs to the server: ``put`` adds the frames of a link and never waits, ``run``
sends them until the end, and the reader of the connection awaits ``wait_until_writable`` before it
reads on. Short frames that wait together leave in one write,
since each write to a socket costs more than most responses. The queue is bounded: a peer that does
not read is disconnected with 1013, so that it takes neither memory nor time from others.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from websockets.exceptions import ConnectionClosed

from sfu_wrapper.gateway.settings import KIB
from sfu_wrapper.gateway.transport import Connection


@dataclass(frozen=True, slots=True)
class Close:
    """End of the WebSocket, after all frames before it."""

    code: int
    reason: str


Outgoing = bytes | Close  # bytes: one text message, UTF-8


log = logging.getLogger(__name__)

_CLOSE_S = 5.0  # for the closing handshake; then the socket is aborted
_SLOW = Close(1013, "too slow")
_TOGETHER_BYTES = 16 * KIB  # of frames that leave together; a longer one leaves alone


class SendQueue:
    """Frames of one connection.

    Args:
        connection: sends the frames.
        limit_bytes: limit of waiting frames; beyond it the peer is disconnected. Above a quarter of
            the limit its requests are left unread.
        slow_s: time limit for one write to leave.
    """

    def __init__(self, connection: Connection, limit_bytes: int, slow_s: float) -> None:
        self._connection = connection
        self._limit_bytes = limit_bytes
        self._slow_s = slow_s
        self._frames: deque[Outgoing] = deque()
        self._bytes = 0
        self._ending = False
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def put(self, frames: Iterable[Outgoing]) -> None:
        """Add frames; never waits. Frames after a ``Close`` are dropped."""
        for frame in frames:
            if self._ending:
                return
            if isinstance(frame, Close):
                self._ending = True
            else:
                self._bytes += len(frame)
            self._frames.append(frame)
            self._changed.set()
        if self._bytes > self._limit_bytes:
            self._overrun()
        elif self._bytes > self._limit_bytes // 4:
            self._writable.clear()

    async def wait_until_writable(self) -> None:
        """Wait until the peer has read enough of the queue, or the queue has ended."""
        await self._writable.wait()

    def finish(self) -> None:
        """End ``run``: the connection is lost."""
        self._ending = True
        self._frames.clear()
        self._changed.set()

    async def run(self) -> None:
        """Send until the end; returns when the connection is closed."""
        try:
            while (frame := await self._next()) is not None:
                if isinstance(frame, Close):
                    await self._close(frame)
                    return
                await self._send(self._with_next(frame))
        except ConnectionClosed:
            pass  # the reading side ends it
        finally:
            # Without a writer, later frames must neither fill memory nor block the reader.
            self.finish()
            self._writable.set()

    def _overrun(self) -> None:
        """Replace all waiting frames by a close with 1013."""
        log.info("gateway.peer.overrun", extra={"bytes": self._bytes})
        self._frames.clear()
        self._frames.append(_SLOW)
        self._ending = True

    async def _next(self) -> Outgoing | None:
        while not self._frames:
            if self._ending:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._frames.popleft()

    def _with_next(self, frame: bytes) -> list[bytes]:
        """Return a frame and those after it that leave in the same write."""
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
            await self._close(_SLOW)
        self._bytes -= sum(map(len, frames))
        if self._bytes <= self._limit_bytes // 8:
            self._writable.set()

    async def _close(self, close: Close) -> None:
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._connection.close(close.code, close.reason)
        except TimeoutError:
            self._connection.transport.abort()

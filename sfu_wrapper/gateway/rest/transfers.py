"""Sending of files: places, pace and pieces.

A file is read in pieces, each only once the client has taken the one before, so that a slow client
costs a descriptor and two pieces of memory, and no thread. Each piece has a deadline: below
``PIECE_BYTES`` in ``download_piece_s`` the connection is cut. Downloads have places of their own,
so that they take none from other requests; one user or link has a few of them.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from sfu_wrapper.gateway.rest.conditions import Span
from sfu_wrapper.gateway.rest.middleware import EXCHANGE, Exchange
from sfu_wrapper.gateway.settings import HttpSettings
from sfu_wrapper.model.errors import Code, Refused, Unavailable
from sfu_wrapper.ports.recording_files import OpenedFile

PIECE_BYTES: Final = 128 * 1024
PLACES_EACH: Final = 16  # downloads of one user, or of one link, at once


class Transfers:
    """Downloads under way."""

    def __init__(self, settings: HttpSettings) -> None:
        self.piece_s = settings.download_piece_s
        self._limit = settings.max_downloads
        self._under_way: Counter[str] = Counter()

    @property
    def under_way(self) -> int:
        """Number of downloads."""
        return self._under_way.total()

    def enter(self, holder: str) -> None:
        """Take a place for a user or a link; ``leave`` gives it back.

        Raises:
            Refused: RATE_LIMITED: the holder has too many.
            Unavailable: all places are taken.
        """
        if self._under_way[holder] >= PLACES_EACH:
            detail = f"{PLACES_EACH} downloads are under way; wait for one to end"
            raise Refused(Code.RATE_LIMITED, detail, retryAfter=1)
        if self.under_way >= self._limit:
            raise Unavailable("too many downloads are under way; retry later")
        self._under_way[holder] += 1

    def leave(self, holder: str) -> None:
        """Give a place back."""
        self._under_way[holder] -= 1
        if not self._under_way[holder]:
            del self._under_way[holder]


class FileResponse(Response):
    """Response whose body is a part of an open file; closes the file at its end.

    Args:
        file: the file.
        span: part to send.
        status: 200 or 206.
        headers: further headers.
        transfers: downloads under way; one place is taken there while the body is sent.
        holder: user or link that the download counts for.
    """

    def __init__(
        self,
        file: OpenedFile,
        span: Span,
        status: int,
        headers: Mapping[str, str],
        transfers: Transfers,
        holder: str,
    ) -> None:
        self.status_code = status
        self.background = None
        self.body = b""
        self._file = file
        self.span = span
        self._transfers = transfers
        self._holder = holder
        transfers.enter(holder)
        self.init_headers({**headers, "Content-Length": str(span.length)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head, then the body piece by piece while the client is there."""
        exchange: Exchange = scope["state"][EXCHANGE]
        exchange.start_transfer()
        gone = asyncio.create_task(_disconnected(receive))
        try:
            exchange.extend(self._transfers.piece_s)
            start = {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": self.raw_headers,
            }
            await send(start)
            if not exchange.head:
                await self._send_body(exchange, gone, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self.close()

    def close(self) -> None:
        """Close the file and give up the place; a second call does nothing."""
        self._file.close()
        if self._holder:
            self._transfers.leave(self._holder)
            self._holder = ""

    async def _send_body(self, exchange: Exchange, gone: "asyncio.Task[None]", send: Send) -> None:
        """Send the pieces. Raises Unavailable where the file ends early: the connection is cut."""
        offset, end = self.span.start, self.span.start + self.span.length
        while offset < end and not gone.done():
            exchange.extend(self._transfers.piece_s)
            piece = await self._file.read(offset, min(PIECE_BYTES, end - offset))
            if not piece:
                raise Unavailable("the file has become shorter")
            offset += len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})


def is_head(request: Request) -> bool:
    """Return True for HEAD, of which the routes see GET."""
    exchange: Exchange = request.scope["state"][EXCHANGE]
    return exchange.head


async def _disconnected(receive: Receive) -> None:
    """Return once the client has left."""
    with suppress(Exception):
        while (await receive())["type"] != "http.disconnect":
            pass

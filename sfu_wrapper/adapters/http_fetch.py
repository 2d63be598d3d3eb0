"""GET requests over HTTP, with the standard library in a thread; ``ports.system.KeySetSource``.

Each requests the given address only: it follows no redirect, and uses no other scheme than HTTP(S).
A fetch has a deadline and a limit on its size; each failure is Unavailable.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPException
from typing import IO, Final, cast
from urllib.error import HTTPError
from urllib.request import BaseHandler, HTTPRedirectHandler, Request, build_opener

from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.model.errors import Unavailable

DEADLINE_S: Final = 5.0
MAX_BYTES: Final = 256 * 1024
_PIECE_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class Fetch:
    """A request.

    Attributes:
        url: http or https.
        deadline_s: seconds for the whole fetch.
        max_bytes: of the body of the response.
        headers: further headers.
        handlers: of urllib, in place of its own for proxies or TLS.
    """

    url: str
    deadline_s: float = DEADLINE_S
    max_bytes: int = MAX_BYTES
    headers: Mapping[str, str] = field(default_factory=dict)
    handlers: tuple[BaseHandler, ...] = ()


async def fetch(what: str, request: Fetch) -> bytes:
    """Return the body of a response.

    Args:
        what: the thing that is fetched, for the message of the error.
        request: the request.

    Raises:
        Unavailable: no response in time, or not with status 200.
    """
    try:
        async with asyncio.timeout(request.deadline_s):
            return await run_in_daemon_thread(_get, request)
    except TimeoutError as error:
        raise Unavailable(f"{what} did not arrive within {request.deadline_s:g} s") from error
    except (OSError, HTTPException, ValueError) as error:
        raise Unavailable(f"cannot fetch {what}: {error}") from error


async def fetch_date(request: Fetch) -> str | None:
    """Return the ``Date`` header of a response of any status; None without one.

    Raises:
        Unavailable: no response in time.
    """
    try:
        async with asyncio.timeout(request.deadline_s):
            return await run_in_daemon_thread(_date, request)
    except (TimeoutError, OSError, HTTPException, ValueError) as error:
        raise Unavailable(f"no response from {request.url}: {error}") from error


class HttpKeySet:
    """The key set at one URL.

    Args:
        url: http or https.
        deadline_s: seconds for the whole fetch.
    """

    def __init__(self, url: str, *, deadline_s: float = DEADLINE_S) -> None:
        self._request = Fetch(url, deadline_s)

    async def fetch(self) -> bytes:
        """See the port."""
        return await fetch("the key set", self._request)


class _NoRedirect(HTTPRedirectHandler):
    """Refuse redirects, so that the server cannot make us request another address."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Return None: urllib then raises HTTPError for the redirect."""


def _date(wanted: Fetch) -> str | None:
    request = Request(wanted.url, headers=dict(wanted.headers))  # noqa: S310  # http and https
    try:
        with build_opener(_NoRedirect, *wanted.handlers).open(
            request, timeout=wanted.deadline_s
        ) as answer:
            date: str | None = answer.headers.get("Date")
    except HTTPError as error:
        date = error.headers.get("Date")
        error.close()
    return date


def _get(wanted: Fetch) -> bytes:
    """Fetch in pieces, so that the deadline also applies to a server that sends slowly."""
    until_s = time.monotonic() + wanted.deadline_s
    request = Request(  # noqa: S310  # http and https alone
        wanted.url, headers={"Accept": "application/json", **wanted.headers}
    )
    try:
        opener = build_opener(_NoRedirect, *wanted.handlers)
        answer = opener.open(request, timeout=wanted.deadline_s)
    except HTTPError as error:
        error.close()  # the error holds the response
        raise
    with answer:
        body = b""
        while piece := cast("bytes", answer.read1(_PIECE_BYTES)):
            body += piece
            if len(body) > wanted.max_bytes:
                raise ValueError(f"the response is longer than {wanted.max_bytes} bytes")
            if time.monotonic() > until_s:
                raise TimeoutError
        return body

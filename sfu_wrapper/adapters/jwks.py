"""``ports.system.KeySetSource`` over HTTP, with the standard library in a thread.

Requests the configured address only: follows no redirect, and no other scheme than HTTP(S). A
fetch has a deadline and a limit on its size; each failure is Unavailable.
"""

import asyncio
import time
from email.message import Message
from http.client import HTTPException
from typing import IO, Final, cast
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from sfu_wrapper.adapters.os.threads import run_in_daemon_thread
from sfu_wrapper.model.errors import Unavailable

DEADLINE_S: Final = 5.0
MAX_BYTES: Final = 256 * 1024
_PIECE_BYTES: Final = 16 * 1024


class HttpKeySet:
    """The key set at one URL.

    Args:
        url: http or https.
        deadline_s: seconds for the whole fetch.
    """

    def __init__(self, url: str, *, deadline_s: float = DEADLINE_S) -> None:
        self._url = url
        self._deadline_s = deadline_s

    async def fetch(self) -> bytes:
        """See the port."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await run_in_daemon_thread(_get, self._url, self._deadline_s)
        except TimeoutError as error:
            raise Unavailable(
                f"the key set did not arrive within {self._deadline_s:g} s"
            ) from error
        except (OSError, HTTPException, ValueError) as error:
            raise Unavailable(f"cannot fetch the key set: {error}") from error


class _NoRedirect(HTTPRedirectHandler):
    """Refuse redirects, so that the server cannot make us request another address."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Return None: urllib then raises HTTPError for the redirect."""


def _get(url: str, deadline_s: float) -> bytes:
    """Fetch in pieces, so that the deadline also applies to a server that sends slowly."""
    until_s = time.monotonic() + deadline_s
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310  # http and https alone
    try:
        answer = build_opener(_NoRedirect).open(request, timeout=deadline_s)
    except HTTPError as error:
        error.close()  # the error holds the response
        raise
    with answer:
        body = b""
        while piece := cast("bytes", answer.read1(_PIECE_BYTES)):
            body += piece
            if len(body) > MAX_BYTES:
                raise ValueError(f"the response is longer than {MAX_BYTES} bytes")
            if time.monotonic() > until_s:
                raise TimeoutError
        return body

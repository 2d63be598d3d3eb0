"""``ports.system.KeySetSource`` over HTTP, with the standard library in a thread.

Only the configured address is asked: no redirect is followed, and no other scheme than HTTP.
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
    """The key set at one address."""

    def __init__(self, url: str, *, deadline_s: float = DEADLINE_S) -> None:
        self._url = url
        self._deadline_s = deadline_s

    async def fetch(self) -> bytes:
        """See the port."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await run_in_daemon_thread(_get, self._url, self._deadline_s)
        except TimeoutError as error:
            raise Unavailable("the key set did not come in time") from error
        except (OSError, HTTPException, ValueError) as error:
            raise Unavailable(f"the key set cannot be had: {error}") from error


class _NoRedirect(HTTPRedirectHandler):
    """Whoever answers at the configured address does not get to name another one."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Do not go there; the answer then counts as an error."""


def _get(url: str, deadline_s: float) -> bytes:
    """In pieces, so that a server that dribbles runs into the deadline too."""
    until_s = time.monotonic() + deadline_s
    asking = Request(url, headers={"Accept": "application/json"})  # noqa: S310  # http and https alone
    try:
        answer = build_opener(_NoRedirect).open(asking, timeout=deadline_s)
    except HTTPError as error:
        error.close()  # it is the answer too
        raise
    with answer:
        body = b""
        while piece := cast("bytes", answer.read1(_PIECE_BYTES)):
            body += piece
            if len(body) > MAX_BYTES:
                raise ValueError(f"it is longer than {MAX_BYTES} bytes")
            if time.monotonic() > until_s:
                raise TimeoutError
        return body

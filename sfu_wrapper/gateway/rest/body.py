"""The body of a request: its declared type, its length, its time. Not what it says."""

import asyncio
from collections import Counter
from http import HTTPStatus

from fastapi import Request
from starlette.requests import ClientDisconnect

from sfu_wrapper.gateway.rest.problems import HttpRefused
from sfu_wrapper.gateway.rest.settings import HttpSettings
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import UserKey

_AT_ONCE = 8  # bodies of one user
_MAX_DIGITS = 15  # of a content-length; the server has let digits through alone


class JsonBodies:
    """Reads bodies; a few at once of one user, so that slow ones leave places for others."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._under_way: Counter[UserKey] = Counter()

    async def read(self, request: Request, by: UserKey) -> bytes:
        """Read the whole body of a request that says it is JSON.

        Raises:
            HttpRefused: 415, 413, 408, or 400 where the client left in the middle.
            Refused: RATE_LIMITED where too many bodies of this user are under way.
        """
        _require_json(request)
        if self._under_way[by] >= _AT_ONCE:
            detail = f"{_AT_ONCE} bodies of this user are on their way; send one after the other"
            raise Refused(Code.RATE_LIMITED, detail, retryAfter=1)
        self._under_way[by] += 1
        try:
            return await _whole(request, self._settings)
        finally:
            self._under_way[by] -= 1
            if not self._under_way[by]:
                del self._under_way[by]


async def _whole(request: Request, settings: HttpSettings) -> bytes:
    try:
        async with asyncio.timeout(settings.body_s):
            return await _read(request, settings)
    except TimeoutError:
        detail = f"the body must arrive within {settings.body_s:g} s"
        raise HttpRefused(HTTPStatus.REQUEST_TIMEOUT, detail) from None
    except ClientDisconnect:
        raise HttpRefused(HTTPStatus.BAD_REQUEST, "the body is not whole") from None


async def _read(request: Request, settings: HttpSettings) -> bytes:
    """Keep no more than is allowed, however much comes; read nothing where too much is announced.

    What is only a little too long is still read, so that its sender comes to read the answer.
    """
    too_long = HttpRefused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body may have {settings.max_body_bytes} bytes"
    )
    announced = request.headers.get("content-length", "0")
    if len(announced) > _MAX_DIGITS or int(announced) > settings.discard_bytes:
        raise too_long
    kept = bytearray()
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total <= settings.max_body_bytes:
            kept += chunk
        elif total > settings.discard_bytes:
            break
    if total > settings.max_body_bytes:
        raise too_long
    return bytes(kept)


def _require_json(request: Request) -> None:
    kinds = request.headers.getlist("content-type")
    name, *parameters = (piece.strip().lower() for piece in ";".join(kinds).split(";"))
    plain = all(each in ("", "charset=utf-8", 'charset="utf-8"') for each in parameters)
    encoded = request.headers.get("content-encoding", "identity").lower() != "identity"
    if len(kinds) != 1 or name != "application/json" or not plain or encoded:
        detail = "the body must be application/json in UTF-8, not encoded"
        raise HttpRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, Accept="application/json")

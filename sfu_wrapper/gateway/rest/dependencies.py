"""Checks of every request with a token: identity, rate limit, ``Accept``, query, and its body.

``AuthenticatedRequest`` is a dependency of each route and returns the identity. ``JsonBodies``
reads a body within its limits of type, length and time; the route validates the content.
"""

import asyncio
import math
from collections import Counter
from http import HTTPStatus
from typing import Annotated, Final, NoReturn

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.requests import ClientDisconnect

from sfu_wrapper.gateway.auth import Authenticator, bearer
from sfu_wrapper.gateway.limits import Limits
from sfu_wrapper.gateway.rest.problems import HttpRefused
from sfu_wrapper.gateway.settings import HttpSettings
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import Identity, UserKey
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.recordings.audit import Audit

_MAX_PARAMETERS = 16  # of one query; no route has more than 3
_JSON = ("application/json", "application/*", "*/*")

# Routes whose refusals are audited: those of recordings, and of who may record.
_AUDITED: Final = (
    "/recordings",
    "/erasures",
    "/usage",
    "/retention",
    "/audit",
    "/webhooks",
    "/permissions/domain",
)
_SETTINGS: Final = ("/permissions/domain/", "/retention/domain/")
_AUDITED_CODES: Final = frozenset(
    {
        Code.FORBIDDEN,
        Code.NOT_FOUND,
        Code.RECORDING_HELD,
        Code.RECORDING_RUNNING,
        Code.RECORDING_DELETED,
        Code.RECORDING_NOT_FAILED,
        Code.RAW_FILES_GONE,
        Code.COUNT_CHANGED,
        Code.FILE_LOST,
        Code.NOT_MOUNTED,
    }
)

# For the description only; ``AuthenticatedRequest`` reads the token itself.
_scheme = HTTPBearer(bearerFormat="JWT", auto_error=False)


class AuthenticatedRequest:
    """FastAPI dependency that returns the identity of the requester.

    Requests without a valid token, and later ``refused`` ones, leave audit entries.

    Raises:
        Refused: UNAUTHENTICATED, RATE_LIMITED or BAD_REQUEST.
        HttpRefused: 406.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        clock: Clock,
        limits: Limits,
        audit: Audit,
        *,
        json: bool = True,
    ) -> None:
        self._audit = audit
        self._authenticator = authenticator
        self._clock = clock
        self._limits = limits
        self._json = json

    def of_any_type(self) -> "AuthenticatedRequest":
        """Return the same for responses that are not JSON: ``Accept`` is not checked."""
        return AuthenticatedRequest(
            self._authenticator, self._clock, self._limits, self._audit, json=False
        )

    async def __call__(
        self,
        request: Request,
        _: Annotated[HTTPAuthorizationCredentials | None, Security(_scheme)],
    ) -> Identity:
        """Return the identity of the requester."""
        identity = self._identity(request)
        request.state.identity = identity
        self._check_rate_limit(identity)
        require_plain_query(request)
        if self._json and not accepts_json(",".join(request.headers.getlist("accept"))):
            raise HttpRefused(
                HTTPStatus.NOT_ACCEPTABLE, "the response is application/json, which Accept excludes"
            )
        return identity

    def _identity(self, request: Request) -> Identity:
        try:
            return _identified(request, self._authenticator)
        except Refused as refused:
            place = f"{request.method} {request.scope['route'].path}"
            self._audit.refused(None, None, "token.refuse", place, refused.code)
            raise

    def refused(self, request: Request, code: str) -> None:
        """Note that a request with a valid token was refused, on routes that are audited."""
        identity: Identity | None = getattr(request.state, "identity", None)
        path = request.scope.get("path", "")
        own_permission = code == Code.FORBIDDEN and path.startswith("/permissions")
        noted = own_permission or (code in _AUDITED_CODES and path.startswith(_AUDITED))
        if identity is None or not noted or _is_unset(request, identity, code):
            return
        action = f"{request.method} {request.scope['route'].path}"
        self._audit.refused(identity.key, identity.domain, action, path, code)

    def _check_rate_limit(self, identity: Identity) -> None:
        now_ms = self._clock.now().mono_ms
        bucket = self._limits.of(identity, now_ms)
        wait_ms = bucket.wait_ms(now_ms)
        if wait_ms > 0:
            seconds = math.ceil(wait_ms / 1000)
            raise Refused(Code.RATE_LIMITED, "too many requests", retryAfter=seconds)
        bucket.take()


def _is_unset(request: Request, identity: Identity, code: str) -> bool:
    """Return True for a read of a setting of the own domain that nobody has set."""
    reads = request.method in ("GET", "HEAD") and code == Code.NOT_FOUND
    own = request.path_params.get("id") == identity.domain
    return reads and own and request.scope["path"].startswith(_SETTINGS)


def _identified(request: Request, authenticator: Authenticator) -> Identity:
    identity = bearer(request.headers.getlist("authorization"), authenticator)
    if identity is None:
        raise Refused(Code.UNAUTHENTICATED, "send a token: Authorization: Bearer …")
    return identity


def accepts_json(accept: str) -> bool:
    """Return True if an ``Accept`` header admits JSON; the most specific range decides."""
    if not accept.strip():
        return True
    weights = dict(_range(part) for part in accept.split(","))
    for wanted in _JSON:
        if wanted in weights:
            return weights[wanted] > 0
    return False


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return name, float(value)
            except ValueError:
                return name, 0.0
    return name, 1.0


def require_plain_query(request: Request) -> None:
    """Require that every parameter is known, and given once. Raises Refused."""
    if request.url.query.count("&") >= _MAX_PARAMETERS:
        detail = f"query has more than {_MAX_PARAMETERS} parameters"
        raise Refused(Code.BAD_REQUEST, detail, path="query")
    route = request.scope["route"]
    known = {parameter.alias for parameter in route.dependant.query_params}
    for name, times in Counter(key for key, _ in request.query_params.multi_items()).items():
        if name not in known:
            _wrong(name, "is not a parameter here")
        if times > 1:
            _wrong(name, "stands twice")


def _wrong(name: str, why: str) -> NoReturn:
    path = f"query.{name}" if name.isprintable() and len(name) <= 128 else "query"
    raise Refused(Code.BAD_REQUEST, f"{path} {why}", path=path)


_AT_ONCE = 8  # bodies of one user
_MAX_DIGITS = 15  # of a content-length; the server has let digits through alone


class JsonBodies:
    """Reader of bodies, a few at once of one user, so that slow ones leave places for others."""

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

    A body that is a little too long is read to its end, so that its sender reads the response.
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

"""``/call/{room}``: the call page and the files that it is made of.

Static but for three facts that the page is told in ``<meta>``: where the WebSockets are, whether
there is real media, and what time it is here. Every file is read once, at the start; a name from
an address is only ever looked up among these. Nothing here sees a token: the page keeps it in the
fragment of its address, which no browser sends.
"""

import html
import re
from dataclasses import dataclass
from importlib import resources
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.wire.rest import ID_LENGTH, ID_PATTERN

_KINDS = {".css": "text/css", ".js": "text/javascript", ".html": "text/html"}
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")
_PORT = re.compile(r":\d{1,5}\Z")
_LOCAL = "localhost"  # where a request names no host that could stand in an address

_Room = Annotated[str, Path(pattern=ID_PATTERN, max_length=ID_LENGTH)]


@dataclass(frozen=True, slots=True)
class CallPageSettings:
    """Where a browser finds the WebSockets.

    websocket_url: as seen from outside, without a path; None: this host's ``websocket_port``.
    real_media: whether ``/media`` is served; without it nobody is seen or heard.
    """

    websocket_port: int = 8765
    websocket_url: str | None = None
    real_media: bool = False


def call_routes(settings: CallPageSettings, clock: Clock) -> APIRouter:
    """The routes of the call page."""
    router = APIRouter(include_in_schema=False)
    files = _files()
    page = files.pop("index.html").decode()

    @router.get("/call/{room}")
    async def get_call_page(request: Request, room: _Room) -> Response:
        """The page; which room it is about it reads in its own address."""
        websockets = settings.websocket_url or _beside(request, settings.websocket_port)
        told = {
            "@signaling@": f"{websockets}/client",
            "@media@": f"{websockets}/media" if settings.real_media else "",
            "@now@": str(clock.now().wall_ms),
        }
        return Response(_filled(page, told), headers=_headers(websockets), media_type="text/html")

    @router.get("/assets/callpage/{name}")
    async def get_call_asset(name: str) -> Response:
        """One of its files."""
        if name not in files:
            raise Refused(Code.UNKNOWN_ENDPOINT, "there is no such endpoint")
        return Response(files[name], headers=_QUIET, media_type=_kind(name))

    return router


_QUIET = {"Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "no-referrer"}


def _headers(websockets: str) -> dict[str, str]:
    """No script but ours, no connection but to the WebSockets, in no frame of anybody's."""
    policy = (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src data:",
        "media-src blob:",
        f"connect-src {websockets}/client {websockets}/media",  # of a path only the whole matches
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
    return _QUIET | {
        "Content-Security-Policy": "; ".join(policy),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), "
        "geolocation=(), payment=(), usb=()",
        "X-Frame-Options": "DENY",
    }


def _beside(request: Request, port: int) -> str:
    """The WebSockets on the host that the browser has asked, which it says itself."""
    host = _PORT.sub("", request.headers.get("host", ""))
    return f"ws://{host if _HOST.fullmatch(host) else _LOCAL}:{port}"


def _filled(page: str, told: dict[str, str]) -> str:
    for mark, value in told.items():
        page = page.replace(mark, html.escape(value))
    return page


def _kind(name: str) -> str:
    return _KINDS[name[name.rindex(".") :]]


def _files() -> dict[str, bytes]:
    folder = resources.files(__package__).joinpath("static")
    return {each.name: each.read_bytes() for each in folder.iterdir()}

"""``/call/{room}``: the call page and its files.

The page is static except for four values in ``<meta>``: the addresses of the two WebSockets, the
time of this host, and who may stop a recording. Every file is read once, at the start; the name in
an address only selects one of these. The server never sees a token: the page keeps it in the
fragment of its address, which browsers do not send.
"""

import html
import re
from dataclasses import dataclass
from importlib import resources
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from sfu_wrapper.core.policy import StopBy
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
    """Addresses that the page gets.

    Attributes:
        websocket_port: port of the WebSockets on this host.
        websocket_url: their address as seen from outside, without a path; None:
            ``websocket_port`` on the host that the browser has requested.
        real_media: True if ``/media`` is served; without it the page shows no other participant.
        stop_by: users who may stop a recording.
    """

    websocket_port: int = 8765
    websocket_url: str | None = None
    real_media: bool = False
    stop_by: StopBy = StopBy.OWNER


def call_routes(settings: CallPageSettings, clock: Clock) -> APIRouter:
    """Return the routes of the call page."""
    router = APIRouter(include_in_schema=False)
    files = _files()
    page = files.pop("index.html").decode()

    @router.get("/call/{room}")
    async def get_call_page(request: Request, room: _Room) -> Response:
        """Return the page, which reads the id of its room from its own address."""
        websockets = settings.websocket_url or _on_same_host(request, settings.websocket_port)
        values = {
            "@signaling@": f"{websockets}/client",
            "@media@": f"{websockets}/media" if settings.real_media else "",
            "@now@": str(clock.now().wall_ms),
            "@stop-by@": settings.stop_by.value,
        }
        return Response(_filled(page, values), headers=_headers(websockets), media_type="text/html")

    @router.get("/assets/callpage/{name}")
    async def get_call_asset(name: str) -> Response:
        """Return a file of the page."""
        if name not in files:
            raise Refused(Code.UNKNOWN_ENDPOINT, "unknown endpoint")
        return Response(files[name], headers=_QUIET, media_type=_kind(name))

    return router


_QUIET = {"Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "no-referrer"}


def _headers(websockets: str) -> dict[str, str]:
    """Return headers that allow our scripts and WebSockets only, and no embedding."""
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


def _on_same_host(request: Request, port: int) -> str:
    """Return the address of the WebSockets on the host that the browser has requested."""
    host = _PORT.sub("", request.headers.get("host", ""))
    return f"ws://{host if _HOST.fullmatch(host) else _LOCAL}:{port}"


def _filled(page: str, values: dict[str, str]) -> str:
    for mark, value in values.items():
        page = page.replace(mark, html.escape(value))
    return page


def _kind(name: str) -> str:
    return _KINDS[name[name.rindex(".") :]]


def _files() -> dict[str, bytes]:
    folder = resources.files(__package__).joinpath("static")
    return {each.name: each.read_bytes() for each in folder.iterdir()}

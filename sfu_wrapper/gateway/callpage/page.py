"""``/call/{room}``: the call page and its files.

The page is static except for four values in ``<meta>``: the addresses of the two WebSockets, the
time of this host, and who may stop a recording. The server never sees a token: the page keeps it in
the fragment of its address, which browsers do not send.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from sfu_wrapper.core.policy import StopBy
from sfu_wrapper.gateway.webfiles import (
    asset_routes,
    read_files,
    respond_page,
    websockets_on_same_host,
)
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.wire.rest import ID_LENGTH, ID_PATTERN

_PERMISSIONS = (
    "camera=(self), microphone=(self), display-capture=(self), geolocation=(), payment=(), usb=()"
)

_Room = Annotated[str, Path(pattern=ID_PATTERN, max_length=ID_LENGTH)]


@dataclass(frozen=True, slots=True)
class PageSettings:
    """Values that the call page and the console get.

    Attributes:
        websocket_port: port of the WebSockets on this host.
        websocket_url: their address as seen from outside, without a path; None:
            ``websocket_port`` on the host that the browser has requested.
        real_media: True if ``/media`` is served; without it the page shows no other participant.
        stop_by: users who may stop a recording.
        owner_may_delete: True if owners may delete their recordings.
        media_source: source of files in an object store for a Content-Security-Policy, if any.
        login_url: page of the identity provider where users of the console sign in, if any.
    """

    websocket_port: int = 8765
    websocket_url: str | None = None
    real_media: bool = False
    stop_by: StopBy = StopBy.OWNER
    owner_may_delete: bool = False
    media_source: str | None = None
    login_url: str | None = None

    def websockets(self, request: Request) -> str:
        """Return the address of the WebSockets, without a path, as this browser reaches them."""
        return self.websocket_url or websockets_on_same_host(request, self.websocket_port)


def call_routes(settings: PageSettings, clock: Clock) -> APIRouter:
    """Return the routes of the call page."""
    router = APIRouter(include_in_schema=False)
    files = read_files(__package__)
    page = files.pop("index.html").decode()

    @router.get("/call/{room}")
    async def get_call_page(request: Request, room: _Room) -> Response:
        """Return the page, which reads the id of its room from its own address."""
        websockets = settings.websockets(request)
        values = {
            "@signaling@": f"{websockets}/client",
            "@media@": f"{websockets}/media" if settings.real_media else "",
            "@now@": str(clock.now().wall_ms),
            "@stop-by@": settings.stop_by.value,
        }
        policy = {
            "img-src": "data:",
            "media-src": "blob:",
            # of a path only the whole matches
            "connect-src": f"{websockets}/client {websockets}/media",
        }
        return respond_page(page, values, policy, _PERMISSIONS)

    router.include_router(asset_routes("callpage", files))
    return router

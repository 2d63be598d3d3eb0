"""``/``: the console and its files.

The console uses the HTTP interface and ``watch`` alone. The page is static except for values in
``<meta>``: the address of the WebSocket, the page where users sign in, the time of this host, and
who may stop a recording. Its token stays in the browser (console.md, "Sign in").
"""

from fastapi import APIRouter, Request, Response

from sfu_wrapper.gateway.callpage.page import PageSettings
from sfu_wrapper.gateway.webfiles import asset_routes, read_files, respond_page
from sfu_wrapper.ports.system import Clock

_PERMISSIONS = "camera=(), microphone=(), display-capture=(), geolocation=(), payment=(), usb=()"


def console_routes(settings: PageSettings, clock: Clock) -> APIRouter:
    """Return the routes of the console."""
    router = APIRouter(include_in_schema=False)
    files = read_files(__package__)
    page = files.pop("index.html").decode()

    @router.get("/")
    async def get_console(request: Request) -> Response:
        """Return the page, whose views are in the fragment of its address."""
        signaling = f"{settings.websockets(request)}/client"
        values = {
            "@signaling@": signaling,
            "@login@": settings.login_url or "",
            "@now@": str(clock.now().wall_ms),
            "@stop-by@": settings.stop_by.value,
            "@owner-may-delete@": str(settings.owner_may_delete).lower(),
        }
        files_at = " ".join(filter(None, ("'self'", settings.media_source)))
        policy = {
            "img-src": f"{files_at} data:",
            "media-src": files_at,
            "connect-src": f"'self' {signaling}",
        }
        return respond_page(page, values, policy, _PERMISSIONS)

    router.include_router(asset_routes("console", files))
    return router

"""How browsers come in: whether the call page gives them a camera, and who else may use its way.

Looked at where a real SFU is there to be reached.
"""

from collections.abc import AsyncIterator
from typing import Final

from sfu_wrapper.cli.checks.finding import Finding, good, odd
from sfu_wrapper.config.settings import Settings

_LOCAL: Final = frozenset({"127.0.0.1", "::1", "localhost"})


async def look(settings: Settings) -> AsyncIterator[Finding]:
    """Addresses and origins; nothing is contacted."""
    if settings.media.sfu != "janus":
        return
    url = settings.http.public_websocket_url
    if url is None and settings.http.host not in _LOCAL:
        yield odd(
            "http.publicWebsocketUrl is not set: beyond this machine browsers give no camera "
            "to a page without https",
            "put a proxy with TLS in front and name its address: docs/deployment.md",
        )
    elif url is not None and url.startswith("ws://"):
        yield odd(
            f"http.publicWebsocketUrl = {url}: tokens cross the network in the clear",
            "put TLS in front and write wss://",
        )
    else:
        yield good(f"browsers connect to {url or 'this machine alone'}")
    if not settings.websocket.allowed_origins:
        yield odd(
            "websocket.allowedOrigins is empty: pages of any site may connect",
            "list the origin of the call page and of your own clients",
        )

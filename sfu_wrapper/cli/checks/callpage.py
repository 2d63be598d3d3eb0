"""Check of the access by browsers: camera permission, TLS, allowed origins.

Applies where the SFU is a real one.
"""

from collections.abc import AsyncIterator
from typing import Final

from sfu_wrapper.cli.checks.report import Finding, good, odd
from sfu_wrapper.config.settings import Settings

_LOCAL: Final = frozenset({"127.0.0.1", "::1", "localhost"})


async def look(settings: Settings) -> AsyncIterator[Finding]:
    """Check addresses and origins, without any connection."""
    if settings.media.sfu != "janus":
        return
    url = settings.http.public_websocket_url
    if url is None and settings.http.host not in _LOCAL:
        yield odd(
            "http.publicWebsocketUrl is not set: except on this machine, browsers deny the camera "
            "to a page without https",
            "install a proxy with TLS and set its address: docs/how-to/deployment.md",
        )
    elif url is not None and url.startswith("ws://"):
        yield odd(
            f"http.publicWebsocketUrl = {url}: tokens cross the network unencrypted",
            "install a proxy with TLS and write wss://",
        )
    else:
        yield good(f"browsers connect to {url or 'this machine only'}")
    if not settings.websocket.allowed_origins:
        yield odd(
            "websocket.allowedOrigins is empty: pages of any site may connect",
            "list the origin of the call page and of your own clients",
        )

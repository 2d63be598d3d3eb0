"""A WebSocket server with our settings, whatever is spoken over it.

Apart from the server of the gateway, so that the settings alone can be put to the test.
"""

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import cast

from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as serve_websockets
from websockets.http11 import Request, Response

from sfu_wrapper.gateway.connection import Connection, Intake, connections_of
from sfu_wrapper.gateway.handshake import Admitted, Path, Rejected
from sfu_wrapper.model.errors import Unavailable

# The library would log headers, tokens included, and a traceback for every port scan.
_library_log = logging.getLogger(f"{__name__}.websockets")
_library_log.setLevel(logging.CRITICAL)

log = logging.getLogger(__name__)

_UNREAD = 4  # frames that are here and not looked at, before no more are read


async def listen(
    intake: Intake,
    handler: Callable[[Connection], Awaitable[None]],
    judge: Callable[[Request], Admitted | Rejected],
) -> Server:
    """Listen where the settings say.

    judge: decides on a handshake, before any message can be read.

    Raises:
        Unavailable: the address cannot be had.
    """
    settings = intake.settings

    async def handle(connection: ServerConnection) -> None:
        await handler(cast("Connection", connection))

    def admit(connection: ServerConnection, request: Request) -> Response | None:
        return _admit(cast("Connection", connection), judge(request))

    try:
        return await serve_websockets(
            handle,
            settings.host,
            settings.port,
            process_request=admit,
            create_connection=connections_of(intake),
            compression=None,
            ping_interval=settings.ping_interval_s,
            max_size=settings.max_message_bytes,
            max_queue=_UNREAD,
            logger=_library_log,
            server_header=None,
        )
    except OSError as exc:
        raise Unavailable(
            f"cannot listen on {settings.host} port {settings.port}: {exc.strerror}"
        ) from exc


def _admit(connection: Connection, verdict: Admitted | Rejected) -> Response | None:
    if isinstance(verdict, Rejected):
        log.info("gateway.handshake.rejected", extra={"status": verdict.status.value})
        response = connection.respond(verdict.status, verdict.reason + "\n")
        if verdict.status is HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response
    connection.admitted = verdict
    if verdict.path is Path.GATEWAY:
        connection.protocol.max_message_size = connection.intake.settings.max_gateway_frame_bytes
    return None

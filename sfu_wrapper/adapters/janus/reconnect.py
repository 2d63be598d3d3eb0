"""Reconnection to Janus with increasing pauses.

``serve`` gets one session at a time and returns when that session is lost; the next one follows.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from sfu_wrapper.adapters.janus.errors import JanusRefused
from sfu_wrapper.adapters.janus.session import JanusAddress, JanusSession, open_session
from sfu_wrapper.model.errors import Unavailable

log = logging.getLogger(__name__)

BACK_OFF_S: Final = (0.1, 0.3, 1.0, 2.0, 5.0)
_STABLE_AFTER_S: Final = 10.0  # a session that lasted longer resets the back-off


async def keep_connected(
    address: JanusAddress,
    serve: Callable[[JanusSession], Awaitable[None]],
    *,
    back_off_s: tuple[float, ...] = BACK_OFF_S,
) -> None:
    """Open sessions one after another and pass each to ``serve``, until cancelled.

    Args:
        address: Address and credentials of Janus.
        serve: Returns once the session is lost. Unavailable and JanusRefused end the session too.
        back_off_s: Pauses between attempts; the last one repeats.
    """
    loop = asyncio.get_running_loop()
    failures = 0
    while True:
        opened_s: float | None = None
        try:
            async with open_session(address) as session:
                opened_s = loop.time()
                log.info("janus.connected", extra={"url": address.url})
                await serve(session)
            error = "the connection is lost"
        except (Unavailable, JanusRefused) as refused:
            error = refused.detail
        if opened_s is not None and loop.time() - opened_s > _STABLE_AFTER_S:
            failures = 0
        if opened_s is not None or failures == 0:
            log.warning("janus.disconnected", extra={"url": address.url, "error": error})
        await asyncio.sleep(back_off_s[min(failures, len(back_off_s) - 1)])
        failures += 1

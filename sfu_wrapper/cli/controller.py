"""The controller put together: gateway, rooms, relay, media plane, and their one TaskGroup.

Order of life: load rooms, start the tasks, open the doors, log ``ready``. Order of death: close the
doors, stop what is recorded, let its events be stored (and published as far as time allows).
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from sfu_wrapper.cli.parts import authenticator, gateway_settings, queues, rules
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.gateway.server import serve
from sfu_wrapper.model.errors import Misconfigured
from sfu_wrapper.ports.broker import Broker
from sfu_wrapper.ports.clock import Clock
from sfu_wrapper.ports.plane import MediaPlane
from sfu_wrapper.ports.store import Store
from sfu_wrapper.service.outbox import Relay
from sfu_wrapper.service.rooms import Rooms

DRAIN_S = 10.0  # for the media plane to close the files of what runs
FLUSH_S = 5.0  # for the broker to confirm; what it does not stays in the outbox

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """The adapters that a controller works with; whoever made them closes store and broker."""

    store: Store
    broker: Broker
    plane: MediaPlane
    clock: Clock


@dataclass(frozen=True, slots=True)
class Running:
    """A controller that accepts connections. url: of its WebSocket server, without a path."""

    url: str
    rooms: Rooms
    relay: Relay


@asynccontextmanager
async def controller(settings: Settings, parts: Parts) -> AsyncIterator[Running]:
    """Run a controller while the context lasts.

    Raises:
        Misconfigured: no key to check tokens with.
        Unavailable: the address cannot be had.
    """
    if not settings.auth.configured:
        raise Misconfigured(
            "[auth] names no key, so nobody could be believed: set auth.secret "
            "(SFU_WRAPPER__AUTH__SECRET), auth.publicKeyFile or auth.jwksUrl"
        )
    relay = Relay(parts.store, parts.broker, queues(settings))
    rooms = Rooms(
        parts.store,
        parts.plane,
        parts.clock,
        rules(settings),
        keep_answers_ms=int(settings.websocket.idempotency_seconds * 1000),
        offer=relay.offer,
    )
    rooms.load()
    keys = authenticator(settings.auth, parts.clock)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in (parts.plane.run(), rooms.run(), relay.run())]
        try:
            async with serve(gateway_settings(settings), rooms, keys, parts.clock) as server:
                url = f"ws://{server.host}:{server.port}"
                log.info("ready", extra={"websocket": url})
                yield Running(url, rooms, relay)
                await _stop_recording(rooms)
            await _flush(relay)
        finally:
            rooms.close()
            await parts.plane.close()
            for task in tasks:
                task.cancel()


async def _stop_recording(rooms: Rooms) -> None:
    """While clients are still connected, so that they hear of it."""
    if not await rooms.drain(DRAIN_S):
        log.warning("controller.notDrained")


async def _flush(relay: Relay) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(FLUSH_S):
            await relay.flushed()

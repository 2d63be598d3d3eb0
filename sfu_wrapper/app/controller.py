"""Composition of the controller: gateway, rooms, relay and media plane, in one TaskGroup.

Start: load the rooms, start the tasks, open the servers, log ``ready``. Stop: report unready, stop
the running segments while clients are still connected, close the servers, publish the stored
events until ``FLUSH_S`` is over.
"""

import asyncio
import logging
import resource
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from sfu_wrapper.adapters.webhook_sender import HttpSender
from sfu_wrapper.app.objects import media_source
from sfu_wrapper.app.parts import (
    audit_signer,
    authenticator,
    broker_names,
    configured_endpoints,
    fitted,
    gateway_settings,
    http_settings,
    queue_purposes,
    queues,
    rules,
)
from sfu_wrapper.app.planes import authoritative_media
from sfu_wrapper.app.recordings import recording_parts
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.gateway.callpage.page import PageSettings
from sfu_wrapper.gateway.limits import Limits
from sfu_wrapper.gateway.rest.app import RestParts, controller_app
from sfu_wrapper.gateway.rest.server import serve_http
from sfu_wrapper.gateway.server import GatewayServer, serve
from sfu_wrapper.gateway.session import MediaContext
from sfu_wrapper.gateway.settings import GatewaySettings, HttpSettings
from sfu_wrapper.model.identity import DomainId, Identity, Role, UserId
from sfu_wrapper.observe.controller_metrics import ControllerMetrics, watch_parts
from sfu_wrapper.observe.metrics import KEYS, Health, count_errors
from sfu_wrapper.ports.broker import Broker
from sfu_wrapper.ports.media_plane import BrowserMedia, MediaPlane, Trunk
from sfu_wrapper.ports.store import Store
from sfu_wrapper.ports.system import Clock, JobLeases
from sfu_wrapper.service.recordings.audit import Audit
from sfu_wrapper.service.recordings.deletion_commits import Committer
from sfu_wrapper.service.recordings.dispatch import Dispatcher
from sfu_wrapper.service.recordings.feed import IndexFeed
from sfu_wrapper.service.recordings.retention import Retention
from sfu_wrapper.service.recordings.webhooks import Webhooks
from sfu_wrapper.service.rooms.maintenance import HealthMonitor, Maintenance
from sfu_wrapper.service.rooms.permissions import Permissions
from sfu_wrapper.service.rooms.relay import Relay
from sfu_wrapper.service.rooms.router import Rooms
from sfu_wrapper.service.rooms.trunk import TrunkGateway

DRAIN_S = 10.0  # for the media plane to close the files of running segments
FLUSH_S = 5.0  # for the broker to confirm; unconfirmed messages stay in the outbox

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """Adapters of a controller; the creator closes store and broker.

    Attributes:
        store: rooms, outbox and permissions.
        broker: publishes the events.
        plane: records the media.
        clock: wall and monotonic clock.
        browsers: media sessions of browsers; None where they cannot reach the media plane.
        trunk: incoming telephone calls; None without a trunk.
        leases: keep two controllers from the same work; None: there is one controller.
    """

    store: Store
    broker: Broker
    plane: MediaPlane
    clock: Clock
    browsers: BrowserMedia | None = None
    trunk: Trunk | None = None
    leases: JobLeases | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """Controller that accepts connections.

    Attributes:
        url: address of the WebSocket server.
        http_url: address of the HTTP server.
        rooms: its rooms.
        relay: publisher of its outbox.
        health: state of its dependencies.
    """

    url: str
    http_url: str
    rooms: Rooms
    relay: Relay
    health: Health


class _Components:
    """Components of a controller behind its servers."""

    def __init__(self, settings: Settings, parts: Parts) -> None:
        self.health = Health(lambda: parts.clock.now().wall_ms)
        self.metrics = ControllerMetrics()
        self.relay = Relay(
            parts.store, parts.broker, queues(settings), published=self.metrics.published
        )
        self.rooms = Rooms(
            parts.store,
            parts.plane,
            parts.clock,
            rules(settings, authoritative_media(settings)),
            keep_answers_ms=int(settings.websocket.idempotency_seconds * 1000),
            kept_answer_bytes=settings.websocket.kept_answer_bytes,
            offer=self.relay.offer,
            monitor=HealthMonitor(self.health, self.metrics),
            audit=Audit(parts.store, parts.clock, signer=audit_signer(settings)),
        )
        self.maintenance = Maintenance(
            parts.store,
            parts.plane,
            self.relay,
            parts.broker,
            queue_purposes(settings),
            parts.clock,
            self.health,
            room_days=settings.retention.room_days,
        )
        self.committer = Committer(parts.store, self.relay.offer)
        self.retention = self._retention(settings, parts)
        self.webhook_sender = HttpSender(allow_private=settings.webhooks.allow_private)
        self.dispatcher = self._dispatcher(settings, parts)
        self.notifications = self.rooms.notifications(parts.broker)
        self.feed = self._feed(settings, parts)
        self.notifications.progressed = self.feed.progressed
        self.keys = authenticator(
            settings.auth, parts.clock, lambda there: self.health.report(KEYS, there)
        )

    def _retention(self, settings: Settings, parts: Parts) -> Retention:
        return Retention(
            parts.store.index,
            self.committer,
            parts.leases,
            parts.clock,
            settings.retention_rules(),
            settings.retention.interval_seconds,
        )

    def _dispatcher(self, settings: Settings, parts: Parts) -> Dispatcher:
        webhooks = settings.webhooks
        return Dispatcher(
            parts.store,
            self.webhook_sender,
            parts.clock,
            configured=configured_endpoints(settings, parts.clock.now().wall_ms),
            count=self.metrics.webhook,
            keep_days=webhooks.keep_days,
            keep_rows=webhooks.keep_rows,
        )

    def _feed(self, settings: Settings, parts: Parts) -> IndexFeed:
        return IndexFeed(
            parts.broker,
            settings.recording.index_queue,
            parts.store.index,
            self.committer,
            parts.clock,
            self.notifications.take,
        )

    def rest(self, settings: Settings, parts: Parts, websocket_port: int) -> RestParts:
        """Return the dependencies of the HTTP server; rate limits are those of the WebSocket."""
        permissions = Permissions(
            parts.store,
            parts.clock,
            system=settings.rooms.record,
            user_may_write=settings.permissions.user_may_write,
        )
        return RestParts(
            permissions,
            self.rooms.queries,
            recording_parts(settings, parts.store, parts.clock, self.rooms, self.committer),
            self.keys,
            parts.clock,
            Limits(gateway_settings(settings)),
            self.health,
            self.metrics,
            self.rooms.audit,
            Webhooks(
                parts.store,
                parts.clock,
                max_endpoints=settings.webhooks.max_endpoints,
                allow_private=settings.webhooks.allow_private,
            ),
            PageSettings(
                websocket_port,
                settings.http.public_websocket_url,
                real_media=parts.browsers is not None,
                stop_by=settings.policy.stop_by,
                owner_may_delete=settings.recordings.owner_may_delete,
                media_source=media_source(settings.storage),
                login_url=settings.auth.login_url,
            ),
            broker_names(settings),
        )


@asynccontextmanager
async def controller(settings: Settings, parts: Parts) -> AsyncIterator[Running]:
    """Run a controller while the context lasts.

    Raises:
        Misconfigured: no key to verify tokens with.
        Unavailable: an address is in use.
    """
    components = _Components(settings, parts)
    with count_errors(components.metrics):
        async with _running(settings, parts, components) as running:
            yield running


@asynccontextmanager
async def _running(
    settings: Settings, parts: Parts, components: _Components
) -> AsyncIterator[Running]:
    """Run the components while the context lasts; see ``controller``."""
    components.rooms.load()
    tasks = (
        parts.plane,
        components.rooms,
        components.relay,
        components.maintenance,
        components.retention,
        components.rooms.audit,
        components.notifications,
        components.feed,
        components.dispatcher,
        components.keys,
    )
    browsers, gateway = parts.browsers, _trunk_gateway(settings, parts, components.rooms)
    optional = [each.run() for each in (browsers, gateway) if each is not None]
    async with _together(*(each.run() for each in tasks), *optional):
        try:
            await components.keys.settled()
            async with _servers(settings, parts, components) as running:
                log.info("ready", extra={"websocket": running.url, "http": running.http_url})
                yield running
                components.health.drain()
                await _stop_recording(components.rooms)
            await _flush(components.relay)
        finally:
            components.rooms.close()
            components.webhook_sender.close()
            await parts.plane.close()


def _trunk_gateway(settings: Settings, parts: Parts, rooms: Rooms) -> TrunkGateway | None:
    """Return the creator of rooms for incoming calls, acting as the configured room service."""
    domain = settings.asterisk.trunk_domain
    if parts.trunk is None or domain is None:
        return None
    user = UserId(settings.asterisk.trunk_service)
    identity = Identity(DomainId(domain), user, frozenset({Role.SERVICE}))
    return TrunkGateway(parts.trunk, rooms, rooms.queries.created_by, identity)


@asynccontextmanager
async def _servers(
    settings: Settings, parts: Parts, components: _Components
) -> AsyncIterator[Running]:
    """Run both servers while the context lasts."""
    gateway, http_limits = _within_descriptors(settings)
    async with (
        serve(
            gateway,
            components.rooms,
            components.keys,
            parts.clock,
            None
            if parts.browsers is None
            else MediaContext(parts.browsers, components.rooms.media_sessions),
        ) as server,
        serve_http(
            http_limits,
            controller_app(http_limits, components.rest(settings, parts, server.port)),
            components.metrics,
        ) as http,
    ):
        _measure(components, server, parts.clock)
        url = f"ws://{server.host}:{server.port}"
        yield Running(url, http.url, components.rooms, components.relay, components.health)


def _within_descriptors(settings: Settings) -> tuple[GatewaySettings, HttpSettings]:
    """Return the limits of both servers, reduced to the files that this process may open."""
    wanted = gateway_settings(settings), http_settings(settings)
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY:
        return wanted
    found = fitted(*wanted, most)
    if found != wanted:
        numbers = {"files": most, "connections": found[0].max_connections}
        log.info("controller.fewerConnections", extra=numbers)
    return found


@asynccontextmanager
async def _together(*work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Run tasks beneath the context; raise a single error as itself, not as a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as errors:
        raise _alone(errors) from errors


def _alone(error: BaseException) -> BaseException:
    """Return the error inside groups that hold only one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _measure(components: _Components, server: GatewayServer, clock: Clock) -> None:
    """Register what each scrape reads."""
    metrics, relay = components.metrics, components.relay

    def oldest_s() -> float:
        return relay.status.lag_ms(clock.now().wall_ms) / 1000

    metrics.watch("connections", "Open WebSockets", lambda: server.connections)
    metrics.watch("strangers", "Unauthenticated connections", lambda: server.strangers)
    metrics.watch("outbox_pending", "Messages not yet published", lambda: relay.status.pending)
    metrics.watch("outbox_age_seconds", "Age of the oldest unpublished message", oldest_s)
    metrics.watch_rooms(components.rooms.queries.census)
    metrics.watch_queues(lambda: components.maintenance.depths)
    watch_parts(metrics, components.health)


async def _stop_recording(rooms: Rooms) -> None:
    """Stop all segments while clients are still connected, so that they receive the events."""
    if not await rooms.drain(DRAIN_S):
        log.warning("controller.notDrained")


async def _flush(relay: Relay) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(FLUSH_S):
            await relay.flushed()

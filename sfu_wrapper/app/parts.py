"""Composition root: adapters and rules built from the configuration."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

from sfu_wrapper.adapters.http_fetch import HttpKeySet
from sfu_wrapper.adapters.queue_file.broker import QueueFile
from sfu_wrapper.adapters.signing import Ed25519Signer, load_signer
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.config.controller import Auth
from sfu_wrapper.config.servers import WebhookEndpoint
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.core.room import Rules
from sfu_wrapper.core.webhooks import decode_secret
from sfu_wrapper.gateway.auth import (
    FixedKey,
    KeySource,
    TokenAuthenticator,
    public_key,
    secret_key,
)
from sfu_wrapper.gateway.keyset import KeySet
from sfu_wrapper.gateway.settings import GatewaySettings, HttpSettings
from sfu_wrapper.gateway.shares import Proxies, read_network
from sfu_wrapper.model.errors import Misconfigured
from sfu_wrapper.model.media import Medium
from sfu_wrapper.model.webhook import Endpoint
from sfu_wrapper.ports.broker import EXCHANGE, Broker, QueueSpec
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.wire.asyncapi import BrokerNames
from sfu_wrapper.wire.deletion_messages import DELETED, REQUESTED

# A delivery also counts when the worker or its connection dies, or when a worker that stops
# requeues it: a series of restarts must not use up the attempts of an untried segment.
SPARE_DELIVERIES = 20
_OTHER_FILES = 256  # of store, broker, media plane and logs


def rules(settings: Settings, authoritative: frozenset[Medium]) -> Rules:
    """Return the rules of the room machine.

    Args:
        settings: the configuration.
        authoritative: media for which the plane itself reports the publishers.
    """
    rooms = settings.rooms
    return Rules(
        policy=settings.policy_settings(),
        media_timeout_ms=_ms(settings.media.timeout_seconds),
        reconnect_grace_ms=_ms(rooms.reconnect_grace_seconds),
        answer_timeout_ms=_ms(rooms.answer_timeout_seconds),
        unused_timeout_ms=_ms(rooms.unused_timeout_seconds),
        authoritative_media=authoritative,
        quotas=settings.quota_limits(),
        limits=settings.recording_limits(),
    )


def gateway_settings(settings: Settings) -> GatewaySettings:
    """Return addresses and limits of the WebSocket server."""
    websocket = settings.websocket
    return GatewaySettings(
        host=websocket.host,
        port=websocket.port,
        max_message_bytes=websocket.max_message_bytes,
        max_gateway_frame_bytes=websocket.max_gateway_frame_bytes,
        auth_timeout_s=websocket.auth_timeout_seconds,
        allowed_origins=frozenset(websocket.allowed_origins),
        gateway_roles=frozenset(websocket.gateway_roles),
        requests_per_second=websocket.requests_per_second,
        requests_burst=websocket.requests_burst,
        service_requests_per_second=websocket.service_requests_per_second,
        slow_client_s=websocket.slow_client_seconds,
        max_connections=websocket.max_connections,
        reserved_connections=websocket.reserved_connections,
        max_connections_per_address=websocket.max_connections_per_address,
        max_unauthenticated=websocket.max_unauthenticated,
        head_s=websocket.head_timeout_seconds,
        proxies=_proxies(settings),
    )


def http_settings(settings: Settings) -> HttpSettings:
    """Return addresses and limits of the HTTP server."""
    http = settings.http
    return HttpSettings(
        http.host,
        http.port,
        head_s=http.head_timeout_seconds,
        max_connections=http.max_connections,
        max_connections_per_address=http.max_connections_per_address,
        max_requests=http.max_requests,
        max_downloads=http.max_downloads,
        proxies=_proxies(settings),
    )


def fitted(
    gateway: GatewaySettings, http: HttpSettings, descriptors: int
) -> tuple[GatewaySettings, HttpSettings]:
    """Fit the numbers of connections into the descriptors that the process may have.

    Without that a flood of clients with tokens would leave none for health, store and broker. All
    numbers shrink alike, so that each listener keeps its share.
    """
    wanted = (
        gateway.max_connections
        + gateway.reserved_connections
        + gateway.max_unauthenticated
        + http.max_connections
        + 2 * http.max_downloads  # a socket and a file each
    )
    share = (descriptors - _OTHER_FILES) / wanted
    if share >= 1:
        return gateway, http

    def shrunk(number: int) -> int:
        return max(int(number * share), 4)

    return (
        replace(
            gateway,
            max_connections=shrunk(gateway.max_connections),
            reserved_connections=shrunk(gateway.reserved_connections),
            max_unauthenticated=shrunk(gateway.max_unauthenticated),
        ),
        replace(
            http,
            max_connections=shrunk(http.max_connections),
            max_requests=min(http.max_requests, shrunk(http.max_connections) // 4),
            max_downloads=max(int(http.max_downloads * share), 1),
        ),
    )


def _proxies(settings: Settings) -> Proxies:
    return Proxies([read_network(text) for text in settings.websocket.trusted_proxies])


def authenticator(
    auth: Auth, clock: Clock, report: Callable[[bool], None] = lambda _: None
) -> TokenAuthenticator:
    """Return the verifier of tokens.

    Args:
        auth: the configured key.
        clock: for the expiry of tokens.
        report: called with the availability of the key set.

    Raises:
        Misconfigured: no key is configured, or it cannot be used.
    """
    keys = _key_source(auth, report)
    return TokenAuthenticator(keys, clock, audience=auth.audience, issuer=auth.issuer)


def audit_signer(settings: Settings) -> Ed25519Signer | None:
    """Return the signer of audit heads and evidence; None without ``audit.keyFile``.

    Raises:
        Misconfigured: the key cannot be used.
    """
    file = settings.audit.key_file
    return None if file is None else load_signer(file)


def _key_source(auth: Auth, report: Callable[[bool], None]) -> KeySource:
    if not auth.configured:
        raise Misconfigured(
            "[auth] has no key: set one of auth.secret (SFU_WRAPPER__AUTH__SECRET), "
            "auth.publicKeyFile and auth.jwksUrl"
        )
    accepted = auth.accepted_algorithms
    if auth.jwks_url is not None:
        return KeySet(HttpKeySet(auth.jwks_url), accepted, report)
    if auth.public_key_file is not None:
        return FixedKey(public_key(_read(auth.public_key_file, "auth.publicKeyFile"), accepted))
    secret = auth.secret.get_secret_value() if auth.secret else ""
    return FixedKey(secret_key(secret, accepted))


def configured_endpoints(settings: Settings, now_ms: int) -> tuple[Endpoint, ...]:
    """Return the webhook endpoints of the configuration.

    Raises:
        Misconfigured: a file of secrets cannot be read, or holds something else.
    """
    return tuple(_configured(each, now_ms) for each in settings.webhooks.endpoints)


def _configured(given: WebhookEndpoint, now_ms: int) -> Endpoint:
    if given.secret_file is None:
        text = "" if given.secret is None else given.secret.get_secret_value()
    else:
        text = _read(given.secret_file, "webhooks.endpoints: secretFile").decode("ascii", "replace")
    secrets = tuple(text.split())
    try:
        for secret in secrets:
            decode_secret(secret)
    except ValueError as error:
        raise Misconfigured(f"{given.secret_file}: each secret {error}") from error
    if not secrets:
        raise Misconfigured(f"{given.secret_file}: has no secret")
    id_ = "cfg_" + hashlib.sha256(given.url.encode()).hexdigest()[:16]
    types = tuple(str(type_) for type_ in given.types)
    return Endpoint(id_, None, given.url, secrets, types, now_ms, configured=True)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _read(file: Path, key: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Misconfigured(f"{key} = {file}: cannot be read: {error.strerror}") from error


def queues(settings: Settings) -> tuple[QueueSpec, ...]:
    """Return the queues of events.md under their configured names."""
    recording, worker = settings.recording, settings.worker
    return (
        QueueSpec(
            recording.processing_queue,
            ("recordingInfo",),
            dead_letter_key="failed",
            delivery_limit=worker.attempts + SPARE_DELIVERIES,
            consumer_timeout_s=worker.consumer_timeout_seconds,
        ),
        QueueSpec(recording.processed_queue, ("processed",)),
        QueueSpec(recording.failure_queue, ("failed",)),
        QueueSpec(recording.deletion_queue, (REQUESTED,), essential=False),
        QueueSpec(recording.index_queue, ("processed", "failed", DELETED), essential=False),
    )


def queue_purposes(settings: Settings) -> dict[str, str]:
    """Return the names of the queues by their purpose, for metrics."""
    recording = settings.recording
    return {
        "processing": recording.processing_queue,
        "processed": recording.processed_queue,
        "failure": recording.failure_queue,
        "deletion": recording.deletion_queue,
    }


def broker_names(settings: Settings) -> BrokerNames:
    """Return exchange and queues by routing key, for descriptions."""
    specs = queues(settings)
    keys = {key for spec in specs for key in spec.routing_keys}
    bound = {key: tuple(spec.name for spec in specs if key in spec.routing_keys) for key in keys}
    return BrokerNames(EXCHANGE, bound)


def is_configured(settings: Settings, queue: str, routing_key: str) -> bool:
    """Return True if the configuration binds the queue by this key."""
    return any(queue == spec.name and routing_key in spec.routing_keys for spec in queues(settings))


@contextmanager
def open_store(settings: Settings) -> Iterator[SqliteStore]:
    """Open the store and close it at the end. Raises Misconfigured, Unavailable."""
    store = SqliteStore(store_file(settings))
    try:
        yield store
    finally:
        store.close()


@asynccontextmanager
async def open_broker(settings: Settings) -> AsyncIterator[Broker]:
    """Create the broker, not connected yet, and close it at the end."""
    broker: Broker
    if settings.rabbitmq.embedded:
        broker = QueueFile(queue_file(settings))
    else:
        # Only here, since its library takes longer to load than everything else together.
        from sfu_wrapper.adapters.rabbitmq.broker import RabbitBroker

        broker = RabbitBroker(settings.rabbitmq.address)
    try:
        yield broker
    finally:
        await broker.close()


def store_file(settings: Settings) -> Path:
    """Return the database file. Raises Misconfigured where the store is not a file."""
    file = settings.store.sqlite_file
    if file is None:
        raise Misconfigured("store.url: this version supports sqlite:<file> only")
    return file


def queue_file(settings: Settings) -> Path:
    """Return the file of the embedded queue. Raises Misconfigured as ``store_file`` does."""
    return store_file(settings).with_name("queue.db")

"""Keys of the servers of the controller, and of what they offer: links, webhooks."""

import re
from ipaddress import ip_network
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from sfu_wrapper.config.section import Count, FolderPath, Port, Seconds, Section, Text, Whole
from sfu_wrapper.core.links import SHORTEST_SECRET
from sfu_wrapper.core.webhooks import EventType, decode_secret, parse_target
from sfu_wrapper.model.identity import Role

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s]+")


def _origin(value: str) -> str:
    """Refuse an origin that no browser sends: origins are compared as a whole."""
    if value != value.lower() or not _ORIGIN.fullmatch(value):
        raise ValueError(f"{value!r} is no origin; write it as https://app.example.com")
    return value


def _public_url(value: str) -> str:
    """Allow only characters that need no escape in a header or in a page."""
    if not re.fullmatch(r"wss?://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~-]+)*", value):
        raise ValueError(f"{value!r} is no WebSocket address; write it as wss://calls.example.com")
    return value


def _http_url(value: str) -> str:
    """Allow only characters that need no escape in a header or in a page."""
    if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~-]+)*", value):
        raise ValueError(f"{value!r} is no HTTP address; write it as https://recordings.example")
    return value


def _vouched(value: Role) -> Role:
    if value is Role.GATEWAY:
        raise ValueError("a gateway vouches for its clients, not for other gateways")
    return value


def _network(value: str) -> str:
    """Refuse an address with bits beyond its mask: more likely a mistake than a network."""
    try:
        ip_network(value)
    except ValueError:
        text = f"{value!r} is no IP network; write it as 10.0.0.0/8 or 192.0.2.1"
        raise ValueError(text) from None
    return value


class Websocket(Section):
    """``[websocket]``: address and limits of the server for clients and gateways."""

    host: Text = Field("127.0.0.1", description="address to listen on")
    port: Port = Field(8765, description="port to listen on; 0: any free one")
    max_message_bytes: Annotated[int, Field(ge=1024)] = Field(
        65_536, description="bytes of the longest message of a client"
    )
    max_gateway_frame_bytes: Annotated[int, Field(ge=1024)] = Field(
        1_048_576, description="bytes of the longest frame of a gateway"
    )
    auth_timeout_seconds: Seconds = Field(
        5, description="s within which a connection without a token must authenticate"
    )
    allowed_origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = Field(
        (), description="origins of web pages that may connect; empty: any"
    )
    gateway_roles: tuple[Annotated[Role, AfterValidator(_vouched)], ...] = Field(
        (), description="roles beyond user that a gateway may vouch for"
    )
    idempotency_seconds: Seconds = Field(
        300, description="s for which the answer to a request is kept for retries"
    )
    kept_answer_bytes: Whole = Field(
        1_048_576, description="bytes of answers kept for retries of one user; 0: no limit"
    )
    requests_per_second: Seconds = Field(20, description="requests a second of one user")
    requests_burst: Count = Field(40, description="requests of one user at once")
    service_requests_per_second: Seconds = Field(
        2000, description="requests a second of a room service"
    )
    slow_client_seconds: Seconds = Field(
        10, description="s after which a client that does not read is disconnected"
    )
    max_connections: Count = Field(
        20_000, description="WebSockets open at once; further ones get 503"
    )
    reserved_connections: Whole = Field(
        200, description="WebSockets beyond maxConnections for gateways and the room service alone"
    )
    max_connections_per_address: Whole = Field(
        2000, description="connections of one address (IPv6: one /64); 0: no limit"
    )
    max_unauthenticated: Count = Field(
        1000,
        description="connections that have not authenticated, silent sockets included; "
        "a further one displaces the oldest of the address that has most",
    )
    head_timeout_seconds: Seconds = Field(
        5, description="s within which the request that opens a WebSocket must arrive"
    )
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(
        ("127.0.0.0/8", "::1/128"),
        description="addresses or networks of proxies, for http too: exempt from shares per "
        "address, and trusted when X-Forwarded-For names a client",
    )


class Http(Section):
    """``[http]``: REST, health, metrics and the console."""

    host: Text = Field("127.0.0.1", description="address to listen on")
    port: Port = Field(8080, description="port to listen on; 0: any free one")
    public_websocket_url: Annotated[str, AfterValidator(_public_url)] | None = Field(
        None,
        description="where browsers find the WebSocket server, such as wss://calls.example.com; "
        "unset: on the host that served the call page, at websocket.port",
    )
    max_connections: Annotated[int, Field(ge=2)] = Field(
        1000,
        description="connections open at once; a further one displaces the oldest "
        "that has no request under way",
    )
    max_connections_per_address: Whole = Field(
        200, description="connections of one address (IPv6: one /64); 0: no limit"
    )
    max_requests: Count = Field(
        250, description="requests under way at once, health and metrics excluded; others get 503"
    )
    max_downloads: Count = Field(
        200,
        description="files sent at once, apart from maxRequests and maxConnections; others get 503",
    )
    head_timeout_seconds: Seconds = Field(
        5, description="s within which the head of a request must arrive"
    )


class Links(Section):
    """``[links]``: signed links to files of recordings, which work without a token."""

    keys: tuple[Annotated[SecretStr, Field(min_length=SHORTEST_SECRET)], ...] = Field(
        (),
        description="secrets of 32 characters or more: the first one signs, all verify; empty: "
        "one is made and kept in the file links.key next to the store",
    )
    public_url: Annotated[str, AfterValidator(_http_url)] | None = Field(
        None,
        description="address of this server in links, such as https://recordings.example.com; "
        "unset: as the requester wrote it",
    )


def _webhook_url(value: str) -> str:
    parse_target(value)
    return value


class WebhookEndpoint(Section):
    """``[[webhooks.endpoints]]``: address that receives events of all domains."""

    url: Annotated[str, AfterValidator(_webhook_url)]
    secret: SecretStr | None = None
    secret_file: FolderPath | None = None
    types: tuple[EventType, ...] = ()

    @model_validator(mode="after")
    def _require_secret(self) -> Self:
        if (self.secret is None) is (self.secret_file is None):
            raise ValueError("each endpoint has either secret or secretFile")
        for secret in self.secret.get_secret_value().split() if self.secret else ():
            decode_secret(secret)
        return self


def _distinct(value: tuple[WebhookEndpoint, ...]) -> tuple[WebhookEndpoint, ...]:
    if len({each.url for each in value}) < len(value):
        raise ValueError("two endpoints have the same url")
    return value


class Webhooks(Section):
    """``[webhooks]``: HTTP endpoints that receive events (webhooks.md)."""

    endpoints: Annotated[tuple[WebhookEndpoint, ...], AfterValidator(_distinct)] = Field(
        (),
        max_length=20,
        description="endpoints for the events of all domains, each with url, secret or secretFile, "
        "and types (empty: all)",
    )
    allow_private: bool = Field(
        False, description="whether endpoints may have private and loopback addresses"
    )
    keep_days: Count = Field(30, description="days for which finished deliveries are listed")
    keep_rows: Count = Field(100_000, description="finished deliveries that are listed at most")
    max_endpoints: Count = Field(10, description="endpoints that one domain may have")

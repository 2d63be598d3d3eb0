"""What the gateway is told at its start; the composition root makes it from the configuration.

What the HTTP server is told at its start; the composition root makes it from ``[http]``.
"""

from dataclasses import dataclass, field

from sfu_wrapper.gateway.shares import Proxies
from sfu_wrapper.model.identity import Role

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Addresses and limits (protocol.md); the names are those of ``[websocket]``.

    port: 0 for any free one.
    allowed_origins: compared as a whole; empty allows any.
    gateway_roles: what a gateway may vouch for beside ``user``.
    max_connections: WebSockets open at once; further ones get 503.
    reserved_connections: WebSockets beside these, for gateways and the room service alone.
    max_connections_per_address: of one address, however far they are; 0: no limit.
    max_unauthenticated: connections without an identity yet; a further one displaces another.
    head_s, max_head_bytes: of the request that opens a WebSocket.
    proxies: addresses that speak for many clients.
    max_clients: of one gateway; further ones are closed with 1013.
    client_queue_bytes, gateway_queue_bytes: what may wait to be sent over one connection.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    max_message_bytes: int = 65_536
    max_gateway_frame_bytes: int = MIB
    auth_timeout_s: float = 5
    allowed_origins: frozenset[str] = frozenset()
    gateway_roles: frozenset[Role] = frozenset()
    requests_per_second: float = 20
    requests_burst: int = 40
    service_requests_per_second: float = 2000
    slow_client_s: float = 10
    ping_interval_s: float = 20
    max_connections: int = 20_000
    reserved_connections: int = 200
    max_connections_per_address: int = 2000
    max_unauthenticated: int = 1000
    head_s: float = 5
    max_head_bytes: int = 16 * KIB
    proxies: Proxies = field(default_factory=Proxies)
    max_clients: int = 50_000
    client_queue_bytes: int = 4 * MIB
    gateway_queue_bytes: int = 64 * MIB


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Addresses and limits.

    port: 0 for any free one.
    max_body_bytes: of one request. discard_bytes: how much of one that is too long is still read,
        so that whoever sends it comes to read the answer.
    head_s: for a request's head to arrive. body_s: for its body. request_s: for the whole of it.
    max_connections: open at once; a further one ends the oldest without a request under way.
    max_connections_per_address: of one address; 0: no limit.
    max_requests: under way at once, health and metrics aside; below max_connections.
    proxies: addresses that speak for many clients.
    stop_s: for requests under way when the server stops.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    max_body_bytes: int = 65_536
    discard_bytes: int = 16 * MIB
    head_s: float = 5
    body_s: float = 10
    request_s: float = 30
    max_connections: int = 1_000
    max_connections_per_address: int = 200
    max_requests: int = 250
    proxies: Proxies = field(default_factory=Proxies)
    stop_s: float = 5

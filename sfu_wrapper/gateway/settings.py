"""Settings of the WebSocket and HTTP servers; the composition root reads the configuration."""

from dataclasses import dataclass, field

from sfu_wrapper.gateway.shares import Proxies
from sfu_wrapper.model.identity import Role

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Addresses and limits (protocol.md); the names are those of ``[websocket]``.

    Attributes:
        port: port to listen on; 0: any free one.
        allowed_origins: compared as a whole; empty allows any.
        gateway_roles: roles that a gateway may grant in addition to ``user``.
        max_connections: WebSockets open at once; further ones get 503.
        reserved_connections: further WebSockets, only for gateways and the room service.
        max_connections_per_address: open connections of one address; 0: no limit.
        max_unauthenticated: connections without an identity; a further one displaces another.
        head_s: time in s for the request that opens a WebSocket.
        max_head_bytes: limit of the head of that request.
        proxies: addresses of proxies, each with many clients.
        max_clients: clients of one gateway; further ones are closed with 1013.
        client_queue_bytes: limit of waiting frames of one client connection.
        gateway_queue_bytes: the same for one gateway connection.
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

    Attributes:
        port: port to listen on; 0: any free one.
        max_body_bytes: limit of the body of a request.
        discard_bytes: bytes of a longer body that are still read, so that its sender reads the
            response before the connection is closed.
        head_s: time in s for the head of a request to arrive.
        body_s: time in s for the body.
        request_s: time in s for the whole request.
        max_connections: open at once; a further one ends the oldest one without a request.
        max_connections_per_address: open connections of one address; 0: no limit.
        max_requests: under way at once, except health and metrics; below max_connections.
        max_downloads: files sent at once, apart from max_requests and from max_connections.
        download_piece_s: time in s for a client to take a piece of a file; shorter pieces count
            as whole ones.
        proxies: addresses of proxies, each with many clients.
        stop_s: time in s for requests under way when the server stops.
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
    max_downloads: int = 200
    download_piece_s: float = 15
    proxies: Proxies = field(default_factory=Proxies)
    stop_s: float = 5

"""What the gateway is told at its start; the composition root makes it from the configuration."""

from dataclasses import dataclass

from sfu_wrapper.model.identity import Role

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Addresses and limits (protocol.md); the names are those of ``[websocket]``.

    port: 0 for any free one.
    allowed_origins: compared as a whole; empty allows any.
    gateway_roles: what a gateway may vouch for beside ``user``.
    max_connections: WebSockets open at once, gateways included; further ones get 503.
    max_handshakes: sockets without a WebSocket yet, beside these; further ones are cut.
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
    max_handshakes: int = 1000
    max_clients: int = 50_000
    client_queue_bytes: int = 4 * MIB
    gateway_queue_bytes: int = 64 * MIB

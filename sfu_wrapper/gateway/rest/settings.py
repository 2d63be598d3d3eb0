"""What the HTTP server is told at its start; the composition root makes it from ``[http]``."""

from dataclasses import dataclass, field

from sfu_wrapper.gateway.addresses import Proxies
from sfu_wrapper.gateway.settings import MIB


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

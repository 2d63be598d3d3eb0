"""Addresses of peers: which ones count together, and whom a trusted proxy speaks for.

Pure. Decides no limit; ``shares`` counts by what is returned here.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_REMEMBERED = 4096  # addresses; reading one costs some microseconds
_MAX_HOPS = 16  # of one X-Forwarded-For; the nearest ones count
_V6_SITE_BITS = 64  # RFC 6177: a site has a /64 at least, so that one host has all of its addresses

Network = IPv4Network | IPv6Network


def read_network(text: str) -> Network:
    """A network such as ``10.0.0.0/8``, or a single address. Raises ValueError."""
    return ip_network(text)


@lru_cache(_REMEMBERED)
def counted_as(address: str) -> str:
    """The name under which connections of an address are counted.

    An IPv4 address is itself, however it is written; an IPv6 address is its /64.

    Raises:
        ValueError: no IP address.
    """
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is None:
            return str(ip_network((int(found), _V6_SITE_BITS), strict=False))
        found = found.ipv4_mapped
    return str(found)


class Proxies:
    """The proxies of an installation, each of which brings many clients from one address.

    Args:
        networks: addresses that are believed when they name a client in ``X-Forwarded-For``.
    """

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)
        self._trusts = lru_cache(_REMEMBERED)(self._look_up)

    def trusts(self, address: str) -> bool:
        """Return True for a proxy of ours; its connections are not counted together."""
        return self._trusts(address)

    def client(self, peer: str, forwarded_for: Sequence[str]) -> str | None:
        """The client behind a connection: the nearest address that is no proxy of ours.

        Args:
            peer: where the connection comes from.
            forwarded_for: the values of all ``X-Forwarded-For`` headers, in order.

        Returns:
            None where only our own proxies are named, or what they wrote is no address.
        """
        if not self.trusts(peer):
            return peer
        hops = ",".join(forwarded_for[-_MAX_HOPS:]).rsplit(",", _MAX_HOPS)[-_MAX_HOPS:]
        for hop in reversed(hops):
            try:
                counted_as(address := hop.strip())
            except ValueError:
                return None
            if not self.trusts(address):
                return address
        return None

    def _look_up(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
        return any((mapped or found) in network for network in self._networks)

"""Fair shares of connections: how many an address may hold, and which one is displaced.

A *stranger* is a connection that has not identified itself: nothing was received from it, its
request head is incomplete, or its client has not authenticated. Strangers share a bounded number
of places. When all are taken, a new one displaces the oldest stranger of the address that has
most of them, so that an attacker displaces its own connections first and locks out no other
client.

Rules of this file
    1. No sockets, no clock, no waiting: the owner of a connection calls ``enter``, then
       ``identified`` or ``unidentified`` as often as that changes, and ``leave`` at its end.
    2. ``evict`` of a ticket is called at most once, after its place was given up.
    3. Every call is O(1), however many connections there are.

Addresses of one IPv6 /64 count together; a connection of a trusted proxy counts under the client
that the proxy names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_REMEMBERED = 4096  # addresses; reading one costs some microseconds
_MAX_HOPS = 16  # of one X-Forwarded-For; the nearest ones count
_V6_SITE_BITS = 64  # RFC 6177: a site has a /64 at least, so that one host has all of its addresses

Network = IPv4Network | IPv6Network


def read_network(text: str) -> Network:
    """Read a network such as ``10.0.0.0/8``, or a single address. Raises ValueError."""
    return ip_network(text)


@lru_cache(_REMEMBERED)
def counted_as(address: str) -> str:
    """Return the name under which connections of an address are counted.

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
        networks: addresses whose ``X-Forwarded-For`` is trusted.
    """

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)
        self._trusts = lru_cache(_REMEMBERED)(self._is_proxy)

    def trusts(self, address: str) -> bool:
        """Return True for a proxy of ours; its connections are not counted together."""
        return self._trusts(address)

    def client(self, peer: str, forwarded_for: Sequence[str]) -> str | None:
        """Return the client behind a connection: the nearest address that is no proxy of ours.

        Args:
            peer: address at the other end of the connection.
            forwarded_for: the values of all ``X-Forwarded-For`` headers, in order.

        Returns:
            None if only our own proxies are named, or a proxy has written no address.
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

    def _is_proxy(self, address: str) -> bool:
        try:
            found = ip_address(address)
        except ValueError:
            return False
        mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
        return any((mapped or found) in network for network in self._networks)


@dataclass(eq=False, slots=True)
class Ticket:
    """The place of one connection.

    Attributes:
        address: what it is counted under; None: not counted by address (a proxy's connection).
        evict: ends the connection at once; set again by whichever layer owns it.
        stranger: False once the connection has identified itself.
        inside: False before ``enter`` and after ``leave``.
    """

    address: str | None
    evict: Callable[[], None]
    stranger: bool = True
    inside: bool = True


class Shares:
    """The places of one listener.

    Args:
        strangers: how many connections may be strangers at once, at least 1.
        per_address: connections of one address, strangers or not; 0: no limit.
        proxies: their addresses are exempt from ``per_address``.
    """

    def __init__(self, strangers: int, per_address: int, proxies: Proxies) -> None:
        self._most_strangers = strangers
        self._per_address = per_address
        self._proxies = proxies
        self._held: dict[str, int] = {}
        self._strangers = _Strangers()
        self.evicted = 0  # strangers that made room, since the start
        self.refused = 0  # connections of addresses that had their share, since the start

    @property
    def strangers(self) -> int:
        """Number of strangers now."""
        return len(self._strangers)

    def enter(self, peer: str, evict: Callable[[], None]) -> Ticket | None:
        """Take in a connection as a stranger; None where its address has its share already."""
        address = None if self._proxies.trusts(peer) else counted_as(peer)
        if not self._has_room(address):
            self.refused += 1
            return None
        ticket = Ticket(address, evict)
        self._hold(address)
        self._add_stranger(ticket)
        return ticket

    def behind_proxy(self, ticket: Ticket, client: str) -> bool:
        """Count a proxy's connection under its client; False where that has its share already."""
        address = counted_as(client)
        if ticket.address is not None or not ticket.inside:
            return True
        if not self._has_room(address):
            self.refused += 1
            return False
        if ticket.stranger:
            self._strangers.remove(ticket)
        ticket.address = address
        self._hold(address)
        if ticket.stranger:
            self._strangers.add(ticket)
        return True

    def identified(self, ticket: Ticket) -> None:
        """Take no place of a stranger any more."""
        if ticket.inside and ticket.stranger:
            self._strangers.remove(ticket)
            ticket.stranger = False

    def unidentified(self, ticket: Ticket) -> None:
        """Be a stranger again, the youngest one."""
        if ticket.inside and not ticket.stranger:
            ticket.stranger = True
            self._add_stranger(ticket)

    def leave(self, ticket: Ticket) -> None:
        """Give the place up; called again, nothing happens."""
        if not ticket.inside:
            return
        ticket.inside = False
        if ticket.stranger:
            self._strangers.remove(ticket)
        if ticket.address is not None:
            left = self._held[ticket.address] - 1
            if left:
                self._held[ticket.address] = left
            else:
                del self._held[ticket.address]

    def evict_stranger(self) -> bool:
        """End the stranger that is next to make room; False where there is none."""
        victim = self._strangers.next_victim()
        if victim is None:
            return False
        self.evicted += 1
        self.leave(victim)
        victim.evict()
        return True

    def _has_room(self, address: str | None) -> bool:
        held = self._held.get(address, 0) if address is not None else 0
        return not self._per_address or held < self._per_address

    def _hold(self, address: str | None) -> None:
        if address is not None:
            self._held[address] = self._held.get(address, 0) + 1

    def _add_stranger(self, ticket: Ticket) -> None:
        if len(self._strangers) >= self._most_strangers:
            self.evict_stranger()
        self._strangers.add(ticket)


class _Strangers:
    """Strangers by address in order of age, and addresses by their number of strangers."""

    def __init__(self) -> None:
        self._of: dict[str | None, dict[Ticket, None]] = {}
        self._with: list[dict[str | None, None]] = [{}]  # index: number of strangers
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def add(self, ticket: Ticket) -> None:
        """Add the youngest."""
        tickets = self._of.setdefault(ticket.address, {})
        self._count(ticket.address, len(tickets), len(tickets) + 1)
        tickets[ticket] = None
        self._total += 1

    def remove(self, ticket: Ticket) -> None:
        """Remove one that is here."""
        tickets = self._of[ticket.address]
        self._count(ticket.address, len(tickets), len(tickets) - 1)
        del tickets[ticket]
        if not tickets:
            del self._of[ticket.address]
        self._total -= 1

    def next_victim(self) -> Ticket | None:
        """The oldest of the address that has most."""
        if not self._total:
            return None
        address = next(iter(self._with[-1]))
        return next(iter(self._of[address]))

    def _count(self, address: str | None, before: int, after: int) -> None:
        """Move an address between the numbers; the last number always has one."""
        if after == len(self._with):
            self._with.append({})
        self._with[before].pop(address, None)
        if after:
            self._with[after][address] = None
        while len(self._with) > 1 and not self._with[-1]:
            self._with.pop()

"""Expiry of tokens, and the deadlines of connections that follow from it.

``Expiry`` computes the deadline of one token, ``Expiring`` orders the clients of a gateway link by
it. Tokens have wall-clock times and timers run on the monotonic clock, so a deadline that was
reached too early, since the wall clock was set back, is computed again.
"""

import heapq
from collections.abc import Iterator, Mapping
from typing import Protocol

from sfu_wrapper.model.segment import Instant

GRACE_MS = 60_000  # from the end of a token to that of its connection (protocol.md)
_SLACK = 64  # entries of ended clients, in addition to one for each client


class Expiry:
    """Deadline of a connection that depends on the expiry of its token.

    Args:
        after_ms: time from the expiry of the token to that; None: ``GRACE_MS``.
    """

    __slots__ = ("_after_ms", "_due_ms", "_expires_ms")

    def __init__(self, after_ms: int | None = None) -> None:
        self._after_ms = GRACE_MS if after_ms is None else after_ms
        self._expires_ms: int | None = None
        self._due_ms: int | None = None

    @property
    def due_ms(self) -> int | None:
        """Monotonic time in ms at which to check; None: never."""
        return self._due_ms

    def renew(self, expires_ms: int | None, now: Instant) -> None:
        """Replace the token. expires_ms: its expiry, epoch ms; None: it never expires."""
        self._expires_ms = expires_ms
        self._due_ms = None
        if expires_ms is not None:
            self._due_ms = now.mono_ms + expires_ms + self._after_ms - now.wall_ms

    def is_due(self, now: Instant) -> bool:
        """Return True if the deadline is reached; if not, check again at ``due_ms``."""
        if self._due_ms is None or self._expires_ms is None or now.mono_ms < self._due_ms:
            return False
        left_ms = self._expires_ms + self._after_ms - now.wall_ms
        if left_ms > 0:  # the wall clock was set back
            self._due_ms = now.mono_ms + left_ms
        return left_ms <= 0


class Holder(Protocol):
    """Client whose token expires."""

    @property
    def expiry(self) -> Expiry:
        """Deadline of the client."""
        ...


class Expiring:
    """Clients of one link in the order in which their tokens end.

    Args:
        clients: present clients by name; ended ones need not be removed here.
    """

    def __init__(self, clients: Mapping[str, Holder]) -> None:
        self._clients = clients
        self._heap: list[tuple[int, str]] = []
        self._entered: dict[str, int] = {}  # the earliest entry of each name

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def due_ms(self) -> int | None:
        """Monotonic time in ms at which to call ``take``; None: never."""
        return self._heap[0][0] if self._heap else None

    def add(self, name: str) -> None:
        """Enter the deadline of a client; call again when it may have changed."""
        client = self._clients.get(name)
        due_ms = None if client is None else client.expiry.due_ms
        entered_ms = self._entered.get(name)
        if due_ms is None or (entered_ms is not None and entered_ms <= due_ms):
            return  # the earlier entry is checked first, and entered again then
        self._entered[name] = due_ms
        heapq.heappush(self._heap, (due_ms, name))
        if len(self._heap) > 2 * len(self._clients) + _SLACK:
            self._remove_ended()

    def take(self, now: Instant, most: int) -> Iterator[str]:
        """Yield the clients whose deadline is reached; check ``most`` entries."""
        for _ in range(most):
            if not self._heap or self._heap[0][0] > now.mono_ms:
                return
            due_ms, name = heapq.heappop(self._heap)
            if self._entered.get(name) != due_ms:
                continue  # an earlier entry has replaced it
            del self._entered[name]
            client = self._clients.get(name)
            if client is not None and client.expiry.is_due(now):
                yield name
            else:
                self.add(name)

    def _remove_ended(self) -> None:
        self._entered = {name: ms for name, ms in self._entered.items() if name in self._clients}
        self._heap = [(due_ms, name) for name, due_ms in self._entered.items()]
        heapq.heapify(self._heap)

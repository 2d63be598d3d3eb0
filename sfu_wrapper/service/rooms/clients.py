"""What the gateway gives the service for each client, and what it may call."""

from typing import Protocol

from sfu_wrapper.model.identity import Identity
from sfu_wrapper.wire.signaling import Request


class Client(Protocol):
    """One authenticated client: a socket of its own, or one socketId on a gateway connection."""

    @property
    def key(self) -> str:
        """Unique among all clients of this process, never used again."""
        ...

    @property
    def identity(self) -> Identity:
        """Who it is, as last authenticated."""
        ...

    def deliver(self, message: bytes) -> None:
        """Send one whole message (UTF-8 JSON); never blocks, order is kept."""
        ...

    def charge(self, notices: int) -> None:
        """Count what a request of this client costs others: so many people are told of it."""
        ...


class RoomsApi(Protocol):
    """The door to the rooms. Every call returns at once; answers go to ``Client.deliver``."""

    def connected(self, client: Client) -> None:
        """The client is authenticated: it gets the events of its user from now on."""
        ...

    def disconnected(self, client: Client) -> None:
        """Its connection is gone; the grace of policy.md begins where it was the user's last."""
        ...

    def handle(self, client: Client, request: Request) -> None:
        """Carry out one request; exactly one response with its id is delivered, now or later."""
        ...

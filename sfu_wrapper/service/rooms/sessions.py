"""Who is connected: every client of every user, and the rooms that a connection joined.

What the gateway gives the service for each client, and what it may call.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from sfu_wrapper.model.identity import DomainId, Identity, RoomUuid, UserKey
from sfu_wrapper.wire.signaling import Request, event


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


_ABSENT_A_STEP = 16  # users without a connection, who cost little


class Sessions:
    """Clients by user, in order of connecting."""

    def __init__(self) -> None:
        self._clients: dict[UserKey, dict[str, Client]] = {}
        self._user_of: dict[str, UserKey] = {}
        self._rooms_of: dict[str, dict[RoomUuid, None]] = {}

    def add(self, client: Client) -> bool:
        """Take a client in; True where it is the first of its user."""
        user = client.identity.key
        clients = self._clients.setdefault(user, {})
        clients[client.key] = client
        self._user_of[client.key] = user
        return len(clients) == 1

    def remove(self, client: Client) -> UserKey | None:
        """Let a client go; its user, where it was the last one."""
        self._rooms_of.pop(client.key, None)
        user = self._user_of.pop(client.key, None)
        if user is None:
            return None
        clients = self._clients[user]
        clients.pop(client.key)
        if clients:
            return None
        del self._clients[user]
        return user

    def is_connected(self, user: UserKey) -> bool:
        """Whether the user has any connection."""
        return user in self._clients

    def joined(self, client: Client, room: RoomUuid) -> None:
        """Remember which rooms this connection asked to join (protocol.md, ``room`` left out)."""
        if client.key in self._user_of:
            self._rooms_of.setdefault(client.key, {})[room] = None

    def left(self, user: UserKey, room: RoomUuid) -> None:
        """The user takes part in that room no longer, over whichever connection it joined."""
        for key in self._clients.get(user, ()):
            self._rooms_of.get(key, {}).pop(room, None)

    def rooms_of(self, client: Client) -> Iterable[RoomUuid]:
        """The rooms that this connection has asked to join, and has not left since."""
        return self._rooms_of.get(client.key, ())

    def tell(
        self, home: DomainId, users: Iterable[UserKey], name: str, payload: Mapping[str, object]
    ) -> None:
        """Send an event of a room to every connection of these users.

        Users of another domain than the room's are told ``domain`` too: an id means another room
        in each domain.
        """
        for _ in self.handing_out(home, users, name, payload):
            pass

    def handing_out(
        self, home: DomainId, users: Iterable[UserKey], name: str, payload: Mapping[str, object]
    ) -> Iterator[None]:
        """Do the same step by step: yield after each connection, and after some absent users."""
        near, far = event(name, payload), b""
        absent = 0
        for user in users:
            clients = self._clients.get(user)
            if clients is None:
                absent += 1
                if absent % _ABSENT_A_STEP == 0:
                    yield
                continue
            if user.domain != home:
                far = far or event(name, {**payload, "domain": home})
            message = near if user.domain == home else far
            for client in tuple(clients.values()):
                client.deliver(message)
                yield

    def deliver(self, users: Iterable[UserKey], message: bytes) -> None:
        """Send one message to every connection of these users."""
        for user in users:
            for client in tuple(self._clients.get(user, {}).values()):
                client.deliver(message)

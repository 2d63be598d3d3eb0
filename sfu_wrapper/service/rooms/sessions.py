"""Sessions: the connected clients of each user, and the rooms that each connection joined.

``Client`` and ``RoomsApi`` are the two sides of the border to the gateway: what the gateway
provides for each client, and what it may call.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from sfu_wrapper.model.identity import DomainId, Identity, RoomUuid, UserKey
from sfu_wrapper.wire.signaling import Request, event


class Client(Protocol):
    """Authenticated client: a socket of its own, or one socketId on a gateway connection."""

    @property
    def key(self) -> str:
        """Key that is unique in this process and never reused."""
        ...

    @property
    def identity(self) -> Identity:
        """Identity of the user, as last authenticated."""
        ...

    def deliver(self, message: bytes) -> None:
        """Send one message (UTF-8 JSON), in order; never blocks."""
        ...

    def charge(self, notices: int) -> None:
        """Count the notifications to others that a request of this client causes."""
        ...


class RoomsApi(Protocol):
    """Entry point to the rooms. Every call returns at once; answers go to ``Client.deliver``."""

    def connected(self, client: Client) -> None:
        """Register an authenticated client; it receives the events of its user from now on."""
        ...

    def disconnected(self, client: Client) -> None:
        """Remove a client; the grace of policy.md begins in rooms that only it had joined."""
        ...

    def handle(self, client: Client, request: Request) -> None:
        """Execute a request; exactly one response with its id is delivered, now or later."""
        ...


_ABSENT_PER_STEP = 16  # users without a connection are cheap: so many count as one step


class Sessions:
    """Clients by user, in order of connection."""

    def __init__(self) -> None:
        self._clients: dict[UserKey, dict[str, Client]] = {}
        self._user_of: dict[str, UserKey] = {}
        self._rooms_of: dict[str, dict[RoomUuid, None]] = {}

    def add(self, client: Client) -> None:
        """Add a client."""
        user = client.identity.key
        self._clients.setdefault(user, {})[client.key] = client
        self._user_of[client.key] = user

    def remove(self, client: Client) -> tuple[UserKey, tuple[RoomUuid, ...]] | None:
        """Remove a client.

        Returns:
            Its user, and the rooms that no other connection of that user has joined; None: the
            client is unknown.
        """
        joined = self._rooms_of.pop(client.key, {})
        user = self._user_of.pop(client.key, None)
        if user is None:
            return None
        clients = self._clients[user]
        clients.pop(client.key)
        if not clients:
            del self._clients[user]
        return user, tuple(room for room in joined if not self.is_bound(user, room))

    def is_connected(self, user: UserKey) -> bool:
        """Return True if the user has a connection."""
        return user in self._clients

    def is_bound(self, user: UserKey, room: RoomUuid) -> bool:
        """Return True if a connection of the user has joined the room (policy.md)."""
        return any(room in self._rooms_of.get(key, ()) for key in self._clients.get(user, ()))

    def joined(self, client: Client, room: RoomUuid) -> None:
        """Record that this connection joined a room; the participation is bound to it."""
        if client.key in self._user_of:
            self._rooms_of.setdefault(client.key, {})[room] = None

    def left(self, user: UserKey, room: RoomUuid) -> None:
        """Record that the user left the room, for all of its connections."""
        for key in self._clients.get(user, ()):
            self._rooms_of.get(key, {}).pop(room, None)

    def rooms_of(self, client: Client) -> Iterable[RoomUuid]:
        """Return the rooms that this connection has joined and not left."""
        return self._rooms_of.get(client.key, ())

    def send_event(
        self, home: DomainId, users: Iterable[UserKey], name: str, payload: Mapping[str, object]
    ) -> None:
        """Send an event of a room to every connection of these users.

        Users of other domains than the room's also receive ``domain``, since a room id is unique
        only within its domain.

        Args:
            home: domain of the room.
            users: recipients.
            name: name of the event.
            payload: payload of the event.
        """
        for _ in self.send_stepwise(home, users, name, payload):
            pass

    def send_stepwise(
        self, home: DomainId, users: Iterable[UserKey], name: str, payload: Mapping[str, object]
    ) -> Iterator[None]:
        """Send as ``send_event`` does; yield after each connection, and after some absent users."""
        near, far = event(name, payload), b""
        absent = 0
        for user in users:
            clients = self._clients.get(user)
            if clients is None:
                absent += 1
                if absent % _ABSENT_PER_STEP == 0:
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

"""The connections of a run: own sockets and one gateway, and the frames that each client got."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sfu_wrapper.client import Client, ClientOptions, Gateway, connect, connect_gateway
from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.model.errors import RecordingError, Unavailable
from sfu_wrapper.simulate.scenario import Person
from sfu_wrapper.wire.client_messages import EventMessage, Response

MAX_FRAMES: Final = 100_000  # of one client; a run is bounded by its scenario
GATEWAY: Final = "gateway"
_PAUSES: Final = Backoff(0.1, 2.0)  # exact, so that a run is the same each time


@dataclass(frozen=True, slots=True)
class Target:
    """A controller, and who may use it.

    Attributes:
        url: its WebSocket address.
        domain: of the users.
        token: returns the token of a user with a role. Raises RecordingError: there is none.
        via: how users connect, whatever the scenario says; None: as it says.
        files: folder of finished files, where this machine has it.
    """

    url: str
    domain: str
    token: Callable[[str, str], str]
    via: str | None = None
    files: Path | None = None


@dataclass(slots=True)
class Guest:
    """A client with everything that it received.

    Attributes:
        user: user id.
        client: None while it is disconnected.
        events: events so far, in order.
        stack: what closes the connection.
    """

    user: str
    client: Client | None = None
    events: list[EventMessage] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    def take(self, frame: Response | EventMessage) -> None:
        """Keep an event. Raises Unavailable: there are too many."""
        if isinstance(frame, Response):
            return
        if len(self.events) >= MAX_FRAMES:
            raise Unavailable(f"{self.user} got more than {MAX_FRAMES} events")
        self.events.append(frame)
        self._news.set()
        self._news = asyncio.Event()

    async def news(self) -> None:
        """Wait for the next event."""
        await self._news.wait()


class People:
    """Clients of a run; made by ``people``."""

    def __init__(self, target: Target, stack: AsyncExitStack) -> None:
        self._target = target
        self._stack = stack
        self._gateway: Gateway | None = None
        self._lock = asyncio.Lock()
        self._shared: dict[str, Guest] = {}

    async def guest(self, name: str, user: str, person: Person) -> Guest:
        """Return the client of a call, connected; the same one each time if it is shared."""
        async with self._lock:
            if person.shared and user in self._shared:
                return self._shared[user]
            guest = Guest(user)
            if person.shared:
                self._shared[user] = guest
                await self.connect(guest, person)
                return guest
        await self.connect(guest, person)
        return guest

    async def connect(self, guest: Guest, person: Person) -> None:
        """Connect a client. Raises RecordingError."""
        # A scenario expects refusals, so none is repeated; the events are kept by ``take``.
        options = ClientOptions(on_frame=guest.take, repeats=False, max_events=1)
        domain = self._target.domain
        if self._via(person) == GATEWAY:
            gateway = await self._at_gateway()
            opening = gateway.client(guest.user, domain, options=options)
        else:
            token = self._target.token(guest.user, person.role)
            opening = connect(self._target.url, token=token, options=options, pauses=_PAUSES)
        guest.stack = AsyncExitStack()
        guest.client = await guest.stack.enter_async_context(opening)

    async def disconnect(self, guest: Guest) -> None:
        """Close the connection of a client."""
        guest.client = None
        await guest.stack.aclose()

    def drop(self, guest: Guest, person: Person) -> None:
        """Cut the connection that a client uses: behind a gateway, that of all its clients."""
        if self._via(person) == GATEWAY and self._gateway is not None:
            self._gateway.drop()
        elif guest.client is not None:
            guest.client.drop()

    async def close(self) -> None:
        """Disconnect those that calls share."""
        for guest in self._shared.values():
            await self.disconnect(guest)

    def _via(self, person: Person) -> str:
        if person.role != "user":
            return "socket"
        return self._target.via or person.via

    async def _at_gateway(self) -> Gateway:
        async with self._lock:
            if self._gateway is None:
                token = self._target.token(GATEWAY, GATEWAY)
                self._gateway = await self._stack.enter_async_context(
                    connect_gateway(self._target.url, token=token)
                )
            return self._gateway


@asynccontextmanager
async def people(target: Target) -> AsyncIterator[People]:
    """Yield the clients of a run; all are disconnected at its end."""
    async with AsyncExitStack() as stack:
        found = People(target, stack)
        try:
            yield found
        finally:
            await found.close()


def token_of(tokens: dict[tuple[str, str], str], user: str, role: str) -> str:
    """Return the token of a user, or of a role where any user of it will do.

    Args:
        tokens: by user and role.
        user, role: what a scenario needs.

    Raises:
        NoToken: there is none.
    """
    if role in ("user", "domain-admin"):
        if found := tokens.get((user, role)):
            return found
    else:
        for (_, its_role), token in tokens.items():
            if its_role == role:
                return token
    raise NoToken(f"no token of role {role!r} for {user}: pass one with --token, or a gateway's")


class NoToken(RecordingError):
    """A client of a scenario has no token."""

    code = "UNAUTHENTICATED"

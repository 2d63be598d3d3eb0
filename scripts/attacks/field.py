"""Parts of every attack: a target, tokens, source addresses, a bounded crowd.

An attack is one coroutine over a ``Field``. It prepares what it needs, awaits ``go()``, and strikes
until its process ends: that bounds its time, ``MOST_STRIKES`` its number.
"""

import asyncio
import resource
import sys
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from scripts.attacks.controller import Where
from scripts.attacks.user import Lost, User, direct
from tests.helpers.hostile import TEXT, Target, frame

MOST_STRIKES = 50_000_000
OUR_ADDRESS = "127.0.0.2"  # the probers come from 127.0.0.1
AGAIN_S = 0.02
FILES = 16_384


class Enough(Exception):
    """So many strikes have been made as one attack may make."""


@dataclass(slots=True)
class Field:
    """Target and means of a strike.

    Attributes:
        struck: number of strikes, by kind.
        begun: set when the strike begins.
        found: limits of the attack's own that do not hold, in words.
        notes: figures of its own.
    """

    where: Where
    struck: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)
    notes: dict[str, float] = field(default_factory=dict)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    def token(self, user: str, *roles: str, domain: str = "example") -> str:
        """Return a token that is accepted."""
        return self.where.token(user, *roles, domain=domain)

    def websockets(self, source: str = OUR_ADDRESS) -> Target:
        """Return the WebSocket server as a target, attacked from that address."""
        return Target(self.where.url, source)

    def http(self, source: str = OUR_ADDRESS) -> Target:
        """Return the HTTP server as a target."""
        return Target(f"http://127.0.0.1:{self.where.http_port}", source)

    def count(self, what: str, number: int = 1) -> None:
        """Note strikes. Raises Enough."""
        self.struck[what] += number
        if self.struck.total() > MOST_STRIKES:
            raise Enough

    async def go(self) -> None:
        """Say that everything is prepared, and wait for the command to strike."""
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        self.begun.set()

    async def crowd(self, size: int, one: Callable[[int], Awaitable[None]]) -> None:
        """Let so many strike side by side; each that is shown out comes again."""
        async with asyncio.TaskGroup() as group:
            for number in range(size):
                group.create_task(self._again(one, number))

    @asynccontextmanager
    async def user(self, name: str, *roles: str, domain: str = "example") -> AsyncIterator[User]:
        """A user for preparations, on a connection of its own."""
        token = self.token(name, *roles, domain=domain)
        async with direct(self.where.url, name, token, OUR_ADDRESS) as user:
            yield user

    async def _again(self, one: Callable[[int], Awaitable[None]], number: int) -> None:
        while True:
            try:
                await one(number)
            except* (OSError, EOFError, Lost):  # it was shown out
                self.struck["shown out"] += 1
            await asyncio.sleep(AGAIN_S)


def address(number: int) -> str:
    """Return one of 16,000 loopback addresses that are neither the probers' nor ours."""
    return f"127.1.{number // 250 % 64}.{number % 250 + 1}"


def message(text: str) -> bytes:
    """Return a text frame as a client sends it."""
    return frame(TEXT, text.encode())


async def flood(field_: Field, writer: StreamWriter, what: str, burst: bytes, size: int) -> None:
    """Send a burst of ``size`` messages again and again, as fast as it is taken."""
    while True:
        writer.write(burst)
        await writer.drain()
        field_.count(what, size)
        await asyncio.sleep(0)


async def discard(reader: StreamReader) -> None:
    """Read to the end. Raises EOFError there."""
    while await reader.read(2**18):
        pass
    raise EOFError


async def until_closed(reader: StreamReader) -> None:
    """Read to the end."""
    with suppress(EOFError):
        await discard(reader)


def raise_file_limit() -> None:
    """Allow as many sockets as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))

"""Others, while a controller is under attack: users who do what users do, and wait for answers.

Run as ``python -m scripts.attacks.prober``, with a ``Where`` as the first line of standard input.
Says ``ready`` when every user has had its first answer, ends at the end of its input, and prints
what it has measured as one JSON object (``Probed``).
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field

from websockets.exceptions import WebSocketException

from scripts.attacks.controller import Where
from scripts.attacks.user import Json, Lost, User, direct, gateway
from tests.helpers.live import DOMAIN

USERS = 8  # half of them behind one gateway
PING_EVERY_S = 0.1
LIFE_EVERY_S = 6.0  # of a user, from room to room
HEALTH_EVERY_S = 0.25
ANSWER_S = 30.0
RECONNECT_S = 0.2

OK = "ok"


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer. at_s: monotonic, when it was asked for. outcome: ``ok`` or what came instead."""

    at_s: float
    took_ms: float
    kind: str
    outcome: str


@dataclass(slots=True)
class Probed:
    """Everything that was measured.

    Attributes:
        starts: room uuid and segment of each start that was answered ok.
        readiness: monotonic time, status and unavailable parts of each look at /health/ready.
    """

    samples: list[Sample] = field(default_factory=list)
    starts: list[tuple[str, int]] = field(default_factory=list)
    readiness: list[tuple[float, str, list[str]]] = field(default_factory=list)


class Prober:
    """All users of one controller."""

    def __init__(self, where: Where) -> None:
        self.where = where
        self.probed = Probed()
        self.finish = asyncio.Event()
        self._rooms = 0

    async def run(self) -> Probed:
        """Probe until ``finish`` is set, and end what was begun."""
        async with asyncio.TaskGroup() as group:
            for number in range(USERS // 2):
                group.create_task(self._alone(number))
            group.create_task(self._behind_gateway(range(USERS // 2, USERS)))
            group.create_task(self._watch_health())
        return self.probed

    async def answered(self) -> None:
        """Wait until every user has had an answer."""
        async with asyncio.timeout(ANSWER_S):
            while len(self.probed.samples) < 2 * USERS:  # noqa: ASYNC110  # nobody signals a sample; once, at the start
                await asyncio.sleep(0.02)

    async def _alone(self, number: int) -> None:
        name = f"prober-{number}"
        while not self.finish.is_set():
            with self._connecting():
                token = self.where.token(name)
                async with direct(self.where.url, name, token) as user:
                    await self._live(user, number)
            await self._pause(RECONNECT_S)

    async def _behind_gateway(self, numbers: range) -> None:
        while not self.finish.is_set():
            with self._connecting():
                token = self.where.token("prober-gateway", "gateway")
                async with gateway(self.where.url, token) as link, asyncio.TaskGroup() as group:
                    for number in numbers:
                        user = await link.user(f"prober-{number}", DOMAIN)
                        group.create_task(self._live(user, number))
            await self._pause(RECONNECT_S)

    @contextmanager
    def _connecting(self) -> Iterator[None]:
        """Note a connection that was refused or lost as an answer that did not come."""
        began_s = time.monotonic()
        try:
            yield
        except* (Lost, OSError, WebSocketException) as group:
            self._note("connection", began_s, type(group.exceptions[0]).__name__)

    async def _live(self, user: User, number: int) -> None:
        """Record a room of one's own, again and again, and ping in between."""
        begins_s = time.monotonic() - LIFE_EVERY_S * number / USERS
        room: str | None = None
        while not self.finish.is_set() or room is not None:
            age_s = time.monotonic() - begins_s
            if room is None and age_s >= LIFE_EVERY_S:
                begins_s += LIFE_EVERY_S
                room = await self._record(user)
            elif room is not None and (age_s >= LIFE_EVERY_S / 3 or self.finish.is_set()):
                await self._stop(user, room)
                room = None
            await self._ask(user, "ping")
            await self._pause(PING_EVERY_S)

    async def _record(self, user: User) -> str | None:
        self._rooms += 1
        room = f"{user.name}-{self._rooms}"
        made = await self._ask(user, "createRoom", {"id": room, "kind": "meeting"})
        joined = made and await self._ask(user, "joinRoom", {"room": room})
        if made is None or joined is None:
            return None
        started = await self._ask(user, "startRoomRecording", {"room": room})
        if started is not None:
            self.probed.starts.append((str(made["uuid"]), int(started["segment"])))
        await self._ask(user, "getRoom", {"room": room})
        return room

    async def _stop(self, user: User, room: str) -> None:
        await self._ask(user, "stopRoomRecording", {"room": room})
        await self._ask(user, "leaveRoom", {"room": room})

    async def _ask(self, user: User, endpoint: str, payload: Json | None = None) -> Json | None:
        """Return the payload of an answer that is ok. Raises Lost."""
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(ANSWER_S):
                response = await user.ask(endpoint, payload)
        except TimeoutError:
            self._note(endpoint, began_s, "no answer")
            return None
        except Lost:
            self._note(endpoint, began_s, "connection lost")
            raise
        if response["status"] != OK:
            self._note(endpoint, began_s, str(response["error"]["code"]))
            return None
        self._note(endpoint, began_s, OK)
        answer: Json = response["payload"]
        return answer

    async def _watch_health(self) -> None:
        for number in itertools.count():
            if self.finish.is_set():
                return
            began_s = time.monotonic()
            path = "/health/ready" if number % 2 == 0 else "/health/live"
            try:
                async with asyncio.timeout(ANSWER_S):
                    status, body = await self._get(path)
            except (OSError, EOFError, ValueError, TimeoutError) as exc:
                self._note("health", began_s, type(exc).__name__)
            else:
                self._note("health", began_s, OK if status in (200, 503) else str(status))
                if "parts" in body:
                    parts = body["parts"].items()
                    lacking = [name for name, part in parts if part["state"] != OK]
                    self.probed.readiness.append((began_s, str(body["status"]), lacking))
            await self._pause(HEALTH_EVERY_S)

    async def _get(self, path: str) -> tuple[int, Json]:
        """Return status and JSON body, over a connection of its own as a load balancer's."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.where.http_port)
        try:
            head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            writer.write(head.encode())
            answer = await reader.read()
        finally:
            writer.transport.abort()
        if not answer:
            raise EOFError("closed without an answer")
        lines, _, body = answer.partition(b"\r\n\r\n")
        return int(lines.split(b" ", 2)[1]), json.loads(body)

    def _note(self, kind: str, began_s: float, outcome: str) -> None:
        took_ms = 1000 * (time.monotonic() - began_s)
        self.probed.samples.append(Sample(began_s, took_ms, kind, outcome))

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.finish.wait(), seconds)


async def _main() -> None:
    where = Where(**json.loads(sys.stdin.readline()))
    prober = Prober(where)
    running = asyncio.create_task(prober.run())
    await prober.answered()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    prober.finish.set()
    async with asyncio.timeout(2 * ANSWER_S):
        print(json.dumps(asdict(await running)))


if __name__ == "__main__":
    asyncio.run(_main())

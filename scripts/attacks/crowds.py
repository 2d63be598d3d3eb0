"""Attacks in rooms that hold a lot: 2,000 segments, 1,000 people, many rooms.

Preparing them has a time limit: an older version is slower at that than the attack needs. What was
reached is said in the counts (``prepared``).
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager, suppress

from scripts.attacks.clients import BURST, SPAM, flooding
from scripts.attacks.field import Field, address, discard
from scripts.attacks.user import Gateway, Lost, User, gateway
from tests.helpers.hostile import asking

PREPARE_S = 60.0
SEGMENTS = 2_000
PEOPLE = 1_000
ROOMS = 1_000
DOMAIN = "example"


@asynccontextmanager
async def _behind_gateway(field: Field) -> AsyncIterator[Gateway]:
    token = field.token("gateway-of-crowds", "gateway")
    async with gateway(field.where.url, token, address(1)) as link:
        yield link


async def _prepared(field: Field, what: str, works: Iterable[Awaitable[object]]) -> None:
    """Do one after the other until the time is over, and note how many it were."""
    until_s = time.monotonic() + PREPARE_S
    for work in works:
        if time.monotonic() < until_s:
            await work
            field.count(f"prepared {what}")
        elif asyncio.iscoroutine(work):
            work.close()


async def _segments(field: Field, room: str) -> None:
    """Open a room of 2,000 segments."""
    async with field.user("service", "service") as service:
        made = {"id": room, "kind": "meeting", "owner": "mallory", "domain": DOMAIN}
        await service.ok("createRoom", made)
        await service.ok("joinRoom", {"room": room, "user": "mallory"})

        async def segment() -> None:
            await service.ok("startRoomRecording", {"room": room})
            await service.ok("stopRoomRecording", {"room": room})

        await _prepared(field, "segments", (segment() for _ in range(SEGMENTS)))


async def _people(field: Field, service: User, room: str, owner: str) -> None:
    """Open a room of 1,000 people."""
    made = {"id": room, "kind": "meeting", "owner": owner, "domain": DOMAIN}
    await service.ok("createRoom", made)
    await service.ok("joinRoom", {"room": room, "user": owner})
    joins = (
        service.ok("joinRoom", {"room": room, "user": f"guest-{number}"})
        for number in range(PEOPLE - 1)
    )
    await _prepared(field, "people", joins)


async def read_segments(field: Field) -> None:
    """getRoom of a room with 2,000 segments, of its owner on 10 connections."""
    await _segments(field, "long")
    burst = b"".join(asking("getRoom", number, room="long") for number in range(BURST))
    await field.go()
    await field.crowd(10, lambda _: flooding(field, "mallory", "requests", burst, BURST))


async def toggle_segments(field: Field) -> None:
    """Starts and stops in a room with 2,000 segments."""
    await _segments(field, "long")
    async with field.user("mallory") as owner:
        await field.go()

        async def one(_: int) -> None:
            for endpoint in itertools.cycle(("startRoomRecording", "stopRoomRecording")):
                await owner.ask(endpoint, {"room": "long"})
                field.count("toggles")
                await asyncio.sleep(1 / SPAM)

        await field.crowd(1, one)


async def read_people(field: Field) -> None:
    """getRoom of a room with 1,000 people, of 20 of them."""
    async with field.user("service", "service") as service:
        await _people(field, service, "full", "mallory")
    burst = b"".join(asking("getRoom", number, room="full") for number in range(BURST))
    await field.go()
    await field.crowd(20, lambda n: flooding(field, f"guest-{n}", "requests", burst, BURST))


async def join_churn(field: Field) -> None:
    """20 people who join and leave a room of 1,000, all of whom are connected and are notified."""
    async with field.user("service", "service") as service, _behind_gateway(field) as link:
        for number in range(PEOPLE):
            await link.user(f"guest-{number}", DOMAIN)
        await _people(field, service, "full", "mallory")
        await field.go()

        async def one(number: int) -> None:
            user = await link.user(f"churner-{number}", DOMAIN)
            for endpoint in itertools.cycle(("joinRoom", "leaveRoom")):
                await user.ask(endpoint, {"room": "full"})
                field.count("requests")
                await asyncio.sleep(1 / SPAM)

        await field.crowd(20, one)


async def media_churn(field: Field) -> None:
    """20 people who switch their camera in a room of 1,000, all of whom are notified."""
    async with field.user("service", "service") as service, _behind_gateway(field) as link:
        users = [await link.user(f"guest-{number}", DOMAIN) for number in range(PEOPLE)]
        await _people(field, service, "full", "mallory")
        await field.go()

        async def one(number: int) -> None:
            for on in itertools.cycle((True, False)):
                wanted = {"room": "full", "media": {"video": on}}
                await users[number].ask("updateMedia", wanted)
                field.count("requests")
                await asyncio.sleep(1 / SPAM)

        await field.crowd(20, one)


async def _many_rooms(field: Field, service: User) -> None:
    works = (
        service.ok(
            "createRoom",
            {"id": f"r-{n}", "kind": "meeting", "owner": f"owner-{n % 200}", "domain": DOMAIN},
        )
        for n in range(ROOMS)
    )
    await _prepared(field, "rooms", works)


async def list_rooms(field: Field) -> None:
    """listRooms of a domain-admin with 1,000 rooms, as long as a page may be."""
    async with field.user("service", "service") as service:
        await _many_rooms(field, service)
    burst = b"".join(asking("listRooms", number, limit=1000) for number in range(BURST))
    target, token = field.websockets(), field.token("mallory", "domain-admin")
    await field.go()

    async def one(_: int) -> None:
        async with target.websocket(token) as (reader, writer), asyncio.TaskGroup() as group:
            group.create_task(discard(reader))
            while True:
                writer.write(burst)
                await writer.drain()
                field.count("requests", BURST)

    await field.crowd(4, one)


async def watchers(field: Field) -> None:
    """50 domain-admins who watch 1,000 rooms, none of whom reads, while rooms change."""
    async with field.user("service", "service") as service:
        await _many_rooms(field, service)
        target = field.websockets()
        asked = asking("watch", 1, topics=["rooms", "recordings"])
        await field.go()

        async def one(number: int) -> None:
            if number == 0:
                with suppress(Lost):
                    await _change_rooms(field, service)
                await asyncio.sleep(1)
                return
            token = field.token(f"mallory-{number}", "domain-admin")
            async with target.websocket(token) as (_reader, writer):
                writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's has it
                while True:
                    writer.write(asked)
                    await writer.drain()
                    field.count("watches")
                    await asyncio.sleep(0.5)

        await field.crowd(50, one)


async def _change_rooms(field: Field, service: User) -> None:
    for number in itertools.count():
        room, user = f"r-{number % ROOMS}", f"guest-{number}"
        await service.ask("joinRoom", {"room": room, "user": user})
        field.count("changes")
        await asyncio.sleep(0.01)

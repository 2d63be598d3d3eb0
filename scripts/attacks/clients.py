"""Attacks by a web client with a token of its own: floods, ids, rooms without end, no reading."""

import asyncio
import itertools
import json

from scripts.attacks.field import Field, discard, flood, message
from scripts.attacks.strangers import dear
from tests.helpers.hostile import asking

BURST = 200
SPAM = 500  # requests a second of one connection: 25 times what is allowed


async def flooding(field: Field, user: str, what: str, burst: bytes, size: int) -> None:
    """Flood on one connection, and read the answers."""
    target = field.websockets()
    token = field.token(user)
    async with target.websocket(token) as (reader, writer), asyncio.TaskGroup() as group:
        group.create_task(discard(reader))
        await flood(field, writer, what, burst, size)


async def one_socket(field: Field) -> None:
    """Valid requests as fast as they are taken, on one connection."""
    burst = b"".join(asking("getRoom", number) for number in range(BURST))
    await field.go()
    await field.crowd(1, lambda _: flooding(field, "mallory", "requests", burst, BURST))


async def hundred_sockets(field: Field) -> None:
    """The same on 100 connections of one user."""
    burst = b"".join(asking("ping", number) for number in range(BURST))
    await field.go()
    await field.crowd(100, lambda _: flooding(field, "mallory", "requests", burst, BURST))


async def hundred_users(field: Field) -> None:
    """The same of 100 users."""
    burst = b"".join(asking("getRoom", number) for number in range(BURST))
    await field.go()
    await field.crowd(100, lambda n: flooding(field, f"mallory-{n}", "requests", burst, BURST))


async def big_frames_token(field: Field) -> None:
    """64 KB frames of a client with a token, 10 connections of 10 users."""
    frames = dear(64_000)
    burst = b"".join(frames)
    await field.go()
    await field.crowd(10, lambda n: flooding(field, f"mallory-{n}", "frames", burst, len(frames)))


async def unknown_endpoints(field: Field) -> None:
    """Requests for endpoints that do not exist, with names as long as a message takes."""
    burst = b"".join(asking("x" * 10_000, number) for number in range(20))
    await field.go()
    await field.crowd(20, lambda n: flooding(field, f"mallory-{n}", "requests", burst, 20))


async def huge_lists(field: Field) -> None:
    """createRoom and inviteToRoom with as many names as a message takes."""
    names = [f"u{number}" for number in range(6_000)]
    await field.go()

    async def one(number: int) -> None:
        user = f"mallory-{number}"
        burst = asking("createRoom", 0, id=f"huge-{number}", kind="meeting", invited=names)
        burst += asking("inviteToRoom", 1, room=f"huge-{number}", users=names)
        await flooding(field, user, "requests", burst, 2)

    await field.crowd(10, one)


async def _asks(field: Field, user: str, requests: "itertools.chain[bytes]", what: str) -> None:
    """Send requests that differ from each other, as fast as they are taken."""
    target = field.websockets()
    token = field.token(user)
    async with target.websocket(token) as (reader, writer), asyncio.TaskGroup() as group:
        group.create_task(discard(reader))
        while piece := b"".join(itertools.islice(requests, 20)):
            writer.write(piece)
            await writer.drain()
            field.count(what, 20)
            await asyncio.sleep(20 / SPAM)


async def create_rooms(field: Field) -> None:
    """Rooms without end, each of an id of its own, of 20 users."""
    await field.go()

    async def one(user: int) -> None:
        requests = itertools.chain(
            asking("createRoom", n, id=f"flood-{user}-{n}", kind="meeting", invited=["friend"] * 20)
            for n in itertools.count()
        )
        await _asks(field, f"mallory-{user}", requests, "rooms")

    await field.crowd(20, one)


async def invite_many(field: Field) -> None:
    """Ever more people invited to one room, as many as a message takes at a time."""
    await field.go()

    async def one(user: int) -> None:
        room = f"invites-{user}"
        made = asking("createRoom", 0, id=room, kind="meeting", invited=["friend"])
        more = (
            asking("inviteToRoom", n, room=room, users=[f"u{n}-{each}" for each in range(80)])
            for n in itertools.count(1)
        )
        await _asks(field, f"mallory-{user}", itertools.chain([made], more), "invitations")

    await field.crowd(20, one)


async def start_stop(field: Field) -> None:
    """Starts and stops in turn, of 20 users in rooms of their own."""
    await field.go()

    async def one(user: int) -> None:
        room = f"toggled-{user}"
        first = [
            asking("createRoom", 0, id=room, kind="meeting"),
            asking("joinRoom", 1, room=room),
        ]
        toggles = (
            asking(("startRoomRecording", "stopRoomRecording")[n % 2], n, room=room)
            for n in itertools.count(2)
        )
        await _asks(field, f"mallory-{user}", itertools.chain(first, toggles), "toggles")

    await field.crowd(20, one)


async def reused_ids(field: Field) -> None:
    """One request id again and again: with the same payload, and with ever another one."""
    await field.go()

    async def one(user: int) -> None:
        room = f"reused-{user}"
        same = asking("createRoom", 0, id=room, kind="meeting")
        others = (
            asking("createRoom", 0, id=f"{room}-{n}", kind="meeting") if n % 2 else same
            for n in itertools.count()
        )
        await _asks(field, f"mallory-{user}", itertools.chain(others), "requests")

    await field.crowd(20, one)


async def reused_rooms(field: Field) -> None:
    """One room id again and again: made, joined, recorded, ended."""
    await field.go()

    async def one(user: int) -> None:
        room = f"again-{user}"
        steps = (
            ("createRoom", {"id": room, "kind": "meeting"}),
            ("joinRoom", {"room": room}),
            ("startRoomRecording", {"room": room}),
            ("endRoom", {"room": room}),
        )
        requests = (asking(steps[n % 4][0], n, **steps[n % 4][1]) for n in itertools.count())
        await _asks(field, f"mallory-{user}", itertools.chain(requests), "requests")

    await field.crowd(20, one)


async def kept_answers(field: Field) -> None:
    """Requests of ever another id whose answers are long and kept: joins of a room with a crowd."""
    room = "kept"
    async with field.user("service", "service") as service:
        await service.ok(
            "createRoom", {"id": room, "kind": "meeting", "owner": "host", "domain": "example"}
        )
        for number in range(300):
            await service.ok("joinRoom", {"room": room, "user": f"guest-with-a-long-name-{number}"})
        await field.go()

    async def one(user: int) -> None:
        requests = (asking("joinRoom", n, room=room) for n in itertools.count())
        await _asks(field, f"mallory-{user}", itertools.chain(requests), "joins")

    await field.crowd(20, one)


async def never_reading(field: Field) -> None:
    """Requests with long answers of 50 clients that read none of them."""
    target = field.websockets()
    burst = b"".join(asking("x" * 250, number) for number in range(BURST))
    await field.go()

    async def one(number: int) -> None:
        async with target.websocket(field.token(f"mallory-{number}")) as (_, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's has it
            await flood(field, writer, "requests", burst, BURST)

    await field.crowd(50, one)


async def watching_churn(field: Field) -> None:
    """``watch`` and ``unwatch`` in turn, of 20 users."""
    requests = b"".join(
        asking("watch", n, topics=["rooms", "recordings"]) if n % 2 else asking("unwatch", n)
        for n in range(BURST)
    )
    await field.go()
    await field.crowd(20, lambda n: flooding(field, f"mallory-{n}", "requests", requests, BURST))


async def strange_json(field: Field) -> None:
    """Messages that are almost requests: wrong types at every place."""
    values: tuple[object, ...] = (None, True, -1, 2**63, 1.5, "", "\n", [], {}, [[]], {"a": {}})
    texts = [
        json.dumps({"type": "request", "payload": {"endpoint": e, "id": i, "payload": p}})
        for e, i, p in itertools.product(("joinRoom", *values), ("1", *values), values)
    ]
    burst = b"".join(message(text) for text in texts)
    await field.go()
    await field.crowd(10, lambda n: flooding(field, f"mallory-{n}", "messages", burst, len(texts)))

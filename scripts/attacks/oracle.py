"""Comparison of answers to strangers about rooms, by their bytes and their times.

A user asks about rooms that it may not know of: one that never was, one of another domain that
lives, one of it that has ended, one of its own domain that has ended without it, and one that lives
and is for others. All answers have to be the same to the byte, and to take as long.
"""

import asyncio
import itertools
import statistics
import time
from collections import defaultdict
from typing import Final

from scripts.attacks.field import Field
from scripts.attacks.user import Json, User, direct

ROUNDS = 200
SEGMENTS = 100
MOST_RATIO = 1.5  # of medians; what a page more of work would cost is several times as much
# Of one length, and not to be told apart by anything but what they stand for.
ROOMS: Final = {
    "missing": "room-7b21",
    "foreign": "room-1c94",
    "foreign, ended": "room-e0d3",
    "ended": "room-55fa",
    "private": "room-9a07",
}
ENDPOINTS: Final[dict[str, Json]] = {
    "getRoom": {},
    "joinRoom": {},
    "updateMedia": {"media": {"audio": True}},
    "leaveRoom": {},
    "endRoom": {},
    "inviteToRoom": {"users": ["mallory"]},
    "startRoomRecording": {},
    "stopRoomRecording": {},
}
PATHS: Final = ("/rooms/{}", "/rooms/{}/decision", "/rooms/{}?domain=elsewhere")
# The domain may be named or left out; a version that does not know the field ignores it.
DOMAINS: Final[tuple[Json, ...]] = ({}, {"domain": "elsewhere"})


async def no_oracle(field: Field) -> None:
    """Answers about rooms that are none of one's business, compared by bytes and by time."""
    async with field.user("service", "service") as service:
        await _make_rooms(service)
    async with direct(field.where.url, "mallory", field.token("mallory")) as user:
        await field.go()
        for (endpoint, payload), domain in itertools.product(ENDPOINTS.items(), DOMAINS):
            await _compare_words(field, user, endpoint, payload | domain)
        for path in PATHS:
            _compare(field, path, {name: await _get(field, path, name) for name in ROOMS})
        await _compare_times(field, user)


async def _make_rooms(service: User) -> None:
    """Make all but the missing one. Those that end have a past that is long to read."""
    for name in ("foreign", "foreign, ended", "ended", "private"):
        domain = "elsewhere" if name.startswith("foreign") else "example"
        place = {"room": ROOMS[name], "domain": domain}
        made = {"id": ROOMS[name], "kind": "meeting", "owner": "bob", "domain": domain}
        await service.ok("createRoom", made | {"invited": ["carol"]})
        if name.endswith("ended"):
            await service.ok("joinRoom", place | {"user": "bob"})
            for _ in range(SEGMENTS):
                await service.ok("startRoomRecording", place)
                await service.ok("stopRoomRecording", place)
            await service.ok("endRoom", place)


async def _compare_words(field: Field, user: User, endpoint: str, payload: Json) -> None:
    answers = {}
    for name, room in ROOMS.items():
        answer = await user.ask(endpoint, payload | {"room": room})
        del answer["id"]
        answers[name] = repr(answer).replace(room, "<room>")
    _compare(field, endpoint, answers)


def _compare(field: Field, asked: str, answers: dict[str, str]) -> None:
    field.count("answers", len(answers))
    for name, answer in answers.items():
        if answer != answers["missing"]:
            field.found.append(f"{asked} tells a room that is {name} from one that never was")


async def _get(field: Field, path: str, name: str) -> str:
    """Return the status line and body of an answer over HTTP, its room replaced."""
    token = field.token("mallory")
    head = f"GET {path.format(ROOMS[name])} HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Authorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    async with field.http().tcp() as (reader, writer):
        writer.write(head.encode())
        lines, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    return (lines.splitlines()[0] + body).replace(ROOMS[name], "<room>")


async def _compare_times(field: Field, user: User) -> None:
    """Ask about each in turn, so that whatever else happens happens to all."""
    took_s: dict[str, list[float]] = defaultdict(list)
    asked = {
        f"{name} {' '.join(domain)}".strip(): {"room": room} | domain
        for (name, room), domain in itertools.product(ROOMS.items(), DOMAINS)
    }
    for name in itertools.chain.from_iterable(itertools.repeat(tuple(asked), ROUNDS)):
        began_s = time.perf_counter()
        await user.ask("getRoom", asked[name])
        took_s[name].append(time.perf_counter() - began_s)
        field.count("answers")
        await asyncio.sleep(0)
    medians = {name: statistics.median(times) for name, times in took_s.items()}
    for name, median_s in medians.items():
        field.notes[f"getRoom, {name}, ms"] = round(1000 * median_s, 3)
    ratio = max(medians.values()) / min(medians.values())
    field.notes["slowest to fastest"] = round(ratio, 2)
    if ratio > MOST_RATIO:
        field.found.append(f"some rooms take {ratio:.1f} times as long as others")

"""Long pages of rooms are written between what others ask."""

import asyncio
import json
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Refused, Unavailable
from sfu_wrapper.model.identity import Identity, OwnerPermissions, Role, UserKey
from sfu_wrapper.service.rooms import listing
from sfu_wrapper.service.rooms.listing import LIMIT, QUERIES_LIMIT, SLICE, Lister
from sfu_wrapper.wire.answers import listed_json
from sfu_wrapper.wire.signaling import ListRooms, Request, parse_request
from tests.helpers.rooms import ADMIN, ALICE
from tests.unit.service.test_reading import Rooms

Json = dict[str, object]


class Asker:
    """A client that asks for pages."""

    def __init__(self, user: UserKey = ADMIN.key, role: Role = Role.DOMAIN_ADMIN) -> None:
        self.key = str(user)
        self.identity = Identity(user.domain, user.user, frozenset({role}))
        self.answers: list[Json] = []
        self.answered = asyncio.Event()

    def deliver(self, message: bytes) -> None:
        self.answers.append(json.loads(message)["payload"])
        self.answered.set()

    async def next_answer(self) -> None:
        """Wait until one more answer has been delivered."""
        async with asyncio.timeout(10):
            await self.answered.wait()
        self.answered.clear()

    def charge(self, notices: int) -> None:
        """See ``Client``; it has no limit."""


def asked(**payload: object) -> tuple[Request, ListRooms]:
    body = {"endpoint": "listRooms", "payload": payload, "id": "1"}
    request = parse_request(json.dumps({"type": "request", "payload": body}))
    assert isinstance(request.payload, ListRooms)
    return request, request.payload


@pytest.fixture(scope="module")
def rooms() -> Rooms:
    return Rooms(10 * SLICE)


async def test_a_short_page_is_answered_at_once(rooms: Rooms) -> None:
    asker = Asker()
    Lister(rooms.queries).start_page(asker, *asked(limit=SLICE - 1))

    assert [len(each["payload"]["rooms"]) for each in asker.answers] == [SLICE - 1]  # type: ignore[index]  # JSON


async def test_a_long_page_lets_others_in_after_every_slice(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[object] = []

    def counted(room: Room, *others: Any) -> dict[str, object]:  # noqa: ANN401 as ``listed_json``
        written.append(room)
        return listed_json(room, *others)

    monkeypatch.setattr(listing, "listed_json", counted)
    lister, long, short = Lister(rooms.queries), Asker(), Asker()
    lister.start_page(long, *asked(limit=10 * SLICE))
    lister.start_page(short, *asked(limit=1))
    rounds = 0
    while not short.answers:
        await asyncio.sleep(0)
        rounds += 1
    assert len(written) <= 2 * SLICE + 1, "a page waits for a slice of another one, no more"
    while not long.answers:
        await asyncio.sleep(0)
        rounds += 1

    assert rounds >= 9
    assert len(long.answers[0]["payload"]["rooms"]) == 10 * SLICE  # type: ignore[index]  # JSON


async def test_a_page_that_cannot_be_written_is_answered_too(
    rooms: Rooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    lister, asker = Lister(rooms.queries), Asker()

    def lost(_: object) -> Iterator[Room]:
        raise Unavailable("the store cannot be read")

    def wrong(*_: object) -> OwnerPermissions:
        raise ZeroDivisionError

    lister.start_page(asker, *asked(after="none"))
    await asker.next_answer()
    monkeypatch.setattr(rooms.queries, "snapshots", lost)
    lister.start_page(asker, *asked())
    await asker.next_answer()
    monkeypatch.setattr(rooms.queries, "snapshots", wrong)
    lister.start_page(asker, *asked())
    await asker.next_answer()
    codes = [each["error"]["code"] for each in asker.answers]  # type: ignore[index]  # JSON

    assert codes == ["BAD_REQUEST", "OVERLOADED", "INTERNAL"]


async def test_pages_without_end_are_refused_and_nobody_but_those_who_may_gets_any(
    rooms: Rooms,
) -> None:
    lister, asker = Lister(rooms.queries), Asker()
    for _ in range(LIMIT):
        lister.start_page(asker, *asked(limit=1000))
    with pytest.raises(Refused, match="try again"):
        lister.start_page(asker, *asked())
    with pytest.raises(Refused, match="administrator"):
        lister.start_page(Asker(ALICE, Role.USER), *asked())
    lister.close()
    await asyncio.sleep(0)

    assert asker.answers == []
    assert listing.SLICE < 100


def watching() -> Request:
    body = {"endpoint": "watch", "payload": {"topics": ["rooms"]}, "id": "1"}
    return parse_request(json.dumps({"type": "request", "payload": body}))


async def test_looks_that_come_together_are_carried_out_one_in_a_turn_and_in_order(
    rooms: Rooms,
) -> None:
    lister, askers, story = Lister(rooms.queries), [Asker() for _ in range(50)], []

    def look(number: int) -> dict[str, object]:
        story.append(number)
        return {}

    for number, asker in enumerate(askers):
        lister.start_query(asker, watching(), partial(look, number))
    told = []
    while not askers[-1].answers:
        told.append(len(story))
        await asyncio.sleep(0)

    assert told[0] == 1, "the first one is answered at once"
    assert max(later - earlier for earlier, later in pairwise(told)) == 1
    assert story == list(range(50))


async def test_nothing_is_looked_up_for_a_client_that_is_gone(rooms: Rooms) -> None:
    lister, here, gone = Lister(rooms.queries), Asker(), Asker()
    story: list[str] = []

    def look(name: str) -> dict[str, object]:
        story.append(name)
        return {}

    lister.start_query(here, watching(), partial(look, "here"))
    lister.start_query(gone, watching(), partial(look, "gone"))
    lister.start_query(here, watching(), partial(look, "here too"))
    lister.forget(gone)
    while len(here.answers) < 2:
        here.answered.clear()
        await here.answered.wait()

    assert story == ["here", "here too"]
    assert gone.answers == []


async def test_looks_without_end_are_refused(rooms: Rooms) -> None:
    lister, asker = Lister(rooms.queries), Asker()
    for _ in range(QUERIES_LIMIT + 1):
        lister.start_query(asker, watching(), dict)
    with pytest.raises(Refused, match="try again"):
        lister.start_query(asker, watching(), dict)
    lister.close()

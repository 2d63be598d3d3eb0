"""Pages of rooms and changes for watchers cost what they return, however much there is beside."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import cast

import pytest

from sfu_wrapper.core.access import sees
from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.people import Participant, Participants
from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.core.room import Outcome, Room, Segment, Segments
from sfu_wrapper.model.identity import (
    ConfbridgeId,
    DomainId,
    Identity,
    OwnerPermissions,
    RecordingType,
    Role,
    RoomId,
    RoomUuid,
    SegmentNo,
    UserId,
    UserKey,
)
from sfu_wrapper.model.media import Media
from sfu_wrapper.service.rooms import subscriptions
from sfu_wrapper.service.rooms.actor import RoomActor
from sfu_wrapper.service.rooms.job_results import JobResults
from sfu_wrapper.service.rooms.ranking import Rank
from sfu_wrapper.service.rooms.registry import Finder, RoomRegistry
from sfu_wrapper.service.rooms.room_queries import Page, RoomQueries
from sfu_wrapper.service.rooms.subscriptions import Subscriptions
from sfu_wrapper.wire import answers
from sfu_wrapper.wire.signaling import RECORDINGS, ROOMS
from tests.helpers.clocks import StandingClock
from tests.helpers.rooms import ADMIN, ALICE, BOB, HOME, SERVICE, T0, Call

OTHER = DomainId("other")
MEMBER = Requester(BOB)
NO_FINDER = cast("Finder", None)  # pages need none


class CountingDirectory(RoomRegistry):
    """Counts the rooms that are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.visited = 0

    def youngest(
        self, domain: DomainId | None, lives: Iterable[Life], before: Rank | None
    ) -> Iterator[Room]:
        for room in super().youngest(domain, lives, before):
            self.visited += 1
            yield room

    def known_to(self, user: UserKey) -> Iterable[RoomActor]:
        found = tuple(super().known_to(user))
        self.visited += len(found)
        return found

    def __iter__(self) -> Iterator[RoomActor]:
        pytest.fail("all rooms were walked over")


class Held(RoomActor):
    """An actor that holds a room and does nothing with it."""

    def __init__(self, room: Room) -> None:
        self.uuid = room.uuid
        self.room = room


class Rooms:
    """So many rooms of the domain, and as many of another; bob is in one of each."""

    def __init__(self, count: int) -> None:
        self.directory = CountingDirectory()
        self.looked_up: list[UserKey] = []
        self.queries = RoomQueries(
            self.directory,
            NO_FINDER,
            StandingClock(),
            PolicySettings(),
            self._permissions,
            lambda _: {},
        )
        template = Call().room
        for number in range(count):
            for domain in (HOME, OTHER):
                self._hold(template, number, domain)

    def _permissions(self, owner: UserKey) -> OwnerPermissions:
        self.looked_up.append(owner)
        return OwnerPermissions()

    def _hold(self, template: Room, number: int, domain: DomainId) -> None:
        name = f"{domain}-{number:06}"
        bobs = [Participant(BOB, 1, 0, Media())] if number == 0 else []
        room = replace(
            template,
            uuid=RoomUuid(name),
            id=RoomId(name),
            confbridge_id=ConfbridgeId(name),
            domain=domain,
            created=replace(T0, wall_ms=T0.wall_ms + number),
            life=Life.ESTABLISHED if number % 10 == 0 else Life.WAITING,
            participants=Participants(bobs),
        )
        self.directory.add(room, Held(room))
        self.directory.changed(None, room)

    def page(
        self,
        by: Requester,
        limit: int = 50,
        after: str | None = None,
        state: Life | None = None,
    ) -> tuple[Page, int]:
        """A page, and how many rooms were looked at for it."""
        self.directory.visited = 0
        found = self.queries.page(by, limit=limit, after=after, state=state)
        return found, self.directory.visited


@pytest.fixture(scope="module")
def few() -> Rooms:
    return Rooms(100)


@pytest.fixture(scope="module")
def many() -> Rooms:
    return Rooms(5_000)


@pytest.mark.parametrize("by", [SERVICE, ADMIN], ids=["the service", "an administrator"])
@pytest.mark.parametrize("state", [None, Life.WAITING, Life.ESTABLISHED, Life.ENDED])
def test_a_page_looks_at_as_many_rooms_of_few_as_of_many(
    few: Rooms, many: Rooms, by: Requester, state: Life | None
) -> None:
    page, visited = many.page(by, limit=9, state=state)
    _, visited_of_few = few.page(by, limit=9, state=state)

    assert len(page.rooms) == (0 if state is Life.ENDED else 9)
    assert visited == visited_of_few <= 10


def test_a_page_far_down_costs_what_the_first_one_does(many: Rooms) -> None:
    middle = f"{T0.wall_ms + 2500}.{HOME}-002500"
    page, visited = many.page(ADMIN, after=middle)

    assert [each.room.id for each in page.rooms][:2] == [f"{HOME}-002499", f"{HOME}-002498"]
    assert len(page.rooms) == 50
    assert visited == 51


def test_all_pages_together_hold_every_room_once(few: Rooms) -> None:
    found: list[str] = []
    after, first = None, True
    while first or after is not None:
        page, _ = few.page(SERVICE, limit=7, after=after)
        found += [each.room.id for each in page.rooms]
        after, first = page.next, False

    assert len(found) == len(set(found)) == 200


def test_a_user_looks_at_its_own_rooms_alone(many: Rooms) -> None:
    page, visited = many.page(MEMBER)

    assert {each.room.id for each in page.rooms} == {f"{HOME}-000000", f"{OTHER}-000000"}
    assert visited == 2


def test_an_administrator_sees_the_domain_and_the_rooms_it_is_in(few: Rooms) -> None:
    bob = Requester(BOB, admin=True)
    page, _ = few.page(bob, limit=1000)
    names = [each.room.id for each in page.rooms]

    assert names[-2:] == [f"{OTHER}-000000", f"{HOME}-000000"]
    assert len(names) == len(set(names)) == 101


def test_permissions_are_looked_up_once_for_each_owner_of_a_page(many: Rooms) -> None:
    many.looked_up.clear()
    many.page(ADMIN, limit=1000)

    assert many.looked_up == [ALICE]


# watchers


class Watcher:
    """A client that watches."""

    def __init__(self, user: UserKey, *roles: Role) -> None:
        self.key = f"{user}"
        self.identity = Identity(user.domain, user.user, frozenset(roles or (Role.USER,)))
        self.received: list[bytes] = []
        self.told = asyncio.Event()

    def deliver(self, message: bytes) -> None:
        self.received.append(message)
        self.told.set()

    def charge(self, notices: int) -> None:
        """See ``Client``; it has no limit."""


BOSS = UserKey(HOME, UserId("boss"))


def crowded(people: int, segments: int) -> Room:
    """An established meeting with so many people, that was recorded so many times."""
    keys = [UserKey(HOME, UserId(f"user-{number}")) for number in range(people)]
    done = Segment(
        number=SegmentNo(1),
        by=ALICE.user,
        type=RecordingType.ALL,
        requested_at=T0,
        captures=(),
        started=T0,
        ran=True,
        stopped_ms=T0.wall_ms + 1000,
        duration_ms=1000,
        outcome=Outcome.STOPPED,
        announced=True,
    )
    return replace(
        Call().room,
        life=Life.ESTABLISHED,
        participants=Participants(
            Participant(key, number, 0, Media()) for number, key in enumerate(keys)
        ),
        segments=Segments(
            replace(done, number=SegmentNo(number)) for number in range(1, segments + 1)
        ),
    )


async def told(room: Room, watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What it costs to tell a watcher that somebody's media have changed."""
    cost: Counter[str] = Counter()
    shown = answers.segment_json

    def counted(*args: object) -> dict[str, object]:
        cost["segments"] += 1
        return shown(*args)  # type: ignore[arg-type]  # passed on

    def seen(room: Room, by: Requester) -> bool:
        cost["people asked about"] += 1
        return sees(room, by)

    monkeypatch.setattr(answers, "segment_json", counted)
    monkeypatch.setattr(subscriptions, "segment_json", counted)
    monkeypatch.setattr(f"{subscriptions.__name__}.sees", seen)
    rooms = Rooms(0)
    clock = StandingClock()
    watchers = Subscriptions(rooms.queries, JobResults(), clock)
    watchers.watch(watcher, [ROOMS, RECORDINGS])
    first = next(iter(room.participants))
    after = replace(
        room, participants=room.participants.put(replace(first, media=Media(audio=True)))
    )
    watchers.room_changed(room, after)
    async with asyncio.timeout(10):
        await watcher.told.wait()
    watchers.close()
    monkeypatch.undo()
    return cost


@pytest.mark.parametrize(
    "watcher", [(BOSS, Role.DOMAIN_ADMIN), (BOSS, Role.SERVICE), (ALICE,)], ids=str
)
async def test_a_change_costs_a_watcher_the_same_whatever_was_recorded_before(
    watcher: tuple[UserKey, Role], monkeypatch: pytest.MonkeyPatch
) -> None:
    short = await told(crowded(2, 20), Watcher(*watcher), monkeypatch)
    long = await told(crowded(2, 2000), Watcher(*watcher), monkeypatch)

    assert short == long
    assert short["segments"] > 0


async def test_a_room_in_a_list_has_its_latest_segments_and_says_how_many_there_are_before() -> (
    None
):
    room = crowded(1, 2000)
    shown = answers.listed_json(room, OwnerPermissions(), PolicySettings())
    whole = answers.whole_json(room, OwnerPermissions(), PolicySettings())
    few = answers.listed_json(crowded(1, 20), OwnerPermissions(), PolicySettings())

    segments = cast("list[dict[str, object]]", shown["segments"])
    assert [each["segment"] for each in segments] == list(range(1981, 2001))
    assert shown["earlierSegments"] == 1980
    assert len(cast("list[object]", whole["segments"])) == 2000
    assert "earlierSegments" not in whole
    assert "earlierSegments" not in few


async def test_people_who_do_not_watch_cost_a_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = await told(crowded(2, 1), Watcher(BOSS, Role.DOMAIN_ADMIN), monkeypatch)
    large = await told(crowded(1000, 1), Watcher(BOSS, Role.DOMAIN_ADMIN), monkeypatch)

    assert small == large


async def test_a_watcher_receives_the_rooms_that_it_is_in_or_was_in() -> None:
    rooms = Rooms(0)
    watchers = Subscriptions(rooms.queries, JobResults(), StandingClock())
    inside, left, stranger = (
        Watcher(UserKey(HOME, UserId(name))) for name in ("user-0", "user-1", "nobody")
    )
    for each in (inside, left, stranger):
        watchers.watch(each, [ROOMS])
    before = crowded(10, 0)
    after = replace(before, participants=before.participants.without(left.identity.key))
    watchers.room_changed(before, after)
    async with asyncio.timeout(10):
        await left.told.wait()
    watchers.close()

    assert b'"gone":true' in left.received[0]
    assert b'"participants"' in inside.received[0]
    assert stranger.received == []

"""What the directory answers about rooms, and what its answers cost."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.people import Participant, Participants
from sfu_wrapper.core.room import Room
from sfu_wrapper.model.identity import (
    ConfbridgeId,
    DomainId,
    EndReason,
    Origin,
    RoomId,
    RoomUuid,
    UserId,
    UserKey,
)
from sfu_wrapper.model.media import Media
from sfu_wrapper.service.rooms.actor import RoomActor
from sfu_wrapper.service.rooms.registry import RoomRegistry
from tests.helpers.rooms import ALICE, BOB, CAROL, Call

OTHER = DomainId("other")


class Held(RoomActor):
    """An actor that holds a room and does nothing with it."""

    def __init__(self, room: Room | None, uuid: RoomUuid) -> None:
        self.uuid = uuid
        self.room = room

    def close(self) -> None:
        """It has set no timer."""


class Rooms:
    """A directory, and rooms that are put into it."""

    def __init__(self) -> None:
        self.directory = RoomRegistry()
        self.template = Call().room

    def room(self, name: str, **fields: object) -> Room:
        """A room whose uuid, id and bridge are made of one name."""
        made = replace(
            self.template,
            uuid=RoomUuid(f"uuid-{name}"),
            id=RoomId(name),
            confbridge_id=ConfbridgeId(f"bridge-{name}"),
        )
        return replace(made, **fields)  # type: ignore[arg-type]  # checked by the dataclass's users

    def hold(self, name: str, **fields: object) -> Held:
        """Put one in, as it was first committed."""
        room = self.room(name, **fields)
        actor = Held(room, room.uuid)
        self.directory.add(room, actor)
        self.directory.changed(None, room)
        return actor

    def change(self, actor: Held, **fields: object) -> None:
        """Commit another state of a room."""
        before = actor.room
        assert before is not None
        actor.room = replace(before, **fields)  # type: ignore[arg-type]  # as above
        self.directory.changed(before, actor.room)

    def end(self, actor: Held) -> None:
        """It is over, and not settled."""
        self.change(actor, life=Life.ENDED, end_reason=EndReason.ENDED, participants=Participants())

    def names(self, rooms: Iterator[Room]) -> list[str]:
        return [room.id for room in rooms]


@pytest.fixture
def rooms() -> Rooms:
    return Rooms()


def test_one_id_means_another_room_in_each_domain(rooms: Rooms) -> None:
    ours, theirs = rooms.hold("a"), rooms.hold("a", domain=OTHER, uuid=RoomUuid("theirs"))
    directory, name = rooms.directory, RoomId("a")

    assert directory.by_id(ALICE.domain, name) is ours
    assert directory.by_id(OTHER, name) is theirs
    assert directory.by_id(DomainId("third"), name) is None
    directory.remove(theirs)
    assert not directory.is_taken(OTHER, name)
    assert directory.is_taken(ALICE.domain, name)


def test_an_id_is_free_once_its_room_has_ended_and_then_means_the_next_room(rooms: Rooms) -> None:
    first = rooms.hold("a")
    rooms.end(first)
    assert not rooms.directory.is_taken(ALICE.domain, RoomId("a"))
    assert rooms.directory.by_id(ALICE.domain, RoomId("a")) is first

    second = rooms.hold("a", uuid=RoomUuid("second"))
    rooms.directory.remove(first)
    assert rooms.directory.by_id(ALICE.domain, RoomId("a")) is second


def test_an_ended_room_that_is_taken_up_late_hides_no_living_one(rooms: Rooms) -> None:
    living = rooms.hold("a")
    rooms.hold("a", uuid=RoomUuid("older"), life=Life.ENDED)

    assert rooms.directory.by_id(ALICE.domain, RoomId("a")) is living


@pytest.mark.parametrize("name", ["bridge-a", "BRIDGE-A", "uuid-a", "Uuid-A"])
def test_names_at_the_media_plane_are_in_use_until_the_room_is_settled(
    rooms: Rooms, name: str
) -> None:
    actor = rooms.hold("a")
    assert rooms.directory.has_name(name)
    rooms.end(actor)
    assert rooms.directory.has_name(name)

    rooms.directory.remove(actor)
    assert not rooms.directory.has_name(name)


def test_a_bridge_that_two_old_rooms_share_is_in_use_as_long_as_one_of_them(rooms: Rooms) -> None:
    first, second = (rooms.hold(name, confbridge_id=ConfbridgeId("shared")) for name in ("a", "b"))
    rooms.directory.remove(first)
    assert rooms.directory.has_name("shared")

    rooms.directory.remove(second)
    assert not rooms.directory.has_name("shared")


def test_a_uuid_keeps_a_name_from_the_room_service_only_where_that_has_given_it(
    rooms: Rooms,
) -> None:
    rooms.hold("a", creator=None)
    made = rooms.hold("b", creator=BOB)
    assert not rooms.directory.keeps_name("uuid-a")
    assert all(map(rooms.directory.keeps_name, ("Bridge-A", "Bridge-B", "Uuid-B")))

    rooms.directory.remove(made)
    assert not any(map(rooms.directory.keeps_name, ("bridge-b", "uuid-b")))


def test_rooms_are_counted_by_owner_and_by_domain_as_long_as_they_live(rooms: Rooms) -> None:
    first = rooms.hold("a")
    rooms.hold("b", owner=BOB.user)
    phone = rooms.hold("c", origin=Origin.PSTN)
    over = rooms.hold("d", life=Life.ENDED)
    directory = rooms.directory
    assert (directory.living_of(ALICE), directory.living_of(BOB)) == (1, 1)
    assert directory.living_in(ALICE.domain) == 3

    rooms.end(first)
    assert (directory.living_of(ALICE), directory.living_in(ALICE.domain)) == (0, 2)
    for actor in (first, phone, over):
        directory.remove(actor)
        directory.remove(actor)
    assert (directory.living_of(ALICE), directory.living_in(ALICE.domain)) == (0, 1)


def test_a_room_whose_creation_fails_leaves_nothing_behind(rooms: Rooms) -> None:
    spec = rooms.room("a")
    actor = Held(None, spec.uuid)
    rooms.directory.add(spec, actor)
    assert rooms.directory.owner_of(spec.uuid) == ALICE
    assert rooms.directory.living_of(ALICE) == 1

    rooms.directory.remove(actor)
    assert rooms.directory.owner_of(spec.uuid) is None
    assert rooms.directory.living_of(ALICE) == 0
    assert not rooms.directory.has_name(spec.uuid)
    assert list(rooms.directory.known_to(ALICE)) == []
    assert list(rooms.directory.youngest(None, Life, None)) == []


def test_an_actor_that_is_not_held_takes_nothing_with_it(rooms: Rooms) -> None:
    held = rooms.hold("a")
    rooms.directory.remove(Held(held.room, held.uuid))

    assert rooms.directory.by_uuid(held.uuid) is held


def test_participants_and_owners_know_their_rooms(rooms: Rooms) -> None:
    actor = rooms.hold("a", participants=Participants([seated(BOB)]))
    assert list(rooms.directory.rooms_of(BOB)) == ["uuid-a"]
    assert list(rooms.directory.known_to(ALICE)) == [actor]

    rooms.change(actor, participants=Participants([seated(CAROL)]))
    assert list(rooms.directory.rooms_of(BOB)) == []
    assert list(rooms.directory.rooms_of(CAROL)) == ["uuid-a"]
    rooms.directory.remove(actor)
    assert list(rooms.directory.rooms_of(CAROL)) == []
    assert list(rooms.directory.known_to(ALICE)) == []


def test_a_service_finds_what_it_created_and_looks_at_nothing_else(rooms: Rooms) -> None:
    service = UserKey(OTHER, UserId("rooms"))
    made = rooms.hold("a", creator=service)
    rooms.hold("b")

    assert list(rooms.directory.created_by(service)) == [made]
    rooms.directory.remove(made)
    assert list(rooms.directory.created_by(service)) == []


def test_rooms_come_in_order_of_creation_by_domain_and_state(rooms: Rooms) -> None:
    for number in range(6):
        created = replace(rooms.template.created, wall_ms=1000 + number)
        domain = OTHER if number % 3 == 0 else ALICE.domain
        actor = rooms.hold(f"m{number}", created=created, domain=domain)
        if number in (1, 3):
            rooms.end(actor)
    directory = rooms.directory

    def found(domain: DomainId | None, *lives: Life, before_ms: int | None = None) -> list[str]:
        before = None if before_ms is None else (before_ms, RoomUuid(""))
        return rooms.names(directory.youngest(domain, lives, before))

    assert found(None, *Life) == ["m5", "m4", "m3", "m2", "m1", "m0"]
    assert found(None, *Life, before_ms=1003) == ["m2", "m1", "m0"]
    assert found(OTHER, *Life) == ["m3", "m0"]
    assert found(None, Life.ENDED) == ["m3", "m1"]
    assert found(ALICE.domain, Life.WAITING, Life.ESTABLISHED) == ["m5", "m4", "m2"]
    assert found(DomainId("third"), *Life) == []


def seated(user: UserKey) -> Participant:
    return Participant(user, 1, 0, Media())

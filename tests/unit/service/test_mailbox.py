"""What waits for a room: requests have places, facts are always taken."""

import pytest

from sfu_wrapper.core.room import Room
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import DomainId, UserId, UserKey
from sfu_wrapper.model.segment import Instant
from sfu_wrapper.service.rooms.idempotency import RequestRef
from sfu_wrapper.service.rooms.scheduling import Command, Mailbox, Query

ALICE = UserKey(DomainId("example"), UserId("alice"))


def apply(room: Room | None, at: Instant) -> tuple[Room, tuple[()]]:
    raise AssertionError("a mailbox applies nothing")


def fact() -> Command:
    return Command(apply)


def request(number: int = 1, joins: UserKey | None = None) -> Command:
    return Command(apply, RequestRef(f"alice {number}", "joinRoom", str(number), b""), joins=joins)


def look() -> Query:
    return Query(lambda _: None)


def is_full(mailbox: Mailbox) -> bool:
    with pytest.raises(Refused) as refused:
        mailbox.put(request())
    return refused.value.code is Code.OVERLOADED


def test_facts_take_no_place_of_a_request_and_are_taken_when_it_is_full() -> None:
    mailbox = Mailbox(limit=2)
    for _ in range(10):
        mailbox.put(fact())
    mailbox.put(request())
    mailbox.put(look())
    assert is_full(mailbox)
    mailbox.put(fact())

    assert [type(mailbox.take()) for _ in range(12)] == [Command] * 11 + [Query]
    assert isinstance(mailbox.take(), Command)
    assert not mailbox


def test_a_place_is_free_again_once_its_request_is_taken() -> None:
    mailbox = Mailbox(limit=1)
    entries: list[Command | Query] = [look(), request(), look()]
    for entry in entries:
        mailbox.put(entry)
        assert is_full(mailbox)
        assert mailbox.take() is entry


def test_what_is_withdrawn_leaves_its_places_and_the_facts_in_order() -> None:
    mailbox = Mailbox(limit=2)
    entries: list[Command | Query] = [fact(), request(joins=ALICE), fact(), look()]
    for entry in entries:
        mailbox.put(entry)
    assert mailbox.is_joining(ALICE)

    assert mailbox.withdraw() == (entries[1], entries[3])
    assert not mailbox.is_joining(ALICE)
    for _ in range(2):
        mailbox.put(request())
    assert is_full(mailbox)
    assert mailbox.take() is entries[0]
    assert mailbox.take() is entries[2]


def test_facts_that_could_not_be_stored_come_first_again() -> None:
    mailbox = Mailbox(limit=1)
    first, second, later = fact(), fact(), fact()
    mailbox.put(later)
    mailbox.put_back([first, request(), second])

    assert [mailbox.take() for _ in range(3)] == [first, second, later]
    assert not mailbox


def test_a_user_comes_in_until_the_last_of_its_requests_is_taken() -> None:
    mailbox = Mailbox()
    mailbox.put(request(1, ALICE))
    mailbox.put(request(2, ALICE))
    mailbox.take()
    assert mailbox.is_joining(ALICE)
    mailbox.take()

    assert not mailbox.is_joining(ALICE)


def test_a_look_is_known_before_it_is_taken() -> None:
    mailbox = Mailbox()
    assert not mailbox.query_is_next
    mailbox.put(fact())
    mailbox.put(look())
    assert not mailbox.query_is_next
    mailbox.take()

    assert mailbox.query_is_next

"""Shares of connections: strangers displace strangers, those who hold most of the places first."""

import random

from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.gateway.shares import Proxies, Shares, Ticket, read_network

PROXIES = Proxies([read_network("127.0.0.0/8")])


class Door:
    """Shares, and who was evicted, in order."""

    def __init__(self, strangers: int = 4, per_address: int = 0) -> None:
        self.shares = Shares(strangers, per_address, PROXIES)
        self.evicted: list[str] = []

    def enter(self, name: str, address: str) -> Ticket:
        ticket = self.shares.enter(address, lambda: self.evicted.append(name))
        assert ticket is not None
        return ticket


def test_the_oldest_stranger_makes_room() -> None:
    door = Door(strangers=2)
    for name in ("first", "second", "third", "fourth"):
        door.enter(name, "192.0.2.1")

    assert door.evicted == ["first", "second"]
    assert door.shares.strangers == 2


def test_an_address_that_floods_displaces_itself_and_not_another() -> None:
    door = Door(strangers=4)
    door.enter("alice", "192.0.2.1")
    for number in range(1000):
        door.enter(f"flood-{number}", "198.51.100.7")

    assert door.evicted == [f"flood-{number}" for number in range(997)]


def test_who_has_identified_itself_makes_room_for_nobody() -> None:
    door = Door(strangers=2)
    door.shares.identified(door.enter("alice", "192.0.2.1"))
    for number in range(3):
        door.enter(f"flood-{number}", "192.0.2.1")

    assert door.evicted == ["flood-0"]


def test_a_stranger_again_is_the_youngest() -> None:
    door = Door(strangers=2)
    ticket = door.enter("between two requests", "192.0.2.1")
    door.shares.identified(ticket)
    door.enter("silent", "192.0.2.1")
    door.shares.unidentified(ticket)
    door.enter("new", "192.0.2.1")

    assert door.evicted == ["silent"]


def test_an_address_has_its_share_and_a_proxy_has_no_bound() -> None:
    door = Door(strangers=100, per_address=2)
    first = door.enter("one", "192.0.2.1")
    door.shares.identified(door.enter("two", "192.0.2.1"))

    assert door.shares.enter("192.0.2.1", lambda: None) is None
    assert door.shares.refused == 1
    for number in range(50):
        door.enter(f"behind the proxy {number}", "127.0.0.1")
    door.shares.leave(first)
    door.enter("three", "192.0.2.1")


def test_a_client_behind_a_proxy_has_a_share_of_its_own() -> None:
    door = Door(strangers=100, per_address=2)
    tickets = [door.enter(str(number), "127.0.0.1") for number in range(3)]
    door.shares.identified(tickets[1])
    counted = [door.shares.behind_proxy(ticket, "198.51.100.7") for ticket in tickets]

    assert counted == [True, True, False]
    assert door.shares.behind_proxy(tickets[0], "198.51.100.8")  # counted already
    door.shares.leave(tickets[1])
    assert door.shares.behind_proxy(tickets[2], "198.51.100.7")


def test_a_ticket_that_has_left_changes_nothing_any_more() -> None:
    door = Door(strangers=2)
    ticket = door.enter("gone", "192.0.2.1")
    door.shares.leave(ticket)
    for use in (door.shares.leave, door.shares.identified, door.shares.unidentified):
        use(ticket)

    assert door.shares.strangers == 0
    assert door.shares.behind_proxy(ticket, "198.51.100.7")
    assert not door.shares.evict_stranger()
    assert door.evicted == []


@given(st.randoms(use_true_random=False), st.integers(1, 6), st.integers(0, 4))
def test_numbers_are_bounded_and_everything_is_given_back(
    chance: random.Random, strangers: int, per_address: int
) -> None:
    shares = Shares(strangers, per_address, PROXIES)
    inside: list[Ticket] = []
    for _ in range(80):
        address = f"192.0.2.{chance.randrange(3)}"
        ticket = shares.enter(address, lambda: None)
        inside.extend([] if ticket is None else [ticket])
        for change in (shares.identified, shares.unidentified, shares.leave):
            if inside and chance.random() < 0.4:
                change(chance.choice(inside))
        inside = [ticket for ticket in inside if ticket.inside]
        held = [ticket.address for ticket in inside]

        assert shares.strangers == sum(ticket.stranger for ticket in inside) <= strangers
        assert not per_address or max(map(held.count, held), default=0) <= per_address
    for ticket in inside:
        shares.leave(ticket)

    assert shares.strangers == 0
    assert shares.evict_stranger() is False

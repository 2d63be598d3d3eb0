"""When tokens end, and in which order; with clocks that are set, and clients that come and go."""

import itertools
from dataclasses import dataclass, field

import pytest

from sfu_wrapper.gateway.expiry import GRACE_MS, Expiring, Expiry
from sfu_wrapper.model.identity import DomainId, Identity, Role, UserId
from sfu_wrapper.model.segment import Instant

WALL_MS = 1_590_392_548_000


def at(seconds: float, set_by_s: float = 0) -> Instant:
    """So long after the beginning. set_by_s: by which the wall clock was set meanwhile."""
    return Instant(round(WALL_MS + (seconds + set_by_s) * 1000), round(seconds * 1000))


def token(ttl_s: float, now: Instant | None = None) -> Expiry:
    expiry = Expiry()
    expiry.renew(round(WALL_MS + ttl_s * 1000), now or at(0))
    return expiry


def bearer(ttl_s: float | None) -> Identity:
    expires_ms = None if ttl_s is None else round(WALL_MS + ttl_s * 1000)
    return Identity(DomainId("example"), UserId("alice"), frozenset({Role.USER}), expires_ms)


def test_a_token_counts_until_it_expires_and_its_connection_a_minute_longer() -> None:
    expiry, identity = token(10), bearer(10)

    assert [identity.has_expired(at(s).wall_ms) for s in (9.999, 10)] == [False, True]
    assert [expiry.is_due(at(s)) for s in (69.999, 70)] == [False, True]
    assert expiry.due_ms == 70_000


def test_a_token_without_an_end_is_never_due() -> None:
    expiry = token(10)
    expiry.renew(None, at(5))

    assert expiry.due_ms is None
    assert not bearer(None).has_expired(at(10**6).wall_ms)
    assert not expiry.is_due(at(10**6))


def test_a_new_token_begins_anew() -> None:
    expiry = token(10)
    expiry.renew(WALL_MS + 100_000, at(50))

    assert not expiry.is_due(at(70))
    assert expiry.due_ms == 100_000 + GRACE_MS


def test_a_wall_clock_that_was_set_back_puts_the_end_off() -> None:
    expiry = token(10)

    assert not expiry.is_due(at(70, set_by_s=-30))
    assert expiry.due_ms == 100_000
    assert expiry.is_due(at(100, set_by_s=-30))


def test_a_wall_clock_that_was_set_forward_ends_the_token_at_once() -> None:
    assert bearer(10).has_expired(at(1, set_by_s=9).wall_ms)


@dataclass
class Client:
    expiry: Expiry = field(default_factory=lambda: token(10))


def test_clients_end_in_the_order_of_their_tokens_a_few_at_a_time() -> None:
    clients = {str(ttl_s): Client(token(ttl_s)) for ttl_s in (30, 10, 20, 50)}
    expiring = Expiring(clients)
    for name in clients:
        expiring.add(name)

    assert expiring.due_ms == 70_000
    assert list(expiring.take(at(69), 10)) == []
    assert list(expiring.take(at(80), 1)) == ["10"]
    assert list(expiring.take(at(80), 10)) == ["20"]
    assert expiring.due_ms == 90_000


def test_a_client_with_a_longer_token_is_looked_at_again() -> None:
    clients = {"a": Client()}
    expiring = Expiring(clients)
    expiring.add("a")
    clients["a"].expiry.renew(WALL_MS + 100_000, at(5))
    expiring.add("a")

    assert list(expiring.take(at(70), 10)) == []
    assert list(expiring.take(at(160), 10)) == ["a"]


def test_a_client_with_a_shorter_token_ends_earlier_and_once() -> None:
    clients = {"a": Client(token(100))}
    expiring = Expiring(clients)
    expiring.add("a")
    clients["a"].expiry.renew(WALL_MS + 10_000, at(5))
    expiring.add("a")

    assert list(expiring.take(at(70), 10)) == ["a"]
    assert list(expiring.take(at(160), 10)) == []


@pytest.mark.parametrize("stay", [True, False])
def test_clients_that_come_and_go_leave_no_more_entries_than_there_are_clients(
    stay: bool,
) -> None:
    clients: dict[str, Client] = {}
    expiring = Expiring(clients)
    for number in range(10_000):
        name = str(number)
        clients[name] = Client(token(3600))
        expiring.add(name)
        if not stay:
            del clients[name]

    assert len(expiring) == 10_000 if stay else len(expiring) < 70


def test_what_is_taken_is_bounded_however_many_are_due() -> None:
    clients = {str(number): Client() for number in range(1000)}
    expiring = Expiring(clients)
    for name in clients:
        expiring.add(name)
    taken = [len(list(expiring.take(at(70), 32))) for _ in range(40)]

    assert max(taken) == 32
    assert sum(taken) == 1000
    assert list(itertools.dropwhile(bool, taken)) == [0] * 8


def test_clients_end_in_order_also_after_those_that_are_gone_were_forgotten() -> None:
    clients: dict[str, Client] = {}
    expiring = Expiring(clients)
    for seconds in (number * 185 % 501 for number in range(1, 501)):  # in no order
        clients[str(seconds)] = Client(token(seconds))
        expiring.add(str(seconds))
        if seconds % 10:
            del clients[str(seconds)]

    assert len(expiring) < 500  # some were forgotten
    assert list(expiring.take(at(1000), 1000)) == [str(seconds) for seconds in range(10, 501, 10)]

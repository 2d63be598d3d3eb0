"""Fair shares of a worker's places: the next one of the segments that wait. Pure.

Among the waiting segments the first difference decides:
    1. the domain that has the fewest places now, then the one that has used the least lately
    2. within that domain, the owner by the same two measures
    3. within that owner, the shortest segment with ageing (``job.priority_ms``)

Usage is time in a place. It halves every ``HALF_LIFE_MS``, and long waiting is credited against it,
so that new owners cannot keep an earlier one waiting for ever. A place is never left empty while a
segment waits. A running segment is never interrupted: an owner who waits alone may get all places,
and leaves every second one to others as soon as those wait (recording-service.md, "Fair shares").
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import exp2
from typing import Final, Protocol, TypeVar

from sfu_wrapper.model.segment import SegmentInfo

HALF_LIFE_MS: Final = 300_000
LEAST_CHARGE_MS: Final = 100  # a turn costs that much however short it was
CREDIT_AFTER_MS: Final = 300_000  # of waiting
CREDIT_SHARE: Final = 0.05  # of the time waited after that
MOST_CREDIT_MS: Final = 60_000
_FORGOTTEN_MS: Final = 1.0  # usage below that counts as none


@dataclass(frozen=True, slots=True)
class Owner:
    """The account that a segment is charged to. name: unique within its domain."""

    domain: str
    name: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Request of one waiting segment for a place.

    Attributes:
        owner: the account that the place is charged to.
        priority_ms: order within the owner, lowest first (``job.priority_ms``).
        since_ms: when the worker got it, on the monotonic clock.
        returnable: whether it may go back to the broker when other workers could take it.
    """

    owner: Owner
    priority_ms: float
    since_ms: int
    returnable: bool = False


class Waiting(Protocol):
    """Something that waits with a claim."""

    @property
    def claim(self) -> Claim:
        """The claim that it waits with."""
        ...


W = TypeVar("W", bound=Waiting)


def owner_of(info: SegmentInfo) -> Owner:
    """Return the account of a segment; a segment without owner is charged to its room.

    Events of older senders name no domain: there it is the part of the owner after the last ``@``.
    """
    if info.owner is None:
        return Owner("", f"room {info.room}")
    if info.domain is not None:
        return Owner(info.domain, info.owner)
    _, at, domain = info.owner.rpartition("@")
    return Owner(domain if at else "", info.owner)


class Usage:
    """Places in use, and the time that domains and owners have spent in places lately."""

    def __init__(self) -> None:
        self._places: Counter[str | Owner] = Counter()
        self._used: dict[str | Owner, tuple[float, int]] = {}

    def begin(self, owner: Owner) -> None:
        """Count a place that the owner has got."""
        for account in (owner.domain, owner):
            self._places[account] += 1

    def end(self, owner: Owner, spent_ms: int, now_ms: int) -> None:
        """Count a place that the owner has left after ``spent_ms``."""
        for account in (owner.domain, owner):
            self._places[account] -= 1
            used_ms = self.used_ms(account, now_ms) + max(spent_ms, LEAST_CHARGE_MS)
            self._used[account] = used_ms, now_ms
        self._places = +self._places
        self._used = {
            account: charged
            for account, charged in self._used.items()
            if self.used_ms(account, now_ms) >= _FORGOTTEN_MS
        }

    def places(self, account: str | Owner) -> int:
        """Return how many places a domain or an owner has now."""
        return self._places[account]

    def used_ms(self, account: str | Owner, now_ms: int) -> float:
        """Return the time that a domain or an owner has spent in places lately."""
        used_ms, at_ms = self._used.get(account, (0.0, now_ms))
        return used_ms * exp2(-max(0, now_ms - at_ms) / HALF_LIFE_MS)


def next_of(waiting: Sequence[W], usage: Usage, now_ms: int) -> W:
    """Return the one that gets the next place.

    Args:
        waiting: at least one.
        usage: the accounts of this worker.
        now_ms: the monotonic clock.
    """
    of_domain = _neediest(waiting, lambda claim: claim.owner.domain, usage, now_ms)
    of_owner = _neediest(of_domain, lambda claim: claim.owner, usage, now_ms)
    return min(of_owner, key=lambda one: one.claim.priority_ms)


def _neediest(
    waiting: Iterable[W], account_of: Callable[[Claim], str | Owner], usage: Usage, now_ms: int
) -> list[W]:
    """Return those of the account with the fewest places, then the least usage, then the rank."""
    accounts: dict[str | Owner, list[W]] = {}
    for one in waiting:
        accounts.setdefault(account_of(one.claim), []).append(one)

    def need(account: str | Owner) -> tuple[int, float, float]:
        claims = [one.claim for one in accounts[account]]
        waited_ms = now_ms - min(claim.since_ms for claim in claims)
        credit_ms = min(max(0, waited_ms - CREDIT_AFTER_MS) * CREDIT_SHARE, MOST_CREDIT_MS)
        level_ms = max(0.0, usage.used_ms(account, now_ms) - credit_ms)
        return usage.places(account), level_ms, min(claim.priority_ms for claim in claims)

    return accounts[min(accounts, key=need)]

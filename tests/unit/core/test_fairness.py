"""Fair shares of places: between domains, then owners, then by length; none waits for ever."""

from collections import Counter
from dataclasses import dataclass, replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.fairness import (
    HALF_LIFE_MS,
    LEAST_CHARGE_MS,
    MOST_CREDIT_MS,
    Claim,
    Owner,
    Usage,
    next_of,
    owner_of,
)
from sfu_wrapper.core.job import priority_ms
from sfu_wrapper.model.identity import DomainId, UserId
from sfu_wrapper.model.segment import SegmentInfo
from tests.helpers.builders import segment_info

ALICE, BOB = Owner("example", "alice@example"), Owner("example", "bob@example")
CARL = Owner("other", "carl@other")
owners = st.sampled_from([ALICE, BOB, CARL, Owner("third", "dora@third")])


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A segment in the queue, and how long a worker takes for it."""

    claim: Claim
    takes_ms: int = 10_000


class Worker:
    """Simulates places and a clock; what ends first frees its place first."""

    def __init__(self, places: int) -> None:
        self.now_ms = 0
        self.usage = Usage()
        self.waiting: list[Job] = []
        self.running: list[tuple[int, int, Job]] = []
        self.begun: list[Job] = []
        self._places = places
        self._number = count()

    def queue(self, owner: Owner, *, takes_ms: int = 10_000, length_ms: int = 60_000) -> Job:
        job = Job(Claim(owner, priority_ms(self.now_ms, length_ms), self.now_ms), takes_ms)
        self.waiting.append(job)
        return job

    def fill(self) -> None:
        while self.waiting and len(self.running) < self._places:
            job = next_of(self.waiting, self.usage, self.now_ms)
            self.waiting.remove(job)
            self.usage.begin(job.claim.owner)
            self.begun.append(job)
            self.running.append((self.now_ms + job.takes_ms, next(self._number), job))

    def finish_one(self) -> None:
        first = min(self.running)
        self.running.remove(first)
        self.now_ms = first[0]
        job = first[2]
        self.usage.end(job.claim.owner, job.takes_ms, self.now_ms)

    def work_off(self) -> None:
        self.fill()
        while self.running:
            self.finish_one()
            self.fill()


def segment(owner: str | None) -> SegmentInfo:
    return segment_info(owner=UserId(owner) if owner is not None else None)


@pytest.mark.parametrize(
    ("owner", "account"),
    [
        ("alice@example", Owner("example", "alice@example")),
        ("alice@office@example", Owner("example", "alice@office@example")),
        ("alice", Owner("", "alice")),
        (None, Owner("", "room room")),
    ],
)
def test_the_domain_of_an_owner_is_what_follows_the_last_at(
    owner: str | None, account: Owner
) -> None:
    assert owner_of(segment(owner)) == account


def test_owners_of_one_name_in_two_domains_have_accounts_of_their_own() -> None:
    one, two = (replace(segment("alice"), domain=DomainId(domain)) for domain in ("one", "two"))

    assert owner_of(one) == Owner("one", "alice")
    assert owner_of(two) == Owner("two", "alice")


@pytest.mark.parametrize("places", [1, 2, 4])
@pytest.mark.parametrize("takes_ms", [1, 10_000])
def test_one_segment_behind_a_flood_waits_for_no_more_than_what_runs(
    places: int, takes_ms: int
) -> None:
    worker = Worker(places)
    for _ in range(500):
        worker.queue(ALICE, takes_ms=takes_ms)
    worker.fill()
    bob = worker.queue(BOB, length_ms=3_600_000)
    carl = worker.queue(CARL, length_ms=3_600_000)
    worker.work_off()

    assert worker.begun.index(carl) == places  # another domain comes before another owner
    assert worker.begun.index(bob) <= places + 2


def test_one_owner_gets_all_places_only_while_no_other_waits() -> None:
    worker = Worker(4)
    for _ in range(40):
        worker.queue(ALICE)
    worker.fill()
    assert worker.usage.places(ALICE) == 4
    for _ in range(40):
        worker.queue(BOB)
    for _ in range(4):
        worker.finish_one()
        worker.fill()

    for _ in range(40):
        assert worker.usage.places(ALICE) == worker.usage.places(BOB) == 2
        worker.finish_one()
        worker.fill()


def test_a_domain_with_many_owners_gets_no_more_than_a_domain_with_one() -> None:
    worker = Worker(2)
    for n in range(100):
        worker.queue(Owner("crowd", f"user{n}@crowd"))
        worker.queue(CARL)
    worker.fill()
    for _ in range(100):
        worker.finish_one()
        worker.fill()

    begun = Counter(job.claim.owner.domain for job in worker.begun)
    assert abs(begun["crowd"] - begun["other"]) <= 2


def test_of_one_owner_the_shortest_is_next_and_ages() -> None:
    waiting = [
        Job(Claim(ALICE, priority_ms(0, 3_600_000), 0)),
        Job(Claim(ALICE, priority_ms(1_000, 60_000), 1_000)),
        Job(Claim(ALICE, priority_ms(3_550_000, 60_000), 3_550_000)),
    ]
    usage = Usage()

    assert next_of(waiting, usage, 3_560_000) is waiting[1]
    assert next_of([waiting[0], waiting[2]], usage, 3_560_000) is waiting[0]


def test_of_two_owners_who_wait_on_one_place_each_gets_half_of_the_time() -> None:
    worker = Worker(1)
    for _ in range(200):
        worker.queue(ALICE, takes_ms=30_000)
    for _ in range(600):
        worker.queue(BOB, takes_ms=10_000)
    worker.fill()
    spent: Counter[str] = Counter()
    for _ in range(300):
        worker.finish_one()
        spent[worker.begun[-1].claim.owner.name] += worker.begun[-1].takes_ms
        worker.fill()

    assert 0.8 < spent[ALICE.name] / spent[BOB.name] < 1.25


@given(
    st.lists(st.tuples(owners, st.integers(1, 60_000), st.integers(0, 7_200_000)), max_size=40),
    st.integers(1, 4),
)
def test_no_place_is_empty_while_a_segment_waits_and_every_segment_is_begun_once(
    segments: list[tuple[Owner, int, int]], places: int
) -> None:
    worker = Worker(places)
    queued = [worker.queue(o, takes_ms=ms, length_ms=length) for o, ms, length in segments]
    worker.fill()
    while worker.running:
        assert len(worker.running) == places or not worker.waiting
        worker.finish_one()
        worker.fill()

    assert Counter(worker.begun) == Counter(queued)


@given(
    st.lists(st.tuples(owners, st.integers(0, 10**7), st.integers(0, 10**6)), min_size=1),
    st.lists(st.tuples(owners, st.integers(0, 10**6)), max_size=20),
    st.lists(owners, max_size=6),
)
def test_the_next_one_is_of_the_domain_and_then_the_owner_with_the_fewest_places(
    segments: list[tuple[Owner, int, int]],
    finished: list[tuple[Owner, int]],
    running: list[Owner],
) -> None:
    usage = Usage()
    for owner, spent_ms in finished:
        usage.begin(owner)
        usage.end(owner, spent_ms, 0)
    for owner in running:
        usage.begin(owner)
    waiting = [Job(Claim(owner, rank, since)) for owner, rank, since in segments]
    chosen = next_of(waiting, usage, 10**6).claim

    domains = {job.claim.owner.domain for job in waiting}
    same = [job.claim for job in waiting if job.claim.owner.domain == chosen.owner.domain]
    assert usage.places(chosen.owner.domain) == min(map(usage.places, domains))
    assert usage.places(chosen.owner) == min(usage.places(claim.owner) for claim in same)
    mine = [claim for claim in same if claim.owner == chosen.owner]
    assert chosen.priority_ms == min(claim.priority_ms for claim in mine)


@pytest.mark.parametrize("places", [1, 3])
@pytest.mark.parametrize("same_domain", [True, False])
def test_new_owners_without_end_do_not_keep_one_who_has_used_much_waiting_for_ever(
    places: int, same_domain: bool
) -> None:
    worker = Worker(places)
    for _ in range(300):
        worker.queue(ALICE)
    worker.work_off()
    last = worker.queue(ALICE)
    waited_from_ms = worker.now_ms
    for n in count():
        name = f"new{n}"
        domain = ALICE.domain if same_domain else name
        while len(worker.waiting) < 2 * places + 1:
            worker.queue(Owner(domain, f"{name}-{len(worker.waiting)}"))
        worker.fill()
        if last in worker.begun:
            break
        worker.finish_one()

    assert worker.now_ms - waited_from_ms < 8 * HALF_LIFE_MS


def test_a_long_wait_credits_an_owner_with_a_bounded_time() -> None:
    worker = Worker(1)
    for _ in range(100):
        worker.queue(ALICE)
    worker.now_ms += 24 * 3_600_000  # a full disk, say
    bob = worker.queue(BOB)
    worker.work_off()

    assert worker.begun.index(bob) <= MOST_CREDIT_MS / 10_000 + 1


def test_what_was_used_long_ago_is_forgotten() -> None:
    usage = Usage()
    usage.begin(ALICE)
    usage.end(ALICE, 1_000, 0)
    assert usage.used_ms(ALICE, HALF_LIFE_MS) == 500
    usage.begin(BOB)
    usage.end(BOB, 0, 100 * HALF_LIFE_MS)

    assert usage.used_ms(ALICE, 0) == 0
    assert usage.used_ms(BOB, 100 * HALF_LIFE_MS) == LEAST_CHARGE_MS
    assert usage.places(BOB) == 0

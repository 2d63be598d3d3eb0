"""Shares of users in the answers that are kept for repeats."""

from sfu_wrapper.service.rooms.idempotency import OVERHEAD_BYTES, KeptAnswers
from tests.helpers.work import calls_of

LIMIT = 10 * (100 + OVERHEAD_BYTES)  # ten answers of 100 bytes


def key(number: int, user: str = "alice", domain: str = "example") -> str:
    return f"{domain}\n{user}\nstartRoomRecording\n{number}"


def filled(answers: int, *, expires_ms: int = 1_000) -> KeptAnswers:
    kept = KeptAnswers(LIMIT)
    for number in range(answers):
        assert kept.add(key(number), 100, expires_ms, 0) == []
    return kept


def test_the_oldest_answer_of_a_user_makes_room_for_the_newest() -> None:
    kept = filled(10)

    assert kept.add(key(10), 100, 1_000, 0) == [key(0)]
    assert kept.add(key(11), 100, 1_000, 0) == [key(1)]


def test_a_large_answer_takes_the_place_of_several() -> None:
    assert filled(10).add(key(10), 100 + 2 * (100 + OVERHEAD_BYTES), 1_000, 0) == [
        key(0),
        key(1),
        key(2),
    ]


def test_an_answer_that_is_larger_than_all_is_not_kept_itself() -> None:
    gone = filled(2).add(key(2), LIMIT, 1_000, 0)

    assert gone == [key(0), key(1), key(2)]


def test_other_users_keep_theirs() -> None:
    kept = filled(10)

    assert kept.add(key(0, user="bob"), 100, 1_000, 0) == []
    assert kept.add(key(0, domain="elsewhere"), 100, 1_000, 0) == []


def test_what_has_expired_counts_no_longer() -> None:
    kept = filled(10, expires_ms=500)

    assert kept.add(key(10), 100, 1_000, now_ms=500) == []


def test_what_made_room_before_it_expired_is_not_counted_off_twice() -> None:
    kept = filled(10, expires_ms=500)
    kept.add(key(10), LIMIT - OVERHEAD_BYTES, 600, 0)

    assert kept.add(key(11), 100, 1_000, now_ms=500) == [key(10)]
    assert kept.add(key(12), 100, 1_000, now_ms=700) == []


def test_without_a_limit_everything_is_kept() -> None:
    kept = KeptAnswers(0)

    assert [kept.add(key(n), 1_000_000, 1_000, 0) for n in range(3)] == [[], [], []]


def test_counting_one_more_costs_the_same_however_many_are_kept() -> None:
    few, many = KeptAnswers(1 << 40), KeptAnswers(1 << 40)
    few.add(key(0), 100, 1_000, 0)
    for number in range(5_000):
        many.add(key(number), 100, 1_000, 0)

    assert calls_of(lambda: many.add(key(9_999), 100, 1_000, 0)) == calls_of(
        lambda: few.add(key(9_999), 100, 1_000, 0)
    )


def test_what_is_kept_no_longer_is_not_looked_for() -> None:
    kept = filled(10)
    assert kept.may_hold(key(0))
    assert not kept.may_hold(key(10))

    kept.add(key(10), 100, 1_000, 0)
    assert not kept.may_hold(key(0))
    kept.add(key(11), 100, 2_000, now_ms=1_000)
    assert [number for number in range(12) if kept.may_hold(key(number))] == [11]


def test_an_answer_that_is_counted_twice_is_looked_for_until_both_are_gone() -> None:
    kept = KeptAnswers(LIMIT)
    kept.add(key(0), 100, 500, 0)  # it could not be stored
    kept.add(key(0), 100, 1_000, 100)
    kept.add(key(1), 100, 1_500, now_ms=600)
    assert kept.may_hold(key(0))
    kept.add(key(2), 100, 1_500, now_ms=1_100)
    assert not kept.may_hold(key(0))


def test_without_a_limit_every_answer_is_looked_for() -> None:
    assert KeptAnswers(0).may_hold(key(0))

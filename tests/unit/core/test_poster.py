"""Which moments may stand for a segment."""

from sfu_wrapper.core.intervals import Interval
from sfu_wrapper.core.plan import moments

S = 1_000_000


def test_the_first_moment_with_the_most_people_is_the_best() -> None:
    cut = [
        Interval(0, 4 * S, (0,)),
        Interval(4 * S, 9 * S, (0, 1)),
        Interval(9 * S, 12 * S, (0,)),
        Interval(12 * S, 20 * S, (0, 1)),
    ]

    assert moments(cut) == (5 * S, 13 * S, 1 * S, 10 * S)


def test_a_crowd_of_a_moment_is_no_better_than_somebody_who_stays() -> None:
    cut = [Interval(0, 400_000, (0, 1, 2)), Interval(400_000, 2 * S, (0,))]

    assert moments(cut) == (1_200_000, 200_000)


def test_nobody_is_no_moment_and_five_are_enough() -> None:
    assert moments([Interval(0, S, ())]) == ()
    assert len(moments([Interval(n * S, n * S + S, (n,)) for n in range(9)])) == 5

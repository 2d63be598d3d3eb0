"""Packets by number: wrapped, shuffled, doubled, lost; each that can be placed comes out once."""

import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.formats.reorder import RUN, WINDOW, Gap, Judge, Raw, Sorter


def packet(number: int) -> Raw:
    return (number % 65536, number, 0, 0, 0, 0)


def sort(numbers: list[int | None]) -> tuple[list[int], list[int], Sorter]:
    """(numbers in the order they come out, those with a gap before, the sorter)."""
    sorter = Sorter()
    out = list(sorter.sort(None if n is None else packet(n) for n in numbers))
    return [raw[1] for raw, _ in out], [raw[1] for raw, gap in out if gap], sorter


@pytest.mark.parametrize("first", [0, 65_000, 65_535])
def test_order_is_kept_across_the_wrap(first: int) -> None:
    numbers = list(range(first, first + 2000))
    out, gaps, sorter = sort([*numbers])
    assert (out, gaps) == (numbers, [])
    assert (sorter.lost, sorter.late, sorter.restarts) == (0, 0, 0)


@given(st.integers(0, 65_535), st.integers(20, 300), st.randoms(use_true_random=True))
def test_shuffled_and_doubled_packets_come_out_once_and_in_order(
    first: int, count: int, chance: random.Random
) -> None:
    arrivals = sorted(range(first, first + count), key=lambda n: n + chance.uniform(0, 12))
    doubled = [n for n in arrivals for _ in range(1 + (chance.random() < 0.1))]
    out, gaps, sorter = sort([*doubled])
    assert out == list(range(first, first + count))
    assert gaps == []
    assert (sorter.lost, sorter.late) == (0, len(doubled) - count)


@given(st.integers(0, 65_535), st.integers(20, 1500), st.randoms(use_true_random=True))
def test_lost_packets_are_counted_and_told_at_the_next_one(
    first: int, count: int, chance: random.Random
) -> None:
    head = list(range(first, first + 16))  # before that, nobody knows what the first one was
    kept = [n for n in range(first + 16, first + count) if chance.random() > 0.05]
    kept = head + kept
    out, gaps, sorter = sort([*kept])
    assert out == kept
    assert gaps == [b for a, b in itertools.pairwise(kept) if b != a + 1]
    assert sorter.lost == kept[-1] - first + 1 - len(kept)


def test_the_first_packet_may_come_second() -> None:
    assert sort([5, 4, 3, *range(6, 40)])[0] == list(range(3, 40))
    assert sort([5, 4])[0] == [4, 5]


def test_a_wild_number_among_the_first_is_no_part() -> None:
    out, gaps, sorter = sort([20_000, 1, *range(20_001, 20_040)])
    assert out == list(range(20_000, 20_040))
    assert (gaps, sorter.late) == ([], 1)


def test_a_packet_that_comes_after_it_was_given_up_is_left_out() -> None:
    numbers = [*range(100), *range(101, 102 + WINDOW), 100, 102 + WINDOW]
    out, _, sorter = sort([*numbers])
    assert 100 not in out
    assert sorter.late == 1


def test_a_hole_larger_than_any_window_is_passed_over() -> None:
    out, gaps, sorter = sort([*range(100), *range(9_000, 9_100)])
    assert out == [*range(100), *range(9_000, 9_100)]
    assert (gaps, sorter.lost) == ([9_000], 8_900)


def test_a_sender_that_numbers_anew_is_followed() -> None:
    numbers = [*range(30_000, 30_100), *range(100, 200)]
    out, gaps, sorter = sort([*numbers])
    assert out == numbers
    assert (gaps, sorter.restarts) == ([100], 1)


def test_a_few_ancient_duplicates_are_no_new_numbering() -> None:
    ancient = [*range(1000, 1000 + RUN - 1), 2000, 2001]
    out, _, sorter = sort([*range(5000, 5100), *ancient, *range(5100, 5200)])
    assert out == list(range(5000, 5200))
    assert (sorter.restarts, sorter.late) == (0, len(ancient))


def test_a_restart_that_is_told_begins_anew() -> None:
    out, gaps, sorter = sort([*range(100, 120), 121, None, *range(7, 30)])
    assert out == [*range(100, 120), 121, *range(7, 30)]
    assert (gaps, sorter.restarts, sorter.lost) == ([121, 7], 1, 1)


@given(st.lists(st.integers(0, 65_535) | st.none(), max_size=60))
def test_any_numbers_are_accounted_for(numbers: list[int | None]) -> None:
    out, _, sorter = sort([*numbers])
    assert len(out) + sorter.late == sum(n is not None for n in numbers)


class Told(Judge):
    """Judge whose judgement a test gives."""

    def __init__(
        self, why: Gap = Gap.LOSS, *, copied: bool = False, continues: bool = False
    ) -> None:
        self.why, self.is_copied, self.is_continued = why, copied, continues

    def gap(self, missing: int, after: Raw) -> Gap:
        return self.why

    def copied(self, run: Sequence[Raw], behind: int) -> bool:
        return self.is_copied

    def continues(self, after: Raw) -> bool:
        return self.is_continued


def judged(numbers: list[int], judge: Judge) -> tuple[list[int], list[int], Sorter]:
    sorter = Sorter(judge)
    out = list(sorter.sort((n % 65536, at, 0, 0, 0, 0) for at, n in enumerate(numbers)))
    return [raw[1] for raw, _ in out], [raw[1] for raw, gap in out if gap], sorter


@pytest.mark.parametrize("back", [3, 8, 50, 300, 1_500, WINDOW, 9_000])
def test_a_restart_behind_the_last_number_loses_no_packet(back: int) -> None:
    numbers = [*range(3_000, 6_000), *range(6_000 - back, 9_000 - back)]
    out, gaps, sorter = judged(numbers, Told())
    assert out == list(range(len(numbers)))
    assert gaps == [3_000]
    assert (sorter.lost, sorter.late, sorter.restarts) == (0, 0, 1)


def test_a_restart_while_a_lost_packet_is_awaited_loses_none_either() -> None:
    numbers = [*range(100, 180), *range(181, 200), *range(120, 200)]
    out, _, sorter = judged(numbers, Told())
    assert out == list(range(len(numbers)))
    assert (sorter.lost, sorter.late, sorter.restarts) == (1, 0, 1)


def test_a_restart_of_which_packets_are_lost_or_swapped_is_followed_all_the_same() -> None:
    fresh = [200, 201, 203, 202, 205, 206, 208, 207, 209, 210, *range(211, 240)]
    out, _, sorter = judged([*range(100, 600), *fresh], Told())
    assert len(out) == 500 + len(fresh)
    assert (sorter.lost, sorter.late, sorter.restarts) == (1, 0, 1)


def test_a_restart_in_the_last_packets_is_followed() -> None:
    out, _, sorter = judged([*range(100, 600), 300, 301, 302], Told())
    assert out == list(range(503))
    assert sorter.restarts == 1


@pytest.mark.parametrize("count", [3, RUN, 40])
def test_copies_of_earlier_packets_count_as_late_however_many(count: int) -> None:
    copies = range(100 - count, 100)
    out, gaps, sorter = judged([*range(100), *copies, *range(100, 200)], Told(copied=True))
    assert len(out) == 200
    assert (gaps, sorter.lost, sorter.late, sorter.restarts) == ([], 0, count, 0)


def test_a_leap_of_the_numbers_is_followed_at_once_and_back_again() -> None:
    numbers = [*range(100), *range(20_000, 20_050), *range(100, 150), *range(50_000, 50_050)]
    out, _, sorter = judged(numbers, Told(Gap.LEAP))
    assert out == list(range(len(numbers)))
    assert (sorter.lost, sorter.late, sorter.restarts) == (0, 0, 3)


@pytest.mark.parametrize("why", [Gap.PAUSE, Gap.LEAP])
def test_numbers_that_were_never_sent_are_not_lost_but_a_gap(why: Gap) -> None:
    out, gaps, sorter = judged([*range(100), *range(130, 200)], Told(why))
    assert len(out) == 170
    assert (gaps, sorter.lost) == ([100], 0)


def test_where_nothing_is_missing_a_restart_is_no_gap() -> None:
    _, gaps, sorter = judged([*range(500, 600), *range(300, 400)], Told(continues=True))
    assert (gaps, sorter.restarts) == ([], 1)

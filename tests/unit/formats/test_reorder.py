"""Packets by number: wrapped, shuffled, doubled, lost; each that can be placed comes out once."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.formats.reorder import RUN, WINDOW, Raw, Sorter


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

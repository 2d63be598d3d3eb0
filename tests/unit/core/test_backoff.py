"""Backoff: the growing pause between attempts."""

import re
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.backoff import Backoff, Reminders
from tests.unit.house_rules import MODULES, name_of

# A pause that grows in place, a power of the number of failures, a table of seconds.
COPIES = re.compile(
    r"min\(\w*(pause|delay|wait)\w* \*|\*\* min\(|(BACK_?OFF|RETRY|PAUSE)\w*_S\b.*= \("
)
SECONDS = st.floats(0.001, 1_000)


def first(backoff: Backoff, count: int) -> list[float]:
    return list(islice(backoff, count))


def test_pauses_double_up_to_the_longest() -> None:
    assert first(Backoff(0.2, 1.0), 5) == pytest.approx([0.2, 0.4, 0.8, 1.0, 1.0])


def test_pauses_grow_by_their_factor() -> None:
    assert first(Backoff(0.1, 5.0, factor=3.0), 5) == pytest.approx([0.1, 0.3, 0.9, 2.7, 5.0])


def test_a_factor_of_one_keeps_the_first_pause() -> None:
    assert first(Backoff(0.5, 5.0, factor=1.0), 3) == [0.5, 0.5, 0.5]


def test_a_new_iterator_starts_over_and_leaves_others_where_they_are() -> None:
    backoff = Backoff(1.0, 8.0)
    one = iter(backoff)
    assert [next(one), next(one)] == [1.0, 2.0]

    other = iter(backoff)

    assert next(other) == 1.0
    assert next(one) == 4.0


def test_a_first_pause_above_the_limit_is_cut() -> None:
    assert first(Backoff(9.0, 5.0), 2) == [5.0, 5.0]


@given(SECONDS, SECONDS, st.floats(1.0, 10.0), st.integers(1, 200))
def test_no_pause_is_shorter_than_the_one_before_or_over_the_limit(
    first_s: float, longest_s: float, factor: float, count: int
) -> None:
    pauses = first(Backoff(first_s, longest_s, factor), count)

    assert pauses == sorted(pauses)
    assert pauses[0] == min(first_s, longest_s)
    assert max(pauses) <= longest_s


def test_ten_thousand_failures_are_no_overflow() -> None:
    assert Backoff(0.2, 5.0, factor=10.0).after(10_000) == 5.0


@pytest.mark.parametrize(("failures", "pause_s"), [(1, 2.0), (2, 10.0), (3, 50.0), (4, 120.0)])
def test_the_pause_after_a_number_of_failures_is_the_one_of_that_place(
    failures: int, pause_s: float
) -> None:
    assert Backoff(2.0, 120.0, factor=5.0).after(failures) == pause_s


@pytest.mark.parametrize(("drawn", "share"), [(0.0, 1.0), (0.5, 0.75), (1.0, 0.5)])
def test_jitter_shortens_by_up_to_a_half_and_leaves_the_growth_alone(
    drawn: float, share: float
) -> None:
    pauses = first(Backoff(1.0, 4.0, jitter=lambda: drawn), 4)

    assert pauses == [share, 2 * share, 4 * share, 4 * share]


def test_each_pause_draws_for_itself() -> None:
    drawn = iter([0.0, 1.0, 0.5, 0.25])
    pauses = first(Backoff(1.0, 1.0, jitter=lambda: next(drawn)), 4)

    assert pauses == [1.0, 0.5, 0.75, 0.875]


def test_no_module_has_a_rule_of_its_own() -> None:
    published = {"core/webhooks.py"}  # the schedule of Standard Webhooks, which users rely on
    found = {name_of(path) for path in MODULES if COPIES.search(path.read_text("utf-8"))}

    assert found - published == {"core/backoff.py"}


def test_of_an_outage_the_first_failure_is_logged_and_then_one_a_minute() -> None:
    reminders = Reminders()
    seconds = [n * 5.0 for n in range(36)]

    assert [at for at in seconds if reminders.due(at)] == [0.0, 60.0, 120.0]


def test_the_end_of_an_outage_is_known_once() -> None:
    reminders = Reminders()
    assert not reminders.over()
    assert reminders.due(7.0)
    assert (reminders.over(), reminders.over()) == (True, False)

    assert reminders.due(8.0), "the next outage begins"

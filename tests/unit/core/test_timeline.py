"""Times of a segment while the wall clock is set: its length is what the monotonic clock says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.sync import LEAD_LIMIT_MS, TOLERANCE_MS, Timeline
from sfu_wrapper.model.segment import Instant

BEGAN = Instant(1_600_000_000_000, 50_000)
YEARS_MS = 10 * 365 * 86_400_000


def line(passed_ms: int, leap_ms: int = 0) -> Timeline:
    now = Instant(BEGAN.wall_ms + passed_ms + leap_ms, BEGAN.mono_ms + passed_ms)
    return Timeline(BEGAN, now)


@pytest.mark.parametrize("leap_ms", [0, 1, TOLERANCE_MS, -TOLERANCE_MS])
def test_a_clock_that_is_hardly_off_was_not_set(leap_ms: int) -> None:
    assert line(10_000, leap_ms).leap_ms == 0
    assert line(10_000, leap_ms).end_ms == BEGAN.wall_ms + 10_000 + leap_ms


@pytest.mark.parametrize("leap_ms", [TOLERANCE_MS + 1, -TOLERANCE_MS - 1, YEARS_MS, -YEARS_MS])
def test_a_clock_that_was_set_moves_no_end(leap_ms: int) -> None:
    assert line(10_000, leap_ms).leap_ms == leap_ms
    assert line(10_000, leap_ms).end_ms == BEGAN.wall_ms + 10_000


def test_now_is_never_before_the_beginning() -> None:
    assert line(0, -TOLERANCE_MS).end_ms == BEGAN.wall_ms


def test_a_time_between_beginning_and_end_is_taken_as_it_is() -> None:
    for leap_ms in (0, YEARS_MS, -YEARS_MS):
        for offset_ms in (-LEAD_LIMIT_MS, 0, 5_000, 10_000):
            told_ms = BEGAN.wall_ms + offset_ms
            assert line(10_000, leap_ms).place(told_ms) == told_ms


def test_without_a_leap_every_time_is_taken_as_it_is() -> None:
    for told_ms in (0, BEGAN.wall_ms - YEARS_MS, BEGAN.wall_ms + YEARS_MS):
        assert line(10_000).place(told_ms) == told_ms


@given(st.integers(0, 86_400_000), st.floats(0, 1), st.integers(60_000, YEARS_MS), st.booleans())
def test_a_time_told_by_the_clock_that_was_set_is_moved_by_the_leap(
    passed_ms: int, share: float, further_ms: int, back: bool
) -> None:
    true_ms = BEGAN.wall_ms + int(passed_ms * share)
    leap_ms = (passed_ms + further_ms) * (-1 if back else 1)

    assert line(passed_ms, leap_ms).place(true_ms + leap_ms) == true_ms

"""Hours in which nothing was recorded are left out; shorter pauses stay."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.intervals import (
    EMPTY_LIMIT_US,
    FREEZE_US,
    KEPT_US,
    Cut,
    Span,
    cuts,
    moved_info,
    moved_span,
    moved_us,
    notes,
)
from sfu_wrapper.model.identity import UserId
from sfu_wrapper.model.segment import Presence
from tests.helpers.builders import segment_info

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
LATE = Cut(25 * SECOND_US, 10 * HOUR_US - 10 * SECOND_US)
"""What is left out of 15 s of media whose end was told 10 hours late."""


def test_the_end_of_an_event_that_is_hours_after_all_media_is_left_out() -> None:
    held = [(0, 15 * SECOND_US), (2 * SECOND_US, 14 * SECOND_US)]

    assert cuts(10 * HOUR_US + 15 * SECOND_US, held) == (LATE,)


def test_hours_between_and_before_media_are_left_out_too() -> None:
    held = [(5 * HOUR_US, 5 * HOUR_US + SECOND_US), (9 * HOUR_US, 10 * HOUR_US)]

    assert cuts(10 * HOUR_US, held) == (
        Cut(KEPT_US, 5 * HOUR_US - KEPT_US),
        Cut(5 * HOUR_US + SECOND_US + KEPT_US, 4 * HOUR_US - SECOND_US - KEPT_US),
    )


@pytest.mark.parametrize(
    ("duration_us", "held"),
    [
        (EMPTY_LIMIT_US + SECOND_US, [(0, SECOND_US)]),  # a pause of an hour
        (10 * HOUR_US, [(0, 10 * HOUR_US)]),
        (10 * HOUR_US, [(-SECOND_US, 5 * HOUR_US), (5 * HOUR_US, 11 * HOUR_US)]),
        (10 * HOUR_US, []),  # nothing is made of it
        (10 * HOUR_US, [(11 * HOUR_US, 12 * HOUR_US), (-HOUR_US, 0)]),
    ],
)
def test_what_is_shorter_or_full_stays_as_it_is(
    duration_us: int, held: list[tuple[int, int]]
) -> None:
    assert cuts(duration_us, held) == ()


def test_a_frozen_frame_has_its_time_before_a_cut() -> None:
    assert KEPT_US > FREEZE_US


def test_a_track_after_a_cut_moves_with_its_file() -> None:
    after = Span(1, LATE.start_us + LATE.length_us + SECOND_US, 11 * HOUR_US, shift_us=7)

    moved = moved_span((LATE,), after)
    assert moved.start_us == LATE.start_us + SECOND_US
    assert moved.stop_us == 11 * HOUR_US - LATE.length_us
    assert moved.shift_us == 7 - LATE.length_us


def test_a_track_that_seems_to_be_open_until_the_end_stays_where_it_began() -> None:
    frozen = Span(0, SECOND_US, 10 * HOUR_US + 15 * SECOND_US)

    assert moved_span((LATE,), frozen) == Span(0, SECOND_US, 25 * SECOND_US)


def test_the_segment_and_the_stays_in_it_become_shorter() -> None:
    start_ms = 1_590_392_548_633
    late_ms = start_ms + 36_015_000
    info = segment_info(
        started_ms=start_ms,
        length_ms=late_ms - start_ms,
        presences=(
            Presence(UserId("alice"), start_ms, late_ms),
            Presence(UserId("bob"), start_ms + 1_000, start_ms + 9_000),
        ),
    )
    moved = moved_info((LATE,), info)

    assert (moved.started_ms, moved.completed_ms) == (start_ms, start_ms + 25_000)
    assert moved.presences[0].left_ms == start_ms + 25_000
    assert moved.presences[1] == info.presences[1]


def test_what_was_left_out_is_told_in_seconds() -> None:
    assert list(notes((LATE,))) == [
        "nothing was recorded for 36000 s from 15 s on: 10 s of it are kept; "
        "a clock may have been set forward meanwhile"
    ]


pieces = st.tuples(st.integers(-HOUR_US, 30 * HOUR_US), st.integers(0, 3 * HOUR_US)).map(
    lambda piece: (piece[0], piece[0] + piece[1])
)


@given(st.integers(0, 30 * HOUR_US), st.lists(pieces, max_size=8))
def test_no_media_is_lost_and_no_stretch_without_any_is_longer_than_the_limit(
    duration_us: int, held: list[tuple[int, int]]
) -> None:
    left_out = cuts(duration_us, held)
    total_us = moved_us(left_out, duration_us)
    moved = [(moved_us(left_out, a), moved_us(left_out, b)) for a, b in held]
    inside = [(a, b) for a, b in held if b > 0 and a < duration_us]

    for (a, b), (start, stop) in zip(held, moved, strict=True):
        if (a, b) in inside:
            assert min(stop, total_us) - start == min(b, duration_us) - a
    assert all(one.start_us + one.length_us <= other.start_us for one, other in pairwise(left_out))
    if inside:
        assert cuts(total_us, moved) == ()

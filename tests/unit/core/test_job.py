"""How often a segment is tried, and what each fault amounts to."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.estimate import merged_bytes
from sfu_wrapper.core.job import (
    Retry,
    as_failure,
    needed_bytes,
    no_result,
    pause_before_next,
    priority_ms,
)
from sfu_wrapper.core.plan import VIDEO_BITS_PER_S, OutputRules, Quality
from sfu_wrapper.model.errors import (
    Code,
    JobCode,
    JobFailed,
    Malformed,
    Refused,
    Stage,
    Unavailable,
)

HOUR_MS = 3_600_000
DECADE_MS = 10 * 366 * 24 * HOUR_MS
RULES = OutputRules("vp8", "high", "rec", split=False, mix_limit=4)
PASSING = JobFailed(Stage.COMPOSE, JobCode.MUX_FAILED, "it broke", permanent=False)
LASTING = JobFailed(Stage.PREPROCESS, JobCode.UNREADABLE_MJR, "no media", permanent=True)


def test_a_passing_fault_is_tried_again_with_growing_pauses() -> None:
    retry = Retry(attempts=4, first_s=1, factor=3, longest_s=100)

    pauses = [pause_before_next(retry, attempt, PASSING) for attempt in (1, 2, 3, 4)]
    assert pauses == [1, 3, 9, None]


def test_a_lasting_fault_fails_at_once() -> None:
    assert pause_before_next(Retry(), 1, LASTING) is None


@given(st.integers(1, 200), st.integers(1, 200))
def test_pauses_are_bounded_and_never_shrink(attempts: int, attempt: int) -> None:
    retry = Retry(attempts=attempts)
    pause_s = pause_before_next(retry, attempt, PASSING)

    assert (pause_s is None) == (attempt >= attempts)
    if pause_s is not None:
        assert retry.first_s <= pause_s <= retry.longest_s
        assert retry.pause_s(attempt + 1) >= pause_s


@pytest.mark.parametrize(
    ("error", "code", "permanent"),
    [
        (PASSING, "MUX_FAILED", False),
        (LASTING, "UNREADABLE_MJR", True),
        (Unavailable("the folder is away"), "UNAVAILABLE", False),
        (KeyError("oops"), "INTERNAL", False),
        (OSError("disk"), "INTERNAL", False),
        (Malformed("odd"), "INTERNAL", False),
        (Refused(Code.INTERNAL, "odd"), "INTERNAL", False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_error_is_a_failure_of_the_job(error: Exception, code: str, permanent: bool) -> None:
    failure = as_failure(error)

    assert (failure.code, failure.permanent) == (code, permanent)


def test_an_unforeseen_error_tells_its_kind_and_none_of_its_text() -> None:
    assert "KeyError" in as_failure(KeyError("/secret/path")).detail
    assert "secret" not in as_failure(KeyError("/secret/path")).detail


def test_a_job_that_ends_its_worker_again_and_again_fails_for_good() -> None:
    assert no_result(8).permanent
    assert "8 times" in no_result(8).detail


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_segment_is_overtaken_only_by_what_came_later_by_less_than_it_is_longer(
    taken_ms: int, length_ms: int, later_ms: int, other_ms: int
) -> None:
    overtaken = priority_ms(taken_ms + later_ms, other_ms) < priority_ms(taken_ms, length_ms)

    assert overtaken == (later_ms < length_ms - other_ms)


def test_the_space_for_a_segment_holds_its_files_twice() -> None:
    assert needed_bytes(0, 0) > 0  # a reserve, for logs and the like
    assert needed_bytes(5_000_000, 60_000) - needed_bytes(0, 60_000) == 2 * 5_000_000


@pytest.mark.parametrize("quality", VIDEO_BITS_PER_S)
def test_the_space_for_a_segment_holds_its_result_twice_whatever_its_quality(
    quality: Quality,
) -> None:
    result_bytes = merged_bytes(replace(RULES, quality=quality), HOUR_MS)
    space = needed_bytes(0, HOUR_MS) - needed_bytes(0, 0)

    assert space >= 2 * result_bytes  # while it is made, and finished beside it
    assert space <= 20 * result_bytes  # no disk is full for that


def test_a_segment_of_decades_is_neither_overtaken_for_decades_nor_waits_for_their_space() -> None:
    assert priority_ms(0, DECADE_MS) < priority_ms(8 * 24 * HOUR_MS, HOUR_MS)
    assert needed_bytes(1_000, DECADE_MS) == needed_bytes(1_000, 7 * 24 * HOUR_MS)

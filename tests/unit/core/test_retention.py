"""Retention: what is due when, and that a hold wins over everything."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.retention import (
    DAY_MS,
    Due,
    RetentionRules,
    due,
    expires_ms,
    hold,
    release,
    request_deletion,
    steady_ms,
    without_raw_files,
)
from sfu_wrapper.core.sync import TOLERANCE_MS
from sfu_wrapper.model.errors import Refused
from sfu_wrapper.model.identity import (
    DomainId,
    UserId,
    UserKey,
)
from sfu_wrapper.model.recording import (
    Deletion,
    DeletionReason,
    Hold,
    Recording,
    RecordingState,
)
from sfu_wrapper.model.segment import Failed, Instant
from tests.helpers import indexed

NOW_MS = 1_800_000_000_000
ADMIN = UserKey(DomainId("example"), UserId("adam"))
FACTS = indexed.facts(at_ms=NOW_MS - 1000 * DAY_MS, runs=True)
READY = indexed.processed(FACTS.key, files=())
FAILED = indexed.failed(FACTS.key, kept=("recordingInfo.json",), event=None)


def ready(days_ago: int) -> Recording:
    """A recording whose processing ended so many days ago."""
    return Recording(FACTS, RecordingState.READY, READY, NOW_MS - days_ago * DAY_MS)


def failed(days_ago: int) -> Recording:
    return Recording(FACTS, RecordingState.FAILED, FAILED, NOW_MS - days_ago * DAY_MS)


def deleted(days_ago: int) -> Recording:
    done_ms = NOW_MS - days_ago * DAY_MS
    deletion = Deletion(DeletionReason.REQUESTED, done_ms, ADMIN, done_ms)
    return replace(ready(days_ago), state=RecordingState.DELETED, deletion=deletion)


def now_due(recording: Recording, own_days: int | None = None, **days: int) -> Due | None:
    return due(recording, RetentionRules(**days), own_days, NOW_MS)


# results


def test_a_result_is_kept_for_its_days_to_the_millisecond() -> None:
    at_last = ready(90)
    just_before = replace(at_last, outcome_ms=NOW_MS - 90 * DAY_MS + 1)

    assert now_due(at_last, days=90) is Due.RESULT
    assert now_due(just_before, days=90) is None


def test_zero_days_keep_a_result_for_ever() -> None:
    assert now_due(ready(100_000), days=0) is None
    assert expires_ms(ready(1), RetentionRules(), None) is None


@pytest.mark.parametrize(
    ("days", "max_days", "own_days", "kept"),
    [
        (365, 0, 90, 90),
        (0, 0, 90, 90),
        (365, 0, 400, 365),  # the configuration was reduced since
        (30, 365, 90, 90),
        (30, 365, 400, 365),
        (0, 365, 400, 365),
        (365, 0, None, 365),
        (0, 365, None, 0),
    ],
)
def test_a_domain_sets_its_own_days_up_to_the_longest(
    days: int, max_days: int, own_days: int | None, kept: int
) -> None:
    rules = RetentionRules(days=days, max_days=max_days)

    assert rules.result_days(own_days) == kept
    wanted = None if kept == 0 else NOW_MS + kept * DAY_MS
    assert expires_ms(ready(0), rules, own_days) == wanted


def test_a_recording_that_is_not_finished_is_never_due() -> None:
    for state in (RecordingState.RECORDING, RecordingState.QUEUED, RecordingState.PROCESSING):
        young = Recording(FACTS, state)
        assert now_due(young, days=1) is None
        assert expires_ms(young, RetentionRules(days=1), None) is None


# raw files of failed segments, tombstones


def test_raw_files_of_a_failed_segment_go_first_and_once() -> None:
    assert now_due(failed(6)) is None
    assert now_due(failed(7)) is Due.RAW
    assert now_due(without_raw_files(failed(7))) is None
    assert now_due(failed(7), raw_days=0) is None
    assert now_due(failed(90), days=90) is Due.RESULT


def test_raw_files_of_a_result_are_no_matter_of_their_own() -> None:
    assert now_due(ready(365)) is None
    assert without_raw_files(ready(1)) == ready(1)


def test_a_tombstone_goes_after_its_days() -> None:
    assert now_due(deleted(399)) is None
    assert now_due(deleted(400)) is Due.TOMBSTONE
    assert now_due(deleted(4000), tombstone_days=0) is None


# holds and deletions


def test_a_deletion_is_requested_once() -> None:
    first = request_deletion(ready(1), DeletionReason.REQUESTED, NOW_MS, ADMIN)
    again = request_deletion(first, DeletionReason.RETENTION, NOW_MS + 5)

    assert again == first
    assert first.deletion == Deletion(DeletionReason.REQUESTED, NOW_MS, ADMIN)
    assert first.state is RecordingState.READY, "until its files are gone"
    assert now_due(first, days=1) is None
    assert request_deletion(deleted(1), DeletionReason.ERASURE, NOW_MS) == deleted(1)


def refusal(recording: Recording) -> str:
    with pytest.raises(Refused) as refused:
        request_deletion(recording, DeletionReason.REQUESTED, NOW_MS, ADMIN)
    return refused.value.code


def test_a_held_or_running_recording_is_not_deleted() -> None:
    held = hold(ready(1), ADMIN, "case 7", NOW_MS)

    assert refusal(held) == "RECORDING_HELD"
    assert refusal(Recording(FACTS, RecordingState.RECORDING)) == "RECORDING_RUNNING"
    assert request_deletion(release(held), DeletionReason.REQUESTED, NOW_MS).deletion


def test_a_second_hold_changes_the_reason_alone() -> None:
    held = hold(ready(1), ADMIN, "case 7", NOW_MS)
    other = UserKey(DomainId("example"), UserId("eve"))

    assert hold(held, other, "case 8", NOW_MS + 1).hold == Hold(ADMIN, "case 8", NOW_MS)


@pytest.mark.parametrize(
    "late", [deleted(1), request_deletion(ready(1), DeletionReason.REQUESTED, NOW_MS)]
)
def test_a_hold_comes_too_late_for_a_deleted_recording(late: Recording) -> None:
    with pytest.raises(Refused) as refused:
        hold(late, ADMIN, "case 7", NOW_MS)
    assert refused.value.code == "RECORDING_DELETED"


# properties

DAYS = st.integers(0, 500)
RULES = st.builds(RetentionRules, DAYS, DAYS, DAYS, DAYS)
OWN = st.none() | st.integers(1, 500)
ANY = st.one_of(
    st.builds(ready, DAYS),
    st.builds(failed, DAYS),
    st.builds(deleted, DAYS),
    st.builds(lambda days: without_raw_files(failed(days)), DAYS),
    st.sampled_from([Recording(FACTS, RecordingState.RECORDING)]),
)
TIMES = st.integers(-500 * DAY_MS, 5000 * DAY_MS)


@given(ANY, RULES, OWN, TIMES)
def test_a_hold_always_wins(
    one: Recording, rules: RetentionRules, own: int | None, ms: int
) -> None:
    held = replace(one, hold=Hold(ADMIN, "case 7", NOW_MS))

    assert due(held, rules, own, NOW_MS + ms) is None
    assert expires_ms(held, rules, own) is None


@given(ANY, RULES, OWN, TIMES)
def test_nothing_is_due_early_and_all_that_is_over_is_due(
    one: Recording, rules: RetentionRules, own: int | None, ms: int
) -> None:
    now_ms = NOW_MS + ms
    deletion = one.deletion
    tombstone = deletion is not None and deletion.done_ms is not None
    ended_ms = deletion.done_ms if deletion else one.outcome_ms
    age_ms = -1 if ended_ms is None else now_ms - ended_ms

    def over(days: int) -> bool:
        return days > 0 and age_ms >= days * DAY_MS

    longest = rules.max_days or rules.days
    kept_days = rules.days if own is None else min(own, longest) if longest else own
    match due(one, rules, own, now_ms):
        case Due.TOMBSTONE:
            assert tombstone
            assert over(rules.tombstone_days)
        case Due.RESULT:
            assert not tombstone
            assert over(kept_days)
        case Due.RAW:
            assert over(rules.raw_days)
            assert not over(kept_days)
            assert isinstance(one.outcome, Failed)
        case None:
            assert not over(rules.tombstone_days if tombstone else kept_days)
            assert not (one == failed(0) and over(rules.raw_days))


@given(st.integers(0, 10**9), st.integers(-(10**12), 10**12), st.integers(0, 10**9))
def test_a_clock_that_is_set_never_makes_more_due_than_the_time_that_passed(
    passed_ms: int, leap_ms: int, began_ms: int
) -> None:
    began = Instant(NOW_MS, began_ms)
    now = Instant(max(NOW_MS + passed_ms + leap_ms, 0), began_ms + passed_ms)

    tolerance_ms = TOLERANCE_MS
    assert steady_ms(began, now) <= NOW_MS + passed_ms + tolerance_ms
    assert steady_ms(began, now) <= now.wall_ms

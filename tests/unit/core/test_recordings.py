"""State of a recording: any order and any repetition of messages leads to the same one."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.recordings import Message, apply, retry, with_facts
from sfu_wrapper.core.retention import hold, request_deletion, without_raw_files
from sfu_wrapper.model.errors import Refused
from sfu_wrapper.model.recording import (
    Deleted,
    DeletionReason,
    Recording,
    RecordingFacts,
    RecordingState,
)
from sfu_wrapper.model.segment import JobProgress
from tests.helpers.indexed import BOB, facts, failed, key, processed

NOW_MS = 9_000
QUEUED = Recording(facts(), RecordingState.QUEUED)
PROGRESS = JobProgress(key().uuid, key().segment, "compose", 41.5, 12.0)
DELETED = Deleted(key(), facts().room, DeletionReason.RETENTION, 8_000)
FAILED = failed(failed_ms=5_000)


def after(*messages: Message, recording: Recording = QUEUED) -> Recording:
    for message in messages:
        recording = apply(recording, message, NOW_MS)
    return recording


# The way of a recording


def test_a_recording_runs_then_waits() -> None:
    running = with_facts(None, facts(runs=True))
    stopped = with_facts(running, facts())

    assert (running.state, running.facts) == (RecordingState.RECORDING, facts(runs=True))
    assert (stopped.state, stopped.facts) == (RecordingState.QUEUED, facts())
    assert with_facts(None, facts()) == QUEUED


def test_the_first_progress_begins_the_processing() -> None:
    assert after(PROGRESS).state is RecordingState.PROCESSING
    assert after(PROGRESS, PROGRESS) is not QUEUED


def test_a_processed_recording_is_ready() -> None:
    done = after(PROGRESS, processed())

    assert done.state is RecordingState.READY
    assert (done.outcome, done.outcome_ms) == (processed(), 4_000)


def test_a_recording_without_media_is_ready_without_files() -> None:
    done = after(processed(output="none", files=()))

    assert (done.state, done.bytes) == (RecordingState.READY, 0)


def test_a_failed_recording_counts_from_the_end_of_its_last_attempt() -> None:
    assert after(FAILED).state is RecordingState.FAILED
    assert after(FAILED).outcome_ms == 5_000
    assert after(failed()).outcome_ms == NOW_MS  # of an older worker


def test_a_deleted_recording_keeps_the_hashes_of_its_files() -> None:
    gone = after(processed(), DELETED)

    assert gone.state is RecordingState.DELETED
    assert gone.deletion is not None
    assert (gone.deletion.reason, gone.deletion.done_ms) == (DeletionReason.RETENTION, 8_000)
    assert gone.outcome == processed(warnings=())
    assert gone.bytes == 0


def test_a_tombstone_of_a_failed_recording_names_no_files() -> None:
    assert after(FAILED, DELETED).outcome == replace(FAILED, file=None, kept=(), event=None)
    assert after(DELETED).outcome is None


def test_a_requested_deletion_is_done_by_the_message() -> None:
    wanted = request_deletion(after(processed()), DeletionReason.REQUESTED, 7_000, BOB)
    assert wanted.state is RecordingState.READY
    gone = after(DELETED, recording=wanted)

    assert gone.deletion is not None
    assert gone.deletion == replace(wanted.deletion, done_ms=8_000)  # type: ignore[type-var]


# What is no news


@pytest.mark.parametrize(
    ("known", "late"),
    [
        ([processed()], FAILED),
        ([processed()], PROGRESS),
        ([processed()], processed()),
        ([processed()], processed(processing_completed_ms=3_999, warnings=())),
        ([FAILED], FAILED),
        ([FAILED], failed(failed_ms=4_999)),
        ([FAILED], PROGRESS),
        ([PROGRESS], PROGRESS),
        ([DELETED], DELETED),
        ([DELETED], PROGRESS),
        ([processed(), DELETED], processed()),
        ([processed(), DELETED], FAILED),
    ],
)
def test_late_and_repeated_messages_change_nothing(known: list[Message], late: Message) -> None:
    recording = after(*known)

    assert apply(recording, late, NOW_MS) is recording


def test_a_later_result_replaces_an_earlier_one() -> None:
    again = processed(processing_completed_ms=4_001, size_bytes=7)

    assert after(processed(), again).bytes == 7
    assert after(FAILED, failed(failed_ms=5_001)).outcome_ms == 5_001
    assert after(FAILED, processed()).state is RecordingState.READY


def test_late_facts_set_nothing_back() -> None:
    done = after(processed())
    later = facts(at_ms=1_200, incomplete="a file is missing")

    assert with_facts(done, facts(runs=True)) is done
    assert with_facts(done, later) == replace(done, facts=replace(later, started_ms=1_000))


MESSAGES: st.SearchStrategy[Message | RecordingFacts] = st.one_of(
    st.just(PROGRESS),
    st.just(facts(runs=True)),
    st.just(facts()),
    st.builds(
        processed,
        processing_completed_ms=st.integers(3_000, 3_005),
        output=st.sampled_from(["merged"]),
    ),
    st.builds(failed, failed_ms=st.one_of(st.none(), st.integers(3_000, 3_005))),
    st.builds(
        Deleted,
        st.just(key()),
        st.just(facts().room),
        st.just(DeletionReason.RETENTION),
        st.integers(8_000, 8_003),
    ),
)
RUNS = st.lists(MESSAGES, max_size=8)


def fed(news: Sequence[Message | RecordingFacts], recording: Recording) -> Recording:
    for each in news:
        if isinstance(each, RecordingFacts):
            recording = with_facts(recording, each)
        else:
            recording = apply(recording, each, NOW_MS)
    return recording


def view(recording: Recording) -> tuple[object, ...]:
    """All of a tombstone but the time of a request that nobody made."""
    deletion = recording.deletion
    gone = None if deletion is None else (deletion.reason, deletion.done_ms)
    return replace(recording, deletion=None), gone


@given(st.data())
def test_the_order_of_messages_does_not_matter(data: st.DataObject) -> None:
    news = data.draw(RUNS)
    mixed = data.draw(st.permutations(news))
    known = with_facts(QUEUED, facts())

    assert view(fed(mixed, known)) == view(fed(news, known))


@given(RUNS, st.data())
def test_repeated_messages_change_nothing(
    news: list[Message | RecordingFacts], data: st.DataObject
) -> None:
    repeats = data.draw(st.lists(st.sampled_from(news), max_size=8)) if news else []
    once = fed(news, QUEUED)

    assert fed(repeats, once) == once


@given(RUNS, RUNS)
def test_a_deleted_recording_never_comes_back(
    before: list[Message | RecordingFacts], later: list[Message | RecordingFacts]
) -> None:
    assert fed([*before, DELETED, *later], QUEUED).state is RecordingState.DELETED


@given(RUNS)
def test_a_ready_recording_only_ever_is_deleted(news: list[Message | RecordingFacts]) -> None:
    states = (RecordingState.READY, RecordingState.DELETED)

    assert fed([processed(), *news], QUEUED).state in states


# Retries


def test_a_retried_recording_waits_again() -> None:
    again = retry(after(FAILED))

    assert (again.state, again.retries) == (RecordingState.QUEUED, 1)
    assert after(PROGRESS, recording=again).state is RecordingState.PROCESSING
    assert after(processed(), recording=again).state is RecordingState.READY


def test_the_failure_before_a_retry_is_no_failure_of_the_retry() -> None:
    again = retry(after(FAILED))

    assert after(FAILED, recording=again) is again
    later = after(failed(failed_ms=6_000), recording=again)
    assert (later.state, later.outcome_ms, later.retries) == (RecordingState.FAILED, 6_000, 1)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: QUEUED, "RECORDING_NOT_FAILED"),
        (lambda: after(processed()), "RECORDING_NOT_FAILED"),
        (lambda: without_raw_files(after(FAILED)), "RAW_FILES_GONE"),
        (lambda: after(FAILED, DELETED), "RECORDING_DELETED"),
        (
            lambda: request_deletion(after(FAILED), DeletionReason.ERASURE, NOW_MS),
            "RECORDING_DELETED",
        ),
    ],
)
def test_only_a_failed_recording_with_its_raw_files_is_retried(
    make: Callable[[], Recording], code: str
) -> None:
    with pytest.raises(Refused) as raised:
        retry(make())

    assert raised.value.code == code


def test_a_hold_survives_every_message() -> None:
    held = hold(after(FAILED), BOB, "a lawsuit", 1)

    assert after(processed(), PROGRESS, recording=retry(held)).hold == held.hold

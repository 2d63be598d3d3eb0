"""State of a recording from its parts, in any order of their arrival.

A message of the recording service may arrive twice, late, or after a later one. So each kind of
message has a rank, and only a higher rank than the known one changes anything: ``failed`` is below
``processed``, which is below ``deleted``, and of two of one kind the later one counts. A retry does
not forget the failure that it follows: the same ``failed`` again is still no news. Pure.

Source: recording-index.md, "States".
"""

from dataclasses import replace
from typing import Any

from sfu_wrapper.core.retention import has_raw_files
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import Kind, Origin, RecordingType, UserKey, user_shown_as
from sfu_wrapper.model.recording import (
    Deleted,
    Deletion,
    Outcome,
    Recording,
    RecordingFacts,
    RecordingKey,
    RecordingState,
    Stay,
)
from sfu_wrapper.model.segment import JobProgress, Processed, SegmentInfo

Message = JobProgress | Outcome | Deleted
"""Message of the recording service about a recording."""


def with_facts(recording: Recording | None, facts: RecordingFacts) -> Recording:
    """Return the recording after the start or the stop of its segment (``SegmentFacts``).

    The start never moves, and facts without a stop do not replace those with one.
    """
    running = facts.stopped_ms is None
    state = RecordingState.RECORDING if running else RecordingState.QUEUED
    if recording is None:
        return Recording(facts, state)
    if running and recording.facts.stopped_ms is not None:
        return recording
    kept = replace(facts, started_ms=recording.facts.started_ms)
    moves = recording.state is RecordingState.RECORDING
    return replace(recording, facts=kept, state=state if moves else recording.state)


def facts_of_result(result: Processed, event: SegmentInfo | None, owner: UserKey) -> RecordingFacts:
    """Return the facts of a segment that only its result knows.

    Kind, origin, decision, the starter and the reason of the stop are in neither: the recording
    counts as one of an internal meeting.

    Args:
        result: the result.
        event: what its ``recordingInfo`` said about the segment; None: unknown.
        owner: owner of the room.
    """
    started_ms, stopped_ms = result.started_ms, result.completed_ms
    if event is not None:
        started_ms, stopped_ms = event.started_ms, event.completed_ms
    facts = RecordingFacts(
        key=RecordingKey(result.uuid, result.segment),
        room=result.room,
        domain=owner.domain,
        owner=owner.user,
        kind=Kind.MEETING,
        origin=Origin.INTERNAL,
        type=(event.type if event is not None else None) or RecordingType.ALL,
        by=None,
        started_ms=started_ms,
        stopped_ms=stopped_ms,
        duration_ms=stopped_ms - started_ms,
    )
    if event is None:
        return facts
    stays = (
        Stay(user_shown_as(each.user, owner.domain), each.joined_ms, each.left_ms)
        for each in event.presences
    )
    return replace(facts, stays=tuple(stays), incomplete=event.reason, missing=event.missing)


def apply(recording: Recording, message: Message, now_ms: int) -> Recording:
    """Return the recording after a message; the same one where the message is no news.

    Args:
        recording: the recording as stored.
        message: message of the recording service about it.
        now_ms: epoch ms.
    """
    match message:
        case JobProgress():
            queued = recording.state is RecordingState.QUEUED
            return replace(recording, state=RecordingState.PROCESSING) if queued else recording
        case Deleted():
            return _deleted(recording, message)
        case _:
            return _finished(recording, message, now_ms)


def retry(recording: Recording) -> Recording:
    """Return a failed recording that goes to the workers again.

    Raises:
        Refused: RECORDING_DELETED, RECORDING_NOT_FAILED or RAW_FILES_GONE.
    """
    address = str(recording.key)
    if recording.deletion is not None:
        detail = "recording is deleted, or being deleted: it cannot be processed again"
        raise Refused(Code.RECORDING_DELETED, detail, recording=address)
    if recording.state is not RecordingState.FAILED:
        detail = f"recording has not failed, it is {recording.state}: nothing to retry"
        raise Refused(Code.RECORDING_NOT_FAILED, detail, recording=address)
    if not has_raw_files(recording):
        detail = "raw files of the recording are gone: it cannot be processed again"
        raise Refused(Code.RAW_FILES_GONE, detail, recording=address)
    return replace(recording, state=RecordingState.QUEUED, retries=recording.retries + 1)


def _finished(recording: Recording, outcome: Outcome, now_ms: int) -> Recording:
    known = recording.outcome
    if known is not None and _rank(outcome) <= _rank(known):
        return recording
    if isinstance(outcome, Processed):
        state, done_ms = RecordingState.READY, outcome.processing_completed_ms
    else:
        state, done_ms = RecordingState.FAILED, outcome.failed_ms or now_ms
    changed = replace(recording, outcome=outcome, outcome_ms=done_ms)
    if recording.state is RecordingState.DELETED:
        return _without_files(changed)
    return replace(changed, state=state)


def _rank(outcome: Outcome) -> tuple[Any, ...]:
    """Return the rank of an outcome; messages that say the same have the same rank."""
    if isinstance(outcome, Processed):
        hashes = [file.sha256 for file in outcome.files]
        return 1, outcome.processing_completed_ms, outcome.attempts, hashes
    return 0, outcome.failed_ms or 0, outcome.attempts, [outcome.code]


def _deleted(recording: Recording, message: Deleted) -> Recording:
    """Return the tombstone; the first of several deletions counts."""
    known = recording.deletion or Deletion(message.reason, message.done_ms)
    if known.done_ms is not None and known.done_ms <= message.done_ms:
        return recording
    gone = replace(known, done_ms=message.done_ms, trouble=None)
    return _without_files(replace(recording, state=RecordingState.DELETED, deletion=gone))


def _without_files(recording: Recording) -> Recording:
    """Return a deleted recording with no more than ids, times, reasons, and hashes of its files."""
    outcome = recording.outcome
    if outcome is None:
        return recording
    if isinstance(outcome, Processed):
        bare: Outcome = replace(outcome, warnings=(), sync=(), missing=())
    else:
        bare = replace(outcome, file=None, kept=(), event=None)
    return replace(recording, outcome=bare)

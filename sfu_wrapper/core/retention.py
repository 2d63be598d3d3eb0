"""Retention and deletion of recordings: what is due when, and what a person may have deleted.

Pure: a recording and the time enter, a decision or a changed recording leaves. A legal hold wins
over everything here. The evaluator (``service.recordings.retention``) carries the decisions to the
workers, which remove the files.

Times of retention count from the end of the processing (``Recording.outcome_ms``), those of a
tombstone from the end of the deletion. Source: retention.md, "What is kept for how long".
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from sfu_wrapper.core.sync import Timeline
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import UserKey
from sfu_wrapper.model.recording import (
    Deletion,
    DeletionReason,
    Hold,
    Recording,
    RecordingState,
)
from sfu_wrapper.model.segment import Failed, Instant

DAY_MS: Final = 86_400_000
FINISHED: Final = (RecordingState.READY, RecordingState.FAILED)


class Due(StrEnum):
    """Part of a recording whose time is over.

    Attributes:
        RESULT: the whole recording is to be deleted.
        RAW: the raw and temporary files of a failed segment are to be deleted.
        TOMBSTONE: the entry of a deleted recording is to leave the index.
    """

    RESULT = "result"
    RAW = "raw"
    TOMBSTONE = "tombstone"


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """Times of the configuration, in days; 0: for ever.

    Attributes:
        days: of results, where the domain has set nothing.
        raw_days: of raw files of failed segments.
        max_days: longest time that a domain may set; 0: ``days``.
        tombstone_days: of entries of deleted recordings.
    """

    days: int = 0
    raw_days: int = 7
    max_days: int = 0
    tombstone_days: int = 400

    @property
    def longest_days(self) -> int:
        """Longest time that a domain may set, in days; 0: any."""
        return self.max_days or self.days

    def result_days(self, own_days: int | None) -> int:
        """Return the days for which a domain keeps its results; 0: for ever.

        Args:
            own_days: days that the domain has set; None: none. More than it may set counts as the
                longest that it may: the configuration may have changed since.
        """
        if own_days is None:
            return self.days
        return min(own_days, self.longest_days or own_days)


def steady_ms(began: Instant, now: Instant) -> int:
    """Return the time by which retention is judged, epoch ms.

    The wall clock, unless it was set forward since ``began``: then what passed by the monotonic
    clock. A clock that jumps by years must not delete the recordings of those years.
    """
    return min(now.wall_ms, Timeline(began, now).end_ms)


def expires_ms(recording: Recording, rules: RetentionRules, own_days: int | None) -> int | None:
    """Return the time at which the recording is due for deletion, epoch ms.

    None: never, as far as is known now: it is held, not finished yet, or kept for ever.
    """
    if recording.hold is not None or recording.state not in FINISHED:
        return None
    return _after(recording.outcome_ms, rules.result_days(own_days))


def due(
    recording: Recording, rules: RetentionRules, own_days: int | None, now_ms: int
) -> Due | None:
    """Return the part of a recording that is to go now; None: nothing.

    Args:
        recording: the recording.
        rules: times of the configuration.
        own_days: days that its domain has set; None: none.
        now_ms: epoch ms, from ``steady_ms``.
    """
    if recording.hold is not None:
        return None
    if recording.state is RecordingState.DELETED:
        done_ms = recording.deletion.done_ms if recording.deletion is not None else None
        over_ms = _after(done_ms, rules.tombstone_days)
        return Due.TOMBSTONE if _is_over(over_ms, now_ms) else None
    if recording.deletion is not None:
        return None  # requested already
    if _is_over(expires_ms(recording, rules, own_days), now_ms):
        return Due.RESULT
    if has_raw_files(recording):
        raw_ms = _after(recording.outcome_ms, rules.raw_days)
        return Due.RAW if _is_over(raw_ms, now_ms) else None
    return None


def has_raw_files(recording: Recording) -> bool:
    """Return True if raw and temporary files of a failed segment are kept.

    ``without_raw_files`` takes their names away once they are to be deleted.
    """
    outcome = recording.outcome
    if recording.state is not RecordingState.FAILED or not isinstance(outcome, Failed):
        return False
    return bool(outcome.kept) or outcome.event is not None


def without_raw_files(recording: Recording) -> Recording:
    """Return a failed recording whose raw files are to be deleted, so that no retry is offered."""
    outcome = recording.outcome
    if not isinstance(outcome, Failed):
        return recording
    return replace(recording, outcome=replace(outcome, kept=(), event=None))


def request_deletion(
    recording: Recording, reason: DeletionReason, now_ms: int, by: UserKey | None = None
) -> Recording:
    """Return the recording with a requested deletion; unchanged where it has one already.

    Raises:
        Refused: RECORDING_HELD: a legal hold is set; RECORDING_RUNNING: its segment runs.
    """
    if recording.deletion is not None or recording.state is RecordingState.DELETED:
        return recording
    require_deletable(recording)
    return replace(recording, deletion=Deletion(reason, now_ms, by))


def require_deletable(recording: Recording) -> None:
    """Require that the recording is neither held nor running. Raises Refused."""
    address = str(recording.key)
    if recording.hold is not None:
        detail = "recording is under a legal hold: remove the hold first"
        raise Refused(Code.RECORDING_HELD, detail, recording=address)
    if recording.state is RecordingState.RECORDING:
        detail = "recording is running: stop it first"
        raise Refused(Code.RECORDING_RUNNING, detail, recording=address)


def hold(recording: Recording, by: UserKey, reason: str, now_ms: int) -> Recording:
    """Return the recording under a legal hold; of an existing hold only the reason changes.

    Raises:
        Refused: RECORDING_DELETED: its deletion is requested or done, so that files may be gone.
    """
    if recording.deletion is not None or recording.state is RecordingState.DELETED:
        detail = "recording is deleted, or being deleted: a hold comes too late"
        raise Refused(Code.RECORDING_DELETED, detail, recording=str(recording.key))
    if recording.hold is not None:
        return replace(recording, hold=replace(recording.hold, reason=reason))
    return replace(recording, hold=Hold(by, reason, now_ms))


def release(recording: Recording) -> Recording:
    """Return the recording without its legal hold."""
    return replace(recording, hold=None)


def _after(from_ms: int | None, days: int) -> int | None:
    """Return the time after so many days; None: never."""
    return None if from_ms is None or days == 0 else from_ms + days * DAY_MS


def _is_over(at_ms: int | None, now_ms: int) -> bool:
    return at_ms is not None and at_ms <= now_ms

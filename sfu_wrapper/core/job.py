"""Jobs: priority, retries, and the party that can repair a failure. Pure: waits nowhere.

Permanent faults fail at once, others after ``attempts`` attempts with growing pauses. An unexpected
exception is a bug of ours and is retried like any other (recording-service.md, "Failure").
``FAILURES`` names for each job code who must act before another attempt can succeed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.model.errors import JobCode, JobFailed, RecordingError, Stage

_BYTES_PER_S: Final = 200_000  # of finished files: high quality, and as much for temporary files
_RESERVE_BYTES: Final = 16 << 20
_LONGEST_MS: Final = 7 * 86_400_000
"""Longest call. A longer segment comes from a clock that was set, and holds no more media."""


def priority_ms(taken_ms: int, length_ms: int) -> int:
    """Return the priority of a waiting segment; the lowest value is next.

    Shortest first with ageing: a shorter segment overtakes only if it arrived later by less than
    the difference in length. A segment of an hour is overtaken for at most an hour.
    """
    return taken_ms + min(length_ms, _LONGEST_MS)


def needed_bytes(raw_bytes: int, length_ms: int) -> int:
    """Return the disk space for one segment, in bytes: its media files twice, and a mix.

    An upper bound for most segments; required only after a disk has been full.
    """
    return 2 * raw_bytes + min(length_ms, _LONGEST_MS) * _BYTES_PER_S // 1000 + _RESERVE_BYTES


@dataclass(frozen=True, slots=True)
class Retry:
    """Schedule of attempts.

    Attributes:
        attempts: number of attempts in all.
        first_s: pause after the first attempt, in seconds.
        factor: ratio of each further pause to the one before.
        longest_s: upper limit of a pause, in seconds.
    """

    attempts: int = 3
    first_s: float = 2.0
    factor: float = 5.0
    longest_s: float = 120.0

    def pause_s(self, attempt: int) -> float:
        """Return the pause in seconds after attempt number ``attempt``, counted from 1."""
        return Backoff(self.first_s, self.longest_s, self.factor).after(attempt)


def pause_before_next(retry: Retry, attempt: int, failure: JobFailed) -> float | None:
    """Return the seconds until the next attempt; None: ``attempt`` was the last one."""
    if failure.permanent or attempt >= retry.attempts:
        return None
    return retry.pause_s(attempt)


def as_failure(error: Exception) -> JobFailed:
    """Return the failure of the job for an exception."""
    match error:
        case JobFailed():
            return error
        case RecordingError(retryable=True):
            return JobFailed(Stage.PREPROCESS, JobCode.UNAVAILABLE, error.detail, permanent=False)
        case _:
            detail = f"unexpected {type(error).__name__}; the log has more"
            return JobFailed(Stage.PREPROCESS, JobCode.INTERNAL, detail, permanent=False)


def no_result(deliveries: int) -> JobFailed:
    """Return the failure of a job that was delivered repeatedly and always ended its worker."""
    detail = f"handed out {deliveries} times before, never with a result"
    return JobFailed(Stage.EVENT, JobCode.NO_RESULT, detail, permanent=True)


class FailureOwner(StrEnum):
    """Party that must act before another attempt can succeed.

    Attributes:
        SENDER: sender of the event.
        RECORDING: nobody; the raw files cannot be changed.
        SETUP: operator: configuration, keys, programs.
        MACHINE: operator: disk, memory, load, peers.
        OURS: developers: a bug.
    """

    SENDER = "sender"
    RECORDING = "recording"
    SETUP = "setup"
    MACHINE = "machine"
    OURS = "ours"


class Permanence(StrEnum):
    """Rule for a further attempt: never, always up to the limit, or as the failure itself says."""

    ALWAYS = "permanent"
    NEVER = "retried"
    SOMETIMES = "permanent or retried"


@dataclass(frozen=True, slots=True)
class FailureKind:
    """Properties of one code.

    Attributes:
        owner: party that has to act.
        permanence: whether further attempts are made.
    """

    owner: FailureOwner
    permanence: Permanence

    def allows(self, *, permanent: bool) -> bool:
        """Return True if a failure of this kind may be permanent, or may be retried."""
        return self.permanence in (
            Permanence.SOMETIMES,
            Permanence.ALWAYS if permanent else Permanence.NEVER,
        )


FAILURES: Final[Mapping[str, FailureKind]] = {
    JobCode.NOT_A_RECORDING_INFO: FailureKind(FailureOwner.SENDER, Permanence.ALWAYS),
    JobCode.UNSAFE_NAME: FailureKind(FailureOwner.SENDER, Permanence.ALWAYS),
    JobCode.MISSING_FILE: FailureKind(FailureOwner.RECORDING, Permanence.NEVER),
    JobCode.UNREADABLE_MJR: FailureKind(FailureOwner.RECORDING, Permanence.ALWAYS),
    JobCode.UNSUPPORTED_CODEC: FailureKind(FailureOwner.RECORDING, Permanence.ALWAYS),
    JobCode.ENCRYPTED_MJR: FailureKind(FailureOwner.RECORDING, Permanence.ALWAYS),
    JobCode.PICTURE_TOO_LARGE: FailureKind(FailureOwner.RECORDING, Permanence.ALWAYS),
    JobCode.UNREADABLE_INPUT: FailureKind(FailureOwner.RECORDING, Permanence.ALWAYS),
    JobCode.MEDIA_ERROR: FailureKind(FailureOwner.RECORDING, Permanence.NEVER),
    JobCode.LIMIT_EXCEEDED: FailureKind(FailureOwner.RECORDING, Permanence.ALWAYS),
    JobCode.NO_PREPROCESSOR: FailureKind(FailureOwner.SETUP, Permanence.ALWAYS),
    JobCode.PREPROCESSOR_FAILED: FailureKind(FailureOwner.SETUP, Permanence.NEVER),
    JobCode.NAME_TAKEN: FailureKind(FailureOwner.SETUP, Permanence.ALWAYS),
    JobCode.NO_ENCRYPTION: FailureKind(FailureOwner.SETUP, Permanence.ALWAYS),
    JobCode.KEY_UNUSABLE: FailureKind(FailureOwner.SETUP, Permanence.ALWAYS),
    JobCode.NO_GPG: FailureKind(FailureOwner.SETUP, Permanence.ALWAYS),
    JobCode.GPG_FAILED: FailureKind(FailureOwner.SETUP, Permanence.SOMETIMES),
    JobCode.MUX_FAILED: FailureKind(FailureOwner.MACHINE, Permanence.NEVER),
    JobCode.MEDIA_CRASH: FailureKind(FailureOwner.MACHINE, Permanence.NEVER),
    JobCode.BAD_RESULT: FailureKind(FailureOwner.MACHINE, Permanence.NEVER),
    JobCode.TIMEOUT: FailureKind(FailureOwner.MACHINE, Permanence.NEVER),
    JobCode.NO_SPACE: FailureKind(FailureOwner.MACHINE, Permanence.NEVER),
    JobCode.IO_ERROR: FailureKind(FailureOwner.MACHINE, Permanence.NEVER),
    JobCode.BAD_MANIFEST: FailureKind(FailureOwner.MACHINE, Permanence.ALWAYS),
    JobCode.UNAVAILABLE: FailureKind(FailureOwner.MACHINE, Permanence.NEVER),
    JobCode.NO_RESULT: FailureKind(FailureOwner.OURS, Permanence.ALWAYS),
    JobCode.INTERNAL: FailureKind(FailureOwner.OURS, Permanence.NEVER),
}


def fault_of(code: str) -> FailureOwner:
    """Return the owner of a failure; an unknown code (of another version) counts as a bug."""
    return FAILURES[code].owner if code in FAILURES else FailureOwner.OURS

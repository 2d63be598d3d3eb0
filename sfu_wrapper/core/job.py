"""Whose turn it is, how often one segment is tried, when it has failed. Pure: waits nowhere.

Permanent faults fail at once, others after ``attempts`` tries with growing pauses. An error that
nobody foresaw is a fault of ours and is retried like any other (recording-service.md, "Failure").

Whose fault a failed segment is: who has to do something before another try can help. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sfu_wrapper.model.errors import JobCode, JobFailed, RecordingError, Stage

_BYTES_PER_S: Final = 200_000  # of finished files: high quality, and as much while it is made
_RESERVE_BYTES: Final = 16 << 20


def priority_ms(taken_ms: int, length_ms: int) -> int:
    """Whose turn it is next, of those who wait: the lowest.

    The shortest first, with ageing: a segment is overtaken only by what came so much later as it
    is longer than that. An hour waits at most an hour for what is shorter.
    """
    return taken_ms + length_ms


def needed_bytes(raw_bytes: int, length_ms: int) -> int:
    """Space for the work on a segment of so many raw bytes: its media files twice, and a mix.

    Far more than most of them take; asked for only once a disk has been full.
    """
    return 2 * raw_bytes + length_ms * _BYTES_PER_S // 1000 + _RESERVE_BYTES


@dataclass(frozen=True, slots=True)
class Retry:
    """attempts: tries in all. first_s: pause after the first; each further one is ``factor``
    times as long, up to ``longest_s``.
    """

    attempts: int = 3
    first_s: float = 2.0
    factor: float = 5.0
    longest_s: float = 120.0

    def pause_s(self, attempt: int) -> float:
        """Seconds to wait after try number ``attempt``, counted from 1."""
        return min(self.first_s * self.factor ** (attempt - 1), self.longest_s)


def pause_before_next(retry: Retry, attempt: int, failure: JobFailed) -> float | None:
    """Seconds until the next try; None where try number ``attempt`` was the last."""
    if failure.permanent or attempt >= retry.attempts:
        return None
    return retry.pause_s(attempt)


def as_failure(error: Exception) -> JobFailed:
    """The job's failure that an error amounts to."""
    match error:
        case JobFailed():
            return error
        case RecordingError(retryable=True):
            return JobFailed(Stage.PREPROCESS, JobCode.UNAVAILABLE, error.detail, permanent=False)
        case _:
            detail = f"unexpected {type(error).__name__}; the log has more"
            return JobFailed(Stage.PREPROCESS, JobCode.INTERNAL, detail, permanent=False)


def no_result(deliveries: int) -> JobFailed:
    """A job that was handed out again and again and never came to a result: it ends its worker."""
    detail = f"handed out {deliveries} times before, never with a result"
    return JobFailed(Stage.EVENT, JobCode.NO_RESULT, detail, permanent=True)


class FailureOwner(StrEnum):
    """Who has to mend it.

    sender: of the event. recording: the raw files are what they are. setup: configuration, keys,
    programs. machine: disk, memory, load, peers. ours: a bug.
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
    """Return the owner of a failure; a code that is not ours, as of another version, is ours."""
    return FAILURES[code].owner if code in FAILURES else FailureOwner.OURS

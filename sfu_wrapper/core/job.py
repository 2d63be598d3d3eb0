"""Whose turn it is, how often one segment is tried, when it has failed. Pure: waits nowhere.

Permanent faults fail at once, others after ``attempts`` tries with growing pauses. An error that
nobody foresaw is a fault of ours and is retried like any other (recording-service.md, "Failure").

Whose fault a failed segment is: who has to do something before another try can help. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sfu_wrapper.model.errors import JobFailed, RecordingError

_BYTES_PER_S: Final = 200_000  # of finished files: high quality, and as much while it is made
_RESERVE_BYTES: Final = 16 << 20

NO_SPACE: Final = "NO_SPACE"  # after which a worker begins nothing until there is some


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
            return JobFailed("preprocess", "UNAVAILABLE", error.detail, permanent=False)
        case _:
            detail = f"unexpected {type(error).__name__}; the log has more"
            return JobFailed("preprocess", "INTERNAL", detail, permanent=False)


def no_result(deliveries: int) -> JobFailed:
    """A job that was handed out again and again and never came to a result: it ends its worker."""
    detail = f"handed out {deliveries} times before, never with a result"
    return JobFailed("event", "NO_RESULT", detail, permanent=True)


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


FAULTS: Mapping[str, FailureOwner] = {
    "NOT_A_RECORDING_INFO": FailureOwner.SENDER,
    "UNSAFE_NAME": FailureOwner.SENDER,
    "MISSING_FILE": FailureOwner.RECORDING,
    "UNREADABLE_MJR": FailureOwner.RECORDING,
    "UNSUPPORTED_CODEC": FailureOwner.RECORDING,
    "ENCRYPTED_MJR": FailureOwner.RECORDING,
    "PICTURE_TOO_LARGE": FailureOwner.RECORDING,
    "UNREADABLE_INPUT": FailureOwner.RECORDING,
    "MEDIA_ERROR": FailureOwner.RECORDING,
    "LIMIT_EXCEEDED": FailureOwner.RECORDING,
    "NO_PREPROCESSOR": FailureOwner.SETUP,
    "PREPROCESSOR_FAILED": FailureOwner.SETUP,
    "NAME_TAKEN": FailureOwner.SETUP,
    "NO_ENCRYPTION": FailureOwner.SETUP,
    "KEY_UNUSABLE": FailureOwner.SETUP,
    "NO_GPG": FailureOwner.SETUP,
    "GPG_FAILED": FailureOwner.SETUP,
    "MUX_FAILED": FailureOwner.MACHINE,
    "MEDIA_CRASH": FailureOwner.MACHINE,
    "BAD_RESULT": FailureOwner.MACHINE,
    "TIMEOUT": FailureOwner.MACHINE,
    "NO_SPACE": FailureOwner.MACHINE,
    "IO_ERROR": FailureOwner.MACHINE,
    "BAD_MANIFEST": FailureOwner.MACHINE,
    "UNAVAILABLE": FailureOwner.MACHINE,
    "NO_RESULT": FailureOwner.OURS,
    "INTERNAL": FailureOwner.OURS,
}


def fault_of(code: str) -> FailureOwner:
    """Whose fault a code of a failed segment stands for; one that nobody has named is ours."""
    return FAULTS.get(code, FailureOwner.OURS)

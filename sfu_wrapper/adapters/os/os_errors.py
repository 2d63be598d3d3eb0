"""What the system's refusals mean for a job: a full disk, a limit reached, or any other."""

import errno
import os

from sfu_wrapper.model.errors import JobFailed

_FULL = {errno.ENOSPC, errno.EDQUOT}
_AT_A_LIMIT = {
    errno.EFBIG: "would write a longer file than its input can explain",
    errno.EMFILE: "opens more files than it may",
    errno.ENOMEM: "needs more memory than it may have",
}


def refused(stage: str, error: OSError, *, file: str | None = None) -> JobFailed:
    """The job's failure that an error of the system amounts to."""
    if error.errno in _FULL:
        return no_space(stage, str(error.filename or file or "what is to be written"), file)
    if error.errno in _AT_A_LIMIT:
        return over_limit(stage, _AT_A_LIMIT[error.errno], file)
    about = error.filename or file
    detail = f"{about}: {error.strerror}" if about and error.strerror else str(error)
    return JobFailed(stage, "IO_ERROR", detail, permanent=False, file=file)


def no_space(stage: str, where: str, file: str | None = None) -> JobFailed:
    """The disk is full. Whoever begins work asks for space before it goes on."""
    detail = f"no space left for {where}: free some, then process the event again"
    return JobFailed(stage, "NO_SPACE", detail, permanent=False, file=file)


def over_limit(stage: str, why: str, file: str | None = None) -> JobFailed:
    """A process wanted more than any sound input makes it want; another try would as well."""
    detail = f"the work on this input {why}; look at the input"
    return JobFailed(stage, "LIMIT_EXCEEDED", detail, permanent=True, file=file)


def is_full(folder: str | os.PathLike[str], least_bytes: int = 1 << 17) -> bool:
    """Whether next to nothing can be written there any more."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize < least_bytes

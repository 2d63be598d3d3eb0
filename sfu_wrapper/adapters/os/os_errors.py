"""Operating system errors as failures of a job: a full disk, a limit reached, or any other."""

import errno
import os

from sfu_wrapper.model.errors import JobFailed

_FULL = {errno.ENOSPC, errno.EDQUOT}
_AT_A_LIMIT = {
    errno.EFBIG: "exceeds the limit of the length of a file",
    errno.EMFILE: "exceeds the limit of open files",
    errno.ENOMEM: "exceeds the limit of memory",
}


def refused(stage: str, error: OSError, *, file: str | None = None) -> JobFailed:
    """Return the failure of the job for an error of the system.

    Args:
        stage: stage of the job.
        error: the error.
        file: raw file that the work is about.
    """
    if error.errno in _FULL:
        return no_space(stage, str(error.filename or file or "the output"), file)
    if error.errno in _AT_A_LIMIT:
        return over_limit(stage, _AT_A_LIMIT[error.errno], file)
    about = error.filename or file
    detail = f"{about}: {error.strerror}" if about and error.strerror else str(error)
    return JobFailed(stage, "IO_ERROR", detail, permanent=False, file=file)


def no_space(stage: str, where: str, file: str | None = None) -> JobFailed:
    """Return the failure for a full disk; the worker starts no job until there is space."""
    detail = f"no space left for {where}: free some, then process the event again"
    return JobFailed(stage, "NO_SPACE", detail, permanent=False, file=file)


def over_limit(stage: str, why: str, file: str | None = None) -> JobFailed:
    """Return the permanent failure for a process that exceeded a limit valid input never reaches.

    Args:
        stage: stage of the job.
        why: the limit, as a predicate: "exceeds …".
        file: raw file that the work is about.
    """
    detail = f"the work on this input {why}; check the input"
    return JobFailed(stage, "LIMIT_EXCEEDED", detail, permanent=True, file=file)


def is_full(folder: str | os.PathLike[str], least_bytes: int = 1 << 17) -> bool:
    """Return True where fewer than ``least_bytes`` can still be written."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize < least_bytes

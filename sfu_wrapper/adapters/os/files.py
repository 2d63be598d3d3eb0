"""Small files of our own, written atomically and durably, relative to a folder's descriptor.

Operating system errors as failures of a job: a full disk, a limit reached, or any other.
"""

import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

from sfu_wrapper.adapters.os.beneath import FOLDER_MODE, open_file, sync
from sfu_wrapper.model.errors import JobCode, JobFailed, Stage

FILE_MODE: Final = 0o600

Result = TypeVar("Result")

_CHUNK_BYTES: Final = 1 << 20
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def read(folder: int, name: str) -> bytes | None:
    """Return the content of a file of ours; None where it does not exist.

    Raises:
        OSError: the system refuses access, or the name is not that of a plain file.
    """
    try:
        # ``write_exclusively`` leaves two names until it removes the temporary one.
        number = open_file(folder, name, single=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(number, "rb") as file:
        return file.read()


def write_whole(folder: int, name: str, content: bytes) -> None:
    """Write or replace a file, whole and durably or not at all. Raises OSError."""
    with written(folder, content) as temporary:
        rename(folder, temporary, folder, name)


def write_exclusively(folder: int, name: str, content: bytes) -> None:
    """Write a new file, whole or not at all. Raises FileExistsError where the name exists."""
    with written(folder, content) as temporary:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        sync(folder)


def rename(source: int, name: str, target: int, new_name: str) -> None:
    """Move a file between folders of one file system, durably. Raises OSError."""
    os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)
    sync(target)


@contextmanager
def written(folder: int, content: bytes) -> Iterator[str]:
    """Write content durably to a temporary name, removed after the block. Raises OSError."""
    name, number = _unused(lambda name: os.open(name, _NEW, FILE_MODE, dir_fd=folder))
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield name
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)


def make_private_folder(parent: int) -> str:
    """Make a new folder of our own in ``parent`` and return its name. Raises OSError."""
    return _unused(lambda name: os.mkdir(name, FOLDER_MODE, dir_fd=parent))[0]


def _unused(make: Callable[[str], Result]) -> tuple[str, Result]:
    """Call ``make`` with new random names until one is unused; return the name and the result."""
    while True:
        name = _temporary_name()
        with suppress(FileExistsError):
            return name, make(name)


def _temporary_name() -> str:
    return f"tmp{secrets.token_hex(8)}"


def digest(number: int) -> tuple[int, str]:
    """Return a file's length in bytes and its SHA-256 in hex. Raises OSError."""
    found, size = hashlib.sha256(), 0
    while chunk := os.pread(number, _CHUNK_BYTES, size):
        found.update(chunk)
        size += len(chunk)
    return size, found.hexdigest()


_FULL = {errno.ENOSPC, errno.EDQUOT}
_AT_A_LIMIT = {
    errno.EFBIG: "exceeds the limit of the length of a file",
    errno.EMFILE: "exceeds the limit of open files",
    errno.ENOMEM: "exceeds the limit of memory",
}


def refused(stage: Stage, error: OSError, *, file: str | None = None) -> JobFailed:
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
    return JobFailed(stage, JobCode.IO_ERROR, detail, permanent=False, file=file)


def no_space(stage: Stage, where: str, file: str | None = None) -> JobFailed:
    """Return the failure for a full disk; the worker starts no job until there is space."""
    detail = f"no space left for {where}: free some, then process the event again"
    return JobFailed(stage, JobCode.NO_SPACE, detail, permanent=False, file=file)


def over_limit(stage: Stage, why: str, file: str | None = None) -> JobFailed:
    """Return the permanent failure for a process that exceeded a limit valid input never reaches.

    Args:
        stage: stage of the job.
        why: the limit, as a predicate: "exceeds …".
        file: raw file that the work is about.
    """
    detail = f"the work on this input {why}; check the input"
    return JobFailed(stage, JobCode.LIMIT_EXCEEDED, detail, permanent=True, file=file)


def is_full(folder: str | os.PathLike[str], least_bytes: int = 1 << 17) -> bool:
    """Return True where fewer than ``least_bytes`` can still be written."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize < least_bytes

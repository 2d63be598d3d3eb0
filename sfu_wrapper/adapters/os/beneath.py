"""Open files and folders below a folder, and nothing outside of it.

Every name is resolved relative to a descriptor of its folder, without following a link on the way:
in one step where the kernel has ``openat2`` (Linux 5.6), elsewhere by an equivalent walk from
descriptor to descriptor. The checks use the same descriptor that the caller then reads, so that
replacing a file or a folder in between has no effect.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

FOLDER_MODE: Final = 0o700

_SYS_OPENAT2: Final = 437  # the same on every architecture
_NO_MAGIC_LINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_UNKNOWN: Final = (errno.ENOSYS, errno.EPERM)  # an old kernel, or a filter that knows only that
_RACES: Final = 16  # a rename somewhere in the system can make one attempt void
_PATH_ONLY: Final = os.O_PATH | os.O_CLOEXEC
_FOLDER: Final = _PATH_ONLY | os.O_DIRECTORY
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # a FIFO must not block

_libc = ctypes.CDLL(None, use_errno=True)


class UnsafeFile(OSError):
    """A name leads out of its folder, or to something that is not a plain file.

    ``strerror`` completes a sentence that begins with the name.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(errno.ELOOP, why, name)


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def parts_of(name: str) -> tuple[str, ...]:
    """Split a relative name. Raises UnsafeFile where it could lead anywhere but down."""
    parts = tuple(name.split("/"))
    if "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise UnsafeFile(name, "is not a name below its folder")
    return parts


@contextmanager
def opened_folder(path: Path) -> Iterator[int]:
    """Open a folder that the operator configures; links in its path are followed.

    Raises:
        OSError: the folder does not exist, or access is denied.
    """
    number = os.open(path, _FOLDER)
    try:
        yield number
    finally:
        os.close(number)


@contextmanager
def opened_beneath(root: int, parts: Sequence[str], *, make: bool = False) -> Iterator[int]:
    """Open a folder below another one.

    Args:
        root: descriptor of the upper folder.
        parts: names of the folders below it, outermost first.
        make: make missing folders.

    Raises:
        UnsafeFile: one of the names is a link.
        OSError: the folder does not exist, or the system refuses access.
    """
    try:
        number = _open_folder(root, parts)
    except FileNotFoundError:
        if not make:
            raise
        _make_folders(root, parts)
        number = _open_folder(root, parts)
    try:
        yield number
    finally:
        os.close(number)


def open_file(root: int, name: str, *, single: bool = True, write: bool = False) -> int:
    """Open a plain file below ``root`` for reading; the caller closes the descriptor.

    Args:
        root: descriptor of the folder.
        name: path relative to it.
        single: refuse a file that has further names (hard links).
        write: open for writing as well.

    Raises:
        UnsafeFile: the name leads out of the folder, or to something that is not a plain file.
        FileNotFoundError, NotADirectoryError: the file does not exist.
        OSError: the system refuses access.
    """
    number = _open(root, parts_of(name), _READ | os.O_RDWR if write else _READ)
    try:
        require_plain(number, name, single=single)
    except BaseException:
        os.close(number)
        raise
    return number


def open_plain(path: Path, *, write: bool = False) -> int:
    """Open a regular file by its path; the last name may not be a link.

    The caller closes the descriptor. Raises as ``open_file``.

    Args:
        path: path of the file.
        write: open for writing as well.
    """
    with opened_folder(path.parent) as folder:
        return open_file(folder, path.name, write=write)


def require_plain(number: int, name: str, *, single: bool = True) -> os.stat_result:
    """Return the status of an open descriptor. Raises UnsafeFile where it is no plain file."""
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode):
        raise UnsafeFile(name, "is not a regular file")
    if single and found.st_nlink > 1:
        raise UnsafeFile(name, "has more than one name (hard links)")
    return found


def size_of(root: int, name: str) -> int:
    """Return a plain file's length in bytes without opening its data. Raises as ``open_file``."""
    number = _open(root, parts_of(name), _PATH_ONLY)
    try:
        return require_plain(number, name).st_size
    finally:
        os.close(number)


def names_in(folder: int) -> list[str]:
    """Return the sorted names in a folder; an O_PATH descriptor is enough. Raises OSError."""
    number = _readable(folder)
    try:
        return sorted(os.listdir(number))  # noqa: PTH208 - a descriptor has no path
    finally:
        os.close(number)


def each_name(folder: int) -> Iterator[str]:
    """Yield the names in a folder, unsorted and without holding all of them. Raises OSError."""
    number = _readable(folder)
    try:
        with os.scandir(number) as entries:
            for entry in entries:
                yield entry.name
    finally:
        os.close(number)


def sync(folder: int) -> None:
    """Make changes of a folder's entries durable; an O_PATH descriptor is enough."""
    number = _readable(folder)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _readable(folder: int) -> int:
    return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)


def _open_folder(root: int, parts: Sequence[str]) -> int:
    return _open(root, parts, _FOLDER) if parts else os.dup(root)


def _make_folders(root: int, parts: Sequence[str]) -> None:
    for depth, part in enumerate(parts):
        with opened_beneath(root, parts[:depth]) as parent:
            try:
                os.mkdir(part, FOLDER_MODE, dir_fd=parent)
            except FileExistsError:
                continue
            sync(parent)


def _open(root: int, parts: Sequence[str], flags: int) -> int:
    """Open a name. Raises UnsafeFile for a link on the way, OSError for anything else."""
    name = "/".join(parts)
    parts_of(name)
    for _ in range(_RACES):
        number = _openat2(root, name, flags)
        if number >= 0:
            return number
        code = ctypes.get_errno()
        if code in _UNKNOWN:
            return _walk(root, parts, flags)
        if code != errno.EAGAIN:
            break
    if code in (errno.ELOOP, errno.EXDEV):
        raise UnsafeFile(name, "leads over a link")
    raise OSError(code, os.strerror(code), name)


def _openat2(root: int, name: str, flags: int) -> int:
    how = _OpenHow(flags, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGIC_LINKS)
    encoded = os.fsencode(name)
    found: int = _libc.syscall(_SYS_OPENAT2, root, encoded, ctypes.byref(how), ctypes.sizeof(how))
    return found


def _walk(root: int, parts: Sequence[str], flags: int) -> int:
    """Resolve as ``_openat2`` does, one component after the other, none of them a link."""
    folder = os.dup(root)
    try:
        for part in parts[:-1]:
            folder, before = _step(folder, part, _FOLDER), folder
            os.close(before)
        return _step(folder, parts[-1], flags)
    finally:
        os.close(folder)


def _step(folder: int, part: str, flags: int) -> int:
    try:
        number = os.open(part, flags | os.O_NOFOLLOW, dir_fd=folder)
    except OSError as exc:
        if exc.errno == errno.ELOOP or _is_link(folder, part):
            raise UnsafeFile(part, "leads over a link") from exc
        raise
    if stat.S_ISLNK(os.fstat(number).st_mode):  # with O_PATH the link itself is opened
        os.close(number)
        raise UnsafeFile(part, "leads over a link")
    return number


def _is_link(folder: int, part: str) -> bool:
    with suppress(OSError):
        return stat.S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode)
    return False

"""Landlock: the calling thread and its children give up access to files and TCP ports.

Three system calls (Linux 5.13); access rights that an older kernel does not know are left out.
Rules name the folders and files that stay accessible. Descriptors that are already open stay
usable. See the kernel's "Landlock: unprivileged access control".
"""

import ctypes
import os
import stat
from collections.abc import Sequence
from typing import Final

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every architecture
_VERSION: Final = 1  # flag of the first one
_RULE_PATH_BENEATH: Final = 1

_EXECUTE, _WRITE, _READ, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_FILE = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_TRUNCATE: Final = 1 << 14
_BY_VERSION: Final = ((1, 1 << 13), (2, 1 << 14), (3, 1 << 15), (5, 1 << 16))  # all rights below
_TCP: Final = 3  # bind and connect, from version 4 on
_SCOPES: Final = 3  # abstract sockets and signals of others, from version 6 on
_OF_FILES: Final = _EXECUTE | _WRITE | _READ | _TRUNCATE  # the kernel refuses others on a file

READ: Final = _READ | _READ_DIR
RUN: Final = READ | _EXECUTE
# No links, no devices, no sockets, no pipes; no moving between folders either.
WORK: Final = READ | _WRITE | _TRUNCATE | _MAKE_FILE | _MAKE_DIR | _REMOVE_FILE | _REMOVE_DIR

_libc = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _layout_ = "ms"  # of two fields without padding: the same in all layouts; Python 3.14 asks
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """Return the version of the kernel's interface. Raises OSError where it has or allows none."""
    return _call(_CREATE, None, 0, _VERSION)


def restrict(rules: Sequence[tuple[str, int]]) -> int:
    """Deny all access that these rules do not allow, irrevocably.

    The caller has set ``PR_SET_NO_NEW_PRIVS`` before.

    Args:
        rules: paths of files and folders, with the access allowed there and below: ``READ``,
            ``RUN`` or ``WORK``. Paths that do not exist are ignored.

    Returns:
        The version of the kernel's interface.

    Raises:
        OSError: the kernel does not support or allow Landlock; nothing is restricted then.
    """
    found = version()
    handled = next(top - 1 for least, top in reversed(_BY_VERSION) if found >= least)
    attributes = _Ruleset(handled, _TCP if found >= 4 else 0, _SCOPES if found >= 6 else 0)
    size = 24 if found >= 6 else 16 if found >= 4 else 8
    ruleset = _call(_CREATE, ctypes.byref(attributes), size, 0)
    try:
        for path, allowed in rules:
            _add(ruleset, path, allowed & handled)
        _call(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)
    return found


def _add(ruleset: int, path: str, allowed: int) -> None:
    try:
        number = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # without a rule there is no access
    try:
        if not stat.S_ISDIR(os.fstat(number).st_mode):
            allowed &= _OF_FILES
        rule = _PathBeneath(allowed, number)
        _call(_ADD, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(number)


def _call(number: int, *arguments: object) -> int:
    found: int = _libc.syscall(number, *arguments)
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found

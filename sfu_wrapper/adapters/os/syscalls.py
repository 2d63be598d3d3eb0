"""A filter of system calls (seccomp): no network, no namespaces, no access to other processes.

The list is short: calls that no media process needs. It is compiled to BPF here, because each
maintained library for that needs a compiler to be installed (architecture.md,
"Libraries, and why these"). Forbidden calls fail with EPERM, as if the system had denied them.
"""

import ctypes
import errno
import os
import platform
import struct
from typing import Final

_SECCOMP: Final = {"x86_64": 317, "aarch64": 277}
_SET_FILTER: Final = 1
_SPEED: Final = 1 << 2  # keep kernels before 5.16 from slowing the processor down for it
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_JUMP_EQUAL, _JUMP_GREATER, _JUMP_BITS = 0x15, 0x35, 0x45
_KILL, _ERROR, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_AT_NUMBER, _AT_ARCHITECTURE, _AT_FIRST_ARGUMENT, _AT_SECOND_ARGUMENT = 0, 4, 16, 24
_OTHER_ABI: Final = 0x40000000  # x32 calls have this bit
_NEW_NAMESPACES: Final = 0x7E020000  # every CLONE_NEW… that clone knows
_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN: Final = {"x86_64": 0, "aarch64": 1}

_FORBIDDEN: Final = {
    # Sockets: a process communicates over those that are open already.
    "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    # Ways around this filter and around Landlock.
    "io_uring_setup": (425, 425), "io_uring_register": (427, 427), "bpf": (321, 280),
    "unshare": (272, 97), "setns": (308, 268), "chroot": (161, 51), "pivot_root": (155, 41),
    "mount": (165, 40), "umount2": (166, 39), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsmount": (432, 432), "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    # Other processes, and leaving the group that is killed with this one.
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "setsid": (112, 157), "setpgid": (109, 154),
    # Parts of the kernel with a history of vulnerabilities.
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "kexec_load": (246, 104),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
}  # fmt: skip
_SOCKET, _CLONE, _CLONE3 = (41, 198), (56, 220), (435, 435)
_LOCAL, _STREAM, _TYPE = 1, 1, 0xF  # AF_UNIX, SOCK_STREAM, and the mask of the socket type


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


_libc = ctypes.CDLL(None, use_errno=True)


def forbid() -> None:
    """Forbid these calls to the calling thread and its children, irrevocably.

    The caller has set ``PR_SET_NO_NEW_PRIVS`` before.

    Raises:
        OSError: the kernel does not allow a filter, or there is no list for this architecture.
    """
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no list of system calls for {machine}")
    code = _code(_ARCHITECTURES[machine], _COLUMN[machine])
    program = _Program(len(code) // 8, code)
    if _libc.syscall(_SECCOMP[machine], _SET_FILTER, _SPEED, ctypes.byref(program)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _code(architecture: int, column: int) -> bytes:
    """Return the filter in classic BPF.

    The two numbers of a jump are the instructions to skip if the condition holds, and if not.
    """
    refuse, unknown = _ERROR | errno.EPERM, _ERROR | errno.ENOSYS
    steps = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _AT_NUMBER),
        (_JUMP_GREATER, 0, 1, _OTHER_ABI),
        (_RETURN, 0, 0, refuse),
        # The flags of clone3 are in memory that a filter cannot read: libraries fall back to clone.
        (_JUMP_EQUAL, 0, 1, _CLONE3[column]),
        (_RETURN, 0, 0, unknown),
    ]
    for numbers in _FORBIDDEN.values():
        steps += [(_JUMP_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, refuse)]
    steps += [
        # gpg looks for an agent: it tolerates a failing connect(), but not a failing socket().
        (_JUMP_EQUAL, 0, 7, _SOCKET[column]),
        (_LOAD, 0, 0, _AT_FIRST_ARGUMENT),
        (_JUMP_EQUAL, 0, 4, _LOCAL),
        (_LOAD, 0, 0, _AT_SECOND_ARGUMENT),
        (_AND, 0, 0, _TYPE),
        (_JUMP_EQUAL, 0, 1, _STREAM),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, refuse),
        (_JUMP_EQUAL, 0, 3, _CLONE[column]),
        (_LOAD, 0, 0, _AT_FIRST_ARGUMENT),
        (_JUMP_BITS, 0, 1, _NEW_NAMESPACES),
        (_RETURN, 0, 0, refuse),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)

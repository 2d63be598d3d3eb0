"""Confinement of processes that read untrusted files: own files only, no network, no privileges.

``enter`` is for a process that starts others and has no threads: no new privileges, no
capabilities, an empty network namespace. ``restrict`` is for the process that does the work, before
it reads anything or starts a thread: Landlock, which holds for the calling thread and its children,
and a filter of system calls. Both leave out what the system does not allow, and report it; the
caller then calls ``demand``, which raises if the policy requires more.
"""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from errno import EPERM
from pathlib import Path
from typing import Final, Literal

from sfu_wrapper.adapters.os import landlock, syscalls
from sfu_wrapper.adapters.os.landlock import READ, RUN, WORK

Policy = Literal["require", "prefer", "off"]
Rule = tuple[str, int]

SYSTEM: Final[tuple[Rule, ...]] = (
    *((folder, RUN) for folder in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")),
    *((f"/etc/{name}", READ) for name in ("ld.so.cache", "localtime", "ssl/openssl.cnf", "gcrypt")),
    ("/dev/null", WORK),
    ("/dev/urandom", READ),
)
"""The files that any program of the system needs to run."""

_ROOT: Final = Path(__file__).parents[3]
_PROBE_S: Final = 20.0
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 24, 38, 47
_AMBIENT_CLEAR: Final = 4
_CAPABILITY_VERSION: Final = 0x20080522
_READ_ANY_FILE: Final = 1  # CAP_DAC_OVERRIDE
_MOST_CAPABILITIES: Final = 64
_NEW_IPC, _NEW_USER, _NEW_NET = 0x08000000, 0x10000000, 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


class Unconfined(OSError):
    """The system does not allow what the configuration demands."""


@dataclass(frozen=True, slots=True)
class Confinement:
    """The confinement in force for a process.

    Attributes:
        files: mechanisms that restrict access to files.
        network: mechanisms that block the network.
        privileges: mechanisms that prevent the process from gaining privileges.
        refused: mechanisms that the system did not allow, each with the reason.
    """

    files: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    privileges: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    def __add__(self, other: "Confinement") -> "Confinement":
        return Confinement(
            self.files + other.files,
            self.network + other.network,
            self.privileges + other.privileges,
            self.refused + other.refused,
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the aspects that no mechanism protects."""
        kept = (("files", self.files), ("network", self.network), ("privileges", self.privileges))
        return tuple(name for name, means in kept if not means)


@dataclass(frozen=True, slots=True)
class Fence:
    """Confinement of a program to be started.

    Attributes:
        policy: ``require`` fails, ``prefer`` continues where a mechanism is missing; ``off``: no
            confinement.
        rules: paths that stay accessible, with the access rights.
    """

    policy: Policy = "off"
    rules: tuple[Rule, ...] = field(default=())

    def text(self) -> str:
        """Return the fence as a command line argument, for ``fence_of``."""
        return json.dumps(asdict(self))


def enter() -> Confinement:
    """Confine this process and its children irrevocably, as far as the system allows."""
    refused: list[str] = []
    network = ("network namespace",) if _attempt("namespaces", _leave_network, refused) else ()
    privileges: tuple[str, ...] = ()
    if _attempt("no_new_privs", _give_up_privileges, refused):
        privileges = ("no new privileges",)
    if _attempt("capabilities", _drop_capabilities, refused):
        privileges += ("no capabilities",)
    return Confinement(network=network, privileges=privileges, refused=tuple(refused))


def restrict(rules: Sequence[Rule]) -> Confinement:
    """Confine the calling thread and its children to these files, without sockets, irrevocably."""
    refused: list[str] = []
    files: tuple[str, ...] = ()
    network: tuple[str, ...] = ()
    if _attempt("Landlock", lambda: landlock.restrict(rules), refused):
        files = (f"Landlock {landlock.version()}",)
    if _attempt("system call filter", syscalls.forbid, refused):
        network = ("system call filter",)
    return Confinement(files=files, network=network, refused=tuple(refused))


def demand(policy: Policy, found: Confinement) -> None:
    """Check the confinement in force. Raises Unconfined where the policy requires more."""
    if policy == "require" and found.missing:
        why = "; ".join(found.refused)
        text = f"nothing keeps the {' and the '.join(found.missing)} of media processes ({why})"
        raise Unconfined(EPERM, text)


def confine(fence: Fence) -> None:
    """Confine this process, just before it executes another program. Raises Unconfined."""
    if fence.policy != "off":
        demand(fence.policy, enter() + restrict(fence.rules))


def fence_of(text: str) -> Fence:
    """Return the fence that ``Fence.text`` encoded."""
    given = json.loads(text)
    return Fence(given["policy"], tuple((path, allowed) for path, allowed in given["rules"]))


def alone(code: str) -> list[str]:
    """Return the command of an isolated Python that runs ``code`` with our modules only.

    Without site-packages it starts fast, and the caller's environment cannot change what runs.
    """
    own = f"import sys; sys.path.insert(0, {str(_ROOT)!r}); {code}"
    return [sys.executable, "-I", "-S", "-c", own]


def probe() -> Confinement:
    """Return the confinement that this system allows, tried in a child process.

    Blocks. Raises OSError.
    """
    command = alone(f"from {__name__} import main; main()")
    try:
        done = subprocess.run(  # noqa: S603 - a list, no shell
            command, capture_output=True, check=True, timeout=_PROBE_S
        )
    except subprocess.SubprocessError as exc:
        raise OSError(str(exc)) from exc
    return Confinement(**{name: tuple(means) for name, means in json.loads(done.stdout).items()})


def main() -> None:
    """Confine this process and print the result as JSON."""
    print(json.dumps(asdict(enter() + restrict(()))))


def _attempt(what: str, act: Callable[[], object], refused: list[str]) -> bool:
    try:
        act()
    except OSError as exc:
        refused.append(f"{what}: {exc.strerror}")
        return False
    return True


def _leave_network() -> None:
    """Enter a network without devices; an ordinary user needs a new user namespace for that."""
    if os.geteuid() == 0:  # in a user namespace root could no longer read the files of others
        _unshare(_NEW_NET | _NEW_IPC)
        return
    # If only the user namespace were allowed we would stay in it as user "nobody": try in a child.
    pid = os.fork()
    if pid == 0:
        code = 0
        try:
            _be_alone()
        except OSError as exc:
            code = exc.errno or EPERM
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if status:
        code = os.waitstatus_to_exitcode(status)
        raise OSError(code, os.strerror(code))
    _be_alone()


def _be_alone() -> None:
    user, group = os.geteuid(), os.getegid()
    _unshare(_NEW_USER | _NEW_NET | _NEW_IPC)
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        number = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(number, content.encode())
        finally:
            os.close(number)


def _unshare(flags: int) -> None:
    _call(_libc.unshare(flags))


def _give_up_privileges() -> None:
    _call(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def _drop_capabilities() -> None:
    """Drop all capabilities; root keeps CAP_DAC_OVERRIDE, as its folders may be another user's."""
    kept = 1 << _READ_ANY_FILE if os.geteuid() == 0 else 0
    for capability in range(_MOST_CAPABILITIES):
        if not kept >> capability & 1:
            with suppress(OSError):  # unknown to this kernel, or not permitted to drop
                _call(_libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0))
    with suppress(OSError):  # unknown before Linux 4.3
        _call(_libc.prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR, 0, 0, 0))
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    held = (ctypes.c_uint32 * 6)()
    _call(_libc.capget(header, held))
    keep = held[1] & kept
    _call(_libc.capset(header, (ctypes.c_uint32 * 6)(keep, keep, 0, 0, 0, 0)))


def _call(result: int) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))

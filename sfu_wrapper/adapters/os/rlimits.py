"""Resource limits of processes that read untrusted files, and their end with their parent.

A process imposes the limits on itself before it reads anything; its children inherit them.
``command`` returns the command line of a process that confines itself in this way, and to what a
fence leaves open, and then executes another program. Linux only. The module imports very little,
since it runs before each such program.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sfu_wrapper.adapters.os.confinement import Fence, alone, confine, fence_of

_PR_SET_PDEATHSIG: Final = 1
_GRACE_S: Final = 5  # of processor time between the signal that can be named and SIGKILL


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one process.

    Attributes:
        memory_bytes: private writable memory; files mapped into memory are not counted.
        cpu_s: processor time of all threads, seconds.
        file_bytes: length of the longest file that it writes.
        files: number of open descriptors.
    """

    memory_bytes: int = 2 << 30
    cpu_s: int = 3600
    file_bytes: int = 1 << 40
    files: int = 256

    def for_child_of(self, parent: int) -> str:
        """Return the limits as text for ``impose``, to be passed to a child of that process."""
        return json.dumps(asdict(self) | {"parent": parent})


def impose(text: str) -> None:
    """Impose these limits on this process, and end it when the parent named in them ends."""
    given = json.loads(text)
    end_with(given.pop("parent"))
    limits = Limits(**given)
    _limit(resource.RLIMIT_DATA, limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.cpu_s, limits.cpu_s + _GRACE_S)
    _limit(resource.RLIMIT_FSIZE, limits.file_bytes)
    _limit(resource.RLIMIT_NOFILE, limits.files)
    _limit(resource.RLIMIT_CORE, 0)  # a core dump would hold what is about to be encrypted


def command(limits: Limits, program: Sequence[str], fence: Fence | None = None) -> list[str]:
    """Return the command that runs ``program`` confined."""
    own = limits.for_child_of(os.getpid()), (fence or Fence()).text()
    return [*alone(f"from {__name__} import main; main()"), *own, *program]


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    _, ceiling = resource.getrlimit(kind)
    wanted = soft if hard is None else hard
    hard = wanted if ceiling == resource.RLIM_INFINITY else min(wanted, ceiling)
    resource.setrlimit(kind, (min(soft, hard), hard))


def end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent, of that id, ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # the parent ended before the call
        os._exit(1)


def main() -> None:
    """Execute a program, confined. Raises OSError where it cannot be run, or be confined."""
    _, limits, fence, *program = sys.argv
    confine(fence_of(fence))
    impose(limits)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it; other programs do not
    os.execvp(program[0], program)  # noqa: S606 - a list, no shell

"""What a process that reads other people's files may use up, and that it ends with its parent.

Imposed by the process on itself, before it reads anything; limits are handed on to whatever it
starts. ``command`` gives the command line of a process that confines itself so, and to what a fence
leaves open, and becomes another program. Linux alone knows all of it; it imports next to nothing,
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
    """memory_bytes: of its own writable memory; what it maps of files is not counted.

    cpu_s: processor time of all its threads. file_bytes: of the longest file that it writes.
    files: open at once.
    """

    memory_bytes: int = 2 << 30
    cpu_s: int = 3600
    file_bytes: int = 1 << 40
    files: int = 256

    def for_child_of(self, parent: int) -> str:
        """As a text for ``impose``, which the child of that process is handed."""
        return json.dumps(asdict(self) | {"parent": parent})


def impose(text: str) -> None:
    """Impose these limits on this process, and end it when its parent, who is named there, does."""
    given = json.loads(text)
    end_with(given.pop("parent"))
    limits = Limits(**given)
    _limit(resource.RLIMIT_DATA, limits.memory_bytes)
    _limit(resource.RLIMIT_CPU, limits.cpu_s, limits.cpu_s + _GRACE_S)
    _limit(resource.RLIMIT_FSIZE, limits.file_bytes)
    _limit(resource.RLIMIT_NOFILE, limits.files)
    _limit(resource.RLIMIT_CORE, 0)  # a core dump would hold what is about to be encrypted


def command(limits: Limits, program: Sequence[str], fence: Fence | None = None) -> list[str]:
    """What to execute so that ``program`` runs confined."""
    own = limits.for_child_of(os.getpid()), (fence or Fence()).text()
    return [*alone(f"from {__name__} import main; main()"), *own, *program]


def _limit(kind: int, soft: int, hard: int | None = None) -> None:
    _, ceiling = resource.getrlimit(kind)
    wanted = soft if hard is None else hard
    hard = wanted if ceiling == resource.RLIM_INFINITY else min(wanted, ceiling)
    resource.setrlimit(kind, (min(soft, hard), hard))


def end_with(parent: int) -> None:
    """End this process when that one, its parent, does; even where neither can do any more."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it went before that
        os._exit(1)


def main() -> None:
    """Become that program, confined. Raises OSError where it cannot be run, or be confined."""
    _, limits, fence, *program = sys.argv
    confine(fence_of(fence))
    impose(limits)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python's own choice is not everybody's
    os.execvp(program[0], program)  # noqa: S606 - a list, no shell

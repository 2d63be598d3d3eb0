"""Limits of the process of one task: its resources, and the files that it may access.

Resources are proportional to the input and well above normal use. Files and folders are those of
the task; everything else stays inaccessible to the process.
"""

import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from functools import cache
from math import ceil
from pathlib import Path
from typing import Final, assert_never

from sfu_wrapper.adapters.media.tasks import (
    Compose,
    CopyVideo,
    MeasureAudio,
    Preprocess,
    Task,
    WriteAudio,
)
from sfu_wrapper.adapters.os.confinement import SYSTEM, Rule
from sfu_wrapper.adapters.os.landlock import READ, RUN, WORK
from sfu_wrapper.adapters.os.rlimits import Limits
from sfu_wrapper.core.plan import AUDIO_BITS_PER_S, VIDEO_BITS_PER_S

MAX_MEMORY_BYTES: Final = 2 << 30  # nine streams take a quarter of it
_SPARE_BYTES: Final = 64 << 20
_SPARE_FILES: Final = 64
# Sixteen times what a finished file of the highest quality takes.
_BYTES_PER_S: Final = 2 * (max(VIDEO_BITS_PER_S.values()) + AUDIO_BITS_PER_S)


def limits_of(task: Task, timeout_s: float, raw: Sequence[int]) -> Limits:
    """Return the resource limits for the process of a task.

    Args:
        task: the task.
        timeout_s: limit of wall time; processor time is limited to that on every core.
        raw: descriptors of the raw files that it reads.
    """
    raw_bytes = sum(os.fstat(number).st_size for number in raw)
    return Limits(
        memory_bytes=MAX_MEMORY_BYTES,
        cpu_s=ceil(timeout_s) * (os.cpu_count() or 1),
        file_bytes=_SPARE_BYTES + _expected_bytes(task, raw_bytes),
        files=max(Limits().files, _SPARE_FILES + len(raw)),
    )


def _expected_bytes(task: Task, raw_bytes: int) -> int:
    match task:
        case Preprocess():
            return 2 * raw_bytes
        case CopyVideo(source=prepared):
            return 2 * _size(prepared.path)
        case Compose(plan=plan):
            return plan.duration_us * _BYTES_PER_S // 1_000_000
        case WriteAudio(duration_us=duration_us):
            return duration_us * _BYTES_PER_S // 1_000_000
        case MeasureAudio():
            return 0
    assert_never(task)


def _size(path: Path) -> int:
    """Return the length of a file; 0 where it is missing, as the task itself reports that."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


_LIBRARIES: Final = ("stdlib", "platstdlib")
_OF_PREFIX: Final = ("bin", "lib", "lib64", "libexec")


def rules_of(task: Task) -> tuple[Rule, ...]:
    """Return the rules for a task: its work folder, its converted inputs, and code.

    Raw files need no rule, as the process gets them as open descriptors. The folder of results is
    made where it is missing.
    """
    match task:
        case Preprocess(target_dir=target_dir, program=program):
            target_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            return (*code(), (str(target_dir), WORK), *_program(program))
        case MeasureAudio():
            return code()
        case Compose(plan=plan, target=target, poster=poster):
            folders = {target.parent} if poster is None else {target.parent, poster.parent}
            read = ((source.path, READ) for source in plan.sources)
            return (*code(), *read, *((str(folder), WORK) for folder in folders))
        case CopyVideo(source=source, target=target):
            return (*code(), (str(source.path), READ), (str(target.parent), WORK))
        case WriteAudio(target=target):
            return (*code(), (str(target.parent), WORK))
    assert_never(task)


@cache
def code() -> tuple[Rule, ...]:
    """Return rules for Python's own modules and for the packages loaded so far.

    Packages load some of their modules on first use. The search takes longer than a fork, so the
    result is cached and inherited by forks.
    """
    folders = {sysconfig.get_path(name) for name in _LIBRARIES}
    for name, module in tuple(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and "." not in name and hasattr(module, "__path__"):
            folders.add(str(Path(file).parent))
    return tuple((folder, READ) for folder in sorted(folders))


def _program(name: str | None) -> tuple[Rule, ...]:
    """Return rules for another program, wherever it is installed."""
    if name is None:
        return ()
    found = Path(shutil.which(name) or name).resolve()
    prefix = found.parent.parent
    own = [prefix / kind for kind in _OF_PREFIX] if found.parent.name == "bin" else [found]
    return (*SYSTEM, *((str(path), RUN) for path in own))

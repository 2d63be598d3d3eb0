"""Resource limits of a media process: proportional to its input, and well above normal use."""

import os
from collections.abc import Sequence
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
from sfu_wrapper.adapters.os.rlimits import Limits

MAX_MEMORY_BYTES: Final = 2 << 30  # nine streams take a quarter of it
_SPARE_BYTES: Final = 64 << 20
_SPARE_FILES: Final = 64
_BYTES_PER_S: Final = 1 << 20  # of a finished file: ten times the highest quality


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

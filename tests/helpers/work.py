"""Work counted instead of timed: calls of functions, the same on every machine."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import TraceFunction


def calls_of(deed: Callable[[], object]) -> int:
    """Return how many calls of functions, ours and built-in ones, it takes."""
    count = 0

    def note(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        deed()
    finally:
        sys.setprofile(None)
    return count


def lines_run(work: Callable[[], object]) -> int:
    """Count the lines of Python that some work runs: the same on every machine."""
    count = 0

    def trace(_: FrameType, event: str, __: object) -> "TraceFunction":
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count

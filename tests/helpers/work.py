"""Work counted instead of timed: calls of functions, the same on every machine."""

import sys
from collections.abc import Callable


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

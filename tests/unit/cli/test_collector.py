"""Garbage collections that look at what is new, and find the cycles of what is old in the end."""

import gc
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sfu_wrapper.app.collector import Collector


class Node:
    """Something that refers to itself."""

    def __init__(self) -> None:
        self.itself = self


@contextmanager
def looked_at() -> Iterator[list[int]]:
    """How many objects each collection of everything looks at."""
    found: list[int] = []

    def note(phase: str, info: dict[str, Any]) -> None:
        if phase == "start" and info["generation"] == 2:
            found.append(len(gc.get_objects()))

    gc.callbacks.append(note)
    try:
        yield found
    finally:
        gc.callbacks.remove(note)


def test_what_is_there_at_the_start_is_left_out_of_garbage_collections() -> None:
    before = gc.get_freeze_count()
    with Collector():
        assert gc.get_freeze_count() > before + 10_000
    assert gc.get_freeze_count() == 0


def test_a_collection_looks_at_no_more_however_much_there_is() -> None:
    with Collector(), looked_at() as sizes:
        kept = [[number] for number in range(400_000)]

    assert len(kept) == 400_000
    assert len(sizes) > 10
    assert max(sizes) < 20_000


def test_what_was_set_aside_is_not_walked_over_to_be_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    walks: list[int] = []

    def walk() -> int:
        walks.append(len(walks))
        return 0

    monkeypatch.setattr(gc, "get_freeze_count", walk)
    with Collector(count_every=1), looked_at() as sizes:
        kept = [[number] for number in range(400_000)]

    assert len(kept) == 400_000
    assert len(sizes) > 10
    assert walks == []


# In a process of its own: the interpreter puts collections off until a quarter of what the last one
# kept has been made again, which is most of the heap of a long test run.
_CYCLES = """
import weakref
from sfu_wrapper.app.collector import Collector
from tests.unit.cli.test_collector import Node

ends = []
with Collector(growth=10_000, count_every=2):
    for _ in range(10):
        nodes = [Node() for _ in range(20_000)]
        ends += [weakref.ref(node) for node in nodes[::200]]
        del nodes
print(sum(end() is not None for end in ends), len(ends))
"""


def test_cycles_that_were_set_aside_do_not_pile_up() -> None:
    printed = subprocess.run(
        [sys.executable, "-c", _CYCLES], check=True, capture_output=True, text=True, timeout=60
    ).stdout

    kept, made = map(int, printed.split())
    assert made == 1000
    assert kept < made // 2


def test_collections_are_as_before_when_it_ends() -> None:
    before = gc.get_threshold(), list(gc.callbacks)
    with Collector():
        assert gc.get_threshold() != before[0]
    assert (gc.get_threshold(), gc.callbacks) == before

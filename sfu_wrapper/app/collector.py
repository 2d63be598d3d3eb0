"""Garbage collections of a controller, kept short.

A full collection visits every object, some 120 of them a connection, and blocks all clients for a
tenth of a second at 1,000 connections; floods of connections make full collections frequent. So the
survivors of each collection are frozen, and the next one skips them. A frozen object is still freed
once no reference to it is left; cycles among frozen objects are collected only after much growth.
"""

import gc
import sys
from typing import Any, Self

_NEW = 700  # objects made and not freed between two collections of the newest: Python's own
_YOUNG = 2  # of these until the next of the young
_OLD = 1  # of those until the next of everything: some 4,200 objects, 3 ms
_GROWTH = 1_000_000  # blocks of memory since the last collection of all objects, 70 MB
_COUNT_EVERY = 16  # collections; counting takes a millisecond with 100 MB in use


class Collector:
    """Freezes the survivors of each collection, in the whole process, while the context lasts.

    Args:
        growth: growth in blocks of memory, about two an object, before cycles among frozen objects
            are collected; their number since the start must also have doubled.
        count_every: number of collections between two counts of the blocks.
    """

    def __init__(self, growth: int = _GROWTH, count_every: int = _COUNT_EVERY) -> None:
        self._growth = growth
        self._count_every = count_every
        self._collections = 0
        self._at_start = 0  # blocks
        self._blocks = 0  # at the last collection of all objects
        self._next_is_of_all = False  # the next collection visits all objects
        self._before = gc.get_threshold()

    def __enter__(self) -> Self:
        """Freeze all existing objects: modules, and the initial state of a controller."""
        gc.collect()
        gc.freeze()
        gc.collect()  # resets the interpreter's count of survivors, now none
        self._at_start = self._blocks = _blocks()
        gc.set_threshold(_NEW, _YOUNG, _OLD)
        gc.callbacks.append(self._collected)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the previous thresholds and unfreeze all objects."""
        gc.callbacks.remove(self._collected)
        gc.set_threshold(*self._before)
        gc.unfreeze()

    def _collected(self, phase: str, info: dict[str, Any]) -> None:
        """Freeze the survivors, or unfreeze everything for the next collection."""
        if phase != "stop" or info["generation"] != 2:  # the oldest
            return
        gc.freeze()
        self._collections += 1
        if self._next_is_of_all:
            self._next_is_of_all = False
            self._blocks = _blocks()
        elif self._collections % self._count_every == 0 and self._has_grown():
            self._next_is_of_all = True
            gc.unfreeze()

    def _has_grown(self) -> bool:
        """Return True once enough was made and kept to justify a visit of all objects."""
        made = self._blocks - self._at_start
        return _blocks() - self._blocks >= max(self._growth, made)


def _blocks() -> int:
    """Return the number of blocks of memory in use, by adding up those of each pool.

    The number of frozen objects would be found by a walk over all of them, in 30 ms for a million.
    An interpreter that keeps no pools has to walk.
    """
    return sys.getallocatedblocks() or gc.get_freeze_count()

"""Garbage collections that hold nobody up: each looks at what is new, not at all that there is.

A full collection walks every object, some 120 of them a connection, and nobody is answered
meanwhile: a tenth of a second at 1,000 connections. Floods of connections make them frequent. Here
what a collection found alive is set aside, so that the next one does not look at it. What is set
aside is still freed as soon as nothing refers to it; cycles in it are looked for once it has grown
by very much.
"""

import gc
from typing import Any, Self

_NEW = 700  # objects made and not freed between two collections of the newest: Python's own
_YOUNG = 5  # of these until the next of the young
_OLD = 2  # of those until the next of everything: some 13,000 objects
_GROWTH = 500_000  # objects set aside since cycles were looked for among all of them
_COUNT_EVERY = 16  # collections; what is set aside is counted by walking it


class Collector:
    """Sets aside what collections find alive, in the whole process, as long as the context lasts.

    Args:
        growth: number of objects by which what is set aside has to grow, and what was made since
            the start at least to twice as much, until cycles in it are looked for.
        count_every: collections between two looks at that number.
    """

    def __init__(self, growth: int = _GROWTH, count_every: int = _COUNT_EVERY) -> None:
        self._growth = growth
        self._count_every = count_every
        self._collections = 0
        self._at_start = 0  # objects set aside
        self._aside = 0  # objects, when cycles among them were last looked for
        self._next_is_of_all = False  # the next collection looks at everything
        self._before = gc.get_threshold()

    def __enter__(self) -> Self:
        """Set aside all that has been made so far: modules, and what a controller begins with."""
        gc.collect()
        gc.freeze()
        gc.collect()  # so that the next ones wait for as much as is left, which is nothing
        self._at_start = self._aside = gc.get_freeze_count()
        gc.set_threshold(_NEW, _YOUNG, _OLD)
        gc.callbacks.append(self._collected)
        return self

    def __exit__(self, *_: object) -> None:
        """Collect as before."""
        gc.callbacks.remove(self._collected)
        gc.set_threshold(*self._before)
        gc.unfreeze()

    def _collected(self, phase: str, info: dict[str, Any]) -> None:
        """Set aside what was found alive, or bring everything back for the next collection."""
        if phase != "stop" or info["generation"] != 2:  # the oldest
            return
        gc.freeze()
        self._collections += 1
        if self._next_is_of_all:
            self._next_is_of_all = False
            self._aside = gc.get_freeze_count()
        elif self._collections % self._count_every == 0 and self._has_grown():
            self._next_is_of_all = True
            gc.unfreeze()

    def _has_grown(self) -> bool:
        """Return True once as much was set aside as makes up for looking at all of it."""
        made = self._aside - self._at_start
        return gc.get_freeze_count() - self._aside >= max(self._growth, made)

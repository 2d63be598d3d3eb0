"""Items made in a pool of threads while those before them are in use, a bounded number ahead.

The waits here have no deadline of their own: both ends live in a process that has one.
"""

from collections.abc import Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def ahead(
    items: Iterator[Item], pool: Executor, batch: int, first: int | None = None
) -> Iterator[Item]:
    """Hand out what ``items`` does; the making of the first batch begins at once.

    While one batch is handed out the next one is made, in one go: that keeps a decoder's memory at
    hand. ``first``: the size of the first one; where it differs from one iterator to the other they
    do not all want to be made at the same time. Raises what ``items`` raises, in place of the batch
    that it happened in.
    """
    return _handed_out(items, pool, batch, pool.submit(_take, items, first or batch))


def _handed_out(
    items: Iterator[Item], pool: Executor, batch: int, made: Future[list[Item]]
) -> Iterator[Item]:
    while ready := made.result():
        made = pool.submit(_take, items, batch)
        ready.reverse()
        while ready:  # nobody may ever ask for what follows the last one: none of them is kept
            yield ready.pop()


def _take(items: Iterator[Item], count: int) -> list[Item]:
    return list(islice(items, count))

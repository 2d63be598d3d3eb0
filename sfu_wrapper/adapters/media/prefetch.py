"""Prefetching of items in a pool of threads, a bounded number ahead of their use.

The waits here have no deadline of their own: the process that runs them has one.
"""

from collections.abc import Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(
    items: Iterator[Item], pool: Executor, batch: int, first: int | None = None
) -> Iterator[Item]:
    """Return an iterator over ``items`` that computes the first batch at once.

    While one batch is consumed the next one is computed in one go, which keeps a decoder's memory
    in the cache. An error of ``items`` is raised in place of its batch.

    Args:
        items: the items.
        pool: threads to compute them in.
        batch: size of a batch.
        first: size of the first batch; different sizes spread the load of several iterators.
    """
    return _handed_out(items, pool, batch, pool.submit(_take, items, first or batch))


def _handed_out(
    items: Iterator[Item], pool: Executor, batch: int, made: Future[list[Item]]
) -> Iterator[Item]:
    # Consumed items are dropped at once: the consumer may keep the iterator without using it.
    while ready := made.result():
        made = pool.submit(_take, items, batch)
        ready.reverse()
        while ready:
            yield ready.pop()


def _take(items: Iterator[Item], count: int) -> list[Item]:
    return list(islice(items, count))

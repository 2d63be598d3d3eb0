"""Rooms in the order in which they were created, to be read from any place on, the youngest first.

A sorted list in buckets: adding, removing and finding a place cost a binary search and one short
``list`` operation, however many rooms there are. Pages of rooms are read from it, so that a page
costs what it returns.
"""

from bisect import bisect_left
from collections.abc import Iterator

from sfu_wrapper.model.identity import RoomUuid

Rank = tuple[int, RoomUuid]  # epoch ms of the creation, then the uuid

BUCKET = 512  # ranks in one bucket; twice as many are split


class Ranking:
    """A set of ranks that is read in descending order."""

    def __init__(self) -> None:
        self._buckets: list[list[Rank]] = []
        self._last: list[Rank] = []  # of each bucket

    def __len__(self) -> int:
        return sum(map(len, self._buckets))

    def __bool__(self) -> bool:
        return bool(self._buckets)

    def add(self, rank: Rank) -> None:
        """Add a rank; one that is there already stays as it is."""
        if not self._buckets:
            self._buckets, self._last = [[rank]], [rank]
            return
        at = min(bisect_left(self._last, rank), len(self._last) - 1)
        bucket = self._buckets[at]
        place = bisect_left(bucket, rank)
        if bucket[place : place + 1] == [rank]:
            return
        bucket.insert(place, rank)
        self._last[at] = bucket[-1]
        if len(bucket) > 2 * BUCKET:
            self._split(at)

    def discard(self, rank: Rank) -> None:
        """Remove a rank; one that is not there is ignored."""
        at = bisect_left(self._last, rank)
        if at == len(self._last):
            return
        bucket = self._buckets[at]
        place = bisect_left(bucket, rank)
        if bucket[place] != rank:
            return
        del bucket[place]
        if bucket:
            self._last[at] = bucket[-1]
        else:
            del self._buckets[at], self._last[at]

    def descending(self, before: Rank | None) -> Iterator[Rank]:
        """Yield the ranks below ``before``, or all, the highest first.

        The caller changes nothing while it reads.
        """
        at = len(self._buckets) - 1
        place = None
        if before is not None:
            found = bisect_left(self._last, before)
            if found <= at:
                at, place = found, bisect_left(self._buckets[found], before)
        while at >= 0:
            bucket = self._buckets[at]
            start = len(bucket) if place is None else place
            for index in range(start - 1, -1, -1):
                yield bucket[index]
            at, place = at - 1, None

    def _split(self, at: int) -> None:
        bucket = self._buckets[at]
        lower, upper = bucket[:BUCKET], bucket[BUCKET:]
        self._buckets[at : at + 1] = [lower, upper]
        self._last[at : at + 1] = [lower[-1], upper[-1]]

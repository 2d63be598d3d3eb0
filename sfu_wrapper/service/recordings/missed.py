"""List of calls whose recording differs from the decision that was made, by pages.

Reads only, in the order of ``room_walk``. A page looks at a bounded number of rooms, one at a time,
between other work: an administrator's at rooms of its domain only.

Source: recording-index.md, "Missed".
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from sfu_wrapper.core import access
from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.missed import MissedCall, missed
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.model.recording import Recording
from sfu_wrapper.ports.recordings import RecordingQuery
from sfu_wrapper.ports.store import RoomRow, RoomRows
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.recordings.room_walk import READ, RoomPlace, RoomWalk, place_of

PAGE: Final = 100  # calls on a page, at most
_BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class MissedPage:
    """Calls of one page; ``next``: place of the last room that was looked at, None at the end.

    A page may hold fewer calls than its limit, or none, although ``next`` is there.
    """

    calls: tuple[MissedCall, ...]
    next: RoomPlace | None


class MissedCalls:
    """Missed calls with the rights of a requester.

    Args:
        store: rooms, and the index of their recordings.
        clock: wall clock.
    """

    def __init__(self, store: RoomRows, clock: Clock) -> None:
        self._store = store
        self._walk = RoomWalk(store)
        self._clock = clock

    async def page(
        self,
        by: Requester,
        from_ms: int,
        to_ms: int,
        after: RoomPlace | None = None,
        limit: int = PAGE,
    ) -> MissedPage:
        """Return missed calls: an administrator's domain, for the service of all domains.

        Args:
            by: the requester.
            from_ms: epoch ms; calls that ended at or after it.
            to_ms: epoch ms; calls that ended before it, or go on and were created before it.
            after: ``next`` of the page before.
            limit: maximum number of calls.

        Raises:
            Refused: FORBIDDEN: the requester is neither.
            Unavailable: the store cannot be read.
        """
        access.require_operator(by)
        found: list[MissedCall] = []
        domain = None if by.service else by.key.domain
        rows = self._walk.rows(domain, from_ms, to_ms, after)
        for looked_at, row in enumerate(rows, start=1):
            found.extend(self._missed(row, from_ms, to_ms))
            await asyncio.sleep(0)  # a long page must not delay others
            if len(found) == limit or looked_at == READ:
                return MissedPage(tuple(found), place_of(row))
        return MissedPage(tuple(found), None)

    def _missed(self, row: RoomRow, from_ms: int, to_ms: int) -> Iterator[MissedCall]:
        """Yield the call if its outcome is not what was decided."""
        if row.ended_ms is not None and not from_ms <= row.ended_ms < to_ms:
            return  # it has ended, and is not settled yet
        room = self._walk.room(row)
        if room is not None:
            recordings = tuple(self._recordings(row.uuid))
            call = missed(room, recordings, self._clock.now().wall_ms)
            if call is not None:
                yield call

    def _recordings(self, uuid: RoomUuid) -> Iterator[Recording]:
        query: RecordingQuery | None = RecordingQuery(uuid=uuid, limit=_BATCH)
        while query is not None:
            page = self._store.index.recordings(query)
            yield from page.recordings
            query = None if page.next is None else replace(query, after=page.next)

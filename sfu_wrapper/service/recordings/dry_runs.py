"""Dry runs: which calls a changed permission would have recorded, or not, by pages.

Reads only. A page looks at a bounded number of rooms, one at a time, between other work. Rooms are
known while the store has them (``retention.roomDays``).

Source: policy.md, "Try a permission before it counts".
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sfu_wrapper.core.access import require_may_write
from sfu_wrapper.core.dry_run import Change, Judged, judge
from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.model.identity import Identity, OwnerPermissions, UserKey
from sfu_wrapper.ports.store import RoomRows
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.recordings.room_walk import READ, RoomPlace, RoomWalk, place_of

PAGE: Final = 100  # calls on a page, at most
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class DryRunPage:
    """Calls of one page whose decision would be another one.

    Attributes:
        calls: the calls.
        judged: number of calls of this page that the change is about.
        next: place of the last room that was looked at; None: there are no others.
    """

    calls: tuple[Judged, ...]
    judged: int
    next: RoomPlace | None


class DryRuns:
    """Dry runs with the rights of a requester.

    Args:
        store: rooms.
        permissions: returns the stored permissions of an owner.
        clock: wall clock.
        policy: the configuration of the policy.
    """

    def __init__(
        self,
        store: RoomRows,
        permissions: Callable[[UserKey], OwnerPermissions],
        clock: Clock,
        policy: PolicySettings,
    ) -> None:
        self._permissions = permissions
        self._walk = RoomWalk(store)
        self._clock = clock
        self._policy = policy

    async def page(
        self,
        by: Identity,
        change: Change,
        days: int,
        after: RoomPlace | None = None,
    ) -> DryRunPage:
        """Return calls of the last days that would have been decided otherwise.

        Args:
            by: the requester.
            change: the permission to try.
            days: how far back calls were established.
            after: ``next`` of the page before.

        Raises:
            Refused: NOT_FOUND or FORBIDDEN, as for a real change.
            Unavailable: the store cannot be read.
        """
        require_may_write(by, change.subject)
        now_ms = self._clock.now().wall_ms
        from_ms = now_ms - days * _DAY_MS
        found: list[Judged] = []
        judged = 0
        rows = self._walk.rows(change.subject.domain, from_ms, now_ms + 1, after)
        for looked_at, row in enumerate(rows, start=1):
            about = change.subject.user in (None, row.owner)
            room = self._walk.room(row) if about else None  # reading it whole is what costs
            known = None
            if room is not None and (room.established_ms or 0) >= from_ms:
                known = judge(room, self._permissions(room.owner_key), change, self._policy)
            if known is not None:
                judged += 1
                found += [known] if known.changed else []
            await asyncio.sleep(0)  # a long page must not delay others
            if len(found) == PAGE or looked_at == READ:
                return DryRunPage(tuple(found), judged, place_of(row))
        return DryRunPage(tuple(found), judged, None)

"""What the relay has still to publish: in order per room, bounded, without gaps. Waits nowhere.

Rows are offered as they are committed. Beyond ``limit`` they are left to the store, and read from
there, in order, once there is room. A row is known from when it is taken until the store has
forgotten it, so that reading finds no row twice.
"""

from collections import deque
from collections.abc import Sequence

from sfu_wrapper.model.ids import RoomUuid
from sfu_wrapper.ports.store import OutboxRow


class Backlog:
    """Rows by room.

    read_to: every row up to this ``seq`` was taken. behind: the store has rows beyond that which
    were not taken; so at the beginning.
    """

    def __init__(self, limit: int) -> None:
        self.read_to = 0
        self.behind = True
        self._limit = limit
        self._known: set[int] = set()
        self._rooms: dict[RoomUuid, deque[OutboxRow]] = {}

    @property
    def empty(self) -> bool:
        """Nothing waits, here or in the store."""
        return not self._known and not self.behind

    @property
    def hungry(self) -> bool:
        """The store should be read now."""
        return self.behind and len(self._known) <= self._limit // 2

    @property
    def waiting(self) -> int:
        """How many rows here are not published."""
        return sum(map(len, self._rooms.values()))

    @property
    def oldest_ms(self) -> int | None:
        """When the oldest unpublished row here was made; epoch ms."""
        return min((rows[0].created_ms for rows in self._rooms.values()), default=None)

    def offer(self, rows: Sequence[OutboxRow]) -> list[RoomUuid]:
        """Take new rows, or leave them to the store. Returns rooms that had nothing to do."""
        fresh = []
        for row in rows:
            if row.seq <= self.read_to or self.behind:
                continue  # was read, or will be
            if len(self._known) >= self._limit:
                self.behind = True
            else:
                fresh += self._take(row)
        return fresh

    def refill(self, page: Sequence[OutboxRow], asked: int) -> list[RoomUuid]:
        """Take what the store had after ``read_to``; a page shorter than asked for is the last.

        Returns:
            Rooms that had nothing to do.
        """
        fresh = []
        for row in page:
            fresh += self._take(row)
            self.read_to = row.seq
        self.behind = len(page) >= asked
        return fresh

    def head(self, room: RoomUuid) -> OutboxRow:
        """The room's next row to publish."""
        return self._rooms[room][0]

    def published(self, room: RoomUuid) -> bool:
        """The room's head is done. Whether it has another."""
        rows = self._rooms[room]
        rows.popleft()
        if not rows:
            del self._rooms[room]
        return bool(rows)

    def forgotten(self, seqs: Sequence[int]) -> None:
        """The store has deleted these."""
        self._known.difference_update(seqs)

    def _take(self, row: OutboxRow) -> list[RoomUuid]:
        if row.seq in self._known:
            return []
        self._known.add(row.seq)
        rows = self._rooms.setdefault(row.room, deque())
        rows.append(row)
        return [row.room] if len(rows) == 1 else []

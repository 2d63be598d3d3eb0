"""Store and job leases in memory: the guarantees of the real ones within one process.

Futures resolve in order on the next iteration of the event loop, never at once, as with a disk.
``failing`` makes every write fail, as a full disk does. A test may supply the clock of the leases.
"""

import asyncio
import time
from asyncio import Future
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from sfu_wrapper.adapters.memory.audit import MemoryAudit
from sfu_wrapper.adapters.memory.recordings import MemoryRecordings
from sfu_wrapper.adapters.memory.webhooks import MemoryWebhooks
from sfu_wrapper.model.audit import AuditEntry
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import (
    DomainId,
    OwnerPermissions,
    RecordingPermissions,
    RoomId,
    RoomUuid,
    UserId,
    UserKey,
)
from sfu_wrapper.ports.store import (
    AnswerRow,
    AnswerSize,
    Commit,
    OutboxRow,
    PartRow,
    RoomQuery,
    RoomRow,
)

T = TypeVar("T")


class MemoryStore:
    """A ``Store`` for tests.

    Attributes:
        failing: while True, every write fails.
        audit: see ``Store``.
        index: see ``Store``.
        webhooks: webhook endpoints and deliveries.
    """

    def __init__(self) -> None:
        self.audit = MemoryAudit()
        self.index = MemoryRecordings()
        self.failing = False
        self._closed = False
        self._seq = 0
        self._rooms: dict[RoomUuid, RoomRow] = {}
        self._used: set[str] = set()  # uuids, folded
        self._parts: dict[RoomUuid, dict[str, PartRow]] = {}
        self._epochs: dict[RoomUuid, int] = {}
        self._outbox: dict[int, OutboxRow] = {}
        self._answers: dict[str, AnswerRow] = {}
        self._permissions: dict[tuple[DomainId, UserId | None], RecordingPermissions] = {}
        self.webhooks = MemoryWebhooks(self._write)

    def commit(self, commit: Commit, epoch: int) -> "Future[tuple[OutboxRow, ...]]":
        """See ``Store``."""
        return self._write(lambda: self._commit(commit, epoch))

    def mark_published(self, seqs: Sequence[int]) -> "Future[None]":
        """See ``Store``."""

        def forget() -> None:
            for seq in seqs:
                self._outbox.pop(seq, None)

        return self._write(forget)

    def pending_outbox(self, after_seq: int, limit: int) -> tuple[OutboxRow, ...]:
        """See ``Store``."""
        later = (row for seq, row in self._outbox.items() if seq > after_seq)
        return tuple(row for row, _ in zip(later, range(limit), strict=False))

    def unsettled_rooms(self) -> tuple[RoomRow, ...]:
        """See ``Store``."""
        return tuple(row for row in self._rooms.values() if not row.settled)

    def rooms_by_time(self, query: RoomQuery) -> tuple[RoomRow, ...]:
        """See ``RoomRows``."""
        timed = (
            ((row.ended_ms or 0 if row.settled else row.created_ms, row.uuid), row)
            for row in self._rooms.values()
            if row.settled is query.settled and query.domain in (None, row.domain)
        )
        found = {
            place: row
            for place, row in timed
            if query.from_ms <= place[0] < query.to_ms
            and (query.after is None or place > query.after)
        }
        return tuple(found[place] for place in sorted(found)[: query.limit])

    def room(self, uuid: RoomUuid) -> RoomRow | None:
        """See ``Store``."""
        return self._rooms.get(uuid)

    def has_used(self, uuid: RoomUuid) -> bool:
        """See ``Store``."""
        return uuid.casefold() in self._used

    def parts(self, uuid: RoomUuid) -> tuple[PartRow, ...]:
        """See ``Store``."""
        return tuple(self._parts.get(uuid, {}).values())

    def part(self, uuid: RoomUuid, name: str) -> PartRow | None:
        """See ``Store``."""
        return self._parts.get(uuid, {}).get(name)

    def forget_rooms(self, ended_before_ms: int, limit: int) -> "Future[int]":
        """See ``Store``."""
        return self._write(lambda: self._forget_rooms(ended_before_ms, limit))

    def latest_room(self, domain: DomainId, room: RoomId) -> RoomRow | None:
        """See ``Store``."""
        rows = [
            row for row in reversed(self._rooms.values()) if (row.domain, row.id) == (domain, room)
        ]
        return max(rows, key=lambda row: row.created_ms, default=None)

    def answer(self, key: str, now_ms: int) -> AnswerRow | None:
        """See ``Store``."""
        found = self._answers.get(key)
        return found if found is not None and found.expires_ms > now_ms else None

    def kept_answers(self) -> tuple[AnswerSize, ...]:
        """See ``Store``."""
        answers = sorted(self._answers.values(), key=lambda row: (row.expires_ms, row.key))
        return tuple(AnswerSize(row.key, len(row.answer), row.expires_ms) for row in answers)

    def forget_answers(self, before_ms: int) -> "Future[None]":
        """See ``Store``."""

        def forget() -> None:
            kept = {k: row for k, row in self._answers.items() if row.expires_ms >= before_ms}
            self._answers = kept

        return self._write(forget)

    def permissions(self, owner: UserKey) -> OwnerPermissions:
        """See ``Store``."""
        own = self._permissions.get((owner.domain, owner.user))
        return OwnerPermissions(own, self._permissions.get((owner.domain, None)))

    def set_permission(
        self,
        domain: DomainId,
        user: UserId | None,
        permission: RecordingPermissions | None,
        audit: Sequence[AuditEntry] = (),
    ) -> "Future[None]":
        """See ``Store``."""

        def put() -> None:
            self.audit.append(audit)
            if permission is None:
                self._permissions.pop((domain, user), None)
            else:
                self._permissions[domain, user] = permission

        return self._write(put)

    def close(self) -> None:
        """See ``Store``."""
        self._closed = True

    def _commit(self, commit: Commit, epoch: int) -> tuple[OutboxRow, ...]:
        rooms = {row.room for row in commit.outbox}
        if commit.room is not None:
            rooms.add(commit.room.uuid)
        if any(self._epochs.get(uuid, epoch) > epoch for uuid in rooms):
            raise Unavailable("another controller has taken over this room", fenced=True)
        self.index.write(commit.recordings)
        self.index.write_retention(commit.retention)
        if commit.room is not None:
            self._rooms[commit.room.uuid] = commit.room
            self._used.add(commit.room.uuid.casefold())
            self._epochs[commit.room.uuid] = epoch
        for part in commit.parts:
            self._put_part(part)
        for key in commit.forgotten:
            self._answers.pop(key, None)
        for answer in commit.answers:
            self._answers[answer.key] = answer
        self.audit.append(commit.audit)
        self.webhooks.apply(commit.webhooks, commit.events)
        return tuple(self._append(row) for row in commit.outbox)

    def _put_part(self, part: PartRow) -> None:
        parts = self._parts.setdefault(part.room, {})
        if part.state is None:
            parts.pop(part.name, None)
        else:
            parts[part.name] = part

    def _forget_rooms(self, ended_before_ms: int, limit: int) -> int:
        over = [
            row
            for row in self._rooms.values()
            if row.settled and row.ended_ms is not None and row.ended_ms < ended_before_ms
        ]
        over.sort(key=lambda row: row.ended_ms or 0)
        removed = 0
        for row in over:
            parts = self._parts.get(row.uuid, {})
            for name in list(parts)[: limit - removed]:
                del parts[name]
                removed += 1
            if removed >= limit:
                break
            for rows in (self._rooms, self._parts, self._epochs):
                rows.pop(row.uuid, None)
            removed += 1
        return removed

    def _append(self, row: OutboxRow) -> OutboxRow:
        self._seq += 1
        stored = replace(row, seq=self._seq)
        self._outbox[self._seq] = stored
        return stored

    def _write(self, change: Callable[[], T]) -> "Future[T]":
        """Apply a change on the next iteration of the loop; refuse it if closed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if self._closed:
            future.set_exception(Unavailable("the store is closed"))
        else:
            loop.call_soon(self._carry_out, change, future)
        return future

    def _carry_out(self, change: Callable[[], T], future: "asyncio.Future[T]") -> None:
        try:
            outcome = self._changed(change)
        except Unavailable as error:
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(outcome)

    def _changed(self, change: Callable[[], T]) -> T:
        if self.failing:
            raise Unavailable("the disk is full")
        return change()


class MemoryLeases:
    """``ports.system.JobLeases`` for one process."""

    def __init__(self, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = monotonic_s
        self._held: dict[str, tuple[str, float]] = {}

    async def acquire(self, job: str, holder: str, ttl_s: float) -> bool:
        """See ``JobLeases``."""
        now_s = self._now_s()
        other, expires_s = self._held.get(job, (holder, now_s))
        if other != holder and expires_s > now_s:
            return False
        self._held[job] = (holder, now_s + ttl_s)
        return True

    async def release(self, job: str, holder: str) -> None:
        """See ``JobLeases``."""
        if self._held.get(job, (None, 0.0))[0] == holder:
            del self._held[job]

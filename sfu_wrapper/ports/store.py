"""The store: rooms and their parts, outbox, answers, permissions; one commit, one transaction.

Epochs: every writing controller holds a lease with a rising epoch (one controller: constant), and
each commit carries it, so that a fenced-off controller cannot write.
"""

from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sfu_wrapper.model.ids import DomainId, RoomId, RoomUuid, UserId, UserKey
from sfu_wrapper.model.permission import OwnerPermissions, RecordingPermissions


@dataclass(frozen=True, slots=True)
class RoomRow:
    """One room as stored, without its parts: what it can be found by, and its head.

    ``state`` is opaque to the store, and so are the parts (``PartRow``).

    settled: the room has ended and none of its segments needs anything any more: not loaded on
        a restart.
    """

    uuid: RoomUuid
    id: RoomId
    domain: DomainId
    owner: UserId
    life: str
    settled: bool
    created_ms: int
    ended_ms: int | None
    state: bytes


@dataclass(frozen=True, slots=True)
class PartRow:
    """Something that a room has many of, under a name that is unique in its room.

    state: None in a commit removes the part.
    """

    room: RoomUuid
    name: str
    state: bytes | None


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message to be published, in the order of its room.

    seq: the store's own, rising; 0 before it is stored.
    """

    room: RoomUuid
    routing_key: str
    message_id: str
    correlation_id: str
    body: bytes
    created_ms: int
    mandatory: bool = False
    seq: int = 0


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """The answer to one request, kept for its repeats.

    key: who asked what under which request id; digest: of the payload, to tell a misuse.
    """

    key: str
    digest: bytes
    answer: bytes
    expires_ms: int


@dataclass(frozen=True, slots=True)
class AnswerSize:
    """How much a kept answer holds."""

    key: str
    bytes: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Commit:
    """Rows that become durable together, or not at all.

    parts: of the room; those that are not named stay as they are.
    forgotten: keys of answers that are kept no longer.
    """

    room: RoomRow | None = None
    outbox: tuple[OutboxRow, ...] = ()
    answers: tuple[AnswerRow, ...] = ()
    parts: tuple[PartRow, ...] = ()
    forgotten: tuple[str, ...] = ()


class Store(Protocol):
    """The durable side of one controller.

    Writing goes through one queue and is grouped; a future resolves once its commit is on disk,
    with ``Unavailable`` where it could not be written (then nothing of that commit is there).
    Reading is synchronous and short: one row by key, or a bounded page.
    """

    def commit(self, commit: Commit, epoch: int) -> Future[tuple[OutboxRow, ...]]:
        """Store; resolves to the outbox rows with their ``seq``.

        Raises (through the future):
            Unavailable: not written: disk full, I/O error, fenced off, or the queue is full.
        """
        ...

    def mark_published(self, seqs: Sequence[int]) -> Future[None]:
        """Forget outbox rows that the broker has confirmed."""
        ...

    def pending_outbox(self, after_seq: int, limit: int) -> tuple[OutboxRow, ...]:
        """Unpublished rows in order of ``seq``."""
        ...

    def unsettled_rooms(self) -> tuple[RoomRow, ...]:
        """Every room that a restarted controller must take up again."""
        ...

    def room(self, uuid: RoomUuid) -> RoomRow | None:
        """One room, ended or not."""
        ...

    def has_used(self, uuid: RoomUuid) -> bool:
        """Tell whether a room has, or ever had, this uuid, compared without case.

        Rooms that were removed count for ever: files of theirs may be there still.
        """
        ...

    def parts(self, uuid: RoomUuid) -> tuple[PartRow, ...]:
        """Return everything that a room has many of; costs what it returns."""
        ...

    def part(self, uuid: RoomUuid, name: str) -> PartRow | None:
        """Return one part of a room."""
        ...

    def forget_rooms(self, ended_before_ms: int, limit: int) -> Future[int]:
        """Remove settled rooms that ended before, with their parts, the longest ended first.

        What remains of a room is that its uuid was used (``has_used``).

        Args:
            ended_before_ms: epoch ms.
            limit: rows to remove at most; a room with more goes in several calls.

        Returns:
            How many rows were removed, once that is on disk: fewer than ``limit`` at the end.
        """
        ...

    def latest_room(self, domain: DomainId, room: RoomId) -> RoomRow | None:
        """Return the youngest room of the domain with this id, living or ended."""
        ...

    def answer(self, key: str, now_ms: int) -> AnswerRow | None:
        """A kept answer that has not expired."""
        ...

    def kept_answers(self) -> tuple[AnswerSize, ...]:
        """Return the size of every kept answer, the first to expire first."""
        ...

    def forget_answers(self, before_ms: int) -> Future[None]:
        """Drop answers that expired before ``before_ms``."""
        ...

    def permissions(self, owner: UserKey) -> OwnerPermissions:
        """What is stored for a user and for its domain."""
        ...

    def set_permission(
        self, domain: DomainId, user: UserId | None, permission: RecordingPermissions | None
    ) -> Future[None]:
        """Store or (None) delete the permission of a user, or of the domain (user None)."""
        ...

    def close(self) -> None:
        """Finish what is queued, then release the files."""
        ...

"""Store: rooms and their parts, outbox, answers, permissions; one commit is one transaction.

Epochs: each writing controller holds a lease with a rising epoch (one controller: constant), and
each commit carries it, so that a fenced-off controller cannot write.
"""

from asyncio import Future
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sfu_wrapper.model.audit import AuditEntry
from sfu_wrapper.model.identity import (
    DomainId,
    OwnerPermissions,
    RecordingPermissions,
    RoomId,
    RoomUuid,
    UserId,
    UserKey,
)
from sfu_wrapper.model.recording import RecordingEvent
from sfu_wrapper.model.trace import TraceContext
from sfu_wrapper.ports.recordings import AuditLog, DomainRetention, RecordingChange, RecordingIndex
from sfu_wrapper.ports.webhooks import WebhookChange, WebhookStore


@dataclass(frozen=True, slots=True)
class RoomRow:
    """Stored room without its parts: index columns and the head of its state.

    Attributes:
        uuid: uuid of the room.
        id: room id chosen by the client.
        domain: domain of the room.
        owner: owner of the room.
        life: state in the room's life cycle.
        settled: True once the room has ended and all its segments are closed; it is not loaded on a
            restart.
        created_ms: epoch ms.
        ended_ms: epoch ms; None while the room lives.
        state: head of the room, opaque to the store.
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
class RoomQuery:
    """Filter of rooms by time.

    Attributes:
        settled: True: settled rooms by their end; False: the others, by their creation.
        from_ms: epoch ms; ended or created at or after it.
        to_ms: epoch ms; ended or created before it.
        after: time and uuid of the last room of the page before.
        limit: maximum number of rooms.
        domain: domain of the rooms; None: all domains.
    """

    settled: bool
    from_ms: int
    to_ms: int
    after: tuple[int, RoomUuid] | None = None
    limit: int = 100
    domain: DomainId | None = None


@dataclass(frozen=True, slots=True)
class PartRow:
    """Part of a room, under a name that is unique in the room.

    Attributes:
        room: uuid of the room.
        name: name of the part.
        state: opaque to the store; None in a commit removes the part.
    """

    room: RoomUuid
    name: str
    state: bytes | None


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """Message to publish, in the order of its room.

    Attributes:
        room: uuid of the room.
        routing_key: routing key of the message.
        message_id: stable over retries.
        correlation_id: id of the room at the client.
        body: UTF-8 JSON.
        created_ms: epoch ms.
        mandatory: fail where no queue would take the message.
        seq: rising number given by the store; 0 before the commit.
        trace: trace context to publish it with; None: there is none.
    """

    room: RoomUuid
    routing_key: str
    message_id: str
    correlation_id: str
    body: bytes
    created_ms: int
    mandatory: bool = False
    seq: int = 0
    trace: TraceContext | None = None


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """Answer to one request, kept for retries of it (idempotency).

    Attributes:
        key: requester, endpoint and request id.
        digest: hash of the payload, to detect another request under the same id.
        answer: the encoded answer.
        expires_ms: epoch ms.
    """

    key: str
    digest: bytes
    answer: bytes
    expires_ms: int


@dataclass(frozen=True, slots=True)
class AnswerSize:
    """Size of a kept answer.

    Attributes:
        key: key of the answer.
        bytes: number of bytes that it holds.
        expires_ms: epoch ms.
    """

    key: str
    bytes: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Commit:
    """Rows that become durable together, or not at all.

    Attributes:
        room: the room; None: unchanged.
        outbox: messages to publish.
        answers: answers to keep.
        parts: changed parts of the room; other parts stay unchanged.
        forgotten: keys of answers to remove.
        recordings: changes of the index of recordings, in order.
        retention: changed retention of domains.
        audit: entries to append to the chains of their domains, in order.
        events: events for webhooks; each becomes a delivery for every endpoint that wants it.
        webhooks: changes of endpoints and deliveries, in order, written before ``events``.
    """

    room: RoomRow | None = None
    outbox: tuple[OutboxRow, ...] = ()
    answers: tuple[AnswerRow, ...] = ()
    parts: tuple[PartRow, ...] = ()
    forgotten: tuple[str, ...] = ()
    recordings: tuple[RecordingChange, ...] = ()
    retention: tuple[DomainRetention, ...] = ()
    audit: tuple[AuditEntry, ...] = ()
    events: tuple[RecordingEvent, ...] = ()
    webhooks: tuple[WebhookChange, ...] = ()


class RoomRows(Protocol):
    """Reads of rooms by time, for lists; a store has them, and so does the file of a command."""

    @property
    def index(self) -> RecordingIndex:
        """Index of recordings, for reading."""
        ...

    def rooms_by_time(self, query: RoomQuery) -> tuple[RoomRow, ...]:
        """Return rooms in order of their time, then of their uuid; the cost is that of the page."""
        ...

    def parts(self, uuid: RoomUuid) -> tuple[PartRow, ...]:
        """Return all parts of a room; the cost is that of the result."""
        ...


class Store(RoomRows, Protocol):
    """Durable state of one controller.

    Commits go through one queue and are grouped; a future resolves once its commit is on disk, or
    with ``Unavailable`` if nothing of it was written. Reads are synchronous and short: one row by
    key, or a bounded page.
    """

    @property
    def webhooks(self) -> WebhookStore:
        """Webhook endpoints and deliveries."""
        ...

    def commit(self, commit: Commit, epoch: int) -> Future[tuple[OutboxRow, ...]]:
        """Write a commit; the future resolves to the outbox rows with their ``seq``.

        Raises (through the future):
            Unavailable: not written: disk full, I/O error, fenced off, the queue is full, or a
                recording has changed since it was read (``context["conflict"]`` is True).
        """
        ...

    def mark_published(self, seqs: Sequence[int]) -> Future[None]:
        """Remove outbox rows that the broker has confirmed."""
        ...

    def pending_outbox(self, after_seq: int, limit: int) -> tuple[OutboxRow, ...]:
        """Return unpublished rows in order of ``seq``."""
        ...

    def unsettled_rooms(self) -> tuple[RoomRow, ...]:
        """Return every room that a restarted controller must load."""
        ...

    def room(self, uuid: RoomUuid) -> RoomRow | None:
        """Return a room by its uuid, ended or not."""
        ...

    def has_used(self, uuid: RoomUuid) -> bool:
        """Return True if any room has or ever had this uuid, compared without case.

        Removed rooms count for ever, because their files may still exist.
        """
        ...

    def part(self, uuid: RoomUuid, name: str) -> PartRow | None:
        """Return one part of a room."""
        ...

    def forget_rooms(self, ended_before_ms: int, limit: int) -> Future[int]:
        """Remove settled rooms that ended before a time, with their parts, the oldest end first.

        The fact that the uuid was used remains (``has_used``).

        Args:
            ended_before_ms: epoch ms.
            limit: maximum number of rows to remove; larger rooms take several calls.

        Returns:
            Number of removed rows, once on disk: fewer than ``limit`` at the end.
        """
        ...

    def latest_room(self, domain: DomainId, room: RoomId) -> RoomRow | None:
        """Return the newest room of the domain with this id, active or ended."""
        ...

    def answer(self, key: str, now_ms: int) -> AnswerRow | None:
        """Return a kept answer that has not expired."""
        ...

    def kept_answers(self) -> tuple[AnswerSize, ...]:
        """Return the size of every kept answer, the first to expire first."""
        ...

    def forget_answers(self, before_ms: int) -> Future[None]:
        """Remove answers that expired before ``before_ms``."""
        ...

    def permissions(self, owner: UserKey) -> OwnerPermissions:
        """Return the permissions stored for a user and for its domain."""
        ...

    def set_permission(
        self,
        domain: DomainId,
        user: UserId | None,
        permission: RecordingPermissions | None,
        audit: Sequence[AuditEntry] = (),
    ) -> Future[None]:
        """Store or (None) delete the permission of a user, or of the domain (``user`` None).

        Args:
            domain: domain of the user.
            user: the user; None: the permission of the domain.
            permission: the new value; None deletes it.
            audit: entries that become durable together with the change.
        """
        ...

    @property
    def audit(self) -> AuditLog:
        """Audit chains, for reading."""
        ...

    def close(self) -> None:
        """Write the queued commits, then release the files."""
        ...

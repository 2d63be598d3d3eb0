"""Index of recordings, audit log and webhook deliveries: rows of the store, and their queries.

Changes are part of ``ports.store.Commit``, so that they become durable together with what they tell
of. The queries here are reads: one row by key, or a bounded page.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from sfu_wrapper.model.audit import AuditHead, AuditRow
from sfu_wrapper.model.identity import DomainId, RoomId, RoomUuid, UserId, UserKey
from sfu_wrapper.model.recording import (
    Recording,
    RecordingFacts,
    RecordingKey,
    RecordingState,
)

# Changes of the index


@dataclass(frozen=True, slots=True)
class SegmentFacts:
    """Write the facts of a segment, at its start and again at its stop, without reading it first.

    A new recording is RECORDING while the facts have no stop, else QUEUED. Of an existing one the
    facts are replaced (not by facts without a stop where a stop is known), and RECORDING becomes
    QUEUED with the stop; any other state stays.
    """

    facts: RecordingFacts


@dataclass(frozen=True, slots=True)
class PutRecording:
    """Write a recording that was read, changed by ``core.recordings`` and is written back.

    The commit fails (``Unavailable`` with ``conflict``) where the stored version differs from
    ``recording.version``; the stored row then has the next version. Version 0: a new row. Facts
    are written for a new row only.
    """

    recording: Recording


@dataclass(frozen=True, slots=True)
class DropRecording:
    """Remove a tombstone."""

    key: RecordingKey


RecordingChange = SegmentFacts | PutRecording | DropRecording


@dataclass(frozen=True, slots=True)
class DomainRetention:
    """Write the time for which a domain keeps its recordings.

    Attributes:
        domain: the domain.
        days: days, from 1; None removes the setting, and the system's applies.
    """

    domain: DomainId
    days: int | None


# Audit


class AuditLog(Protocol):
    """Reads of the audit chains; entries are appended by commits and changes of permissions."""

    def head(self, domain: DomainId) -> AuditHead:
        """Return the last entry of a chain."""
        ...

    def heads(self) -> tuple[AuditHead, ...]:
        """Return the last entries of all chains."""
        ...

    def entries(self, domain: DomainId, after: int, limit: int) -> tuple[AuditRow, ...]:
        """Return entries of a chain with a number greater than ``after``, in order."""
        ...

    def entries_about(self, domain: DomainId, object_: str, limit: int) -> tuple[AuditRow, ...]:
        """Return the entries about one object, in order, at most ``limit`` of the latest."""
        ...


class Signer(Protocol):
    """Signer of heads and evidence.

    Attributes:
        key_id: tells readers which key to verify with.
    """

    key_id: str

    def sign(self, payload: bytes, type_: str) -> str:
        """Return a JWS of the payload in its compact form; ``type_`` is its ``typ`` header."""
        ...


# Queries of the index


@dataclass(frozen=True, slots=True)
class Position:
    """Place of a recording in a list: newest start first, then by address, the greatest first.

    The recordings of one room (``RecordingQuery.uuid``) are in order of their numbers.
    """

    started_ms: int
    key: RecordingKey


@dataclass(frozen=True, slots=True)
class Due:
    """Place of a recording in the order of retention: oldest time first, then by address."""

    at_ms: int
    key: RecordingKey


@dataclass(frozen=True, slots=True)
class RecordingQuery:
    """Filter of a list; all conditions that are not None hold.

    Attributes:
        domain: domain of the room (what the requester may see, or a filter).
        owner: owner of the room, in ``domain``.
        participant: user that was in the room during the segment.
        room: room id.
        uuid: uuid of the room.
        state: state.
        from_ms: epoch ms; started at or after it.
        to_ms: epoch ms; started before it.
        after: position of the last recording of the page before.
        limit: maximum number of recordings.
    """

    domain: DomainId | None = None
    owner: UserId | None = None
    participant: UserKey | None = None
    room: RoomId | None = None
    uuid: RoomUuid | None = None
    state: RecordingState | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    after: Position | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class RecordingPage:
    """Recordings, newest first; ``next``: where the following page begins; None on the last one.

    A page may hold fewer than ``limit``, or none, although ``next`` is there: a query looks at a
    bounded number of rows.
    """

    recordings: tuple[Recording, ...]
    next: Position | None


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Recordings of one owner: number, recorded ms, bytes of finished files."""

    domain: DomainId
    owner: UserId
    recordings: int
    recorded_ms: int
    bytes: int


class RecordingIndex(Protocol):
    """Reads of the index. A fake in memory and the SQLite one pass one contract suite."""

    def owner_of(self, key: RecordingKey) -> UserKey | None:
        """Return the owner of a recording, at a cost that does not depend on its content.

        Rights are checked with it before a recording is read: a large one takes milliseconds, by
        which its existence would show.
        """
        ...

    def recording(self, key: RecordingKey) -> Recording | None:
        """Return one recording."""
        ...

    def recordings(self, query: RecordingQuery) -> RecordingPage:
        """Return a page. The cost does not grow with the number of recordings in the index."""
        ...

    def usage(
        self, domain: DomainId | None, from_ms: int, to_ms: int, after: UserKey | None, limit: int
    ) -> tuple[UsageRow, ...]:
        """Return usage by owner, in order of (domain, owner), after one, at most ``limit`` rows."""
        ...

    def finished(
        self,
        domain: DomainId,
        state: RecordingState,
        before_ms: int,
        limit: int,
        after: Due | None = None,
    ) -> tuple[Recording, ...]:
        """Return recordings in READY, FAILED or DELETED whose work ended before a time.

        Oldest first; without held ones and, but for DELETED, without those whose deletion is
        requested. The time is ``outcome_ms``, of DELETED ``deletion.done_ms``; ``after`` names the
        last one of the page before.
        """
        ...

    def retention_days(self, domain: DomainId) -> int | None:
        """Return the days that a domain has set for itself (``DomainRetention``); None: none."""
        ...

    def domains(self) -> tuple[DomainId, ...]:
        """Return the domains that have recordings."""
        ...

    def deletions(self, limit: int, after: Due | None = None) -> tuple[Recording, ...]:
        """Return recordings whose deletion is requested and not done, the oldest request first.

        ``after`` names the last one of the page before, by ``deletion.requested_ms``.
        """
        ...

    def all(self) -> Iterator[Recording]:
        """Yield every recording, for commands and checks; not for the event loop."""
        ...

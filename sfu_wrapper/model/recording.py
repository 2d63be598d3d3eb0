"""Recordings as people find them: one for each segment, from its start to its tombstone.

A recording has three sources: ``RecordingFacts`` from the room, ``Outcome`` from the recording
service, and what people do with it (``Hold``, ``Deletion``). Each source writes its own part, so
that none has to read the others first. Source: recording-index.md, "States".
"""

from dataclasses import dataclass
from enum import StrEnum

from sfu_wrapper.model.identity import (
    DomainId,
    Kind,
    Origin,
    RecordingType,
    RoomId,
    RoomUuid,
    SegmentNo,
    StopReason,
    UserId,
    UserKey,
)
from sfu_wrapper.model.segment import Failed, Processed


@dataclass(frozen=True, slots=True, order=True)
class RecordingKey:
    """Address of a recording: ``{uuid}/{segment}``."""

    uuid: RoomUuid
    segment: SegmentNo

    def __str__(self) -> str:
        """Return the address as it appears in paths and logs."""
        return f"{self.uuid}/{self.segment}"


class RecordingState(StrEnum):
    """State of a recording (recording-index.md, "States")."""

    RECORDING = "recording"
    QUEUED = "queued"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Stay:
    """Time span that a participant spent in the room during the segment.

    Attributes:
        user: the participant, with its domain.
        joined_ms: epoch ms, not before the segment's start.
        left_ms: epoch ms, not after the segment's end; None while present.
    """

    user: UserKey
    joined_ms: int
    left_ms: int | None


@dataclass(frozen=True, slots=True)
class DecisionAtStart:
    """Decision of the policy under which the segment started.

    Attributes:
        allowed: True if the owner could start a segment by hand.
        automatic: True if recording started with the call.
        type: media that the decision allowed.
        source: level that decided; None: no level applied.
        reason: why recording did not start by itself; None: it did.
    """

    allowed: bool
    automatic: bool
    type: RecordingType
    source: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """Facts of a segment that the room knows; those of its end are None while it runs.

    Attributes:
        key: address of the recording.
        room: room id chosen by the client.
        domain: domain of the room.
        owner: owner of the room.
        kind: kind of the room.
        origin: origin of the call.
        type: media to record.
        by: user that started it, as shown in the room; None: the controller.
        started_ms: epoch ms.
        decision: decision of the policy at the start; None: unknown (older rooms, ``reindex``).
        stays: participants with their time spans; complete once the segment has stopped.
        stopped_ms: epoch ms.
        duration_ms: length by the monotonic clock.
        reason: reason of the stop.
        incomplete: why media that should exist may be missing; None: they are complete.
        missing: media without a running capture at the end.
    """

    key: RecordingKey
    room: RoomId
    domain: DomainId
    owner: UserId
    kind: Kind
    origin: Origin
    type: RecordingType
    by: str | None
    started_ms: int
    decision: DecisionAtStart | None = None
    stays: tuple[Stay, ...] = ()
    stopped_ms: int | None = None
    duration_ms: int | None = None
    reason: StopReason | None = None
    incomplete: str | None = None
    missing: tuple[str, ...] = ()

    @property
    def owner_key(self) -> UserKey:
        """Owner of the room together with its domain."""
        return UserKey(self.domain, self.owner)


@dataclass(frozen=True, slots=True)
class Hold:
    """Legal hold: the recording is not deleted while it has one.

    Attributes:
        by: administrator that set it.
        reason: why, one sentence.
        since_ms: epoch ms.
    """

    by: UserKey
    reason: str
    since_ms: int


class DeletionReason(StrEnum):
    """Reason for the deletion of a recording."""

    REQUESTED = "requested"
    RETENTION = "retention"
    ERASURE = "erasure"


@dataclass(frozen=True, slots=True)
class Deletion:
    """Deletion of a recording, requested or done.

    Attributes:
        reason: why it is deleted.
        requested_ms: epoch ms.
        by: user that requested it; None: the controller (retention).
        done_ms: epoch ms at which its files were gone; None: not yet.
        trouble: why the last attempt left files; None: it left none, or none was made.
    """

    reason: DeletionReason
    requested_ms: int
    by: UserKey | None = None
    done_ms: int | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class DeletionRequest:
    """Order to a worker to delete the files of a recording.

    Attributes:
        key: address of the recording.
        room: room id chosen by the client.
        reason: why it is deleted.
        requested_ms: epoch ms.
        raw_only: delete only raw and temporary files, of a segment that failed.
        awaits_event: no outcome is known, so that the ``recordingInfo`` may still be in its queue.
        files: finished files as far as known, as their message names them.
    """

    key: RecordingKey
    room: RoomId
    reason: DeletionReason
    requested_ms: int
    raw_only: bool = False
    awaits_event: bool = False
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deleted:
    """Report of a worker: nothing of the recording is left in its folders.

    Attributes:
        key: address of the recording.
        room: room id chosen by the client.
        reason: why it was deleted.
        done_ms: epoch ms.
    """

    key: RecordingKey
    room: RoomId
    reason: DeletionReason
    done_ms: int


Outcome = Processed | Failed
"""Message of the recording service about a segment."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Recording as stored in the index.

    Attributes:
        facts: facts of the segment.
        state: state, derived from the parts by ``core.recordings``.
        outcome: message of the recording service; None before it arrived. Of a deleted recording
            its files have names, sizes and hashes only.
        outcome_ms: epoch ms at which the outcome was produced or received; retention counts from
            the end of the processing.
        hold: legal hold; None: none.
        deletion: requested or done deletion; None: none.
        retries: number of times that a failed one went to the workers again.
        version: rises with each change; a change names the version that it was made from.
    """

    facts: RecordingFacts
    state: RecordingState
    outcome: Outcome | None = None
    outcome_ms: int | None = None
    hold: Hold | None = None
    deletion: Deletion | None = None
    retries: int = 0
    version: int = 0

    @property
    def key(self) -> RecordingKey:
        """Address of the recording."""
        return self.facts.key

    @property
    def bytes(self) -> int:
        """Total length of its finished files, in bytes; 0 once they are deleted."""
        if self.state is RecordingState.DELETED or not isinstance(self.outcome, Processed):
            return 0
        return sum(file.size_bytes for file in self.outcome.files)

    @property
    def counts_from_ms(self) -> int | None:
        """Time from which retention counts, epoch ms; None while it may not delete it."""
        if self.hold is not None:
            return None
        if self.state is RecordingState.DELETED:
            return self.deletion.done_ms if self.deletion is not None else None
        finished = self.state in (RecordingState.READY, RecordingState.FAILED)
        return self.outcome_ms if finished and self.deletion is None else None

    @property
    def deletion_pending_ms(self) -> int | None:
        """Time of the request for a deletion that is not done, epoch ms; None: there is none."""
        deletion = self.deletion
        return None if deletion is None or deletion.done_ms is not None else deletion.requested_ms


@dataclass(frozen=True, slots=True)
class RecordingEvent:
    """Event about a recording or a room, for webhooks.

    Attributes:
        type: ``recording.started``, ``recording.stopped``, ``recording.ready``,
            ``recording.failed``, ``recording.deleted``, ``recording.missed`` or ``room.ended``.
        domain: domain of the room; decides which endpoints receive it.
        subject: deliveries of one subject stay in order: the recording, or the room's uuid.
        at_ms: epoch ms.
        data: UTF-8 JSON object, the ``data`` of the delivery.
    """

    type: str
    domain: DomainId
    subject: str
    at_ms: int
    data: bytes

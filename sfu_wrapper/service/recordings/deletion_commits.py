"""Commits that delete: the recording, the request to a worker, and the audit entry, together.

Used by requests of people (``changes``, ``erasures``) and by retention. A request that is published
again has the same message id and body, so that the worker and all consumers can drop repeats.
"""

import asyncio
from asyncio import Future
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from sfu_wrapper.core.retention import without_raw_files
from sfu_wrapper.model.audit import AuditEntry
from sfu_wrapper.model.errors import Code, Refused, Unavailable
from sfu_wrapper.model.recording import (
    DeletionReason,
    DeletionRequest,
    Recording,
    RecordingKey,
    RecordingState,
)
from sfu_wrapper.model.segment import Processed
from sfu_wrapper.ports.recordings import DropRecording, PutRecording
from sfu_wrapper.ports.store import Commit, OutboxRow
from sfu_wrapper.service.recordings.audit import entry
from sfu_wrapper.wire.deletion_messages import REQUESTED, encode_request, request_id

WRITE_S: Final = 10.0  # for one commit, including those queued before it
TRIES: Final = 8  # at a recording that others change at the same time

_UNDER_WORK: Final = (RecordingState.QUEUED, RecordingState.PROCESSING)

Offer = Callable[[Sequence[OutboxRow]], None]


class Commits(Protocol):
    """Part of ``ports.store.Store`` that writes."""

    def commit(self, commit: Commit, epoch: int) -> "Future[tuple[OutboxRow, ...]]":
        """See ``Store``."""
        ...


class Committer:
    """Writer of commits, which publishes their messages.

    Args:
        store: the store.
        offer: called with the outbox rows of each commit.
        epoch: epoch of this controller; see ``Store``.
    """

    def __init__(self, store: Commits, offer: Offer, epoch: int = 1) -> None:
        self._store = store
        self._offer = offer
        self._epoch = epoch

    async def write(self, commit: Commit) -> None:
        """Write a commit. Raises Unavailable."""
        try:
            async with asyncio.timeout(WRITE_S):
                # Shielded: it is queued in the store and will be written after a cancellation too.
                rows = await asyncio.shield(self._store.commit(commit, self._epoch))
        except TimeoutError:
            detail = "the store does not answer; look at the recording before trying again"
            raise Unavailable(detail) from None
        self._offer(rows)

    async def write_changed(self, key: RecordingKey, make: Callable[[], Commit | None]) -> None:
        """Write what ``make`` returns (None: nothing), again while others change the recording.

        ``make`` reads the recording each time. Raises Unavailable, and whatever ``make`` raises.
        """
        for _ in range(TRIES):
            commit = make()
            if commit is None:
                return
            try:
                await self.write(commit)
            except Unavailable as error:
                if error.context.get("conflict") is not True:
                    raise
            else:
                return
        detail = "recording is changed by others all the time: try again"
        raise Unavailable(detail, recording=str(key))


def deletion(recording: Recording, now_ms: int) -> Commit:
    """Return the commit of a recording whose deletion is requested, with the request."""
    requested = recording.deletion
    if requested is None:
        detail = "recording has no requested deletion"
        raise Refused(Code.INTERNAL, detail, recording=str(recording.key))
    domain, object_ = recording.facts.domain, str(recording.key)
    reason = requested.reason.value
    return Commit(
        outbox=(deletion_message(recording, requested.reason, now_ms),),
        recordings=(PutRecording(recording),),
        audit=(entry(now_ms, requested.by, domain, "recording.delete", object_, reason=reason),),
    )


def raw_deletion(recording: Recording, now_ms: int) -> Commit:
    """Return the commit of a failed recording whose raw files are to be deleted."""
    row = deletion_message(recording, DeletionReason.RETENTION, now_ms, raw_only=True)
    domain, object_ = recording.facts.domain, str(recording.key)
    return Commit(
        outbox=(row,),
        recordings=(PutRecording(without_raw_files(recording)),),
        audit=(entry(now_ms, None, domain, "recording.deleteRaw", object_),),
    )


def tombstone_removal(recording: Recording, now_ms: int) -> Commit:
    """Return the commit that removes the entry of a deleted recording."""
    domain, object_ = recording.facts.domain, str(recording.key)
    noted = entry(now_ms, None, domain, "recording.forget", object_)
    return Commit(recordings=(DropRecording(recording.key),), audit=(noted,))


def deleted_entry(recording: Recording, now_ms: int) -> AuditEntry:
    """Return the audit entry of a deletion that a worker has reported as done."""
    done = recording.deletion
    domain, object_ = recording.facts.domain, str(recording.key)
    reason = None if done is None else done.reason.value
    return entry(now_ms, None, domain, "recording.deleted", object_, reason=reason)


def together(commits: Sequence[Commit]) -> Commit:
    """Return one commit of several, which is written as a whole or not at all."""
    return Commit(
        outbox=tuple(row for commit in commits for row in commit.outbox),
        recordings=tuple(change for commit in commits for change in commit.recordings),
        audit=tuple(noted for commit in commits for noted in commit.audit),
    )


def deletion_message(
    recording: Recording, reason: DeletionReason, now_ms: int, *, raw_only: bool = False
) -> OutboxRow:
    """Return the request to a worker."""
    key, requested = recording.key, recording.deletion
    request = DeletionRequest(
        key=key,
        room=recording.facts.room,
        reason=reason,
        requested_ms=now_ms if requested is None else requested.requested_ms,
        raw_only=raw_only,
        awaits_event=recording.state in _UNDER_WORK,
        files=() if raw_only else _files(recording),
    )
    body = encode_request(request)
    return OutboxRow(key.uuid, REQUESTED, request_id(request), request.room, body, now_ms)


def _files(recording: Recording) -> tuple[str, ...]:
    outcome = recording.outcome
    return tuple(f.filename for f in outcome.files) if isinstance(outcome, Processed) else ()

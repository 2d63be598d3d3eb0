"""Rebuild of the index from the rooms in the store and from the manifests in the destination.

Rooms come first: they know all about their segments but who was in them, which is in the manifest.
A manifest alone is enough where the room has gone.

Rules
    1. Only recordings that the index does not know are written, as new rows, and those whose
       result it does not know, because its message was lost; one that is written meanwhile counts
       as known. So a second run changes nothing.
    2. A deletion wins: a mark makes a tombstone, an open order a recording whose deletion is
       requested. Only other recordings need their files: without them they are no recordings.
    3. One room and one batch are held at a time.

Source: recording-index.md, "Rebuild".
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Protocol

from sfu_wrapper.core.finished import known_files, place_below
from sfu_wrapper.core.recordings import apply, facts_of_result, with_facts
from sfu_wrapper.core.room import Room, Segment
from sfu_wrapper.core.segment_report import closed_facts
from sfu_wrapper.model.errors import Broken, Malformed, Unavailable
from sfu_wrapper.model.identity import DomainId, RoomUuid, SegmentNo, UserId, UserKey
from sfu_wrapper.model.recording import (
    Deleted,
    Deletion,
    DeletionRequest,
    Outcome,
    Recording,
    RecordingFacts,
    RecordingKey,
    RecordingState,
)
from sfu_wrapper.model.segment import Failed, FinishedFile, Processed, SegmentInfo
from sfu_wrapper.ports.recording_files import FinishedJobs
from sfu_wrapper.ports.recordings import PutRecording, RecordingIndex
from sfu_wrapper.ports.store import Commit, PartRow, RoomRow
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.recordings.deletion_commits import Committer
from sfu_wrapper.service.recordings.objects import StoredFiles
from sfu_wrapper.wire.deletion_messages import parse_deletion
from sfu_wrapper.wire.job_messages import parse_manifest
from sfu_wrapper.wire.job_results import parse_outcome
from sfu_wrapper.wire.recording_info import parse_event
from sfu_wrapper.wire.room_state import StoredRoom, decode_room, stored_results

BATCH: Final = 100  # recordings of one commit


class Finding(StrEnum):
    """Finding about a segment.

    Attributes:
        ADDED: a recording was added to the index.
        KNOWN: the index has it.
        UPDATED: the index had it without the result that its manifest has.
        DELETED: it was deleted, and its domain is unknown: it is left out.
        LOST: files of it are missing: it is left out.
        UNOWNED: its domain is unknown: it is left out.
        DAMAGED: what is stored about it cannot be read: it is left out.
    """

    ADDED = "added"
    KNOWN = "known"
    UPDATED = "updated"
    DELETED = "deleted"
    LOST = "lost"
    UNOWNED = "unowned"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Found:
    """Segment that was found.

    Attributes:
        name: address of the recording; where it is damaged, of the room, or of the manifest.
        finding: what was found.
        recording: the recording that was added or updated.
        files: missing files, by their paths below the destination or addresses of objects.
        detail: what is damaged.
    """

    name: str
    finding: Finding
    recording: Recording | None = None
    files: tuple[str, ...] = ()
    detail: str | None = None


class StoredRooms(Protocol):
    """Rooms of a store."""

    def rooms(self) -> Iterator[tuple[RoomRow, tuple[PartRow, ...]]]:
        """Yield every room with its parts."""
        ...

    def room(self, uuid: RoomUuid) -> RoomRow | None:
        """Return a room without its parts."""
        ...


class Reindexing:
    """Rebuild of the index.

    Args:
        index: the recordings, for reading.
        rooms: rooms of the same store.
        jobs: finished jobs.
        stored: files in the object store.
        committer: writes the recordings.
        clock: wall clock.
        domain: domain of manifests that name none; None: they are left out.
        owner: owner of manifests that name none.
        step: called after each room and each manifest.
    """

    def __init__(
        self,
        index: RecordingIndex,
        rooms: StoredRooms,
        jobs: FinishedJobs,
        stored: StoredFiles,
        committer: Committer,
        clock: Clock,
        domain: DomainId | None,
        owner: UserId,
        step: Callable[[], None],
    ) -> None:
        self._index = index
        self._rooms = rooms
        self._jobs = jobs
        self._stored = stored
        self._committer = committer
        self._clock = clock
        self._domain = domain
        self._owner = owner
        self._step = step

    async def run(self) -> AsyncIterator[Found]:
        """Yield what is found; an added recording is on disk by then.

        Raises:
            Refused: the folder of finished files is not there, or a file is in an object store
                that is not configured.
            JobFailed, Unavailable: a disk or the object store refuses.
        """
        self._jobs.require_mounted()
        for source in (self._of_rooms(), self._of_manifests()):
            batch: list[Found] = []
            async for found in source:
                if found.recording is None:
                    yield found
                    continue
                batch.append(found)
                if len(batch) == BATCH:
                    for written in await self._write(batch):
                        yield written
                    batch = []
            for written in await self._write(batch):
                yield written

    async def _write(self, batch: Sequence[Found]) -> Sequence[Found]:
        """Write a batch; one by one where one of them was written meanwhile."""
        try:
            changes = (PutRecording(each.recording) for each in batch if each.recording is not None)
            await self._committer.write(Commit(recordings=tuple(changes)))
        except Unavailable as error:
            if error.context.get("conflict") is not True:
                raise
            if len(batch) == 1:
                return [replace(batch[0], finding=Finding.KNOWN, recording=None)]
            return [found for each in batch for found in await self._write([each])]
        return batch

    async def _of_rooms(self) -> AsyncIterator[Found]:
        for row, parts in self._rooms.rooms():
            stored = StoredRoom(row.state, {part.name: part.state for part in parts})
            self._step()
            try:
                room = decode_room(stored)
            except Broken as error:
                yield Found(row.uuid, Finding.DAMAGED, detail=error.detail)
                continue
            results = _results(stored)
            for segment in room.segments:
                if segment.announced:
                    found = await self._of_segment(room, segment, results.get(segment.number))
                    if found is not None:
                        yield found

    async def _of_segment(
        self, room: Room, segment: Segment, outcome: Outcome | None
    ) -> Found | None:
        """Return what is found about a segment of a room; None: its manifest says it later."""
        key = RecordingKey(room.uuid, segment.number)
        if self._index.recording(key) is not None:
            return Found(str(key), Finding.KNOWN)
        stored, event = await self._jobs.manifest(_job(key)), None
        if stored is not None:
            try:
                outcome, event = _read(stored)
            except Malformed:
                return None
        facts = closed_facts(room, segment, () if event is None else event.presences)
        found = await self._judged(facts, outcome)
        return None if stored is not None and found.recording is None else found

    async def _of_manifests(self) -> AsyncIterator[Found]:
        for name in self._jobs.manifest_names():
            stored = await self._jobs.manifest_named(name)
            self._step()
            if stored is None:
                continue
            try:
                found = await self._of_manifest(*_read(stored))
            except Malformed as error:
                found = Found(name, Finding.DAMAGED, detail=error.detail)
            if found is not None:
                yield found

    async def _of_manifest(self, result: Processed, event: SegmentInfo | None) -> Found | None:
        """Return what is found about a manifest; None: its room has said it."""
        key = RecordingKey(result.uuid, result.segment)
        room = self._rooms.room(result.uuid)
        known = self._index.recording(key)
        if known is not None:
            changed = apply(known, result, self._clock.now().wall_ms)
            if changed is not known and not await self._lost(result, known_files(changed)):
                return Found(str(key), Finding.UPDATED, changed)
            return Found(str(key), Finding.KNOWN) if room is None else None
        owner = self._owner_of(event, room)
        assumed = UserKey(DomainId(""), self._owner) if owner is None else owner
        found = await self._judged(facts_of_result(result, event, assumed), result)
        if owner is not None or found.recording is None:
            return found
        gone = found.recording.state is RecordingState.DELETED
        return Found(str(key), Finding.DELETED if gone else Finding.UNOWNED)

    def _owner_of(self, event: SegmentInfo | None, room: RoomRow | None) -> UserKey | None:
        """Return the owner of a segment with its domain; None: the domain is unknown."""
        if room is not None:
            return UserKey(room.domain, room.owner)
        domain = (event.domain if event is not None else None) or self._domain
        owner = (event.owner if event is not None else None) or self._owner
        return None if domain is None else UserKey(domain, owner)

    async def _judged(self, facts: RecordingFacts, outcome: Outcome | None) -> Found:
        """Return the recording, unless its files are missing, or what is stored is damaged."""
        name, job = str(facts.key), _job(facts.key)
        recording = with_facts(None, facts)
        if outcome is not None:
            recording = apply(recording, await self._with_kept(outcome), self._clock.now().wall_ms)
        try:
            recording = await self._with_deletion(recording, job)
        except Malformed as error:
            return Found(name, Finding.DAMAGED, detail=error.detail)
        if recording.deletion is None and isinstance(outcome, Processed):
            lost = await self._lost(outcome, known_files(recording))
            if lost:
                return Found(name, Finding.LOST, files=lost)
        return Found(name, Finding.ADDED, recording)

    async def _lost(self, result: Processed, files: Sequence[FinishedFile]) -> tuple[str, ...]:
        """Return those files that are missing, in the destination or in the object store."""
        there = [file for file in files if file.url is None]
        places = [(place_below(result, file), file.size_bytes) for file in there]
        missing = await self._jobs.lost(places)
        return missing + await self._stored.lost([file for file in files if file.url is not None])

    async def _with_kept(self, outcome: Outcome) -> Outcome:
        """Return a failure with the files that it kept, which its room does not know."""
        if not isinstance(outcome, Failed):
            return outcome
        kept = await self._jobs.leftovers(_job(RecordingKey(outcome.uuid, outcome.segment)))
        return replace(outcome, kept=tuple(str(path) for path in kept))

    async def _with_deletion(self, recording: Recording, job: str) -> Recording:
        """Return the recording with its deletion, done or requested. Raises Malformed."""
        mark = await self._jobs.mark(job)
        if mark is not None:
            done = parse_deletion(mark)
            if not isinstance(done, Deleted):
                raise Malformed("the mark of its deletion is not a report of one")
            return apply(recording, done, done.done_ms)
        order = await self._jobs.order(job)
        if order is None:
            return recording
        asked = parse_deletion(order)
        if not isinstance(asked, DeletionRequest):
            raise Malformed("the order to delete it is not a request")
        return replace(recording, deletion=Deletion(asked.reason, asked.requested_ms))


def _job(key: RecordingKey) -> str:
    return f"{key.uuid}:{key.segment}"


def _read(manifest: bytes) -> tuple[Processed, SegmentInfo | None]:
    """Read a manifest. Raises Malformed."""
    found = parse_manifest(manifest)
    result = parse_outcome(found.message)
    if not isinstance(result, Processed):
        raise Malformed("a manifest of a segment that failed")
    return result, None if found.event is None else parse_event(found.event)


def _results(stored: StoredRoom) -> dict[SegmentNo, Outcome]:
    """Return the results that are stored with a room; a damaged one is none."""
    found: dict[SegmentNo, Outcome] = {}
    for body in stored_results(stored):
        with suppress(Malformed):
            outcome = parse_outcome(body)
            found[outcome.segment] = outcome
    return found

"""Erasure of one person: all recordings of a domain that the person owned or took part in.

An erasure has two steps. The preview says what would be deleted and how many recordings that are;
the confirmation repeats this number, and is refused if it has changed meanwhile. A recording is
erased as a whole, with what it holds of other people. Recordings under a legal hold, and those that
are being made, are listed and stay.

An erasure that is interrupted (a crash, a store that is lost) has deleted a part; the next preview
shows the rest. Source: retention.md, "Requests".
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Final

from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.retention import request_deletion
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import DomainId, UserKey
from sfu_wrapper.model.recording import (
    DeletionReason,
    Recording,
    RecordingKey,
    RecordingState,
)
from sfu_wrapper.ports.recordings import RecordingIndex, RecordingQuery
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.recordings.audit import entry
from sfu_wrapper.service.recordings.changes import require_admin
from sfu_wrapper.service.recordings.deletion_commits import Committer, deletion

PAGE: Final = 100  # recordings read at once
LISTED: Final = 1_000  # addresses of one kind in an answer


@dataclass(slots=True)
class Erasure:
    """Recordings of one person: those that an erasure deletes, and those that stay.

    Attributes:
        user: the person.
        count: number of recordings to delete.
        recordings: their addresses, the first ``LISTED``, with True where the person owns it.
        held: addresses of those under a legal hold, the first ``LISTED``.
        running: addresses of those that are being made, the first ``LISTED``.
    """

    user: UserKey
    count: int = 0
    recordings: list[tuple[RecordingKey, bool]] = field(default_factory=list)
    held: list[RecordingKey] = field(default_factory=list)
    running: list[RecordingKey] = field(default_factory=list)

    def add(self, recording: Recording) -> bool:
        """Add a recording that is not deleted yet. Returns True if it is to be deleted."""
        if recording.deletion is not None or recording.state is RecordingState.DELETED:
            return False
        if recording.hold is not None:
            self.held += [recording.key] if len(self.held) < LISTED else []
            return False
        if recording.state is RecordingState.RECORDING:
            self.running += [recording.key] if len(self.running) < LISTED else []
            return False
        self.count += 1
        if len(self.recordings) < LISTED:
            self.recordings.append((recording.key, recording.facts.owner_key == self.user))
        return True


class Erasures:
    """Erasures with the rights of a requester.

    Args:
        index: the recordings.
        committer: writes the deletions.
        clock: wall clock.
    """

    def __init__(self, index: RecordingIndex, committer: Committer, clock: Clock) -> None:
        self._index = index
        self._committer = committer
        self._clock = clock

    def require_may_erase(self, by: Requester) -> None:
        """Require an administrator. Raises Refused: FORBIDDEN."""
        require_admin(by)

    async def preview(self, by: Requester, user: UserKey) -> Erasure:
        """Return what an erasure of a person would delete in the administrator's domain.

        Raises:
            Refused: FORBIDDEN.
            Unavailable: the store cannot be read.
        """
        require_admin(by)
        erasure = Erasure(user)
        async for recording in self._recordings_of(by.key.domain, user):
            erasure.add(recording)
        return erasure

    async def erase(self, by: Requester, user: UserKey, count: int) -> Erasure:
        """Delete all recordings that a person owned or took part in, but for those that stay.

        Args:
            by: the administrator.
            user: the person.
            count: number of recordings that the administrator has confirmed.

        Raises:
            Refused: FORBIDDEN, or COUNT_CHANGED; then nothing has changed.
            Unavailable: the store cannot be written; the next preview shows what is left.
        """
        preview = await self.preview(by, user)
        if preview.count != count:
            detail = "number of recordings has changed: look at the preview again"
            raise Refused(Code.COUNT_CHANGED, detail, count=preview.count)
        now_ms, object_ = self._clock.now().wall_ms, f"user:{user.domain}/{user.user}"
        noted = entry(now_ms, by.key, by.key.domain, "erasure.confirm", object_, count=count)
        await self._committer.write(Commit(audit=(noted,)))
        done = Erasure(user)
        async for recording in self._recordings_of(by.key.domain, user):
            await self._erase(done, recording.key, by.key)
        return done

    async def _erase(self, done: Erasure, key: RecordingKey, by: UserKey) -> None:
        """Request the deletion of one recording, and add it to what was done."""
        found = self._index.recording(key)

        def make() -> Commit | None:
            nonlocal found
            found = self._index.recording(key)
            if found is None or not Erasure(done.user).add(found):
                return None  # deleted or held meanwhile
            now_ms = self._clock.now().wall_ms
            return deletion(request_deletion(found, DeletionReason.ERASURE, now_ms, by), now_ms)

        await self._committer.write_changed(key, make)
        if found is not None:
            done.add(found)

    async def _recordings_of(self, domain: DomainId, user: UserKey) -> AsyncIterator[Recording]:
        """Yield the recordings of a domain that a person owned or took part in, each once."""
        if user.domain == domain:
            owned = RecordingQuery(domain=domain, owner=user.user, limit=PAGE)
            async for recording in self._all_pages(owned):
                yield recording
        attended = RecordingQuery(domain=domain, participant=user, limit=PAGE)
        async for recording in self._all_pages(attended):
            if recording.facts.owner_key != user:
                yield recording

    async def _all_pages(self, query: RecordingQuery) -> AsyncIterator[Recording]:
        while True:
            page = self._index.recordings(query)
            for recording in page.recordings:
                yield recording
            if page.next is None:
                return
            query = replace(query, after=page.next)
            await asyncio.sleep(0)  # a long list must not delay others

"""Changes of recordings by people: holds, deletions, and the retention of a domain.

Each change is one commit: the recording, the request to the workers, and the audit entry. A change
that meets another one at the same time reads the recording again and decides again, so that of a
hold and a deletion only one succeeds. ``core.retention`` decides what is allowed.

A recording of somebody else, or of another domain, is not found. Source: retention.md, "Requests".
"""

from collections.abc import Callable

from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.retention import RetentionRules, hold, release, request_deletion
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import DomainId
from sfu_wrapper.model.recording import (
    DeletionReason,
    Recording,
    RecordingKey,
)
from sfu_wrapper.ports.recordings import DomainRetention, PutRecording, RecordingIndex
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.recordings.audit import entry
from sfu_wrapper.service.recordings.deletion_commits import Committer, deletion
from sfu_wrapper.service.recordings.queries import visible_recording


class RecordingChanges:
    """Changes of recordings with the rights of a requester.

    Args:
        index: the recordings.
        committer: writes the changes.
        clock: wall clock.
        rules: times of the configuration.
        owner_may_delete: owners may delete their recordings (``recordings.ownerMayDelete``).
    """

    def __init__(
        self,
        index: RecordingIndex,
        committer: Committer,
        clock: Clock,
        rules: RetentionRules,
        *,
        owner_may_delete: bool = False,
    ) -> None:
        self._index = index
        self._committer = committer
        self._clock = clock
        self._rules = rules
        self._owner_may_delete = owner_may_delete

    def require_may_hold(self, by: Requester, key: RecordingKey) -> Recording:
        """Return a recording that the requester administers. Raises Refused: NOT_FOUND, FORBIDDEN.

        Holds are for administrators: owners, who see the recording, get FORBIDDEN.
        """
        found = self._visible(by, key)
        if not _administers(by, found):
            raise Refused(Code.FORBIDDEN, "only an administrator of the domain may hold recordings")
        return found

    async def hold(self, by: Requester, key: RecordingKey, reason: str) -> Recording:
        """Set a legal hold, or change the reason of one; return the recording as stored.

        Raises:
            Refused: NOT_FOUND, FORBIDDEN or RECORDING_DELETED.
            Unavailable: the store cannot be written.
        """
        now_ms = self._clock.now().wall_ms

        def change(found: Recording) -> Recording:
            return hold(found, by.key, reason, now_ms)

        return await self._change(by, key, change, "recording.hold", reason=reason)

    async def release(self, by: Requester, key: RecordingKey) -> Recording:
        """Remove a legal hold. Raises as ``hold``; NOT_FOUND also where there is none."""

        def change(found: Recording) -> Recording:
            if found.hold is None:
                raise Refused(Code.NOT_FOUND, "recording has no hold", recording=str(key))
            return release(found)

        return await self._change(by, key, change, "recording.release")

    async def delete(self, by: Requester, key: RecordingKey) -> Recording:
        """Request the deletion of a recording; of a deleted one nothing changes.

        Returns:
            The recording with its deletion; in DELETED where its files are gone already.

        Raises:
            Refused: NOT_FOUND, FORBIDDEN, RECORDING_HELD or RECORDING_RUNNING.
            Unavailable: the store cannot be written.
        """
        found = self._deletable(by, key)

        def make() -> Commit | None:
            nonlocal found
            known = self._deletable(by, key)
            now_ms = self._clock.now().wall_ms
            found = request_deletion(known, DeletionReason.REQUESTED, now_ms, by.key)
            return None if found is known else deletion(found, now_ms)

        await self._committer.write_changed(key, make)
        return found

    def days_of(self, by: Requester, domain: DomainId) -> int:
        """Return the days that a domain has set. Raises Refused: NOT_FOUND or FORBIDDEN."""
        if not by.service:
            require_admin_of(by, domain)
        days = self._index.retention_days(domain)
        if days is None:
            raise retention_not_found()
        return days

    def require_may_set_days(self, by: Requester, domain: DomainId) -> None:
        """Require an administrator of the domain. Raises Refused: NOT_FOUND or FORBIDDEN."""
        require_admin_of(by, domain)

    async def set_days(self, by: Requester, domain: DomainId, days: int) -> bool:
        """Set the days for which a domain keeps its recordings. Returns True if there were none.

        Raises:
            Refused: NOT_FOUND, FORBIDDEN, or BAD_REQUEST: more than the configuration allows.
            Unavailable: the store cannot be written.
        """
        require_admin_of(by, domain)
        longest = self._rules.longest_days
        if longest and days > longest:
            detail = f"days must be at most {longest}: this installation keeps recordings no longer"
            raise Refused(Code.BAD_REQUEST, detail, path="days", limit=longest)
        before = self._index.retention_days(domain)
        await self._write_days(by, domain, days, before)
        return before is None

    async def remove_days(self, by: Requester, domain: DomainId) -> None:
        """Remove what a domain has set, so that the configuration counts.

        Raises:
            Refused: NOT_FOUND (also where nothing is set) or FORBIDDEN.
            Unavailable: the store cannot be written.
        """
        require_admin_of(by, domain)
        before = self._index.retention_days(domain)
        if before is None:
            raise retention_not_found()
        await self._write_days(by, domain, None, before)

    async def _change(
        self,
        by: Requester,
        key: RecordingKey,
        change: Callable[[Recording], Recording],
        action: str,
        **details: str,
    ) -> Recording:
        """Change a recording as an administrator."""
        changed = self.require_may_hold(by, key)

        def make() -> Commit:
            nonlocal changed
            changed = change(self.require_may_hold(by, key))
            now_ms, domain = self._clock.now().wall_ms, changed.facts.domain
            noted = entry(now_ms, by.key, domain, action, str(key), **details)
            return Commit(recordings=(PutRecording(changed),), audit=(noted,))

        await self._committer.write_changed(key, make)
        return changed

    def _deletable(self, by: Requester, key: RecordingKey) -> Recording:
        """Return a recording that the requester may delete. Raises Refused."""
        found = self._visible(by, key)
        owns = self._owner_may_delete and not by.service and by.key == found.facts.owner_key
        if not owns and not _administers(by, found):
            detail = "only an administrator of the domain may delete recordings"
            raise Refused(Code.FORBIDDEN, detail)
        return found

    def _visible(self, by: Requester, key: RecordingKey) -> Recording:
        return visible_recording(self._index, by, key)

    async def _write_days(
        self, by: Requester, domain: DomainId, days: int | None, before: int | None
    ) -> None:
        action = "retention.delete" if days is None else "retention.set"
        now_ms, object_ = self._clock.now().wall_ms, f"domain:{domain}"
        noted = entry(now_ms, by.key, domain, action, object_, before=before, after=days)
        commit = Commit(retention=(DomainRetention(domain, days),), audit=(noted,))
        await self._committer.write(commit)


def require_admin(by: Requester) -> None:
    """Require an administrator. Raises Refused: FORBIDDEN."""
    if not by.admin:
        raise Refused(Code.FORBIDDEN, 'the token lacks the role "domain-admin"')


def require_admin_of(by: Requester, domain: DomainId) -> None:
    """Require an administrator of the domain; others do not learn if it has set anything."""
    require_admin(by)
    if by.key.domain != domain:
        raise retention_not_found()


def retention_not_found() -> Refused:
    """Return the same refusal for a domain that has set nothing and for another domain."""
    return Refused(Code.NOT_FOUND, "retention not found")


def _administers(by: Requester, found: Recording) -> bool:
    return by.admin and by.key.domain == found.facts.domain

"""Stored permissions: read, set, delete, and the grant that results. ``core.access`` authorizes.

Writes are serialized, each with a check of the value before it, so that of two conditional changes
based on the same version only one succeeds. A stored change takes effect at once.
"""

import asyncio
import logging
from asyncio import Future
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from sfu_wrapper.core.access import (
    Subject,
    permission_not_found,
    require_may_read,
    require_may_read_effective,
    require_may_write,
    require_may_write_own,
)
from sfu_wrapper.core.policy import Grant, grant
from sfu_wrapper.model.audit import AuditEntry
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import (
    DomainId,
    Identity,
    OwnerPermissions,
    RecordingPermissions,
    RecordingType,
    UserId,
    UserKey,
)
from sfu_wrapper.ports.system import Clock
from sfu_wrapper.service.recordings.audit import entry

WRITE_S = 10.0  # timeout of a change, including the changes queued before it

log = logging.getLogger(__name__)

Check = Callable[[RecordingPermissions | None], None]


class PermissionStore(Protocol):
    """Subset of ``ports.store.Store`` for permissions."""

    def permissions(self, owner: UserKey) -> OwnerPermissions:
        """See ``Store``."""
        ...

    def set_permission(
        self,
        domain: DomainId,
        user: UserId | None,
        permission: RecordingPermissions | None,
        audit: Sequence[AuditEntry] = (),
    ) -> "Future[None]":
        """See ``Store``."""
        ...


def _unconditionally(_: RecordingPermissions | None) -> None:
    """Accept any stored value."""


class Permissions:
    """Permissions of users and domains. ``about`` None: those of the requester.

    Args:
        store: holds the permissions.
        clock: dates the audit entries of changes.
        system: default of the installation (``rooms.record``).
        user_may_write: users may change their own (``permissions.userMayWrite``).
    """

    def __init__(
        self,
        store: PermissionStore,
        clock: Clock,
        *,
        system: RecordingType = RecordingType.NONE,
        user_may_write: bool = True,
    ) -> None:
        self._store = store
        self._clock = clock
        self._system = system
        self._user_may_write = user_may_write
        self._writing = asyncio.Lock()

    def get(self, by: Identity, about: Subject | None) -> RecordingPermissions:
        """Return the stored permission.

        Raises:
            Refused: NOT_FOUND or FORBIDDEN.
            Unavailable: the store cannot be read.
        """
        if about is not None:
            require_may_read(by, about)
        stored = self._stored(about or _own(by))
        if stored is None:
            raise permission_not_found()
        return stored

    def require_may_write(self, by: Identity, about: Subject | None) -> Subject:
        """Return the subject of a write. Raises Refused: NOT_FOUND or FORBIDDEN."""
        if about is None:
            require_may_write_own(by, self._user_may_write)
            return _own(by)
        require_may_write(by, about)
        return about

    async def put(
        self,
        by: Identity,
        about: Subject | None,
        permission: RecordingPermissions,
        check: Check = _unconditionally,
    ) -> bool:
        """Store a permission; returns once it is on disk.

        Args:
            by: the requester.
            about: user or domain; None: the requester.
            permission: the new value.
            check: called with the current value; raises to prevent the change.

        Returns:
            True if none was stored before.

        Raises:
            Refused: NOT_FOUND or FORBIDDEN.
            Unavailable: the outcome is unknown.
        """
        subject = self.require_may_write(by, about)
        async with self._exclusively():
            before = self._stored(subject)
            check(before)
            await self._write(by, subject, before, permission)
        self._log_change("permission.set", by, subject)
        return before is None

    async def delete(
        self, by: Identity, about: Subject | None, check: Check = _unconditionally
    ) -> None:
        """Delete a permission, as ``put`` stores one. Raises NOT_FOUND if none is stored."""
        subject = self.require_may_write(by, about)
        async with self._exclusively():
            before = self._stored(subject)
            if before is None:
                raise permission_not_found()
            check(before)
            await self._write(by, subject, before, None)
        self._log_change("permission.deleted", by, subject)

    def effective(self, by: Identity, user: UserKey) -> Grant:
        """Return the grant that results from the permissions of user, domain and system.

        Raises:
            Refused: NOT_FOUND or FORBIDDEN.
            Unavailable: the store cannot be read.
        """
        require_may_read_effective(by, user)
        return grant(self._store.permissions(user), self._system)

    def _stored(self, subject: Subject) -> RecordingPermissions | None:
        # No user has an empty id, so an empty one finds only the permission of the domain.
        owner = UserKey(subject.domain, subject.user or UserId(""))
        found = self._store.permissions(owner)
        return found.domain if subject.user is None else found.user

    async def _write(
        self,
        by: Identity,
        subject: Subject,
        before: RecordingPermissions | None,
        permission: RecordingPermissions | None,
    ) -> None:
        whose = f"domain:{subject.domain}" if subject.user is None else f"user:{subject.user}"
        action = "permission.delete" if permission is None else "permission.set"
        noted = entry(
            self._clock.now().wall_ms,
            by.key,
            subject.domain,
            action,
            whose,
            before=_words(before),
            after=_words(permission),
        )
        # Shielded: the change is queued in the store and will be written after a cancellation too.
        await asyncio.shield(
            self._store.set_permission(subject.domain, subject.user, permission, (noted,))
        )

    @asynccontextmanager
    async def _exclusively(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(WRITE_S), self._writing:
                yield
        except TimeoutError:
            raise Unavailable(
                "the store does not answer; check the current value before trying again"
            ) from None

    def _log_change(self, action: str, by: Identity, subject: Subject) -> None:
        log.info(action, extra={"by": by.user, "domain": subject.domain, "user": subject.user})


def _words(permission: RecordingPermissions | None) -> str | None:
    if permission is None:
        return None
    return f"{permission.recording_type} {permission.recording_profile}"


def _own(by: Identity) -> Subject:
    return Subject(by.domain, by.user)

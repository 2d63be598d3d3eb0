"""Stored permissions: read, set, delete, and what they come to. Who may is ``core.access``.

Writes are done one after another, each with its look at what was there before, so that of two
changes made upon the same reading only one goes through. What is written counts at once.
"""

import asyncio
import logging
from asyncio import Future
from collections.abc import AsyncIterator, Callable
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

WRITE_S = 10.0  # within which a change is on disk, those before it included

log = logging.getLogger(__name__)

Check = Callable[[RecordingPermissions | None], None]


class PermissionStore(Protocol):
    """The part of ``ports.store.Store`` that this needs."""

    def permissions(self, owner: UserKey) -> OwnerPermissions:
        """See ``Store``."""
        ...

    def set_permission(
        self, domain: DomainId, user: UserId | None, permission: RecordingPermissions | None
    ) -> "Future[None]":
        """See ``Store``."""
        ...


def _unconditionally(_: RecordingPermissions | None) -> None:
    """Write whatever is there."""


class Permissions:
    """Everybody's stored permissions. ``about`` None: those of whoever asks.

    system: ``rooms.record``. user_may_write: ``permissions.userMayWrite``.
    """

    def __init__(
        self,
        store: PermissionStore,
        *,
        system: RecordingType = RecordingType.NONE,
        user_may_write: bool = True,
    ) -> None:
        self._store = store
        self._system = system
        self._user_may_write = user_may_write
        self._writing = asyncio.Lock()

    def get(self, by: Identity, about: Subject | None) -> RecordingPermissions:
        """What is stored.

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
        """Whose permission it would be. Raises Refused: NOT_FOUND or FORBIDDEN."""
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
        """Store it; returns once it is on disk. True where there was none before.

        check: called with what is there; raises where that should not be replaced.

        Raises:
            Refused: NOT_FOUND or FORBIDDEN.
            Unavailable: not known to be stored.
        """
        subject = self.require_may_write(by, about)
        async with self._alone():
            before = self._stored(subject)
            check(before)
            await self._write(subject, permission)
        self._tell("permission.set", by, subject)
        return before is None

    async def delete(
        self, by: Identity, about: Subject | None, check: Check = _unconditionally
    ) -> None:
        """Delete it; as ``put``, and NOT_FOUND where there is none."""
        subject = self.require_may_write(by, about)
        async with self._alone():
            before = self._stored(subject)
            if before is None:
                raise permission_not_found()
            check(before)
            await self._write(subject, None)
        self._tell("permission.deleted", by, subject)

    def effective(self, by: Identity, user: UserKey) -> Grant:
        """What is stored for a user, its domain and the system comes to.

        Raises:
            Refused: NOT_FOUND or FORBIDDEN.
            Unavailable: the store cannot be read.
        """
        require_may_read_effective(by, user)
        return grant(self._store.permissions(user), self._system)

    def _stored(self, subject: Subject) -> RecordingPermissions | None:
        # No user has an empty id, so that asking for one finds the domain's alone.
        owner = UserKey(subject.domain, subject.user or UserId(""))
        found = self._store.permissions(owner)
        return found.domain if subject.user is None else found.user

    async def _write(self, subject: Subject, permission: RecordingPermissions | None) -> None:
        # Not to be cancelled: it is in the store's queue and will be written in any case.
        await asyncio.shield(self._store.set_permission(subject.domain, subject.user, permission))

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(WRITE_S), self._writing:
                yield
        except TimeoutError:
            raise Unavailable("the store does not answer; look before trying again") from None

    def _tell(self, action: str, by: Identity, subject: Subject) -> None:
        whose = {"domain": subject.domain, "user": subject.user}
        log.info(action, extra={"by": by.user, **whose})


def _own(by: Identity) -> Subject:
    return Subject(by.domain, by.user)

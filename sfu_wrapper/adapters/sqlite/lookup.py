"""Permissions: read for the store, read and written from outside beside a running controller."""

import asyncio
import sqlite3
from asyncio import Future
from contextlib import closing
from pathlib import Path

from sfu_wrapper.adapters.sqlite import rows
from sfu_wrapper.adapters.sqlite.database import open_database, open_reader, translated
from sfu_wrapper.adapters.sqlite.schema import MIGRATIONS
from sfu_wrapper.model.errors import RecordingError
from sfu_wrapper.model.identity import (
    DomainId,
    OwnerPermissions,
    RecordingPermissions,
    UserId,
    UserKey,
)

_STORED = """
    SELECT 'user', type, profile FROM user_permissions WHERE domain = ?1 AND user = ?2
    UNION ALL SELECT 'domain', type, profile FROM domain_permissions WHERE domain = ?1
"""


def permissions(connection: sqlite3.Connection, owner: UserKey) -> OwnerPermissions:
    """What is stored for a user and for its domain."""
    found = connection.execute(_STORED, (owner.domain, owner.user)).fetchall()
    own = [stored for whose, *stored in found if whose == "user"]
    domain = [stored for whose, *stored in found if whose == "domain"]
    return OwnerPermissions(rows.permission(own), rows.permission(domain))


def stored_permissions(path: Path, owner: UserKey) -> OwnerPermissions:
    """The same from a file that a controller may have open; where there is none, nothing is stored.

    Raises:
        Unavailable, Misconfigured: it cannot be read.
    """
    if not path.exists():
        return OwnerPermissions()
    with closing(open_reader(path)) as connection, translated(path):
        return permissions(connection, owner)


class PermissionFile:
    """The permissions in a file that a controller may have open: it sees a change at once.

    One statement is one transaction, so that nothing is ever half-written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def permissions(self, owner: UserKey) -> OwnerPermissions:
        """See ``Store``."""
        return stored_permissions(self._path, owner)

    def set_permission(
        self, domain: DomainId, user: UserId | None, permission: RecordingPermissions | None
    ) -> "Future[None]":
        """See ``Store``; on disk when it returns."""
        done: Future[None] = asyncio.get_running_loop().create_future()
        try:
            connection = open_database(self._path, MIGRATIONS)
            with closing(connection), translated(self._path):
                rows.write_permission(connection, domain, user, permission)
        except RecordingError as error:
            done.set_exception(error)
        else:
            done.set_result(None)
        return done

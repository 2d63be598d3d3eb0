"""Reading permissions: for the store, and for a look from outside beside a running controller."""

import sqlite3
from contextlib import closing
from pathlib import Path

from sfu_wrapper.adapters.sqlite import rows
from sfu_wrapper.adapters.sqlite.database import open_reader, translated
from sfu_wrapper.model.ids import UserKey
from sfu_wrapper.model.permission import OwnerPermissions

_OF_USER = "SELECT type, profile FROM user_permissions WHERE domain = ? AND user = ?"
_OF_DOMAIN = "SELECT type, profile FROM domain_permissions WHERE domain = ?"


def permissions(connection: sqlite3.Connection, owner: UserKey) -> OwnerPermissions:
    """What is stored for a user and for its domain."""
    own = connection.execute(_OF_USER, (owner.domain, owner.user)).fetchall()
    domain = connection.execute(_OF_DOMAIN, (owner.domain,)).fetchall()
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

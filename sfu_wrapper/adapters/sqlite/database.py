"""Opening a database file of ours: who may read it, how durable it is, which schema it has.

Knows nothing of rooms or messages: the schema is handed in as numbered migrations. Every foreign
error ends here, as ``Unavailable`` (try again) or ``Misconfigured`` (a person must act).

The tables of the store, as numbered migrations: append, never change what has been released.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sfu_wrapper.model.errors import Misconfigured, Unavailable

BUSY_S = 5.0  # how long a writer waits for another process's transaction
_WAL_LIMIT_BYTES = 64 * 1024 * 1024
_STATEMENTS = 256  # that stay prepared: each number of rows is one of its own (``many``)
_DAMAGED = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))

Migrations = Sequence[Sequence[str]]


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's and the system's errors into ours.

    Raises:
        Misconfigured: the file is damaged or is no database.
        Unavailable: everything else: disk full, I/O error, locked for too long.
    """
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        raise translate(exc, path) from exc


def translate(exc: Exception, path: Path) -> Misconfigured | Unavailable:
    """The error of ours that ``exc`` amounts to."""
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGED:
        return Misconfigured(f"{path.name} is damaged ({exc}): restore it from a backup")
    return Unavailable(f"{path.name} cannot be used: {exc}")


def open_database(path: Path, migrations: Migrations) -> sqlite3.Connection:
    """A connection for writing; creates folder (0700), file (0600) and schema where missing.

    WAL with synchronous FULL: a commit that returned has survived a power cut.

    Raises:
        Misconfigured: damaged, or written by a newer release.
        Unavailable: it cannot be opened or written now.
    """
    with translated(path):
        _create(path)
        connection = _connect(path)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT_BYTES}")
            _require_sound(connection, path)
            _migrate(connection, path, migrations)
        except BaseException:
            connection.close()
            raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads and never waits, for a database that is there.

    Raises:
        Unavailable, Misconfigured: it cannot be read.
    """
    with translated(path):
        connection = _connect(path)
        connection.execute("PRAGMA query_only=ON")
        return connection


def _create(path: Path) -> None:
    """The folder and an empty file, readable by nobody else from their first moment."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _connect(path: Path) -> sqlite3.Connection:
    # One thread at a time uses it, not always the one that opened it. Transactions are our own.
    return sqlite3.connect(
        path,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )


def _require_sound(connection: sqlite3.Connection, path: Path) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Misconfigured(f"{path.name} is damaged ({verdict}): restore it from a backup")


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Migrations) -> None:
    connection.execute("BEGIN IMMEDIATE")  # two processes may be the first at once
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS schema (version INTEGER NOT NULL)")
        (version,) = connection.execute("SELECT coalesce(max(version), 0) FROM schema").fetchone()
        _require_known(version, path, migrations)
        for statements in migrations[version:]:
            for statement in statements:
                connection.execute(statement)
        if version < len(migrations):
            connection.execute("DELETE FROM schema")
            connection.execute("INSERT INTO schema VALUES (?)", (len(migrations),))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _require_known(version: int, path: Path, migrations: Migrations) -> None:
    if version > len(migrations):
        raise Misconfigured(f"{path.name} was written by a newer release (schema {version})")


# rooms keep their rowid: it tells apart two rooms of one id that were made in the same millisecond.
# outbox numbers are never used again (AUTOINCREMENT), so a reader can page by them.
_FIRST = (
    """
    CREATE TABLE rooms (
        uuid TEXT NOT NULL UNIQUE, id TEXT NOT NULL, domain TEXT NOT NULL, owner TEXT NOT NULL,
        life TEXT NOT NULL, settled INTEGER NOT NULL, created_ms INTEGER NOT NULL,
        ended_ms INTEGER, state BLOB NOT NULL, epoch INTEGER NOT NULL
    )
    """,
    "CREATE INDEX rooms_by_id ON rooms (id, created_ms)",
    "CREATE INDEX rooms_unsettled ON rooms (created_ms) WHERE settled = 0",
    """
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, room TEXT NOT NULL, routing_key TEXT NOT NULL,
        message_id TEXT NOT NULL, correlation_id TEXT NOT NULL, body BLOB NOT NULL,
        created_ms INTEGER NOT NULL, mandatory INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE answers (
        key TEXT PRIMARY KEY, digest BLOB NOT NULL, answer BLOB NOT NULL,
        expires_ms INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX answers_by_expiry ON answers (expires_ms)",
    """
    CREATE TABLE user_permissions (
        domain TEXT NOT NULL, user TEXT NOT NULL, type TEXT NOT NULL, profile TEXT NOT NULL,
        PRIMARY KEY (domain, user)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE domain_permissions (
        domain TEXT PRIMARY KEY, type TEXT NOT NULL, profile TEXT NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE leases (
        job TEXT PRIMARY KEY, holder TEXT NOT NULL, boot TEXT NOT NULL, expires_ms INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
)

# Room ids are unique among the living rooms of one domain. What a room has many of is in rows of
# its own; rooms of the first schema hold all in their state until they are written again. Those who
# took part are looked up in rows of their own (``member/DOMAIN/USER``), for the old rooms as well;
# a damaged one is left for its reader to refuse. Uuids (ASCII, here in lower case) are kept when
# their rooms are removed, for ever: none is used for two rooms.
_MEMBERS_OF_OLD_ROOMS = """
    INSERT OR IGNORE INTO parts (room, name, state)
    SELECT uuid,
        'member/' || json_extract(member.value, '$.domain')
            || '/' || json_extract(member.value, '$.user'),
        CAST(member.value AS BLOB)
    FROM (SELECT uuid, CAST(substr(state, 3) AS TEXT) AS document FROM rooms) AS old,
        json_each(CASE WHEN json_valid(document) THEN document ELSE '{}' END, '$.members') AS member
    WHERE member.type = 'object'
"""
_SECOND = (
    """
    CREATE TABLE parts (
        room TEXT NOT NULL, name TEXT NOT NULL, state BLOB NOT NULL, PRIMARY KEY (room, name)
    ) WITHOUT ROWID
    """,
    _MEMBERS_OF_OLD_ROOMS,
    "CREATE TABLE used_uuids (uuid TEXT PRIMARY KEY) WITHOUT ROWID",
    "INSERT OR IGNORE INTO used_uuids (uuid) SELECT lower(uuid) FROM rooms",
    "CREATE INDEX rooms_by_end ON rooms (ended_ms) WHERE settled = 1",
    "DROP INDEX rooms_by_id",
    "CREATE INDEX rooms_by_id ON rooms (domain, id, created_ms)",
)

MIGRATIONS: Final[Migrations] = (_FIRST, _SECOND)

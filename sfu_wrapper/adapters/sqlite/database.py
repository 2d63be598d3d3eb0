"""Database files: opening, migrating and inspecting one, and statements over many rows.

The schema is a tuple of numbered migrations: append, never change what has been released. Every
error of SQLite leaves as ``Unavailable`` (retry) or ``Misconfigured`` (an operator must act).
``inspect`` reads a file without changing it, with or without a process that has it open.

Statements over many rows are few: after each statement of the writer, other threads of the process
run first, so the number of statements decides how long a transaction takes in a busy process. The
numbers of rows are powers of two, so that SQLite keeps the statements prepared.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, Final

from sfu_wrapper.model.errors import Misconfigured, Unavailable

BUSY_S = 5.0  # wait for the transaction of another process
_WAL_LIMIT_BYTES = 64 * 1024 * 1024
_STATEMENTS = 256  # kept prepared: each number of rows (``many``) is a statement of its own
_DAMAGED = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
_DENIED = frozenset((sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN))
_LOCKED = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED))

Migrations = Sequence[Sequence[str]]


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Translate errors of SQLite and of the system.

    Raises:
        Misconfigured: the file is damaged or not a database.
        Unavailable: any other error: disk full, I/O error, locked for too long.
    """
    try:
        yield
    except (sqlite3.Error, OSError) as exc:
        raise translate(exc, path) from exc


def translate(exc: Exception, path: Path) -> Misconfigured | Unavailable:
    """Return the RecordingError that corresponds to ``exc``."""
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGED:
        return Misconfigured(f"{path.name} is damaged ({exc}): restore it from a backup")
    return Unavailable(f"{path.name} cannot be used: {exc}")


def open_database(path: Path, migrations: Migrations) -> sqlite3.Connection:
    """Open a connection for writing; create folder (0700), file (0600) and schema if missing.

    WAL with synchronous FULL: a commit that has returned survives a power cut.

    Raises:
        Misconfigured: the file is damaged, or written by a newer release.
        Unavailable: the file cannot be opened or written now.
    """
    with translated(path):
        _create(path)
        connection = _connect(path)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT_BYTES}")
            _require_intact(connection, path)
            _migrate(connection, path, migrations)
        except BaseException:
            connection.close()
            raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a read-only connection to an existing database; reads never wait.

    Raises:
        Unavailable, Misconfigured: the file cannot be read.
    """
    with translated(path):
        connection = _connect(path)
        connection.execute("PRAGMA query_only=ON")
        return connection


def _create(path: Path) -> None:
    """Create folder and empty file, private from the start.

    An existing file is not opened: closing a descriptor of ours would drop the POSIX locks of all
    connections that this process has to it. Another process that closes the database would then
    take itself for the last one, and remove the write-ahead log to which this one goes on writing.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open(path, flags, 0o600))


def _connect(path: Path) -> sqlite3.Connection:
    # One thread at a time uses it, not always the opening one. We begin transactions explicitly.
    return sqlite3.connect(
        path,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )


def _require_intact(connection: sqlite3.Connection, path: Path) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Misconfigured(f"{path.name} is damaged ({verdict}): restore it from a backup")


def _migrate(connection: sqlite3.Connection, path: Path, migrations: Migrations) -> None:
    connection.execute("BEGIN IMMEDIATE")  # two processes may create the file concurrently
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


@dataclass(frozen=True, slots=True)
class Inspected:
    """State of an intact file.

    Attributes:
        version: schema version; the next service that opens the file migrates an older one.
        bytes: its size.
        in_use: a controller has it open.
    """

    version: int
    bytes: int
    in_use: bool


def inspect(path: Path, migrations: Migrations) -> Inspected | None:
    """Return the state of the file; None if it does not exist.

    Raises:
        Misconfigured: the file is damaged, not a database, or of a newer release.
        Unavailable: the file cannot be read now.
    """
    if not path.exists():
        return None
    with closing(open_reader(path)) as connection, translated(path):
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise Misconfigured(f"{path.name} is damaged ({verdict}): restore it from a backup")
        known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'schema'").fetchone()
        sql = "SELECT coalesce(max(version), 0) FROM schema"
        version: int = connection.execute(sql).fetchone()[0] if known else 0
    if version > len(migrations):
        raise Misconfigured(f"{path.name} was written by a newer release (schema {version})")
    return Inspected(version, path.stat().st_size, _locked(path))


class Writing(Enum):
    """Answer of a file to a process that wants to write to it."""

    POSSIBLE = "possible"
    LOCKED = "locked"  # another process has a transaction open for longer than ``BUSY_S``
    DENIED = "denied"  # this user may not open, or not change, the file or its folder


def try_locking(path: Path) -> Writing:
    """Take the write lock of an existing file and release it; nothing is written.

    Waits ``BUSY_S`` for the transaction of another process.

    Raises:
        Misconfigured: the file is damaged or not a database.
        Unavailable: any other error.
    """
    try:
        with closing(_connect(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _LOCKED:
            return Writing.LOCKED
        if code in _DENIED:
            return Writing.DENIED
        raise translate(error, path) from error
    return Writing.POSSIBLE


def _locked(path: Path) -> bool:
    """Return True if a controller holds the lock file of the database."""
    try:
        with Path(f"{path}.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


_STEP: Final = 16  # fewer rows are one statement; more are split into multiples of this
_MOST: Final = 64  # rows per statement, far below SQLite's limit on values

Values = Sequence[Any]


def run_many(
    connection: sqlite3.Connection, statement: str, rows: Sequence[Values]
) -> list[tuple[Sequence[Values], sqlite3.Cursor]]:
    """Execute a statement for many rows, in their order.

    Args:
        connection: in a transaction.
        statement: SQL with ``{}`` after ``VALUES``, for the rows of placeholders.
        rows: rows of equal length; may be empty.

    Returns:
        Rows and cursor of each executed statement.
    """
    return [
        (piece, connection.execute(_with_rows(statement, len(piece[0]), len(piece)), _flat(piece)))
        for piece in _pieces(rows)
    ]


def found_by(
    connection: sqlite3.Connection, statement: str, rows: Sequence[Values]
) -> list[tuple[Any, ...]]:
    """Return the result of a SELECT for many rows; see ``run_many``."""
    return [row for _, cursor in run_many(connection, statement, rows) for row in cursor]


def _pieces(rows: Sequence[Values]) -> Iterator[Sequence[Values]]:
    at = 0
    while left := len(rows) - at:
        size = left if left < _STEP else min(_MOST, left // _STEP * _STEP)
        yield rows[at : at + size]
        at += size


@cache
def _with_rows(statement: str, width: int, count: int) -> str:
    row = f"({', '.join('?' * width)})"
    return statement.format(", ".join([row] * count))


def _flat(rows: Sequence[Values]) -> list[Any]:
    return [value for row in rows for value in row]

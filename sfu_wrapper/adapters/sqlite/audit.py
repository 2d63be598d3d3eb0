"""Audit chains in SQLite: appended within the transaction of what they record, read by pages.

The heads are read in each transaction that appends, in one statement for all its domains. Keeping
them in memory would take a statement as well, to find out if another process (``permissions set``)
has appended meanwhile, and would be wrong after a transaction that was rolled back.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sfu_wrapper.adapters.sqlite.database import found_by, open_reader, run_many, translated
from sfu_wrapper.model.audit import AuditEntry, AuditHead, AuditRow
from sfu_wrapper.model.errors import Misconfigured
from sfu_wrapper.model.identity import DomainId
from sfu_wrapper.wire.audit import MAX_TEXT, appended

_APPEND = "INSERT INTO audit (domain, number, object, entry, hash) VALUES {}"
_LAST = """
    SELECT audit.domain, audit.number, lower(hex(audit.hash))
    FROM (
        SELECT column1 AS domain,
            (SELECT max(number) FROM audit WHERE domain = column1) AS number
        FROM (VALUES {})
    ) AS last CROSS JOIN audit
    ON audit.domain = last.domain AND audit.number = last.number
"""
_DOMAINS = """
    WITH RECURSIVE found (domain) AS (
        SELECT min(domain) FROM audit
        UNION ALL
        SELECT (SELECT min(domain) FROM audit WHERE domain > found.domain) FROM found
        WHERE found.domain IS NOT NULL
    )
    SELECT domain FROM found WHERE domain IS NOT NULL
"""
_ROWS = """
    SELECT this.domain, this.number, this.entry, lower(hex(this.hash)),
        coalesce(lower(hex(before.hash)), '')
    FROM audit AS this LEFT JOIN audit AS before
        ON before.domain = this.domain AND before.number = this.number - 1
"""
_PAGE = f"{_ROWS} WHERE this.domain = ? AND this.number > ? ORDER BY this.number LIMIT ?"
_ABOUT = f"""
    {_ROWS} WHERE this.object = ?2 AND this.domain = ?1 ORDER BY this.number DESC LIMIT ?3
"""
_WALK = "SELECT number, entry, hash FROM audit WHERE domain = ? ORDER BY number"


def append(connection: sqlite3.Connection, entries: Sequence[AuditEntry]) -> None:
    """Append entries to the chains of their domains, inside the caller's transaction."""
    if not entries:
        return
    heads = last_entries(connection, list({entry.domain for entry in entries}))
    rows = appended(heads, entries)
    values = [
        (row.domain, row.number, entry.object[:MAX_TEXT], row.entry, bytes.fromhex(row.hash))
        for row, entry in zip(rows, entries, strict=True)
    ]
    run_many(connection, _APPEND, values)


def last_entries(
    connection: sqlite3.Connection, domains: Sequence[DomainId]
) -> dict[DomainId, AuditHead]:
    """Return the heads of these chains; domains without entries are not among them."""
    found = found_by(connection, _LAST, [(domain,) for domain in domains])
    return {DomainId(domain): AuditHead(domain, number, own) for domain, number, own in found}


class SqliteAudit:
    """``AuditLog`` on an open connection.

    Args:
        read: executes a query with its values.
    """

    def __init__(self, read: Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]) -> None:
        self._read = read

    def head(self, domain: DomainId) -> AuditHead:
        """See ``AuditLog``."""
        found = self._read(_LAST.format("(?)"), (domain,))
        return AuditHead(*found[0]) if found else AuditHead(domain, 0, "")

    def heads(self) -> tuple[AuditHead, ...]:
        """See ``AuditLog``."""
        return tuple(self.head(DomainId(domain)) for (domain,) in self._read(_DOMAINS, ()))

    def entries(self, domain: DomainId, after: int, limit: int) -> tuple[AuditRow, ...]:
        """See ``AuditLog``."""
        return tuple(AuditRow(*row) for row in self._read(_PAGE, (domain, after, limit)))

    def entries_about(self, domain: DomainId, object_: str, limit: int) -> tuple[AuditRow, ...]:
        """See ``AuditLog``."""
        found = self._read(_ABOUT, (domain, object_, limit))
        return tuple(AuditRow(*row) for row in reversed(found))


class AuditFile:
    """Audit chains in a file that a controller may have open; each call sees one moment of it.

    Args:
        path: the database file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> "AuditFile":
        """Open the file for reading.

        Raises:
            Misconfigured: there is no such store, or none with chains.
            Unavailable: it cannot be read now.
        """
        if not self._path.exists():
            raise Misconfigured(f"{self._path} does not exist: start the controller once")
        self._connection = open_reader(self._path)
        known = "SELECT 1 FROM sqlite_master WHERE name = 'audit'"
        if not self._query(known, ()):
            self._connection.close()
            raise Misconfigured(f"{self._path} has no audit log yet: start the controller once")
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def log(self) -> SqliteAudit:
        """Chains by pages."""
        return SqliteAudit(self._query)

    def walk(self, domain: DomainId) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield number, entry and hash of each entry of a chain, in order, as of one moment.

        Rows are read while they are consumed, so that memory does not grow with the chain.
        """
        with translated(self._path), closing(self._connection.execute(_WALK, (domain,))) as rows:
            yield from rows

    def _query(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        with translated(self._path):
            return self._connection.execute(sql, values).fetchall()

"""Index of recordings in SQLite: queries.

Each list is the range of one index, read in the order of the index from the position of the page
before. Conditions that the index does not hold are checked row by row, for at most ``LOOKED_AT``
rows: after those the page ends, however full it is, and names the last row. So a query of a domain
or an owner takes a range that holds no row of another one, whose existence would show otherwise.
Source: recording-index.md, "Lists".
"""

import json
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sfu_wrapper.adapters.sqlite.database import translated
from sfu_wrapper.model.identity import DomainId, RoomId, RoomUuid, SegmentNo, UserId, UserKey
from sfu_wrapper.model.recording import Recording, RecordingKey, RecordingState
from sfu_wrapper.ports.recordings import (
    Due,
    Position,
    RecordingPage,
    RecordingQuery,
    UsageRow,
)
from sfu_wrapper.wire.recording_state import RecordingColumns, decode_recording

LOOKED_AT: Final = 2_000  # rows that a query looks at

_COLUMNS: Final = """
    uuid, segment, room, domain, owner, state, started_ms, stopped_ms, duration_ms, version,
    facts, rest
"""
_ROW = f"SELECT {_COLUMNS} FROM recordings"  # noqa: S608 constants of ours
_PLACE = "started_ms, uuid, segment"
_NEWEST = "started_ms DESC, uuid DESC, segment DESC"
_ONE = f"{_ROW} WHERE uuid = ? AND segment = ?"
_OWNER_OF = "SELECT domain, owner FROM recordings WHERE uuid = ? AND segment = ?"
_NEXT_OWNER = """
    SELECT domain, owner FROM recordings INDEXED BY recordings_by_owner
    WHERE (domain, owner) {} (?, ?) ORDER BY domain, owner LIMIT 1
"""
_NEXT_OWNER_HERE = """
    SELECT domain, owner FROM recordings INDEXED BY recordings_by_owner
    WHERE domain = ? AND owner {} ? ORDER BY owner LIMIT 1
"""
_USAGE = """
    SELECT count(*), coalesce(sum(duration_ms), 0), sum(bytes)
    FROM recordings INDEXED BY recordings_by_owner
    WHERE domain = ? AND owner = ? AND started_ms >= ? AND started_ms < ?
"""
_FINISHED = f"""
    {_ROW} INDEXED BY recordings_by_due
    WHERE domain = ? AND state = ? AND due_ms < ? AND (due_ms, uuid, segment) > (?, ?, ?)
    ORDER BY due_ms, uuid, segment LIMIT ?
"""
_DELETIONS = f"""
    {_ROW} INDEXED BY recordings_by_request
    WHERE requested_ms IS NOT NULL AND (requested_ms, uuid, segment) > (?, ?, ?)
    ORDER BY requested_ms, uuid, segment LIMIT ?
"""
_DOMAINS = """
    WITH RECURSIVE found (domain) AS (
        SELECT min(domain) FROM recordings
        UNION ALL
        SELECT (SELECT min(domain) FROM recordings WHERE domain > found.domain) FROM found
        WHERE found.domain IS NOT NULL
    )
    SELECT domain FROM found WHERE domain IS NOT NULL
"""
_BY_ROWID = f"""
    SELECT {_COLUMNS} FROM json_each(?) AS wanted CROSS JOIN recordings
    ON recordings.rowid = wanted.value ORDER BY wanted.key
"""  # noqa: S608 constants of ours
_ALL = f"{_ROW} ORDER BY uuid, segment"


_DOMAIN, _OWNER, _ROOM, _STATE = (f"{name} = ?" for name in ("domain", "owner", "room", "state"))
_ATTENDED = """EXISTS (
    SELECT 1 FROM stays WHERE stays.domain = ? AND stays.user = ?
    AND stays.started_ms = recordings.started_ms AND stays.uuid = recordings.uuid
    AND stays.segment = recordings.segment
)"""
_INDEXES: Final = (
    ("recordings_by_owner", (_DOMAIN, _OWNER)),
    ("recordings_by_domain_and_room", (_DOMAIN, _ROOM)),
    ("recordings_by_room", (_ROOM,)),
    ("recordings_by_domain_and_state", (_DOMAIN, _STATE)),
    ("recordings_by_domain", (_DOMAIN,)),
    ("recordings_by_state", (_STATE,)),
)


class SqliteRecordings:
    """``RecordingIndex`` on an open connection.

    Args:
        connection: reads only.
        path: the database file, for error messages.
        looked_at: rows that a query looks at.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path, *, looked_at: int = LOOKED_AT
    ) -> None:
        self._connection = connection
        self._path = path
        self._looked_at = looked_at

    def owner_of(self, key: RecordingKey) -> UserKey | None:
        """See ``RecordingIndex``."""
        found = self._rows(_OWNER_OF, (key.uuid, key.segment))
        return UserKey(*found[0]) if found else None

    def recording(self, key: RecordingKey) -> Recording | None:
        """See ``RecordingIndex``."""
        return next(iter(self._found(_ONE, (key.uuid, key.segment))), None)

    def recordings(self, query: RecordingQuery) -> RecordingPage:
        """See ``RecordingIndex``."""
        sql, values = _listed(query)
        looked = 0
        found: list[tuple[int, Position]] = []
        last: Position | None = None
        with translated(self._path), closing(self._connection.execute(sql, values)) as rows:
            for rowid, started_ms, uuid, segment, fits in islice(rows, self._looked_at):
                if fits and len(found) == query.limit:
                    return RecordingPage(self._by_rowid(found), found[-1][1])
                looked += 1
                last = Position(started_ms, RecordingKey(uuid, segment))
                if fits:
                    found.append((rowid, last))
        return RecordingPage(self._by_rowid(found), last if looked == self._looked_at else None)

    def usage(
        self, domain: DomainId | None, from_ms: int, to_ms: int, after: UserKey | None, limit: int
    ) -> tuple[UsageRow, ...]:
        """See ``RecordingIndex``."""
        owners = self._owners(domain, after)
        used = (self._usage(owner, from_ms, to_ms) for owner in owners)
        return tuple(islice((row for row in used if row.recordings), limit))

    def finished(
        self,
        domain: DomainId,
        state: RecordingState,
        before_ms: int,
        limit: int,
        after: Due | None = None,
    ) -> tuple[Recording, ...]:
        """See ``RecordingIndex``."""
        return self._found(_FINISHED, (domain, state, before_ms, *_after(after), limit))

    def retention_days(self, domain: DomainId) -> int | None:
        """See ``RecordingIndex``."""
        sql = "SELECT days FROM domain_retention WHERE domain = ?"
        found = self._rows(sql, (domain,))
        return found[0][0] if found else None

    def domains(self) -> tuple[DomainId, ...]:
        """See ``RecordingIndex``."""
        return tuple(DomainId(domain) for (domain,) in self._rows(_DOMAINS))

    def deletions(self, limit: int, after: Due | None = None) -> tuple[Recording, ...]:
        """See ``RecordingIndex``."""
        return self._found(_DELETIONS, (*_after(after), limit))

    def all(self) -> Iterator[Recording]:
        """See ``RecordingIndex``; the recordings of one moment."""
        with translated(self._path), closing(self._connection.execute(_ALL)) as rows:
            yield from map(_recording, rows)

    def _owners(self, domain: DomainId | None, after: UserKey | None) -> Iterator[UserKey]:
        sql = _NEXT_OWNER if domain is None else _NEXT_OWNER_HERE
        at = after or UserKey(domain or DomainId(""), UserId(""))
        order = ">=" if after is None else ">"
        while found := self._rows(sql.format(order), (at.domain, at.user)):
            at, order = UserKey(*found[0]), ">"
            yield at

    def _usage(self, owner: UserKey, from_ms: int, to_ms: int) -> UsageRow:
        (found,) = self._rows(_USAGE, (owner.domain, owner.user, from_ms, to_ms))
        return UsageRow(owner.domain, owner.user, *found)

    def _by_rowid(self, found: Sequence[tuple[int, Position]]) -> tuple[Recording, ...]:
        """Return the recordings of rows, in the same order, by one statement."""
        return self._found(_BY_ROWID, (json.dumps([rowid for rowid, _ in found]),))

    def _found(self, sql: str, values: Sequence[Any]) -> tuple[Recording, ...]:
        return tuple(map(_recording, self._rows(sql, values)))

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with translated(self._path):
            return self._connection.execute(sql, values).fetchall()


def _recording(row: Sequence[Any]) -> Recording:
    """Convert a row of columns ``_ROW``. Raises Broken."""
    uuid, segment, room, domain, owner, state, started_ms, stopped_ms, duration_ms, *others = row
    version, facts, rest = others
    columns = RecordingColumns(
        key=RecordingKey(RoomUuid(uuid), SegmentNo(segment)),
        room=RoomId(room),
        domain=DomainId(domain),
        owner=UserId(owner),
        state=RecordingState(state),
        started_ms=started_ms,
        stopped_ms=stopped_ms,
        duration_ms=duration_ms,
        version=version,
    )
    return decode_recording(columns, facts, rest)


def _after(due: Due | None) -> tuple[int, str, int]:
    """Return the place after which a list begins; the first one is before every row."""
    return (-1, "", 0) if due is None else (due.at_ms, due.key.uuid, due.key.segment)


def _listed(query: RecordingQuery) -> tuple[str, list[Any]]:
    """Return a statement for the range of one index, and its values.

    Columns: rowid, place, and True where the conditions hold that the index does not. Those are in
    the result, not in WHERE, because SQLite would pass over rows that nobody counts.
    """
    given = {
        f"{name} = ?": value
        for name, value in (
            ("uuid", query.uuid),
            ("domain", query.domain),
            ("owner", query.owner),
            ("room", query.room),
            ("state", query.state),
        )
        if value is not None
    }
    of_owner = _DOMAIN in given and _OWNER in given
    if query.participant is not None and not of_owner:
        return _of_participant(query, query.participant, given)
    if query.uuid is not None:
        return _of_room(query, given)
    index, held = _index_for(given)
    span = _span(query)
    rest: dict[str, Any] = {name: value for name, value in given.items() if name not in held}
    if query.participant is not None:
        rest[_ATTENDED] = (query.participant.domain, query.participant.user)
    where = " AND ".join([*held, *span]) or "TRUE"
    sql = (
        f"SELECT rowid, {_PLACE}, {_all_of(rest)} FROM recordings INDEXED BY {index}"  # noqa: S608 constants of ours
        f" WHERE {where} ORDER BY {_NEWEST}"
    )
    return sql, [*_flat(rest), *(given[name] for name in held), *_flat(span)]


def _index_for(given: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return the index that leaves the fewest rows, and the conditions that it holds."""
    for index, held in _INDEXES:
        if given.keys() >= set(held):
            return index, held
    return "recordings_by_start", ()


def _of_room(query: RecordingQuery, given: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """Return the list of the segments of one room, by their numbers, the last one first.

    Of a room of another domain or owner no row is in the result.
    """
    held = {name: value for name, value in given.items() if name in (_DOMAIN, _OWNER)}
    named = held.keys() | {"uuid = ?"}
    rest: dict[str, Any] = {name: value for name, value in given.items() if name not in named}
    rest |= _times(query)
    if query.participant is not None:
        rest[_ATTENDED] = (query.participant.domain, query.participant.user)
    before = sys.maxsize if query.after is None else query.after.key.segment
    where = " AND ".join(["uuid = ?", "segment < ?", *held])
    sql = (
        f"SELECT rowid, {_PLACE}, {_all_of(rest)} FROM recordings INDEXED BY recordings_by_key"  # noqa: S608 constants of ours
        f" WHERE {where} ORDER BY segment DESC"
    )
    return sql, [*_flat(rest), query.uuid, before, *held.values()]


def _of_participant(
    query: RecordingQuery, user: UserKey, given: Mapping[str, Any]
) -> tuple[str, list[Any]]:
    span = _span(query, "stays.")
    held = {"stays.domain = ?": user.domain, "stays.user = ?": user.user}
    index = ""
    if query.domain is not None:
        held["stays.home = ?"], index = query.domain, "INDEXED BY stays_by_home"
    where = " AND ".join([*held, *span])
    rest = {f"recordings.{name}": value for name, value in given.items()}
    sql = f"""
        SELECT recordings.rowid, stays.started_ms, stays.uuid, stays.segment, {_all_of(rest)}
        FROM stays {index} CROSS JOIN recordings USING (uuid, segment)
        WHERE {where} ORDER BY stays.started_ms DESC, stays.uuid DESC, stays.segment DESC
    """  # noqa: S608 constants of ours
    return sql, [*rest.values(), *held.values(), *_flat(span)]


def _times(query: RecordingQuery) -> dict[str, int]:
    given = {"started_ms >= ?": query.from_ms, "started_ms < ?": query.to_ms}
    return {name: value for name, value in given.items() if value is not None}


def _span(query: RecordingQuery, table: str = "") -> dict[str, Any]:
    """Return the ends of the range of an index: one condition for each, or SQLite may pick wrong.

    Args:
        query: the query.
        table: prefix of the columns.
    """
    ends: dict[str, Any] = {f"{table}{name}": value for name, value in _times(query).items()}
    after, until = query.after, f"{table}started_ms < ?"
    if after is not None and (query.to_ms is None or after.started_ms < query.to_ms):
        ends.pop(until, None)
        place = ", ".join(f"{table}{column}" for column in ("started_ms", "uuid", "segment"))
        ends[f"({place}) < (?, ?, ?)"] = (after.started_ms, after.key.uuid, after.key.segment)
    return ends


def _flat(span: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = []
    for value in span.values():
        found += value if isinstance(value, tuple) else (value,)
    return found


def _all_of(conditions: Iterable[str]) -> str:
    return " AND ".join(conditions) or "TRUE"

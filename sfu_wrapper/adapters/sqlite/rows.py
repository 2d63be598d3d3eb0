"""SQL of the store: statements of a commit, and conversion of rows to ``ports.store``.

Functions that take a connection run inside the caller's transaction. ``PermissionFile`` reads and
writes permissions from another process than the controller, with a connection of its own.
"""

import asyncio
import sqlite3
from asyncio import Future
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sfu_wrapper.adapters.sqlite import audit, recordings, rows, webhooks
from sfu_wrapper.adapters.sqlite.database import (
    found_by,
    open_database,
    open_reader,
    run_many,
    translated,
)
from sfu_wrapper.adapters.sqlite.schema import MIGRATIONS
from sfu_wrapper.model.audit import AuditEntry
from sfu_wrapper.model.errors import RecordingError, Unavailable
from sfu_wrapper.model.identity import (
    DomainId,
    OwnerPermissions,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    RoomId,
    RoomUuid,
    UserId,
    UserKey,
)
from sfu_wrapper.model.trace import TraceContext
from sfu_wrapper.ports.store import AnswerRow, Commit, OutboxRow, PartRow, RoomQuery, RoomRow

ROOM: Final = "uuid, id, domain, owner, life, settled, created_ms, ended_ms, state"
OUTBOX: Final = (
    "room, routing_key, message_id, correlation_id, body, created_ms, mandatory, traceparent,"
    " tracestate, seq"
)

_EPOCHS = "SELECT uuid, epoch FROM rooms WHERE uuid IN (VALUES {})"
_PUT_ROOMS = """
    INSERT INTO rooms (uuid, id, domain, owner, life, settled, created_ms, ended_ms, state, epoch)
    VALUES {}
    ON CONFLICT (uuid) DO UPDATE SET
        life = excluded.life, settled = excluded.settled, ended_ms = excluded.ended_ms,
        state = excluded.state, epoch = excluded.epoch
"""
_USE = "INSERT OR IGNORE INTO used_uuids (uuid) VALUES {}"
_OVER = """
    SELECT uuid FROM rooms WHERE settled = 1 AND ended_ms < ? ORDER BY ended_ms LIMIT ?
"""
_DROP_PARTS_OF = """
    DELETE FROM parts
    WHERE (room, name) IN (SELECT room, name FROM parts WHERE room = ? LIMIT ?)
"""
_PUT_OUTBOX = """
    INSERT INTO outbox
        (room, routing_key, message_id, correlation_id, body, created_ms, mandatory, traceparent,
        tracestate)
    VALUES {}
"""
_DROP_OUTBOX = "DELETE FROM outbox WHERE seq IN (VALUES {})"
_PUT_PARTS = "INSERT OR REPLACE INTO parts (room, name, state) VALUES {}"
_DROP_PART = "DELETE FROM parts WHERE room = ? AND name = ?"
_PUT_ANSWERS = "INSERT OR REPLACE INTO answers (key, digest, answer, expires_ms) VALUES {}"
_DROP_ANSWERS = "DELETE FROM answers WHERE key IN (VALUES {})"

Work = tuple[Commit, int]
"""A commit, and the epoch of the controller that requests it."""


def write_all(connection: sqlite3.Connection, works: Sequence[Work]) -> list[tuple[OutboxRow, ...]]:
    """Write commits as if one after the other, inside the caller's transaction.

    Returns:
        The outbox rows of each commit, with their numbers.

    Raises:
        Unavailable: a controller with a higher epoch has written one of their rooms, or a
            recording has changed since it was read.
    """
    new = _new_rooms(connection, works)
    run_many(connection, _USE, [(uuid.casefold(),) for uuid in new])
    rooms = {
        commit.room.uuid: _room_values(commit.room, epoch)
        for commit, epoch in works
        if commit.room is not None
    }
    run_many(connection, _PUT_ROOMS, list(rooms.values()))
    _put_parts(connection, works)
    _put_answers(connection, works)
    recordings.write(connection, [each for commit, _ in works for each in commit.recordings])
    recordings.write_retention(
        connection, [each for commit, _ in works for each in commit.retention]
    )
    audit.append(connection, [entry for commit, _ in works for entry in commit.audit])
    webhooks.write(connection, [commit for commit, _ in works])
    numbered = iter(_put_outbox(connection, [row for commit, _ in works for row in commit.outbox]))
    return [tuple(islice(numbered, len(commit.outbox))) for commit, _ in works]


def _new_rooms(connection: sqlite3.Connection, works: Sequence[Work]) -> list[RoomUuid]:
    """Return the rooms that are not stored yet.

    Raises:
        Unavailable: a controller with a higher epoch has written one of the rooms.
    """
    uuids = {uuid for commit, _ in works for uuid in _rooms_of(commit)}
    epochs = dict(found_by(connection, _EPOCHS, [(uuid,) for uuid in uuids]))
    new = []
    for commit, epoch in works:
        if any(epochs.get(uuid, epoch) > epoch for uuid in _rooms_of(commit)):
            raise Unavailable("another controller has taken over this room", fenced=True)
        if commit.room is not None:
            if commit.room.uuid not in epochs:
                new.append(commit.room.uuid)
            epochs[commit.room.uuid] = epoch
    return new


def _rooms_of(commit: Commit) -> set[RoomUuid]:
    rooms = {row.room for row in commit.outbox}
    return rooms if commit.room is None else rooms | {commit.room.uuid}


def _room_values(room: RoomRow, epoch: int) -> tuple[Any, ...]:
    return (
        room.uuid,
        room.id,
        room.domain,
        room.owner,
        room.life,
        room.settled,
        room.created_ms,
        room.ended_ms,
        room.state,
        epoch,
    )


def _put_parts(connection: sqlite3.Connection, works: Sequence[Work]) -> None:
    """Write parts of rooms; if several commits change a part, the last one counts."""
    last = {(part.room, part.name): part.state for commit, _ in works for part in commit.parts}
    kept = [(*key, state) for key, state in last.items() if state is not None]
    run_many(connection, _PUT_PARTS, kept)
    gone = [key for key, state in last.items() if state is None]
    connection.executemany(
        _DROP_PART, gone
    )  # a statement with many keys would scan the whole table


def _put_answers(connection: sqlite3.Connection, works: Sequence[Work]) -> None:
    """Write answers; if several commits keep or forget an answer, the last one counts."""
    last: dict[str, AnswerRow | None] = {}
    for commit, _ in works:
        last.update(dict.fromkeys(commit.forgotten))
        last.update((answer.key, answer) for answer in commit.answers)
    run_many(connection, _DROP_ANSWERS, [(key,) for key, kept in last.items() if kept is None])
    run_many(connection, _PUT_ANSWERS, [_answer_values(kept) for kept in last.values() if kept])


def _answer_values(answer: AnswerRow) -> tuple[Any, ...]:
    return answer.key, answer.digest, answer.answer, answer.expires_ms


def _put_outbox(connection: sqlite3.Connection, outbox: Sequence[OutboxRow]) -> list[OutboxRow]:
    """Add rows. The transaction excludes other writers, so a statement numbers without gaps."""
    rows = [_outbox_values(row) for row in outbox]
    seqs: list[int] = []
    for piece, cursor in run_many(connection, _PUT_OUTBOX, rows):
        last = cursor.lastrowid or 0
        seqs += range(last - len(piece) + 1, last + 1)
    return [replace(row, seq=seq) for row, seq in zip(outbox, seqs, strict=True)]


def _outbox_values(row: OutboxRow) -> tuple[Any, ...]:
    return (
        row.room,
        row.routing_key,
        row.message_id,
        row.correlation_id,
        row.body,
        row.created_ms,
        row.mandatory,
        *((None, None) if row.trace is None else (row.trace.parent, row.trace.state)),
    )


def drop_outbox(connection: sqlite3.Connection, seqs: Sequence[int]) -> None:
    """Remove rows of the outbox."""
    run_many(connection, _DROP_OUTBOX, [(seq,) for seq in seqs])


def forget_rooms(connection: sqlite3.Connection, ended_before_ms: int, limit: int) -> int:
    """Remove settled rooms with their parts; see ``Store.forget_rooms``."""
    removed = 0
    for (uuid,) in connection.execute(_OVER, (ended_before_ms, limit)).fetchall():
        removed += connection.execute(_DROP_PARTS_OF, (uuid, limit - removed)).rowcount
        if removed >= limit:
            break
        removed += connection.execute("DELETE FROM rooms WHERE uuid = ?", (uuid,)).rowcount
    return removed


def forget_answers(connection: sqlite3.Connection, before_ms: int) -> None:
    """Remove answers that expired before ``before_ms`` (epoch ms)."""
    connection.execute("DELETE FROM answers WHERE expires_ms < ?", (before_ms,))


def write_permission(
    connection: sqlite3.Connection,
    domain: DomainId,
    user: UserId | None,
    permission: RecordingPermissions | None,
    entries: Sequence[AuditEntry] = (),
) -> None:
    """Store or delete the permission of a user, or of the domain if ``user`` is None.

    ``entries`` are appended to the audit chains.
    """
    audit.append(connection, entries)
    given = () if permission is None else (permission.recording_type, permission.recording_profile)
    match user, given:
        case None, ():
            connection.execute("DELETE FROM domain_permissions WHERE domain = ?", (domain,))
        case None, _:
            connection.execute(
                "INSERT OR REPLACE INTO domain_permissions VALUES (?, ?, ?)", (domain, *given)
            )
        case _, ():
            connection.execute(
                "DELETE FROM user_permissions WHERE domain = ? AND user = ?", (domain, user)
            )
        case _:
            connection.execute(
                "INSERT OR REPLACE INTO user_permissions VALUES (?, ?, ?, ?)",
                (domain, user, *given),
            )


def rooms_by_time(connection: sqlite3.Connection, query: RoomQuery) -> tuple[RoomRow, ...]:
    """Return a page of rooms, of a range of one index."""
    time, settled = ("ended_ms", 1) if query.settled else ("created_ms", 0)
    after_ms, uuid = query.after or (query.from_ms, "")  # no uuid is empty
    held, index = "", "rooms_by_end" if query.settled else "rooms_unsettled"
    if query.domain is not None:
        held, index = "domain = ? AND", f"{index}_in_domain"
    sql = f"""
        SELECT {ROOM} FROM rooms INDEXED BY {index}
        WHERE {held} settled = {settled} AND {time} >= ? AND {time} < ? AND ({time}, uuid) > (?, ?)
        ORDER BY {time}, uuid LIMIT ?
    """  # noqa: S608  # constants of ours
    since_ms = max(query.from_ms, after_ms)
    domain = () if query.domain is None else (query.domain,)
    values = (*domain, since_ms, query.to_ms, after_ms, uuid, query.limit)
    return tuple(room_row(row) for row in connection.execute(sql, values))


def room_row(row: Sequence[Any]) -> RoomRow:
    """Convert a row of columns ``ROOM``."""
    uuid, room, domain, owner, life, settled, created_ms, ended_ms, state = row
    return RoomRow(
        uuid=RoomUuid(uuid),
        id=RoomId(room),
        domain=DomainId(domain),
        owner=UserId(owner),
        life=life,
        settled=bool(settled),
        created_ms=created_ms,
        ended_ms=ended_ms,
        state=state,
    )


def parts(connection: sqlite3.Connection, room: RoomUuid) -> tuple[PartRow, ...]:
    """Return all parts of a room."""
    found = connection.execute("SELECT room, name, state FROM parts WHERE room = ?", (room,))
    return tuple(PartRow(*row) for row in found)


def outbox_row(row: Sequence[Any]) -> OutboxRow:
    """Convert a row of columns ``OUTBOX``."""
    *texts, body, created_ms, mandatory, parent, state, seq = row
    room, routing_key, message_id, correlation_id = texts
    return OutboxRow(
        room=RoomUuid(room),
        routing_key=routing_key,
        message_id=message_id,
        correlation_id=correlation_id,
        body=body,
        created_ms=created_ms,
        mandatory=bool(mandatory),
        seq=seq,
        trace=None if parent is None else TraceContext(parent, state),
    )


def permission(found: Sequence[Sequence[Any]]) -> RecordingPermissions | None:
    """Convert at most one row of columns type and profile."""
    if not found:
        return None
    recording_type, recording_profile = found[0]
    return RecordingPermissions(RecordingType(recording_type), RecordingProfile(recording_profile))


_STORED = """
    SELECT 'user', type, profile FROM user_permissions WHERE domain = ?1 AND user = ?2
    UNION ALL SELECT 'domain', type, profile FROM domain_permissions WHERE domain = ?1
"""


def permissions(connection: sqlite3.Connection, owner: UserKey) -> OwnerPermissions:
    """Return the stored permissions of a user and of its domain."""
    found = connection.execute(_STORED, (owner.domain, owner.user)).fetchall()
    own = [stored for level, *stored in found if level == "user"]
    domain = [stored for level, *stored in found if level == "domain"]
    return OwnerPermissions(rows.permission(own), rows.permission(domain))


def stored_permissions(path: Path, owner: UserKey) -> OwnerPermissions:
    """Return the permissions in a file that a controller may have open; none if it is missing.

    Raises:
        Unavailable, Misconfigured: the file cannot be read.
    """
    if not path.exists():
        return OwnerPermissions()
    with closing(open_reader(path)) as connection, translated(path):
        return permissions(connection, owner)


class PermissionFile:
    """Permissions in a file that a controller may have open; it sees a change at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def permissions(self, owner: UserKey) -> OwnerPermissions:
        """See ``Store``."""
        return stored_permissions(self._path, owner)

    def set_permission(
        self,
        domain: DomainId,
        user: UserId | None,
        permission: RecordingPermissions | None,
        audit: Sequence[AuditEntry] = (),
    ) -> "Future[None]":
        """See ``Store``; the change is on disk when the method returns."""
        done: Future[None] = asyncio.get_running_loop().create_future()
        try:
            connection = open_database(self._path, MIGRATIONS)
            with closing(connection), translated(self._path):
                # The lock comes first: a head that was read before it may not be the last one.
                connection.execute("BEGIN IMMEDIATE")
                rows.write_permission(connection, domain, user, permission, audit)
                connection.execute("COMMIT")
        except RecordingError as error:
            done.set_exception(error)
        else:
            done.set_result(None)
        return done

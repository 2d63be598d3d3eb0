"""Rows of the store between SQL and ``ports.store``, and the statements of one commit."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.ids import DomainId, RoomId, RoomUuid, UserId
from sfu_wrapper.model.permission import (
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
)
from sfu_wrapper.ports.store import AnswerRow, Commit, OutboxRow, PartRow, RoomRow

ROOM: Final = "uuid, id, domain, owner, life, settled, created_ms, ended_ms, state"
OUTBOX: Final = "room, routing_key, message_id, correlation_id, body, created_ms, mandatory, seq"

_PUT_ROOM = """
    INSERT INTO rooms (uuid, id, domain, owner, life, settled, created_ms, ended_ms, state, epoch)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (uuid) DO UPDATE SET
        life = excluded.life, settled = excluded.settled, ended_ms = excluded.ended_ms,
        state = excluded.state, epoch = excluded.epoch
"""
_USE = "INSERT OR IGNORE INTO used_uuids (uuid) VALUES (?)"
_OVER = """
    SELECT uuid FROM rooms WHERE settled = 1 AND ended_ms < ? ORDER BY ended_ms LIMIT ?
"""
_DROP_PARTS = """
    DELETE FROM parts
    WHERE (room, name) IN (SELECT room, name FROM parts WHERE room = ? LIMIT ?)
"""
_PUT_OUTBOX = """
    INSERT INTO outbox
        (room, routing_key, message_id, correlation_id, body, created_ms, mandatory)
    VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_PUT_PART = "INSERT OR REPLACE INTO parts (room, name, state) VALUES (?, ?, ?)"
_DROP_PART = "DELETE FROM parts WHERE room = ? AND name = ?"
_PUT_ANSWER = "INSERT OR REPLACE INTO answers (key, digest, answer, expires_ms) VALUES (?, ?, ?, ?)"


def write(connection: sqlite3.Connection, commit: Commit, epoch: int) -> tuple[OutboxRow, ...]:
    """One commit, inside the caller's transaction.

    Raises:
        Unavailable: a controller with a higher epoch has written one of its rooms.
    """
    rooms = {row.room for row in commit.outbox}
    if commit.room is not None:
        rooms.add(commit.room.uuid)
    known = {uuid for uuid in rooms if _is_known(connection, uuid, epoch)}
    if commit.room is not None:
        if commit.room.uuid not in known:
            connection.execute(_USE, (commit.room.uuid.casefold(),))
        _put_room(connection, commit.room, epoch)
    _put_parts(connection, commit.parts)
    connection.executemany("DELETE FROM answers WHERE key = ?", [(k,) for k in commit.forgotten])
    for answer in commit.answers:
        connection.execute(_PUT_ANSWER, _answer_values(answer))
    return tuple(_put_outbox(connection, row) for row in commit.outbox)


def _is_known(connection: sqlite3.Connection, uuid: RoomUuid, epoch: int) -> bool:
    """Tell whether the room is stored. Raises Unavailable: by a controller of a higher epoch."""
    found = connection.execute("SELECT epoch FROM rooms WHERE uuid = ?", (uuid,)).fetchone()
    if found is not None and found[0] > epoch:
        raise Unavailable("another controller has taken over this room", fenced=True)
    return found is not None


def _put_room(connection: sqlite3.Connection, room: RoomRow, epoch: int) -> None:
    values = (
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
    connection.execute(_PUT_ROOM, values)


def _put_parts(connection: sqlite3.Connection, parts: Sequence[PartRow]) -> None:
    kept = [(part.room, part.name, part.state) for part in parts if part.state is not None]
    gone = [(part.room, part.name) for part in parts if part.state is None]
    connection.executemany(_PUT_PART, kept)
    connection.executemany(_DROP_PART, gone)


def forget_rooms(connection: sqlite3.Connection, ended_before_ms: int, limit: int) -> int:
    """Remove settled rooms with their parts; see ``Store.forget_rooms``."""
    removed = 0
    for (uuid,) in connection.execute(_OVER, (ended_before_ms, limit)).fetchall():
        removed += connection.execute(_DROP_PARTS, (uuid, limit - removed)).rowcount
        if removed >= limit:
            break
        removed += connection.execute("DELETE FROM rooms WHERE uuid = ?", (uuid,)).rowcount
    return removed


def _answer_values(answer: AnswerRow) -> tuple[Any, ...]:
    return answer.key, answer.digest, answer.answer, answer.expires_ms


def _put_outbox(connection: sqlite3.Connection, row: OutboxRow) -> OutboxRow:
    values = (
        row.room,
        row.routing_key,
        row.message_id,
        row.correlation_id,
        row.body,
        row.created_ms,
        row.mandatory,
    )
    seq = connection.execute(_PUT_OUTBOX, values).lastrowid
    return replace(row, seq=seq or 0)


def write_permission(
    connection: sqlite3.Connection,
    domain: DomainId,
    user: UserId | None,
    permission: RecordingPermissions | None,
) -> None:
    """Store or delete the permission of a user, or (None) of the domain."""
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


def room_row(row: Sequence[Any]) -> RoomRow:
    """Columns ``ROOM``."""
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


def outbox_row(row: Sequence[Any]) -> OutboxRow:
    """Columns ``OUTBOX``."""
    *texts, body, created_ms, mandatory, seq = row
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
    )


def permission(found: Sequence[Sequence[Any]]) -> RecordingPermissions | None:
    """Columns type, profile of at most one row."""
    if not found:
        return None
    recording_type, recording_profile = found[0]
    return RecordingPermissions(RecordingType(recording_type), RecordingProfile(recording_profile))

"""``ports.store.Store`` on an SQLite file with a single writing controller.

Writes run on the writer's thread and return futures. Reads run on the caller's thread, on a
connection of their own, and never wait for a write. Rows in, rows out; no rules.
"""

import fcntl
import os
from asyncio import Future
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sfu_wrapper.adapters.sqlite import rows
from sfu_wrapper.adapters.sqlite.audit import SqliteAudit
from sfu_wrapper.adapters.sqlite.database import open_database, open_reader, translated
from sfu_wrapper.adapters.sqlite.recording_queries import SqliteRecordings
from sfu_wrapper.adapters.sqlite.schema import MIGRATIONS
from sfu_wrapper.adapters.sqlite.webhooks import SqliteWebhooks
from sfu_wrapper.adapters.sqlite.writer import MAX_BATCH, MAX_WAITING, Writer
from sfu_wrapper.model.audit import AuditEntry
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import (
    DomainId,
    OwnerPermissions,
    RecordingPermissions,
    RoomId,
    RoomUuid,
    UserId,
    UserKey,
)
from sfu_wrapper.ports.store import (
    AnswerRow,
    AnswerSize,
    Commit,
    OutboxRow,
    PartRow,
    RoomQuery,
    RoomRow,
)


class SqliteStore:
    """A persistent ``Store``.

    Args:
        path: the database file; the lock file ``<path>.lock`` excludes a second controller.
        max_batch: commits per transaction.
        max_waiting: commits that may wait, before further ones are refused.
    """

    def __init__(
        self, path: Path, *, max_batch: int = MAX_BATCH, max_waiting: int = MAX_WAITING
    ) -> None:
        """Open the file. Raises Misconfigured (damaged, newer), Unavailable (in use, no access)."""
        self._path = path
        connection = open_database(path, MIGRATIONS)
        try:
            self._lock: int | None = _lock(path)
            self._reader = open_reader(path)
        except BaseException:
            connection.close()
            raise
        self._writer = Writer(connection, path, max_batch=max_batch, max_waiting=max_waiting)
        self.webhooks = SqliteWebhooks(path, self._reader, self._writer)

    def commit(self, commit: Commit, epoch: int) -> "Future[tuple[OutboxRow, ...]]":
        """See ``Store``."""
        return self._writer.submit_together(rows.write_all, (commit, epoch))

    def mark_published(self, seqs: Sequence[int]) -> "Future[None]":
        """See ``Store``."""
        return self._writer.submit(lambda connection: rows.drop_outbox(connection, seqs))

    def pending_outbox(self, after_seq: int, limit: int) -> tuple[OutboxRow, ...]:
        """See ``Store``."""
        found = self._read(
            f"SELECT {rows.OUTBOX} FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?",  # noqa: S608 constants of ours
            (after_seq, limit),
        )
        return tuple(rows.outbox_row(row) for row in found)

    def unsettled_rooms(self) -> tuple[RoomRow, ...]:
        """See ``Store``."""
        found = self._read(
            f"SELECT {rows.ROOM} FROM rooms WHERE settled = 0 ORDER BY created_ms, rowid"  # noqa: S608 constants of ours
        )
        return tuple(rows.room_row(row) for row in found)

    def rooms_by_time(self, query: RoomQuery) -> tuple[RoomRow, ...]:
        """See ``RoomRows``."""
        with translated(self._path):
            return rows.rooms_by_time(self._reader, query)

    def room(self, uuid: RoomUuid) -> RoomRow | None:
        """See ``Store``."""
        found = self._read(f"SELECT {rows.ROOM} FROM rooms WHERE uuid = ?", (uuid,))  # noqa: S608 constants of ours
        return rows.room_row(found[0]) if found else None

    def has_used(self, uuid: RoomUuid) -> bool:
        """See ``Store``."""
        return bool(self._read("SELECT 1 FROM used_uuids WHERE uuid = ?", (uuid.casefold(),)))

    def parts(self, uuid: RoomUuid) -> tuple[PartRow, ...]:
        """See ``Store``."""
        with translated(self._path):
            return rows.parts(self._reader, uuid)

    def part(self, uuid: RoomUuid, name: str) -> PartRow | None:
        """See ``Store``."""
        sql = "SELECT room, name, state FROM parts WHERE room = ? AND name = ?"
        found = self._read(sql, (uuid, name))
        return PartRow(*found[0]) if found else None

    def forget_rooms(self, ended_before_ms: int, limit: int) -> "Future[int]":
        """See ``Store``."""
        return self._writer.submit(
            lambda connection: rows.forget_rooms(connection, ended_before_ms, limit)
        )

    def latest_room(self, domain: DomainId, room: RoomId) -> RoomRow | None:
        """See ``Store``."""
        found = self._read(
            f"SELECT {rows.ROOM} FROM rooms WHERE domain = ? AND id = ?"  # noqa: S608 constants of ours
            " ORDER BY created_ms DESC, rowid DESC LIMIT 1",
            (domain, room),
        )
        return rows.room_row(found[0]) if found else None

    def answer(self, key: str, now_ms: int) -> AnswerRow | None:
        """See ``Store``."""
        found = self._read(
            "SELECT key, digest, answer, expires_ms FROM answers WHERE key = ? AND expires_ms > ?",
            (key, now_ms),
        )
        return AnswerRow(*found[0]) if found else None

    def kept_answers(self) -> tuple[AnswerSize, ...]:
        """See ``Store``."""
        sql = "SELECT key, length(answer), expires_ms FROM answers ORDER BY expires_ms, key"
        return tuple(AnswerSize(*row) for row in self._read(sql))

    def forget_answers(self, before_ms: int) -> "Future[None]":
        """See ``Store``."""
        return self._writer.submit(lambda connection: rows.forget_answers(connection, before_ms))

    def permissions(self, owner: UserKey) -> OwnerPermissions:
        """See ``Store``."""
        with translated(self._path):
            return rows.permissions(self._reader, owner)

    def set_permission(
        self,
        domain: DomainId,
        user: UserId | None,
        permission: RecordingPermissions | None,
        audit: Sequence[AuditEntry] = (),
    ) -> "Future[None]":
        """See ``Store``."""
        return self._writer.submit(
            lambda connection: rows.write_permission(connection, domain, user, permission, audit)
        )

    @property
    def index(self) -> SqliteRecordings:
        """See ``Store``."""
        return SqliteRecordings(self._reader, self._path)

    @property
    def audit(self) -> SqliteAudit:
        """See ``Store``."""
        return SqliteAudit(self._read)

    def close(self) -> None:
        """See ``Store``. A second call does nothing."""
        self._writer.close()
        self._reader.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _read(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with translated(self._path):
            return self._reader.execute(sql, values).fetchall()


def _lock(path: Path) -> int:
    """Lock the store until the process ends. Raises Unavailable if another process holds it."""
    with translated(path):
        fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(fd)
        raise Unavailable(f"{path.name} is in use by another controller") from exc
    return fd

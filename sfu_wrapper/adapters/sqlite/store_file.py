"""Index of recordings in a file that a controller may have open, for commands.

A command may neither take the controller's lock nor reach its memory. It reads with a connection of
its own, and writes each commit in a transaction of its own, whose lock excludes the controller for
a moment. The controller sees the change at its next read of the rows.

Messages of a commit (``outbox``) are left out: a running controller would not see them. Whoever
makes such a commit relies on the controller to find from the rows what is to be published.
"""

import asyncio
from asyncio import Future
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Self

from sfu_wrapper.adapters.sqlite import rows
from sfu_wrapper.adapters.sqlite.database import open_database, open_reader, translated
from sfu_wrapper.adapters.sqlite.recording_queries import SqliteRecordings
from sfu_wrapper.adapters.sqlite.schema import MIGRATIONS
from sfu_wrapper.model.errors import Misconfigured, RecordingError
from sfu_wrapper.model.identity import RoomUuid
from sfu_wrapper.ports.store import Commit, OutboxRow, PartRow, RoomQuery, RoomRow

_ROOM = f"SELECT {rows.ROOM} FROM rooms WHERE uuid = ?"  # noqa: S608 constants of ours
_NEXT_ROOM = f"SELECT rowid, {rows.ROOM} FROM rooms WHERE rowid > ? ORDER BY rowid LIMIT 1"  # noqa: S608 constants of ours
EPOCH = 1  # the lowest: a controller with a lease of its own is never fenced off by a command


class StoreFile:
    """Index of recordings and commits on a file, until closed.

    Args:
        path: the database file, which must exist.

    Attributes:
        index: recordings, for reading.
    """

    def __init__(self, path: Path) -> None:
        """Open the file. Raises Misconfigured (missing, damaged, newer), Unavailable."""
        if not path.exists():
            raise Misconfigured(f"store.url: {path} does not exist: nothing was recorded yet")
        open_database(path, MIGRATIONS).close()  # an older file is brought to this schema
        self._path = path
        self._reader = open_reader(path)
        self.index = SqliteRecordings(self._reader, path)

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._reader.close()

    def count_rooms(self) -> int:
        """Return the number of rooms."""
        with translated(self._path):
            found: int = self._reader.execute("SELECT count(*) FROM rooms").fetchone()[0]
        return found

    def rooms(self) -> Iterator[tuple[RoomRow, tuple[PartRow, ...]]]:
        """Yield every room with its parts, one at a time; each as of one moment."""
        after = -1
        while True:
            with translated(self._path):
                self._reader.execute("BEGIN")
                try:
                    found = self._reader.execute(_NEXT_ROOM, (after,)).fetchone()
                    parts = () if found is None else rows.parts(self._reader, found[1])
                finally:
                    self._reader.execute("COMMIT")
            if found is None:
                return
            after = found[0]
            yield rows.room_row(found[1:]), parts

    def room(self, uuid: RoomUuid) -> RoomRow | None:
        """Return a room without its parts."""
        with translated(self._path):
            found = self._reader.execute(_ROOM, (uuid,)).fetchone()
        return None if found is None else rows.room_row(found)

    def rooms_by_time(self, query: RoomQuery) -> tuple[RoomRow, ...]:
        """See ``RoomRows``."""
        with translated(self._path):
            return rows.rooms_by_time(self._reader, query)

    def parts(self, uuid: RoomUuid) -> tuple[PartRow, ...]:
        """See ``RoomRows``."""
        with translated(self._path):
            return rows.parts(self._reader, uuid)

    def commit(self, commit: Commit, epoch: int = EPOCH) -> "Future[tuple[OutboxRow, ...]]":
        """See ``Store``; the commit is on disk when the method returns, without its messages."""
        done: Future[tuple[OutboxRow, ...]] = asyncio.get_running_loop().create_future()
        try:
            self._write(commit, epoch)
        except RecordingError as error:
            done.set_exception(error)
        else:
            done.set_result(())
        return done

    def _write(self, commit: Commit, epoch: int) -> None:
        connection = open_database(self._path, MIGRATIONS)
        with closing(connection), translated(self._path):
            # The lock comes first: what was read before it may have changed.
            connection.execute("BEGIN IMMEDIATE")
            rows.write_all(connection, [(_without_messages(commit), epoch)])
            connection.execute("COMMIT")


def _without_messages(commit: Commit) -> Commit:
    return Commit(
        recordings=commit.recordings,
        retention=commit.retention,
        audit=commit.audit,
        events=commit.events,
    )

"""Index of recordings in a file that a controller may have open, for commands.

A command may neither take the controller's lock nor reach its memory. It reads with a connection of
its own, and writes each commit in a transaction of its own, whose lock excludes the controller for
a moment. The controller sees the change at its next read of the rows.

Messages of a commit (``outbox``) are left out: a running controller would not see them. Whoever
makes such a commit relies on the controller to find from the rows what is to be published.
"""

import asyncio
from asyncio import Future
from contextlib import closing
from pathlib import Path
from typing import Self

from sfu_wrapper.adapters.sqlite import rows
from sfu_wrapper.adapters.sqlite.database import open_database, open_reader, translated
from sfu_wrapper.adapters.sqlite.recording_queries import SqliteRecordings
from sfu_wrapper.adapters.sqlite.schema import MIGRATIONS
from sfu_wrapper.model.errors import Misconfigured, RecordingError
from sfu_wrapper.ports.store import Commit, OutboxRow

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

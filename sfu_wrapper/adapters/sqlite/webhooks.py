"""``ports.webhooks.WebhookStore`` in the store's file: SQL of endpoints and deliveries.

``write`` runs inside the transaction of a batch of commits, with few statements for all of them.
"""

import sqlite3
from asyncio import Future
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self, assert_never

from sfu_wrapper.adapters.sqlite import audit
from sfu_wrapper.adapters.sqlite.database import (
    open_database,
    open_reader,
    run_many,
    translated,
)
from sfu_wrapper.adapters.sqlite.schema import MIGRATIONS
from sfu_wrapper.adapters.sqlite.writer import Writer
from sfu_wrapper.core.webhooks import RETRY_AFTER_S
from sfu_wrapper.model.identity import DomainId
from sfu_wrapper.model.recording import RecordingEvent
from sfu_wrapper.model.webhook import TEST_TYPE, Delivery, DeliveryState, Endpoint
from sfu_wrapper.ports.store import Commit
from sfu_wrapper.ports.webhooks import (
    Attempt,
    DisableEndpoint,
    DropEndpoint,
    Kept,
    PutEndpoint,
    SendAgain,
    SendTest,
    WebhookChange,
)

MAX_SEQ: Final = 2**63 - 1
_ENDPOINT: Final = "id, domain, url, secrets, types, created_ms, configured, disabled"
_DELIVERY: Final = (
    "seq, id, endpoint, type, domain, subject, at_ms, data, state, attempts, due_ms, status, error,"
    " finished_ms"
)

_FAN_OUT = """
    INSERT INTO webhook_deliveries
        (id, endpoint, type, domain, subject, at_ms, data, state, attempts, due_ms, head)
    SELECT 'msg_' || lower(hex(randomblob(16))), webhook_endpoints.id,
        column2, column3, column4, column5, column6, 'pending', 0, column5, 0
    FROM (VALUES {}) JOIN webhook_endpoints
    ON removed = 0 AND disabled IS NULL AND (domain IS NULL OR domain = column3)
        AND (types = '' OR instr(types, ' ' || column2 || ' ') > 0)
    ORDER BY column1, webhook_endpoints.rowid
"""
_FIND_HEADS = """
    UPDATE webhook_deliveries SET head = 1
    WHERE seq BETWEEN ? AND ? AND NOT EXISTS (
        SELECT 1 FROM webhook_deliveries AS earlier
        WHERE earlier.endpoint = webhook_deliveries.endpoint
            AND earlier.subject = webhook_deliveries.subject
            AND earlier.finished_ms IS NULL AND earlier.seq < webhook_deliveries.seq
    )
"""
_MOVE_HEAD = """
    UPDATE webhook_deliveries SET head = (seq = (
        SELECT min(seq) FROM webhook_deliveries
        WHERE endpoint = ?1 AND subject = ?2 AND finished_ms IS NULL
    ))
    WHERE endpoint = ?1 AND subject = ?2 AND finished_ms IS NULL
"""
_NEXT_HEAD = """
    UPDATE webhook_deliveries SET head = 1 WHERE seq = (
        SELECT min(seq) FROM webhook_deliveries
        WHERE endpoint = ? AND subject = ? AND finished_ms IS NULL
    )
"""
_PUT_ENDPOINT = """
    INSERT OR REPLACE INTO webhook_endpoints
        (id, domain, url, secrets, types, created_ms, configured, disabled)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_DROP_ENDPOINT = "UPDATE webhook_endpoints SET removed = 1 WHERE id = ?"
_DISABLE_ENDPOINT = "UPDATE webhook_endpoints SET disabled = ? WHERE id = ?"
_AGAIN = """
    UPDATE webhook_deliveries
    SET state = 'pending', due_ms = ?, finished_ms = NULL,
        attempts = CASE WHEN finished_ms IS NULL THEN attempts ELSE 0 END
    WHERE id = ? AND endpoint = ? RETURNING subject
"""
_TEST = """
    INSERT INTO webhook_deliveries
        (id, endpoint, type, domain, subject, at_ms, data, state, attempts, due_ms, head)
    SELECT ?2, id, ?3, ?4, ?2, ?5, ?6, 'pending', 0, ?5, 1
    FROM webhook_endpoints WHERE id = ?1 AND removed = 0
"""
_RECORD = """
    UPDATE webhook_deliveries
    SET state = ?, attempts = ?, due_ms = ?, status = ?, error = ?, finished_ms = ?,
        head = CASE WHEN ? THEN head ELSE 0 END
    WHERE seq = ?
"""
_OLD = """
    DELETE FROM webhook_deliveries WHERE seq IN (
        SELECT seq FROM webhook_deliveries WHERE finished_ms < ? ORDER BY finished_ms LIMIT ?
    )
"""
_BEYOND = """
    DELETE FROM webhook_deliveries WHERE seq IN (
        SELECT seq FROM webhook_deliveries WHERE finished_ms IS NOT NULL
        ORDER BY finished_ms DESC, seq DESC LIMIT ? OFFSET ?
    )
"""
_OF_REMOVED = """
    DELETE FROM webhook_deliveries WHERE seq IN (
        SELECT seq FROM webhook_deliveries JOIN webhook_endpoints AS owner
        ON owner.id = webhook_deliveries.endpoint WHERE removed = 1 LIMIT ?
    )
"""
_REMOVED = """
    DELETE FROM webhook_endpoints WHERE removed = 1
        AND NOT EXISTS (SELECT 1 FROM webhook_deliveries WHERE endpoint = webhook_endpoints.id)
"""
_OF_DISABLED = """
    UPDATE webhook_deliveries
    SET state = 'givenUp', head = 0, finished_ms = ?, error = 'the endpoint is disabled'
    WHERE seq IN (
        SELECT seq FROM webhook_endpoints AS owner JOIN webhook_deliveries
        ON owner.id = webhook_deliveries.endpoint
        WHERE owner.disabled IS NOT NULL AND state = 'pending' LIMIT ?
    )
"""


def write(connection: sqlite3.Connection, commits: Sequence[Commit]) -> None:
    """Write changes and events of commits as if one after the other."""
    events: list[RecordingEvent] = []
    for commit in commits:
        if commit.webhooks:
            _fan_out(connection, events)  # for the endpoints as they were
            events = []
            for change in commit.webhooks:
                _change(connection, change)
        events += commit.events
    _fan_out(connection, events)


def _fan_out(connection: sqlite3.Connection, events: Sequence[RecordingEvent]) -> None:
    """Add a delivery for each endpoint that wants an event.

    A statement numbers its rows without gaps, since the transaction excludes other writers.
    """
    values = [
        (n, event.type, event.domain, event.subject, event.at_ms, event.data)
        for n, event in enumerate(events)
    ]
    for _, cursor in run_many(connection, _FAN_OUT, values):
        if cursor.rowcount > 0:
            last = cursor.lastrowid or 0
            connection.execute(_FIND_HEADS, (last - cursor.rowcount + 1, last))


def _change(connection: sqlite3.Connection, change: WebhookChange) -> None:
    match change:
        case PutEndpoint(endpoint):
            connection.execute(_PUT_ENDPOINT, _endpoint_values(endpoint))
        case DropEndpoint(id_):
            connection.execute(_DROP_ENDPOINT, (id_,))
        case DisableEndpoint(id_, reason):
            connection.execute(_DISABLE_ENDPOINT, (reason, id_))
        case SendAgain(endpoint_id, id_, now_ms):
            found = connection.execute(_AGAIN, (now_ms, id_, endpoint_id)).fetchall()
            connection.executemany(_MOVE_HEAD, [(endpoint_id, subject) for (subject,) in found])
        case SendTest(endpoint_id, id_, domain, now_ms, data):
            connection.execute(_TEST, (endpoint_id, id_, TEST_TYPE, domain, now_ms, data))
        case _:
            assert_never(change)


def _endpoint_values(endpoint: Endpoint) -> tuple[Any, ...]:
    return (
        endpoint.id,
        endpoint.domain,
        endpoint.url,
        " ".join(endpoint.secrets),
        "".join(f" {type_} " for type_ in endpoint.types),
        endpoint.created_ms,
        endpoint.configured,
        endpoint.disabled,
    )


def _endpoint(row: Sequence[Any]) -> Endpoint:
    """Convert a row of columns ``_ENDPOINT``."""
    id_, domain, url, secrets, types, created_ms, configured, disabled = row
    return Endpoint(
        id=id_,
        domain=domain if domain is None else DomainId(domain),
        url=url,
        secrets=tuple(secrets.split()),
        types=tuple(types.split()),
        created_ms=created_ms,
        configured=bool(configured),
        disabled=disabled,
    )


def _delivery(row: Sequence[Any]) -> Delivery:
    """Convert a row of columns ``_DELIVERY``."""
    seq, id_, endpoint, type_, domain, subject, at_ms, data, state, *rest = row
    attempts, due_ms, status, error, finished_ms = rest
    return Delivery(
        seq=seq,
        id=id_,
        endpoint=endpoint,
        type=type_,
        domain=DomainId(domain),
        subject=subject,
        at_ms=at_ms,
        data=data,
        state=DeliveryState(state),
        attempts=attempts,
        due_ms=due_ms,
        status=status,
        error=error,
        finished_ms=finished_ms,
    )


def _configure(connection: sqlite3.Connection, endpoints: Sequence[Endpoint]) -> None:
    """Replace the endpoints of the configuration; see ``WebhookStore``."""
    connection.execute("UPDATE webhook_endpoints SET removed = 1 WHERE configured = 1")
    for endpoint in endpoints:
        connection.execute(_PUT_ENDPOINT, _endpoint_values(endpoint))


def _record(connection: sqlite3.Connection, attempts: Sequence[Attempt]) -> list[None]:
    """Write results of attempts, each of another delivery."""
    connection.executemany(_RECORD, [_attempt_values(attempt) for attempt in attempts])
    over = [each for each in attempts if each.state is not DeliveryState.PENDING]
    heads = [(each.delivery.endpoint, each.delivery.subject) for each in over]
    connection.executemany(_NEXT_HEAD, heads)
    return [None] * len(attempts)


def _attempt_values(attempt: Attempt) -> tuple[Any, ...]:
    pending = attempt.state is DeliveryState.PENDING
    return (
        attempt.state,
        attempt.delivery.attempts + 1,
        attempt.due_ms,
        attempt.status,
        attempt.error,
        None if pending else attempt.at_ms,
        pending,
        attempt.delivery.seq,
    )


def _forget(connection: sqlite3.Connection, now_ms: int, kept: Kept, limit: int) -> int:
    """Remove what is out of bounds; see ``WebhookStore.forget``."""
    changed = 0
    for statement, values in (
        (_OF_DISABLED, (now_ms,)),
        (_OF_REMOVED, ()),
        (_OLD, (kept.finished_after_ms,)),
    ):
        changed += connection.execute(statement, (*values, limit - changed)).rowcount
    changed += connection.execute(_BEYOND, (limit - changed, kept.rows)).rowcount
    connection.execute(_REMOVED)
    return changed


class WebhookFile:
    """Webhooks in a file that a controller may have open, for commands; a context.

    Args:
        path: the database file.
    """

    def __init__(self, path: Path) -> None:
        """Open the file. Raises Misconfigured, Unavailable as ``open_database`` does."""
        connection = open_database(path, MIGRATIONS)
        self._reader = open_reader(path)
        self._writer = Writer(connection, path)
        self.webhooks = SqliteWebhooks(path, self._reader, self._writer)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._writer.close()
        self._reader.close()

    def commit(self, commit: Commit, epoch: int) -> "Future[None]":
        """Write changes of webhooks with their audit entries; see ``Store``."""
        del epoch  # rooms have one, and none is written here

        def both(connection: sqlite3.Connection) -> None:
            write(connection, [commit])
            audit.append(connection, commit.audit)

        return self._writer.submit(both)


class SqliteWebhooks:
    """Endpoints and deliveries in the file of a store.

    Args:
        path: the database file, for error messages.
        reader: connection of the caller's thread; the store closes it.
        writer: writer of the store.
    """

    def __init__(self, path: Path, reader: sqlite3.Connection, writer: Writer) -> None:
        self._path = path
        self._reader = reader
        self._writer = writer

    def endpoints(self) -> tuple[Endpoint, ...]:
        """See ``WebhookStore``."""
        found = self._read(
            f"SELECT {_ENDPOINT} FROM webhook_endpoints WHERE removed = 0 ORDER BY created_ms, id"  # noqa: S608 constants of ours
        )
        return tuple(_endpoint(row) for row in found)

    def endpoint(self, id_: str) -> Endpoint | None:
        """See ``WebhookStore``."""
        found = self._read(
            f"SELECT {_ENDPOINT} FROM webhook_endpoints WHERE id = ? AND removed = 0",  # noqa: S608 constants of ours
            (id_,),
        )
        return _endpoint(found[0]) if found else None

    def due(self, endpoint: str, now_ms: int, limit: int) -> tuple[Delivery, ...]:
        """See ``WebhookStore``."""
        sql = (
            f"SELECT {_DELIVERY} FROM webhook_deliveries WHERE head = 1 AND endpoint = ?"  # noqa: S608 constants of ours
            " AND due_ms > ? AND due_ms <= ? ORDER BY due_ms, seq LIMIT ?"
        )
        found = self._read(sql, (endpoint, -1, now_ms, limit))
        if len(found) < limit:
            latest_ms = now_ms + RETRY_AFTER_S[-1] * 1000
            found += self._read(sql, (endpoint, latest_ms, MAX_SEQ, limit - len(found)))
        return tuple(_delivery(row) for row in found)

    def delivery(self, endpoint: str, id_: str) -> Delivery | None:
        """See ``WebhookStore``."""
        found = self._read(
            f"SELECT {_DELIVERY} FROM webhook_deliveries WHERE id = ? AND endpoint = ?",  # noqa: S608 constants of ours
            (id_, endpoint),
        )
        return _delivery(found[0]) if found else None

    def deliveries(
        self,
        endpoint: str,
        state: DeliveryState | None = None,
        before_seq: int | None = None,
        limit: int = 50,
    ) -> tuple[Delivery, ...]:
        """See ``WebhookStore``. Each state has its own range of the index."""
        before = MAX_SEQ if before_seq is None else before_seq
        sql = (
            f"SELECT {_DELIVERY} FROM webhook_deliveries WHERE endpoint = ? AND state = ?"  # noqa: S608 constants of ours
            " AND seq < ? ORDER BY seq DESC LIMIT ?"
        )
        states = DeliveryState if state is None else (state,)
        found = [row for each in states for row in self._read(sql, (endpoint, each, before, limit))]
        found.sort(key=lambda row: row[0], reverse=True)
        return tuple(_delivery(row) for row in found[:limit])

    def configure(self, endpoints: Sequence[Endpoint]) -> "Future[None]":
        """See ``WebhookStore``."""
        return self._writer.submit(lambda connection: _configure(connection, endpoints))

    def record(self, attempt: Attempt) -> "Future[None]":
        """See ``WebhookStore``."""
        return self._writer.submit_together(_record, attempt)

    def forget(self, now_ms: int, kept: Kept, limit: int) -> "Future[int]":
        """See ``WebhookStore``."""
        return self._writer.submit(lambda connection: _forget(connection, now_ms, kept, limit))

    def _read(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with translated(self._path):
            return self._reader.execute(sql, values).fetchall()

"""Statements on messages inside the caller's transaction, and the tables of the queue file.

A message is waiting (no holder), delivered (one holder) or removed. It returns to waiting when its
holder requeues it, dies, or exceeds the consumer timeout. After more returns than the limit of its
queue it is published under the dead-letter key of the queue, in the same transaction.

Tables are migrations: a release may only append to the list. A message has one row per queue.
``seq`` is its position, kept over returns; ``holder`` is the presence (``presence``) to which it is
delivered; ``returned`` counts its returns. Triggers maintain ``queues.depth``, which includes
unsettled messages. Copies for listeners (``listeners``) have tables of their own.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sfu_wrapper.adapters.queue_file import listeners
from sfu_wrapper.adapters.sqlite.database import run_many
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.trace import TraceContext
from sfu_wrapper.ports.broker import Message, QueueSpec

_COPY: Final = """
    INSERT INTO messages
        (queue, routing_key, message_id, correlation_id, timestamp_ms, body, traceparent,
        tracestate)
    VALUES {}
"""
_BOUND: Final = "SELECT name, depth FROM bindings JOIN queues ON name = queue WHERE routing_key = ?"


@dataclass(frozen=True, slots=True)
class Taken:
    """A message as delivered to ``holder``."""

    seq: int
    queue: str
    holder: str
    routing_key: str
    message_id: str
    body: bytes
    returned: int
    trace: TraceContext | None


def declare(connection: sqlite3.Connection, spec: QueueSpec) -> None:
    """Create and bind a queue; an existing one keeps its limits."""
    timeout_ms = spec.consumer_timeout_s * 1000
    connection.execute(
        "INSERT OR IGNORE INTO queues VALUES (?, ?, ?, ?, 0)",
        (spec.name, spec.dead_letter_key, spec.delivery_limit, timeout_ms),
    )
    bindings = [(key, spec.name) for key in spec.routing_keys]
    connection.executemany("INSERT OR IGNORE INTO bindings VALUES (?, ?)", bindings)


def unbind(connection: sqlite3.Connection, queue: str, routing_key: str) -> None:
    """Remove a binding; the queue and its messages stay."""
    sql = "DELETE FROM bindings WHERE queue = ? AND routing_key = ?"
    connection.execute(sql, (queue, routing_key))


def bindings(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return (queue, routing key) of all bindings, sorted."""
    return connection.execute("SELECT queue, routing_key FROM bindings ORDER BY 1, 2").fetchall()


def publish(
    connection: sqlite3.Connection, messages: Sequence[Message], max_depth: int
) -> list[None]:
    """Put each message into every queue bound to its key.

    Raises:
        Unavailable: a queue is full, or a mandatory message has no queue.
    """
    keys = dict.fromkeys(message.routing_key for message in messages)
    bound = {key: dict(connection.execute(_BOUND, (key,)).fetchall()) for key in keys}
    depths = {queue: depth for found in bound.values() for queue, depth in found.items()}
    rows = []
    for message in messages:
        queues = bound[message.routing_key]
        if not queues and message.mandatory:
            detail = f"no queue is bound to {message.routing_key}"
            raise Unavailable(detail, unroutable=True)
        for queue in queues:
            if depths[queue] >= max_depth:
                raise Unavailable(f"{queue} is full", depth=depths[queue])
            depths[queue] += 1
            rows.append(_values(queue, message))
    run_many(connection, _COPY, rows)
    listeners.notify(connection, messages)
    return [None] * len(messages)


def _values(queue: str, message: Message) -> tuple[Any, ...]:
    return (
        queue,
        message.routing_key,
        message.message_id,
        message.correlation_id,
        message.timestamp_ms,
        message.body,
        *_columns(message.trace),
    )


def _columns(trace: TraceContext | None) -> tuple[str | None, str | None]:
    return (None, None) if trace is None else (trace.parent, trace.state)


def _trace(parent: str | None, state: str | None) -> TraceContext | None:
    return None if parent is None else TraceContext(parent, state)


def take(
    connection: sqlite3.Connection, queue: str, holder: str, limit: int, now_ms: int
) -> list[Taken]:
    """Deliver up to ``limit`` waiting messages, oldest first."""
    found = connection.execute(
        "SELECT seq, routing_key, message_id, body, returned, traceparent, tracestate FROM messages"
        " WHERE queue = ? AND holder IS NULL ORDER BY seq LIMIT ?",
        (queue, limit),
    ).fetchall()
    held = [(holder, now_ms, row[0]) for row in found]
    connection.executemany("UPDATE messages SET holder = ?, taken_ms = ? WHERE seq = ?", held)
    return [
        Taken(seq, queue, holder, key, message_id, body, returned, _trace(parent, state))
        for seq, key, message_id, body, returned, parent, state in found
    ]


def settle(connection: sqlite3.Connection, taken: Taken) -> None:
    """Remove a delivered message. Raises Unavailable if it has another holder."""
    sql = "DELETE FROM messages WHERE seq = ? AND holder = ?"
    _require(connection.execute(sql, (taken.seq, taken.holder)).rowcount)


def requeue(connection: sqlite3.Connection, taken: Taken) -> None:
    """Return a delivered message to waiting. Raises Unavailable if it has another holder."""
    _require(_free(connection, "seq = ? AND holder = ?", (taken.seq, taken.holder)))
    dead_letter(connection, taken.queue)


def free(connection: sqlite3.Connection, holder: str) -> None:
    """Return all messages of a holder to waiting, and remove its listeners."""
    queues = connection.execute(
        "SELECT DISTINCT queue FROM messages WHERE holder = ?", (holder,)
    ).fetchall()
    _free(connection, "holder = ?", (holder,))
    for (queue,) in queues:
        dead_letter(connection, queue)
    listeners.remove_listeners_of(connection, holder)


def overdue(connection: sqlite3.Connection, now_ms: int) -> list[tuple[int, str]]:
    """Return (seq, queue) of deliveries older than the consumer timeout of their queue."""
    return connection.execute(
        "SELECT seq, queue FROM messages JOIN queues ON name = queue"
        " WHERE holder IS NOT NULL AND taken_ms + consumer_timeout_ms < ?",
        (now_ms,),
    ).fetchall()


def free_overdue(connection: sqlite3.Connection, now_ms: int) -> None:
    """Return overdue deliveries to waiting."""
    for seq, queue in overdue(connection, now_ms):
        _free(connection, "seq = ?", (seq,))
        dead_letter(connection, queue)


def return_unseen(connection: sqlite3.Connection, rest: Sequence[Taken]) -> None:
    """Return messages that no consumer has seen to waiting, without counting a return."""
    sql = "UPDATE messages SET holder = NULL WHERE seq = ? AND holder = ?"
    connection.executemany(sql, [(taken.seq, taken.holder) for taken in rest])


def dead_letter(connection: sqlite3.Connection, queue: str) -> None:
    """Publish messages above the return limit under the dead-letter key, if a queue is bound."""
    found = connection.execute(
        "SELECT seq, dead_letter_key, message_id, correlation_id, timestamp_ms, body,"
        " traceparent, tracestate"
        " FROM messages JOIN queues ON name = queue"
        " WHERE queue = ? AND holder IS NULL AND returned > 0 AND returned > delivery_limit"
        " AND EXISTS (SELECT 1 FROM bindings WHERE routing_key = dead_letter_key)",
        (queue,),
    ).fetchall()
    for seq, key, message_id, correlation_id, timestamp_ms, body, parent, state in found:
        trace = _trace(parent, state)
        message = Message(key, message_id, body, correlation_id, timestamp_ms, trace=trace)
        # No limit on depth: the message only moves, and must not be lost.
        targets = connection.execute(_BOUND, (key,)).fetchall()
        run_many(connection, _COPY, [_values(target, message) for target, _ in targets])
        listeners.notify(connection, [message])
        connection.execute("DELETE FROM messages WHERE seq = ?", (seq,))


def _free(connection: sqlite3.Connection, which: str, values: Sequence[Any]) -> int:
    sql = f"UPDATE messages SET holder = NULL, returned = returned + 1 WHERE {which}"  # noqa: S608 conditions of ours
    return connection.execute(sql, values).rowcount


def _require(changed: int) -> None:
    if not changed:
        raise Unavailable("this delivery was given to another consumer")


def holders(connection: sqlite3.Connection) -> set[str]:
    """Return the holders that have deliveries or listeners."""
    sql = "SELECT holder FROM messages WHERE holder IS NOT NULL UNION SELECT holder FROM listeners"
    return {holder for (holder,) in connection.execute(sql)}


def waiting(connection: sqlite3.Connection, queue: str) -> int:
    """Return the number of waiting messages."""
    sql = "SELECT count(*) FROM messages WHERE queue = ? AND holder IS NULL"
    count: int = connection.execute(sql, (queue,)).fetchone()[0]
    return count


def has_waiting(connection: sqlite3.Connection, queue: str) -> bool:
    """Return True if ``take`` would find a message; the cost does not depend on queue length."""
    sql = "SELECT 1 FROM messages WHERE queue = ? AND holder IS NULL LIMIT 1"
    return connection.execute(sql, (queue,)).fetchone() is not None


_FIRST: Final = (
    """
    CREATE TABLE queues (
        name TEXT PRIMARY KEY,
        dead_letter_key TEXT,
        delivery_limit INTEGER,
        consumer_timeout_ms INTEGER NOT NULL,
        depth INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE bindings (
        routing_key TEXT NOT NULL,
        queue TEXT NOT NULL,
        PRIMARY KEY (routing_key, queue)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE messages (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        routing_key TEXT NOT NULL,
        message_id TEXT NOT NULL,
        correlation_id TEXT,
        timestamp_ms INTEGER NOT NULL,
        body BLOB NOT NULL,
        holder TEXT,
        taken_ms INTEGER,
        returned INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX messages_waiting ON messages (queue, holder, seq)",
    "CREATE INDEX messages_held ON messages (holder, seq) WHERE holder IS NOT NULL",
    "CREATE INDEX messages_returned ON messages (queue, returned) WHERE returned > 0",
    """
    CREATE TRIGGER message_added AFTER INSERT ON messages BEGIN
        UPDATE queues SET depth = depth + 1 WHERE name = new.queue;
    END
    """,
    """
    CREATE TRIGGER message_gone AFTER DELETE ON messages BEGIN
        UPDATE queues SET depth = depth - 1 WHERE name = old.queue;
    END
    """,
)

_LISTENERS: Final = (
    """
    CREATE TABLE listeners (
        routing_key TEXT NOT NULL,
        listener TEXT NOT NULL,
        holder TEXT NOT NULL,
        most INTEGER NOT NULL,
        PRIMARY KEY (routing_key, listener)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE notices (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        listener TEXT NOT NULL,
        routing_key TEXT NOT NULL,
        message_id TEXT NOT NULL,
        body BLOB NOT NULL
    )
    """,
    "CREATE INDEX notices_waiting ON notices (listener, seq)",
)

_TRACES: Final = (
    "ALTER TABLE messages ADD COLUMN traceparent TEXT",
    "ALTER TABLE messages ADD COLUMN tracestate TEXT",
)

MIGRATIONS: Final = (_FIRST, _LISTENERS, _TRACES)

"""The tables of the queue file, as migrations: each release may only append to the list.

A message stands once in each queue that takes it. ``seq`` is its place in the queue, also after it
was handed back. ``holder`` is the presence (``presence``) that it is delivered to, ``returned`` how
often it came back unsettled. Triggers keep ``queues.depth``, unsettled messages included.
What listeners are told (``listeners``) stands apart, goes with their process, and is never kept.
"""

from typing import Final

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

MIGRATIONS: Final = (_FIRST, _LISTENERS)

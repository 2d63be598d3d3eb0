"""Schema of the store as numbered migrations: append, never change what has been released.

``docs`` draws the resulting tables (architecture.md, "The tables of the store").
"""

from collections.abc import Sequence
from typing import Final

from sfu_wrapper.adapters.sqlite.database import Migrations

# rooms keep their rowid: it orders rooms with one id that were created in the same millisecond.
# outbox numbers are never reused (AUTOINCREMENT), so that a reader can page by them.
_FIRST = (
    """
    CREATE TABLE rooms (
        uuid TEXT NOT NULL UNIQUE, id TEXT NOT NULL, domain TEXT NOT NULL, owner TEXT NOT NULL,
        life TEXT NOT NULL, settled INTEGER NOT NULL, created_ms INTEGER NOT NULL,
        ended_ms INTEGER, state BLOB NOT NULL, epoch INTEGER NOT NULL
    )
    """,
    "CREATE INDEX rooms_by_id ON rooms (id, created_ms)",
    "CREATE INDEX rooms_unsettled ON rooms (created_ms) WHERE settled = 0",
    """
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, room TEXT NOT NULL, routing_key TEXT NOT NULL,
        message_id TEXT NOT NULL, correlation_id TEXT NOT NULL, body BLOB NOT NULL,
        created_ms INTEGER NOT NULL, mandatory INTEGER NOT NULL
    )
    """,
    """
    CREATE TABLE answers (
        key TEXT PRIMARY KEY, digest BLOB NOT NULL, answer BLOB NOT NULL,
        expires_ms INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE INDEX answers_by_expiry ON answers (expires_ms)",
    """
    CREATE TABLE user_permissions (
        domain TEXT NOT NULL, user TEXT NOT NULL, type TEXT NOT NULL, profile TEXT NOT NULL,
        PRIMARY KEY (domain, user)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE domain_permissions (
        domain TEXT PRIMARY KEY, type TEXT NOT NULL, profile TEXT NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE leases (
        job TEXT PRIMARY KEY, holder TEXT NOT NULL, boot TEXT NOT NULL, expires_ms INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
)

# Room ids are unique among the open rooms of a domain. Collections of a room are rows of ``parts``;
# rooms of the first schema keep everything in ``state`` until they are written again, except for
# members, which the migration copies to ``parts`` (``member/DOMAIN/USER``) for look-ups. It skips
# damaged rooms; their reader refuses them. Used uuids (ASCII, lower case) are kept for ever after
# their rooms are removed, so that no two rooms have the same uuid.
_MEMBERS_OF_OLD_ROOMS = """
    INSERT OR IGNORE INTO parts (room, name, state)
    SELECT uuid,
        'member/' || json_extract(member.value, '$.domain')
            || '/' || json_extract(member.value, '$.user'),
        CAST(member.value AS BLOB)
    FROM (SELECT uuid, CAST(substr(state, 3) AS TEXT) AS document FROM rooms) AS old,
        json_each(CASE WHEN json_valid(document) THEN document ELSE '{}' END, '$.members') AS member
    WHERE member.type = 'object'
"""
_SECOND = (
    """
    CREATE TABLE parts (
        room TEXT NOT NULL, name TEXT NOT NULL, state BLOB NOT NULL, PRIMARY KEY (room, name)
    ) WITHOUT ROWID
    """,
    _MEMBERS_OF_OLD_ROOMS,
    "CREATE TABLE used_uuids (uuid TEXT PRIMARY KEY) WITHOUT ROWID",
    "INSERT OR IGNORE INTO used_uuids (uuid) SELECT lower(uuid) FROM rooms",
    "CREATE INDEX rooms_by_end ON rooms (ended_ms) WHERE settled = 1",
    "DROP INDEX rooms_by_id",
    "CREATE INDEX rooms_by_id ON rooms (domain, id, created_ms)",
)

# 0.3.0: recordings, audit, webhooks, retention. One migration until it is released.
# A recording keeps its first ``started_ms``, which orders lists and is part of ``stays``. Indexes
# of lists end in (started_ms, uuid, segment), so that a page begins where the one before ended;
# ``recordings_by_owner`` also answers for usage without reading rows. The partial indexes are those
# of retention, and no toggle writes them: ``due_ms`` is set while it may delete the recording.
_RECORDINGS: Final[Sequence[str]] = (
    """
    CREATE TABLE recordings (
        uuid TEXT NOT NULL, segment INTEGER NOT NULL, room TEXT NOT NULL, domain TEXT NOT NULL,
        owner TEXT NOT NULL, state TEXT NOT NULL, started_ms INTEGER NOT NULL, stopped_ms INTEGER,
        duration_ms INTEGER, bytes INTEGER NOT NULL DEFAULT 0, due_ms INTEGER,
        requested_ms INTEGER, version INTEGER NOT NULL DEFAULT 1, facts BLOB NOT NULL,
        rest BLOB NOT NULL DEFAULT '{}'
    )
    """,
    "CREATE UNIQUE INDEX recordings_by_key ON recordings (uuid, segment)",
    "CREATE INDEX recordings_by_start ON recordings (started_ms, uuid, segment)",
    "CREATE INDEX recordings_by_domain ON recordings (domain, started_ms, uuid, segment)",
    """
    CREATE INDEX recordings_by_owner
    ON recordings (domain, owner, started_ms, uuid, segment, duration_ms, bytes)
    """,
    "CREATE INDEX recordings_by_room ON recordings (room, started_ms, uuid, segment)",
    """
    CREATE INDEX recordings_by_domain_and_room
    ON recordings (domain, room, started_ms, uuid, segment)
    """,
    "CREATE INDEX recordings_by_state ON recordings (state, started_ms, uuid, segment)",
    """
    CREATE INDEX recordings_by_domain_and_state
    ON recordings (domain, state, started_ms, uuid, segment)
    """,
    """
    CREATE INDEX recordings_by_due ON recordings (domain, state, due_ms, uuid, segment)
    WHERE due_ms IS NOT NULL
    """,
    """
    CREATE INDEX recordings_by_request ON recordings (requested_ms, uuid, segment)
    WHERE requested_ms IS NOT NULL
    """,
    """
    CREATE TABLE stays (
        domain TEXT NOT NULL, user TEXT NOT NULL, started_ms INTEGER NOT NULL,
        uuid TEXT NOT NULL, segment INTEGER NOT NULL, home TEXT NOT NULL,
        PRIMARY KEY (domain, user, started_ms, uuid, segment)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX stays_by_home ON stays (home, domain, user, started_ms, uuid, segment)",
)
# The table is its own index by number: an entry changes one page of it, and one of the other index.
_AUDIT: Final[Sequence[str]] = (
    """
    CREATE TABLE audit (
        domain TEXT NOT NULL, number INTEGER NOT NULL, object TEXT NOT NULL, entry BLOB NOT NULL,
        hash BLOB NOT NULL, PRIMARY KEY (domain, number)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX audit_by_object ON audit (object)",
)
_WEBHOOKS: Final[Sequence[str]] = (
    """
    CREATE TABLE webhook_endpoints (
        id TEXT PRIMARY KEY, domain TEXT, url TEXT NOT NULL, secrets TEXT NOT NULL,
        types TEXT NOT NULL, created_ms INTEGER NOT NULL, configured INTEGER NOT NULL,
        disabled TEXT, removed INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE webhook_deliveries (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, endpoint TEXT NOT NULL,
        type TEXT NOT NULL, domain TEXT NOT NULL, subject TEXT NOT NULL, at_ms INTEGER NOT NULL,
        data BLOB NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL, due_ms INTEGER NOT NULL,
        status INTEGER, error TEXT, finished_ms INTEGER, head INTEGER NOT NULL
    )
    """,
    "CREATE INDEX webhook_due ON webhook_deliveries (endpoint, due_ms, seq) WHERE head = 1",
    """
    CREATE INDEX webhook_order ON webhook_deliveries (endpoint, subject, seq)
    WHERE finished_ms IS NULL
    """,
    "CREATE INDEX webhook_by_state ON webhook_deliveries (endpoint, state, seq)",
    "CREATE INDEX webhook_by_id ON webhook_deliveries (id)",
    """
    CREATE INDEX webhook_finished ON webhook_deliveries (finished_ms)
    WHERE finished_ms IS NOT NULL
    """,
)
_RETENTION: Final[Sequence[str]] = (
    """
    CREATE TABLE domain_retention (
        domain TEXT PRIMARY KEY, days INTEGER NOT NULL
    ) WITHOUT ROWID
    """,
)
_ROOMS_OF_DOMAINS: Final[Sequence[str]] = (
    """
    CREATE INDEX rooms_unsettled_in_domain ON rooms (domain, created_ms, uuid) WHERE settled = 0
    """,
    """
    CREATE INDEX rooms_by_end_in_domain ON rooms (domain, ended_ms, uuid) WHERE settled = 1
    """,
)
_TRACES: Final[Sequence[str]] = (
    "ALTER TABLE outbox ADD COLUMN traceparent TEXT",
    "ALTER TABLE outbox ADD COLUMN tracestate TEXT",
)
_THIRD = (*_RECORDINGS, *_AUDIT, *_WEBHOOKS, *_RETENTION, *_ROOMS_OF_DOMAINS, *_TRACES)

MIGRATIONS: Final[Migrations] = (_FIRST, _SECOND, _THIRD)

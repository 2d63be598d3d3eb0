"""Index of recordings in SQLite: changes, within the transaction of a commit.

Facts and the rest of a recording are two documents in one row, so that a toggle writes facts by one
statement that reads nothing. ``stays`` finds the recordings of a participant; its ``home`` is the
domain of the recording.
"""

import sqlite3
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sfu_wrapper.adapters.sqlite.database import run_many
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.recording import Recording, RecordingFacts, RecordingState
from sfu_wrapper.ports.recordings import (
    DomainRetention,
    DropRecording,
    PutRecording,
    RecordingChange,
    SegmentFacts,
)
from sfu_wrapper.wire.recording_state import encode_facts, encode_rest

_PUT_FACTS = """
    INSERT INTO recordings
        (uuid, segment, room, domain, owner, state, started_ms, stopped_ms, duration_ms, facts)
    VALUES {}
    ON CONFLICT (uuid, segment) DO UPDATE SET
        facts = excluded.facts, stopped_ms = excluded.stopped_ms,
        duration_ms = excluded.duration_ms, version = version + 1,
        state = CASE state WHEN 'recording' THEN excluded.state ELSE state END
    WHERE excluded.stopped_ms IS NOT NULL OR recordings.stopped_ms IS NULL
"""
_PUT_STAYS = """
    INSERT OR IGNORE INTO stays (domain, user, started_ms, uuid, segment, home)
    SELECT column1, column2, recordings.started_ms, column3, column4, recordings.domain
    FROM (VALUES {}) CROSS JOIN recordings ON uuid = column3 AND segment = column4
"""
_ADD = """
    INSERT OR IGNORE INTO recordings
        (uuid, segment, room, domain, owner, state, started_ms, stopped_ms, duration_ms, facts,
        rest, bytes, due_ms, requested_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_CHANGE = """
    UPDATE recordings SET
        state = ?, rest = ?, bytes = ?, due_ms = ?, requested_ms = ?, version = version + 1
    WHERE uuid = ? AND segment = ? AND version = ?
"""
_DROP = (
    """
    DELETE FROM stays WHERE (domain, user, started_ms, uuid, segment) IN (
        SELECT json_extract(stay.value, '$.user.domain'), json_extract(stay.value, '$.user.user'),
            started_ms, uuid, segment
        FROM recordings, json_each(CAST(facts AS TEXT), '$.stays') AS stay
        WHERE uuid = ? AND segment = ?
    )
    """,
    "DELETE FROM recordings WHERE uuid = ? AND segment = ?",
)


def write(connection: sqlite3.Connection, changes: Sequence[RecordingChange]) -> None:
    """Write changes in their order, inside the caller's transaction.

    Raises:
        Unavailable: a recording has changed since it was read (``conflict``).
    """
    for kind, some in groupby(changes, key=type):
        if kind is SegmentFacts:
            _put_facts(connection, [each.facts for each in some if isinstance(each, SegmentFacts)])
            continue
        for change in some:
            match change:
                case PutRecording(recording=recording):
                    _put(connection, recording)
                case DropRecording(key=key):
                    for sql in _DROP:
                        connection.execute(sql, (key.uuid, key.segment))


def write_retention(connection: sqlite3.Connection, changes: Sequence[DomainRetention]) -> None:
    """Write the times of domains, inside the caller's transaction."""
    for change in changes:
        if change.days is None:
            sql = "DELETE FROM domain_retention WHERE domain = ?"
            connection.execute(sql, (change.domain,))
        else:
            sql = "INSERT OR REPLACE INTO domain_retention (domain, days) VALUES (?, ?)"
            connection.execute(sql, (change.domain, change.days))


def _put_facts(connection: sqlite3.Connection, facts: Sequence[RecordingFacts]) -> None:
    run_many(connection, _PUT_FACTS, [_facts_values(each) for each in facts])
    run_many(connection, _PUT_STAYS, [row for each in facts for row in _stay_rows(each)])


def _put(connection: sqlite3.Connection, recording: Recording) -> None:
    key, state, version = recording.key, recording.state, recording.version
    times = (recording.counts_from_ms, recording.deletion_pending_ms)
    rest = (encode_rest(recording), recording.bytes, *times)
    if version == 0:
        known = _facts_values(recording.facts, state)
        done = connection.execute(_ADD, (*known, *rest))
        run_many(connection, _PUT_STAYS, _stay_rows(recording.facts))
    else:
        done = connection.execute(_CHANGE, (state, *rest, key.uuid, key.segment, version))
    if done.rowcount != 1:
        detail = "recording has changed since it was read: try again"
        raise Unavailable(detail, recording=str(key), conflict=True)


def _facts_values(facts: RecordingFacts, state: RecordingState | None = None) -> tuple[Any, ...]:
    running = facts.stopped_ms is None
    return (
        facts.key.uuid,
        facts.key.segment,
        facts.room,
        facts.domain,
        facts.owner,
        state or (RecordingState.RECORDING if running else RecordingState.QUEUED),
        facts.started_ms,
        facts.stopped_ms,
        facts.duration_ms,
        encode_facts(facts),
    )


def _stay_rows(facts: RecordingFacts) -> list[tuple[Any, ...]]:
    users = dict.fromkeys(stay.user for stay in facts.stays)
    return [(user.domain, user.user, facts.key.uuid, facts.key.segment) for user in users]

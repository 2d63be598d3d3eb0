"""Index of recordings in memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sfu_wrapper.core.recordings import with_facts
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import DomainId, UserKey
from sfu_wrapper.model.recording import Recording, RecordingFacts, RecordingKey, RecordingState
from sfu_wrapper.ports.recordings import (
    DomainRetention,
    DropRecording,
    Due,
    Position,
    PutRecording,
    RecordingChange,
    RecordingPage,
    RecordingQuery,
    SegmentFacts,
    UsageRow,
)

_Stored = dict[RecordingKey, Recording]


class MemoryRecordings:
    """``RecordingIndex`` for tests. Queries look at all recordings."""

    def __init__(self) -> None:
        self._stored: _Stored = {}
        self._days: dict[DomainId, int] = {}

    def write(self, changes: Sequence[RecordingChange]) -> None:
        """Write all changes, or none. Raises Unavailable: one of them conflicts."""
        stored = dict(self._stored)
        for change in changes:
            match change:
                case SegmentFacts(facts=facts):
                    _put_facts(stored, facts)
                case PutRecording(recording=recording):
                    _put(stored, recording)
                case DropRecording(key=key):
                    stored.pop(key, None)
        self._stored = stored

    def write_retention(self, changes: Iterable[DomainRetention]) -> None:
        """Write the times of domains."""
        for change in changes:
            if change.days is None:
                self._days.pop(change.domain, None)
            else:
                self._days[change.domain] = change.days

    def owner_of(self, key: RecordingKey) -> UserKey | None:
        """See ``RecordingIndex``."""
        found = self._stored.get(key)
        return None if found is None else found.facts.owner_key

    def recording(self, key: RecordingKey) -> Recording | None:
        """See ``RecordingIndex``."""
        return self._stored.get(key)

    def recordings(self, query: RecordingQuery) -> RecordingPage:
        """See ``RecordingIndex``."""
        order = _numbered if query.uuid is not None else _started
        found = [each for each in self._stored.values() if _fits(each, query)]
        if query.after is not None:
            last = order(query.after.key, query.after.started_ms)
            found = [each for each in found if order(each.key, each.facts.started_ms) < last]
        found.sort(key=lambda each: order(each.key, each.facts.started_ms), reverse=True)
        page = tuple(found[: query.limit])
        more = len(found) > query.limit
        return RecordingPage(
            page, Position(page[-1].facts.started_ms, page[-1].key) if more else None
        )

    def usage(
        self, domain: DomainId | None, from_ms: int, to_ms: int, after: UserKey | None, limit: int
    ) -> tuple[UsageRow, ...]:
        """See ``RecordingIndex``."""
        used: dict[UserKey, list[Recording]] = {}
        for each in self._stored.values():
            owner = each.facts.owner_key
            wanted = domain in (None, owner.domain) and (after is None or owner > after)
            if wanted and from_ms <= each.facts.started_ms < to_ms:
                used.setdefault(owner, []).append(each)
        return tuple(_usage(*item) for item in sorted(used.items())[:limit])

    def finished(
        self,
        domain: DomainId,
        state: RecordingState,
        before_ms: int,
        limit: int,
        after: Due | None = None,
    ) -> tuple[Recording, ...]:
        """See ``RecordingIndex``."""
        of_domain = (each for each in self._stored.values() if each.facts.domain == domain)
        found = (each for each in of_domain if each.state is state)
        return _due(found, lambda each: each.counts_from_ms, before_ms, limit, after)

    def retention_days(self, domain: DomainId) -> int | None:
        """See ``RecordingIndex``."""
        return self._days.get(domain)

    def domains(self) -> tuple[DomainId, ...]:
        """See ``RecordingIndex``."""
        return tuple(sorted({each.facts.domain for each in self._stored.values()}))

    def deletions(self, limit: int, after: Due | None = None) -> tuple[Recording, ...]:
        """See ``RecordingIndex``."""
        requested = self._stored.values()
        return _due(requested, lambda each: each.deletion_pending_ms, None, limit, after)

    def all(self) -> Iterator[Recording]:
        """See ``RecordingIndex``."""
        yield from sorted(self._stored.values(), key=lambda each: each.key)


def _put_facts(stored: _Stored, facts: RecordingFacts) -> None:
    known = stored.get(facts.key)
    changed = with_facts(known, facts)
    if changed is not known:
        stored[facts.key] = replace(changed, version=changed.version + 1)


def _put(stored: _Stored, recording: Recording) -> None:
    known = stored.get(recording.key)
    if (known.version if known is not None else 0) != recording.version:
        detail = "recording has changed since it was read: try again"
        raise Unavailable(detail, recording=str(recording.key), conflict=True)
    facts = recording.facts if known is None else known.facts
    stored[recording.key] = replace(recording, facts=facts, version=recording.version + 1)


def _fits(recording: Recording, query: RecordingQuery) -> bool:
    facts = recording.facts
    wanted = (
        (query.domain, facts.domain),
        (query.owner, facts.owner),
        (query.room, facts.room),
        (query.uuid, facts.key.uuid),
        (query.state, recording.state),
    )
    return (
        all(value is None or value == own for value, own in wanted)
        and (query.participant is None or query.participant in {stay.user for stay in facts.stays})
        and (query.from_ms is None or facts.started_ms >= query.from_ms)
        and (query.to_ms is None or facts.started_ms < query.to_ms)
    )


def _started(key: RecordingKey, started_ms: int) -> Any:  # noqa: ANN401 any sortable type
    return started_ms, key


def _numbered(key: RecordingKey, _: int) -> Any:  # noqa: ANN401 any sortable type
    return key.segment


def _usage(owner: UserKey, recordings: Sequence[Recording]) -> UsageRow:
    recorded_ms = sum(each.facts.duration_ms or 0 for each in recordings)
    used = sum(each.bytes for each in recordings)
    return UsageRow(owner.domain, owner.user, len(recordings), recorded_ms, used)


def _due(
    recordings: Iterable[Recording],
    time: Callable[[Recording], int | None],
    before_ms: int | None,
    limit: int,
    after: Due | None,
) -> tuple[Recording, ...]:
    placed = [(at_ms, each.key, each) for each in recordings if (at_ms := time(each)) is not None]
    found = sorted(
        (row for row in placed if after is None or row[:2] > (after.at_ms, after.key)),
        key=lambda row: row[:2],
    )
    return tuple(each for at_ms, _, each in found if before_ms is None or at_ms < before_ms)[:limit]

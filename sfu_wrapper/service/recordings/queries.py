"""Queries of the index: one recording, a page of them, and usage, as far as a requester may see.

Reads only. A recording that is missing and one of another owner cost the same read, of the owner
alone, and end in the same refusal. Source: recording-index.md, "Who sees what".
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from sfu_wrapper.core import access
from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.retention import RetentionRules, expires_ms
from sfu_wrapper.model.identity import DomainId, RoomUuid, SegmentNo, UserId, UserKey
from sfu_wrapper.model.recording import Recording, RecordingKey, RecordingState
from sfu_wrapper.model.segment import JobProgress, News
from sfu_wrapper.ports.recordings import (
    Position,
    RecordingIndex,
    RecordingPage,
    RecordingQuery,
    UsageRow,
)
from sfu_wrapper.ports.system import Clock

ME: Final = "me"  # as ``participant``: the requester itself
_UNDER_WORK: Final = (RecordingState.QUEUED, RecordingState.PROCESSING)

FindNews = Callable[[RoomUuid, SegmentNo], News | None]
"""Function that returns the latest news about the job of a segment."""


def no_news(uuid: RoomUuid, segment: SegmentNo) -> None:
    """Return None: nothing is known about the job of a segment."""
    del uuid, segment


@dataclass(frozen=True, slots=True)
class RecordingView:
    """Recording as one requester may see it.

    Attributes:
        recording: the recording.
        attended_s: seconds that the requester spent in it, where it does not own it, so that it
            sees neither files nor other people; None: it sees everything.
        progress: latest progress of its processing.
        expires_ms: epoch ms at which it is due for deletion; None: not known, or never.
    """

    recording: Recording
    attended_s: float | None
    progress: JobProgress | None
    expires_ms: int | None


@dataclass(frozen=True, slots=True)
class RecordingViews:
    """Page of a list; ``next`` as in ``RecordingPage``."""

    recordings: tuple[RecordingView, ...]
    next: Position | None


class RecordingQueries:
    """Reads of the index with the rights of a requester.

    Args:
        index: the recordings.
        rules: times for which recordings are kept.
        clock: wall clock.
        news: returns the latest news about the job of a segment.
    """

    def __init__(
        self,
        index: RecordingIndex,
        rules: RetentionRules,
        clock: Clock,
        news: FindNews = no_news,
    ) -> None:
        self._index = index
        self._rules = rules
        self._clock = clock
        self._news = news

    def recording(self, by: Requester, key: RecordingKey) -> Recording:
        """Return one recording. Raises Refused: NOT_FOUND. Raises Unavailable: the store fails."""
        return visible_recording(self._index, by, key)

    def view(self, by: Requester, key: RecordingKey) -> RecordingView:
        """Return one recording with what is known about it. Raises as ``recording``."""
        return self._view(self.recording(by, key), by, {})

    def page(
        self, by: Requester, wanted: RecordingQuery, participant: str | None = None
    ) -> RecordingViews:
        """Return the recordings that the requester may see, newest first.

        Args:
            by: the requester.
            wanted: filter without a participant; ``owner`` and the participant are of the
                requester's domain where it names none.
            participant: user that was in the room: ``me``, ``USER`` or ``DOMAIN/USER``.

        Raises:
            Unavailable: the store cannot be read.
        """
        query = query_of(by, wanted, participant)
        page = RecordingPage((), None) if query is None else self._index.recordings(query)
        days: dict[DomainId, int | None] = {}
        shown = tuple(self._view(each, by, days) for each in page.recordings)
        return RecordingViews(shown, page.next)

    def usage(
        self, by: Requester, from_ms: int, to_ms: int, after: UserKey | None, limit: int
    ) -> tuple[UsageRow, ...]:
        """Return usage by owner: an administrator's domain, for the service of all domains.

        Raises:
            Refused: FORBIDDEN: the requester is neither.
            Unavailable: the store cannot be read.
        """
        access.require_operator(by)
        domain = None if by.service else by.key.domain
        return self._index.usage(domain, from_ms, to_ms, after, limit)

    def _view(
        self, recording: Recording, by: Requester, days: dict[DomainId, int | None]
    ) -> RecordingView:
        domain = recording.facts.domain
        if domain not in days:
            days[domain] = self._index.retention_days(domain)
        whole = access.sees_recording(recording, by)
        return RecordingView(
            recording,
            None if whole else own_seconds(recording, by.key, self._clock.now().wall_ms),
            self._progress(recording),
            expires_ms(recording, self._rules, days[domain]),
        )

    def _progress(self, recording: Recording) -> JobProgress | None:
        if recording.state not in _UNDER_WORK:
            return None
        news = self._news(recording.key.uuid, recording.key.segment)
        return news if isinstance(news, JobProgress) else None


def visible_recording(index: RecordingIndex, by: Requester, key: RecordingKey) -> Recording:
    """Return a recording that exists for the requester; others are not even read.

    Raises:
        Refused: NOT_FOUND.
        Unavailable: the store cannot be read.
    """
    access.require_sees(index.owner_of(key), by, key)
    found = index.recording(key)
    if found is None:  # its tombstone has been removed since
        raise access.recording_not_found(key)
    return found


def query_of(
    by: Requester, wanted: RecordingQuery, participant: str | None
) -> RecordingQuery | None:
    """Return the query for what the requester wants and may see; None where both exclude all."""
    home = wanted.domain or by.key.domain
    user = _participant(by, participant, home)
    domain = home if wanted.owner is not None else wanted.domain
    query = replace(wanted, domain=domain, participant=user)
    if by.service or user == by.key:
        return query
    if query.domain not in (None, by.key.domain):
        return None
    if by.admin:
        return replace(query, domain=by.key.domain)
    if query.owner not in (None, by.key.user):
        return None
    return replace(query, domain=by.key.domain, owner=by.key.user)


def _participant(by: Requester, given: str | None, home: DomainId) -> UserKey | None:
    if given is None:
        return None
    if given == ME:
        return by.key
    domain, slash, user = given.rpartition("/")
    return UserKey(DomainId(domain) if slash else home, UserId(user))


def own_seconds(recording: Recording, user: UserKey, now_ms: int) -> float:
    """Return the seconds of the segment during which the user was in the room.

    Args:
        recording: the recording.
        user: the participant.
        now_ms: epoch ms; the end of stays in a segment that runs.
    """
    end_ms = now_ms if recording.facts.stopped_ms is None else recording.facts.stopped_ms
    stays = (stay for stay in recording.facts.stays if stay.user == user)
    spent_ms = sum(
        max((end_ms if stay.left_ms is None else stay.left_ms) - stay.joined_ms, 0)
        for stay in stays
    )
    return spent_ms / 1000

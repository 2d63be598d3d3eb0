"""Reports from the state of a room: ``SegmentInfo``, facts of a segment, the recording status.

``segment_info`` builds the message about a segment that is over, with files and presences clamped
to its times. ``facts_of`` returns what the index of recordings learns from an announcement.
``recording_status`` builds the ``recording`` object (protocol.md, "Endpoints").
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import attrgetter

from sfu_wrapper.core.effects import Announcement, RecordingStarted
from sfu_wrapper.core.lifecycle import Phase
from sfu_wrapper.core.people import Participant, PresenceInterval
from sfu_wrapper.core.policy import Decision, PolicySettings, Reason, Source, decide
from sfu_wrapper.core.room import Outcome, Room, Segment
from sfu_wrapper.core.sync import LEAD_LIMIT_MS, Timeline
from sfu_wrapper.model.identity import (
    OwnerPermissions,
    RecordingType,
    SegmentNo,
    UserId,
    shown_user,
    user_shown_as,
)
from sfu_wrapper.model.media import Medium, RawFile, Stream
from sfu_wrapper.model.recording import DecisionAtStart, RecordingFacts, RecordingKey, Stay
from sfu_wrapper.model.segment import Instant, Presence, SegmentInfo


@dataclass(frozen=True, slots=True)
class _Span:
    """Times of the segment, epoch ms; all reported times are clamped to them.

    Attributes:
        requested_ms: time of the request; no file is older.
        started_ms: begin.
        stopped_ms: end.
        line: timeline from the begin to now, which corrects for a wall clock that was set.
    """

    requested_ms: int
    started_ms: int
    stopped_ms: int
    line: Timeline

    def clamp(self, from_ms: int, to_ms: int | None) -> tuple[int, int]:
        """Return the nearest times inside, in order; an open end (None) is that of the segment.

        The order needs care if a clock was set back meanwhile.
        """
        start_ms = min(max(self.line.place(from_ms), self.started_ms), self.stopped_ms)
        if to_ms is None:
            return start_ms, self.stopped_ms
        return start_ms, min(max(self.line.place(to_ms), start_ms), self.stopped_ms)

    def lead_ms(self, from_ms: int) -> int:
        """Return the ms by which something that began at ``from_ms`` precedes the segment.

        Limited to the time that the start took, as the clock of the mixer may be behind ours.
        """
        lead_ms = self.started_ms - max(self.line.place(from_ms), self.requested_ms)
        return min(max(lead_ms, 0), LEAD_LIMIT_MS)


def segment_info(room: Room, segment: Segment, now: Instant) -> SegmentInfo:
    """Return the ``SegmentInfo`` of a segment that is over (events.md, "recordingInfo").

    Args:
        room: the room; its participants were present too.
        segment: the segment, with its times.
        now: instant at which the times were set.

    Raises:
        ValueError: the segment has no times yet, which is a bug of ours.
    """
    if segment.started is None or segment.stopped_ms is None:
        raise ValueError(f"segment {segment.number} is not over")
    line = Timeline(segment.started, now)
    span = _Span(segment.requested_at.wall_ms, segment.started.wall_ms, segment.stopped_ms, line)
    return SegmentInfo(
        room=room.id,
        uuid=room.uuid,
        confbridge_id=room.confbridge_id,
        segment=segment.number,
        started_ms=span.started_ms,
        completed_ms=span.stopped_ms,
        owner=room.owner,
        domain=room.domain,
        type=segment.type,
        incomplete=segment.incomplete is not None,
        reason=segment.incomplete,
        missing=tuple(segment.missing),
        video=_files(segment, Medium.VIDEO, span),
        audio=_files(segment, Medium.AUDIO, span),
        presences=_presences(room, segment, span),
    )


def presences_of(room: Room, segment: Segment) -> list[PresenceInterval]:
    """Return the presences during the segment, in order of joining.

    The participants of the room were present too, unless the segment failed: a failed segment has
    stored its presences, and others may have joined since.
    """
    found = list(segment.presences)
    if segment.outcome is not Outcome.FAILED:
        found += (presence_in(room, segment, each) for each in room.participants)
    return sorted(found, key=attrgetter("entry"))


def presence_in(
    room: Room, segment: Segment, participant: Participant, left_ms: int | None = None
) -> PresenceInterval:
    """Return the presence of a participant during the segment."""
    present_before = participant.entry <= segment.entries
    joined_ms = segment.requested_at.wall_ms if present_before else participant.joined_ms
    return PresenceInterval(
        shown_user(participant.key, room.domain), joined_ms, left_ms, participant.entry
    )


def _files(segment: Segment, medium: Medium, span: _Span) -> tuple[RawFile, ...]:
    capture = segment.capture(medium)
    found = capture.files if capture is not None else ()
    written = (_clamped(file, span) for file in found if file.holds_media)
    return tuple(sorted(written, key=lambda file: file.started_ms))


def _clamped(file: RawFile, span: _Span) -> RawFile:
    """Return the file with its times clamped, while its content keeps its place.

    A video file has the times of its frames inside, so its start may move. The place of a mix
    follows from its start alone: the part before the segment is added to its delay.
    """
    start_ms, stop_ms = span.clamp(file.started_ms, file.stopped_ms)
    lead_ms = span.lead_ms(file.started_ms) if file.stream is Stream.AUDIO else 0
    return replace(file, started_ms=start_ms, stopped_ms=stop_ms, delay_ms=file.delay_ms + lead_ms)


def _presences(room: Room, segment: Segment, span: _Span) -> tuple[Presence, ...]:
    """Return the reported presences in order of joining; most last from begin to end."""
    start_ms, stop_ms = span.clamp(segment.requested_at.wall_ms, None)
    if segment.presences or segment.outcome is Outcome.FAILED:
        return tuple(_presence(each, span) for each in presences_of(room, segment))
    return tuple(
        Presence(shown_user(each.key, room.domain), start_ms, stop_ms)
        if each.entry <= segment.entries
        else _presence(presence_in(room, segment, each), span)
        for each in room.participants
    )


def _presence(interval: PresenceInterval, span: _Span) -> Presence:
    return Presence(interval.user, *span.clamp(interval.joined_ms, interval.left_ms))


def stamped(segment: Segment, now: Instant) -> Segment:
    """Return the segment with its times: begin by the wall clock, length by the monotonic one."""
    started = segment.started or _first_written(segment, now)
    line = Timeline(started, now)
    stopped_ms = line.end_ms
    if segment.cut_short or segment.lost:
        stopped_ms = _last_written(segment, line)
    idle_ms = max(0, line.end_ms - stopped_ms)  # since the last write
    duration_ms = max(0, now.mono_ms - started.mono_ms - idle_ms)
    if stopped_ms < started.wall_ms:  # the clock was set back meanwhile
        stopped_ms = started.wall_ms + duration_ms
    return replace(
        segment,
        started=started,
        stopped_ms=stopped_ms,
        duration_ms=duration_ms,
        stop_by_ms=None,
    )


def _first_written(segment: Segment, now: Instant) -> Instant:
    line = Timeline(segment.requested_at, now)
    first_ms = line.place(min(file.started_ms for file in segment.media_files))
    after_ms = max(0, first_ms - segment.requested_at.wall_ms)
    return Instant(first_ms, segment.requested_at.mono_ms + after_ms)


def _last_written(segment: Segment, line: Timeline) -> int:
    """Return the time of the last known write; now if a file is open or no time is known."""
    lost = [each.written_ms for each in segment.captures if each.written_ms is not None]
    closed = [
        line.end_ms if file.stopped_ms is None else line.place(file.stopped_ms)
        for file in segment.media_files
    ]
    return max([*map(line.place, lost), *closed], default=line.end_ms)


def facts_of(room: Room, announcement: Announcement) -> RecordingFacts | None:
    """Return the facts of the segment that an announcement is about.

    Those of a start at ``RecordingStarted``, those of the end at ``SegmentInfo``, which every
    segment with media has; None: the others add nothing.

    Args:
        room: the room after the step.
        announcement: announcement of the step.
    """
    if isinstance(announcement, RecordingStarted):
        return _running_facts(room, announcement.segment)
    if isinstance(announcement, SegmentInfo) and announcement.segment is not None:
        segment = room.segments.get(announcement.segment)
        return None if segment is None else stopped_facts(room, segment, announcement)
    return None


def _running_facts(room: Room, segment: Segment) -> RecordingFacts:
    """Return the facts at the start, with the participants that are in the room now."""
    started_ms = (segment.started or segment.requested_at).wall_ms
    stays = (Stay(each.key, max(started_ms, each.joined_ms), None) for each in room.participants)
    return _facts(room, segment, started_ms, stays)


def stopped_facts(room: Room, segment: Segment, info: SegmentInfo) -> RecordingFacts:
    """Return the facts of a segment that is over."""
    stays = (
        Stay(user_shown_as(each.user, room.domain), each.joined_ms, each.left_ms)
        for each in info.presences
    )
    return replace(
        _facts(room, segment, info.started_ms, stays),
        stopped_ms=info.completed_ms,
        duration_ms=segment.duration_ms,
        reason=segment.reason,
        incomplete=info.reason,
        missing=info.missing,
    )


def closed_facts(room: Room, segment: Segment, presences: Iterable[Presence]) -> RecordingFacts:
    """Return the facts of a segment that was reported earlier.

    Args:
        room: the room as it is now.
        segment: a segment of it that is announced.
        presences: participants of the segment, which the room no longer knows.
    """
    info = segment_info(room, segment, segment.started or segment.requested_at)
    return stopped_facts(room, segment, replace(info, presences=tuple(presences)))


def _facts(room: Room, segment: Segment, started_ms: int, stays: Iterable[Stay]) -> RecordingFacts:
    decision = segment.decision or room.decision
    return RecordingFacts(
        key=RecordingKey(room.uuid, segment.number),
        room=room.id,
        domain=room.domain,
        owner=room.owner,
        kind=room.kind,
        origin=room.origin,
        type=segment.type,
        by=segment.by,
        started_ms=started_ms,
        decision=None if decision is None else _at_start(decision),
        stays=tuple(stays),
    )


def _at_start(decision: Decision) -> DecisionAtStart:
    return DecisionAtStart(
        allowed=decision.allowed,
        automatic=decision.automatic,
        type=decision.type,
        source=decision.source,
        reason=decision.reason,
    )


@dataclass(frozen=True, slots=True)
class RecordingStatus:
    """Recording status: the fields of ``core.policy.Decision``, and the running segment."""

    allowed: bool
    automatic: bool
    type: RecordingType
    source: Source | None
    reason: Reason | None
    active: bool
    segment: SegmentNo | None = None
    started_ms: int | None = None
    begun_by: UserId | None = None
    unattended: bool = False
    resumes_at_ms: int | None = None


def recording_status(
    room: Room, permissions: OwnerPermissions, settings: PolicySettings
) -> RecordingStatus:
    """Return the status: ``allowed`` as of now, ``automatic`` as of the establishment."""
    now = decide(room.kind, room.origin, room.flag, permissions, settings)
    start = room.decision or now
    running = room.segments[-1] if room.capture is Phase.RECORDING else None
    return RecordingStatus(
        allowed=now.allowed,
        automatic=start.automatic,
        type=now.type,
        source=now.source,
        reason=start.reason,
        active=running is not None,
        segment=running.number if running is not None else None,
        started_ms=running.started.wall_ms if running is not None and running.started else None,
        begun_by=running.begun_by if running is not None else None,
        unattended=room.unattended,
        resumes_at_ms=room.wanted.resumes_at_ms if room.paused and room.wanted else None,
    )

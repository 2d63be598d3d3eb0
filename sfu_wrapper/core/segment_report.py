"""What a stopped segment is reported as: its files and stays, clamped to its own times.

What the ``recording`` object of the protocol says of a room (protocol.md, "Endpoints").
"""

from dataclasses import dataclass, replace
from operator import attrgetter

from sfu_wrapper.core.lifecycle import Phase
from sfu_wrapper.core.people import Participant, PresenceInterval
from sfu_wrapper.core.policy import PolicySettings, Reason, Source, decide
from sfu_wrapper.core.room import Outcome, Room, Segment
from sfu_wrapper.core.sync import LEAD_LIMIT_MS, Timeline
from sfu_wrapper.model.identity import OwnerPermissions, RecordingType, SegmentNo, shown_user
from sfu_wrapper.model.media import Medium, RawFile, Stream
from sfu_wrapper.model.segment import Instant, Presence, SegmentInfo


@dataclass(frozen=True, slots=True)
class _Span:
    """The segment's own times, epoch ms; nothing that is reported lies outside.

    asked_ms: when it was asked for; nothing of it was written before.
    line: from its start to now, which knows whether the wall clock was set meanwhile.
    """

    asked_ms: int
    started_ms: int
    stopped_ms: int
    line: Timeline

    def clamp(self, from_ms: int, to_ms: int | None) -> tuple[int, int]:
        """The nearest times inside, in their order; what is still open (None) goes on to the end.

        The order matters where a clock was set back meanwhile.
        """
        start_ms = min(max(self.line.place(from_ms), self.started_ms), self.stopped_ms)
        if to_ms is None:
            return start_ms, self.stopped_ms
        return start_ms, min(max(self.line.place(to_ms), start_ms), self.stopped_ms)

    def lead_ms(self, from_ms: int) -> int:
        """By how much something that began at ``from_ms`` really began before ``started_ms``.

        A clock of the mixer's that is behind ours makes it no more than the start took.
        """
        lead_ms = self.started_ms - max(self.line.place(from_ms), self.asked_ms)
        return min(max(lead_ms, 0), LEAD_LIMIT_MS)


def segment_info(room: Room, segment: Segment, now: Instant) -> SegmentInfo:
    """The one ``SegmentInfo`` of a segment that is over (events.md, "recordingInfo").

    Args:
        room: the room, whose participants were there as well.
        segment: it has its times.
        now: when it was given them.

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
    """Return every stay during the segment, in order of joining.

    Those who take part now were there as well, unless the segment failed: then everybody who was
    there has been noted, and others may have come since.
    """
    stays = list(segment.presences)
    if segment.outcome is not Outcome.FAILED:
        stays += (presence_in(room, segment, each) for each in room.participants)
    return sorted(stays, key=attrgetter("entry"))


def presence_in(
    room: Room, segment: Segment, participant: Participant, left_ms: int | None = None
) -> PresenceInterval:
    """Return the participant's stay during the segment."""
    there_before = participant.entry <= segment.entries
    joined_ms = segment.requested_at.wall_ms if there_before else participant.joined_ms
    return PresenceInterval(
        shown_user(participant.key, room.domain), joined_ms, left_ms, participant.entry
    )


def _files(segment: Segment, medium: Medium, span: _Span) -> tuple[RawFile, ...]:
    capture = segment.capture(medium)
    found = capture.files if capture is not None else ()
    written = (_clamped(file, span) for file in found if file.holds_media)
    return tuple(sorted(written, key=lambda file: file.started_ms))


def _clamped(file: RawFile, span: _Span) -> RawFile:
    """Within the segment, with its content where it was.

    A film's own header says when its pictures came, whatever its start is moved to. Of a mix the
    start is all that says so: what lies before the segment makes it lag by so much more.
    """
    start_ms, stop_ms = span.clamp(file.started_ms, file.stopped_ms)
    lead_ms = span.lead_ms(file.started_ms) if file.stream is Stream.AUDIO else 0
    return replace(file, started_ms=start_ms, stopped_ms=stop_ms, delay_ms=file.delay_ms + lead_ms)


def _presences(room: Room, segment: Segment, span: _Span) -> tuple[Presence, ...]:
    """Return who was there and when, in order of joining; most were there all the time."""
    start_ms, stop_ms = span.clamp(segment.requested_at.wall_ms, None)
    if segment.presences or segment.outcome is Outcome.FAILED:
        return tuple(_presence(stay, span) for stay in presences_of(room, segment))
    return tuple(
        Presence(shown_user(each.key, room.domain), start_ms, stop_ms)
        if each.entry <= segment.entries
        else _presence(presence_in(room, segment, each), span)
        for each in room.participants
    )


def _presence(stay: PresenceInterval, span: _Span) -> Presence:
    return Presence(stay.user, *span.clamp(stay.joined_ms, stay.left_ms))


@dataclass(frozen=True, slots=True)
class RecordingStatus:
    """allowed and automatic as in ``core.policy.Decision``; the running segment beside them."""

    allowed: bool
    automatic: bool
    type: RecordingType
    source: Source | None
    reason: Reason | None
    active: bool
    segment: SegmentNo | None = None
    started_ms: int | None = None


def recording_status(
    room: Room, permissions: OwnerPermissions, settings: PolicySettings
) -> RecordingStatus:
    """Allowed as of now; automatic as decided at establishment, before that as forecast."""
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
    )

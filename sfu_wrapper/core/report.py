"""What a stopped segment is reported as: its files and stays, clamped to its own times."""

from dataclasses import dataclass, replace

from sfu_wrapper.core.room import Room, Segment, Stay
from sfu_wrapper.model.media import Medium, RawFile
from sfu_wrapper.model.recording import Presence, SegmentInfo


@dataclass(frozen=True, slots=True)
class _Span:
    """The segment's own times, epoch ms; nothing that is reported lies outside."""

    started_ms: int
    stopped_ms: int

    def clamp(self, ms: int | None) -> int:
        """The nearest time inside; what is still open (None) goes on to the end."""
        return self.stopped_ms if ms is None else min(max(ms, self.started_ms), self.stopped_ms)


def segment_info(room: Room, segment: Segment) -> SegmentInfo:
    """The one ``SegmentInfo`` of a segment that is over (events.md, "recordingInfo").

    Raises:
        ValueError: the segment has no times yet, which is a bug of ours.
    """
    if segment.started is None or segment.stopped_ms is None:
        raise ValueError(f"segment {segment.number} is not over")
    span = _Span(segment.started.wall_ms, segment.stopped_ms)
    return SegmentInfo(
        room=room.id,
        uuid=room.uuid,
        confbridge_id=room.confbridge_id,
        segment=segment.number,
        started_ms=span.started_ms,
        completed_ms=span.stopped_ms,
        owner=room.owner,
        type=segment.type,
        incomplete=segment.incomplete is not None,
        reason=segment.incomplete,
        missing=tuple(segment.missing),
        video=_files(segment, Medium.VIDEO, span),
        audio=_files(segment, Medium.AUDIO, span),
        presences=tuple(_presence(stay, span) for stay in segment.stays),
    )


def _files(segment: Segment, medium: Medium, span: _Span) -> tuple[RawFile, ...]:
    capture = segment.capture(medium)
    found = capture.files if capture is not None else ()
    written = (
        replace(
            file, started_ms=span.clamp(file.started_ms), stopped_ms=span.clamp(file.stopped_ms)
        )
        for file in found
        if file.holds_media
    )
    return tuple(sorted(written, key=lambda file: file.started_ms))


def _presence(stay: Stay, span: _Span) -> Presence:
    return Presence(stay.user, span.clamp(stay.joined_ms), span.clamp(stay.left_ms))

"""What a stopped segment is reported as: its files and stays, clamped to its own times."""

from dataclasses import replace

from sfu_wrapper.core.room import Room, Segment
from sfu_wrapper.model.media import Medium, RawFile
from sfu_wrapper.model.recording import Presence, SegmentInfo


def segment_info(room: Room, segment: Segment) -> SegmentInfo:
    """The one ``SegmentInfo`` of a segment that is over (events.md, "recordingInfo").

    Raises:
        ValueError: the segment has no times yet, which is a bug of ours.
    """
    if segment.started is None or segment.stopped_ms is None:
        raise ValueError(f"segment {segment.number} is not over")
    started_ms, stopped_ms = segment.started.wall_ms, segment.stopped_ms

    def clamp(ms: int) -> int:
        return min(max(ms, started_ms), stopped_ms)

    def files(medium: Medium) -> tuple[RawFile, ...]:
        capture = segment.capture(medium)
        found = capture.files if capture is not None else ()
        clamped = (
            replace(
                file,
                started_ms=clamp(file.started_ms),
                stopped_ms=clamp(stopped_ms if file.stopped_ms is None else file.stopped_ms),
            )
            for file in found
            if file.holds_media
        )
        return tuple(sorted(clamped, key=lambda file: file.started_ms))

    return SegmentInfo(
        room=room.id,
        uuid=room.uuid,
        confbridge_id=room.confbridge_id,
        segment=segment.number,
        started_ms=started_ms,
        completed_ms=stopped_ms,
        owner=room.owner,
        type=segment.type,
        incomplete=segment.incomplete is not None,
        reason=segment.incomplete,
        missing=tuple(segment.missing),
        video=files(Medium.VIDEO),
        audio=files(Medium.AUDIO),
        presences=tuple(
            Presence(
                stay.user,
                clamp(stay.joined_ms),
                clamp(stopped_ms if stay.left_ms is None else stay.left_ms),
            )
            for stay in segment.stays
        ),
    )

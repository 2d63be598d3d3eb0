"""Calls whose recording differs from the decision that was made, with the reasons.

Pure: a room, the index entries of its recordings and the time enter, reasons leave.

Theory of operation
    * Wanted time runs from the establishment where the decision was automatic, else from the first
      start by hand that was confirmed, to the end of the call. A stop that a person or a configured
      limit caused ends it; the next segment that is requested begins it again. So a pause counts
      neither as wanted nor as missed.
    * Recorded time is that of the segments, within the wanted time.
    * Reasons about the media of a recording come from its index entry.

Source: recording-index.md, "Missed".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sfu_wrapper.core.room import Room, Segment
from sfu_wrapper.core.sync import LOSS_LIMIT_PERCENT
from sfu_wrapper.model.identity import SegmentNo, StopReason
from sfu_wrapper.model.recording import Recording, RecordingKey, RecordingState
from sfu_wrapper.model.segment import Processed

WANTED_PERCENT: Final = 95
START_GRACE_MS: Final = 10_000  # of a call that goes on: a start may still be on its way
_MEANT: Final = (StopReason.REQUESTED, StopReason.UNATTENDED, StopReason.MAX_ROOM)


class MissCode(StrEnum):
    """Kind of a difference."""

    NOT_RECORDED = "NOT_RECORDED"
    TOO_SHORT = "TOO_SHORT"
    MEDIA_MISSING = "MEDIA_MISSING"
    PROCESSING_FAILED = "PROCESSING_FAILED"
    MEDIA_LOST = "MEDIA_LOST"
    NOT_WANTED = "NOT_WANTED"


@dataclass(frozen=True, slots=True)
class Miss:
    """Difference between the decision and the outcome of a call.

    Attributes:
        code: kind of the difference.
        message: one sentence.
        recordings: the recordings concerned; empty where there is none.
    """

    code: MissCode
    message: str
    recordings: tuple[RecordingKey, ...] = ()


@dataclass(frozen=True, slots=True)
class MissedCall:
    """Call with at least one difference.

    Attributes:
        room: the room, as stored.
        wanted_ms: time that was to be recorded, so far.
        recorded_ms: the part of it that was recorded.
        misses: the differences, at most one of each code.
    """

    room: Room
    wanted_ms: int
    recorded_ms: int
    misses: tuple[Miss, ...]


def missed(room: Room, recordings: Sequence[Recording], now_ms: int) -> MissedCall | None:
    """Return the differences of a call; None: its outcome is what was decided.

    Args:
        room: the room; one that was never established is no call.
        recordings: index entries of its segments.
        now_ms: epoch ms; the end so far of a call that goes on.
    """
    if room.established_ms is None:
        return None
    end_ms = now_ms if room.ended_ms is None else room.ended_ms
    segments = tuple(room.segments)
    wanted = tuple(_wanted(room, segments, room.established_ms, end_ms))
    wanted_ms = sum(end - begin for begin, end in wanted)
    recorded_ms = sum(_overlap(span, each, end_ms) for span in wanted for each in segments)
    found = (
        *_coverage(room, segments, wanted_ms, recorded_ms),
        *media_misses(recordings),
        *_not_wanted(room, segments),
    )
    return MissedCall(room, wanted_ms, recorded_ms, found) if found else None


def _wanted(
    room: Room, segments: Sequence[Segment], established_ms: int, end_ms: int
) -> Iterator[tuple[int, int]]:
    """Yield the spans in which recording was wanted: begin and end, epoch ms."""
    automatic = room.decision is not None and room.decision.automatic
    since_ms = established_ms if automatic else None
    for segment in segments:
        if since_ms is None and (segment.ran or segment.by is None):
            since_ms = segment.requested_at.wall_ms
        if since_ms is not None and segment.reason in _MEANT:
            stopped_ms = end_ms if segment.stopped_ms is None else segment.stopped_ms
            yield since_ms, max(since_ms, min(stopped_ms, end_ms))
            since_ms = None
    if since_ms is not None:
        yield since_ms, max(since_ms, end_ms)


def _recorded(segment: Segment) -> bool:
    """Return True if the segment has, or will have, a recording."""
    return segment.ran or segment.announced


def _overlap(span: tuple[int, int], segment: Segment, end_ms: int) -> int:
    """Return the ms of a span in which the segment was recorded."""
    if not _recorded(segment):
        return 0
    began_ms = (segment.started or segment.requested_at).wall_ms
    stopped_ms = end_ms if segment.stopped_ms is None else segment.stopped_ms
    return max(0, min(span[1], stopped_ms) - max(span[0], began_ms))


def _coverage(
    room: Room, segments: Sequence[Segment], wanted_ms: int, recorded_ms: int
) -> Iterator[Miss]:
    missing_ms = wanted_ms - recorded_ms
    grace_ms = START_GRACE_MS if room.ended_ms is None else 0
    if missing_ms <= grace_ms or 100 * recorded_ms >= WANTED_PERCENT * wanted_ms:
        return
    keys = _keys(room, [each.number for each in segments if _recorded(each)])
    whole_s = f"{wanted_ms / 1000:.1f} s"
    if not keys:
        yield Miss(
            MissCode.NOT_RECORDED, f"{whole_s} were to be recorded, and no segment has media"
        )
        return
    share = 100 * recorded_ms // wanted_ms
    message = f"{recorded_ms / 1000:.1f} s of {whole_s} are recorded, {share} %"
    yield Miss(MissCode.TOO_SHORT, message, keys)


def media_misses(recordings: Sequence[Recording]) -> Iterator[Miss]:
    """Yield the differences that the index entries of recordings tell."""
    incomplete = [each for each in recordings if _is_incomplete(each)]
    if incomplete:
        message = "media that should exist are missing in the recording"
        yield Miss(MissCode.MEDIA_MISSING, message, _addresses(incomplete))
    failed = [each for each in recordings if each.state is RecordingState.FAILED]
    if failed:
        message = "the recording could not be processed; retry it, or see its error"
        yield Miss(MissCode.PROCESSING_FAILED, message, _addresses(failed))
    lossy = [each for each in recordings if _has_loss(each)]
    if lossy:
        message = "media was lost on its way; see the warnings of the recording"
        yield Miss(MissCode.MEDIA_LOST, message, _addresses(lossy))


def _is_incomplete(recording: Recording) -> bool:
    facts, outcome = recording.facts, recording.outcome
    unusable = isinstance(outcome, Processed) and bool(outcome.missing)
    return bool(facts.missing) or facts.incomplete is not None or unusable


def _has_loss(recording: Recording) -> bool:
    """Return True if a warning of the result is about loss: ``core.sync.notes``."""
    outcome = recording.outcome
    return isinstance(outcome, Processed) and any(
        track.gaps > 0 or track.loss_percent > LOSS_LIMIT_PERCENT for track in outcome.sync
    )


def _not_wanted(room: Room, segments: Sequence[Segment]) -> Iterator[Miss]:
    """Yield the segments that neither the decision nor an allowed start asked for."""
    found = [each.number for each in segments if _recorded(each) and not _is_permitted(room, each)]
    if found:
        message = "it was recorded, and neither the decision nor an allowed start asked for it"
        yield Miss(MissCode.NOT_WANTED, message, _keys(room, found))


def _is_permitted(room: Room, segment: Segment) -> bool:
    decision = segment.decision or room.decision
    if decision is None:
        return True  # rooms of 0.1.0 may have none: unknown
    by_hand = segment.by is not None or segment.begun_by is not None
    return decision.allowed if by_hand else decision.automatic


def _keys(room: Room, numbers: Sequence[SegmentNo]) -> tuple[RecordingKey, ...]:
    return tuple(RecordingKey(room.uuid, number) for number in numbers)


def _addresses(recordings: Sequence[Recording]) -> tuple[RecordingKey, ...]:
    return tuple(sorted(each.key for each in recordings))

"""Recordings for tests."""

from dataclasses import replace
from typing import Any

from sfu_wrapper.model.identity import (
    DomainId,
    Kind,
    Origin,
    RecordingType,
    RoomId,
    RoomUuid,
    SegmentNo,
    StopReason,
    UserId,
    UserKey,
)
from sfu_wrapper.model.recording import (
    DecisionAtStart,
    Recording,
    RecordingFacts,
    RecordingKey,
    RecordingState,
    Stay,
)
from sfu_wrapper.model.segment import Failed, FileKind, FinishedFile, Processed

HOME = DomainId("example")
ALICE, BOB = UserKey(HOME, UserId("alice")), UserKey(HOME, UserId("bob"))
GUEST = UserKey(DomainId("other"), UserId("bob"))
DECISION = DecisionAtStart(True, False, RecordingType.ALL, "user", "NOT_ASKED")


def key(n: int = 1, uuid: str = "uuid-1") -> RecordingKey:
    """Address of the nth segment of a room."""
    return RecordingKey(RoomUuid(uuid), SegmentNo(n))


def facts(
    n: int = 1,
    uuid: str = "uuid-1",
    *,
    at_ms: int = 1_000,
    runs: bool = False,
    **other: Any,  # noqa: ANN401 fields of any type
) -> RecordingFacts:
    """Facts of a segment of one second; ``other`` replaces fields."""
    stays = (Stay(ALICE, at_ms, None if runs else at_ms + 1_000),)
    known = RecordingFacts(
        key=key(n, uuid),
        room=RoomId("room"),
        domain=HOME,
        owner=ALICE.user,
        kind=Kind.MEETING,
        origin=Origin.INTERNAL,
        type=RecordingType.ALL,
        by="alice",
        started_ms=at_ms,
        decision=DECISION,
        stays=stays,
    )
    if not runs:
        known = replace(
            known, stopped_ms=at_ms + 1_000, duration_ms=1_000, reason=StopReason.REQUESTED
        )
    return replace(known, **other)


def processed(of: RecordingKey | None = None, *, size_bytes: int = 100, **other: Any) -> Processed:  # noqa: ANN401 fields of any type
    """Result with one file; ``other`` replaces fields."""
    of = of or key()
    file = FinishedFile(f"/results/{of.uuid}-{of.segment}.webm", FileKind.MERGED, size_bytes, "ab")
    result = Processed(
        room=RoomId("room"),
        uuid=of.uuid,
        segment=of.segment,
        output="merged",
        started_ms=1_000,
        completed_ms=2_000,
        encrypted=False,
        files=(file,),
        processing_started_ms=3_000,
        processing_completed_ms=4_000,
        attempts=1,
        warnings=("a warning",),
    )
    return replace(result, **other)


def failed(of: RecordingKey | None = None, **other: Any) -> Failed:  # noqa: ANN401 fields of any type
    """Failure with a raw file; ``other`` replaces fields."""
    of = of or key()
    failure = Failed(
        room=RoomId("room"),
        uuid=of.uuid,
        segment=of.segment,
        stage="preprocess",
        code="UNREADABLE_MJR",
        detail="the file is unreadable",
        file="a.mjr",
        attempts=3,
        kept=("/raw/a.mjr",),
        event=b'{"\xc3\xa4": 1}',
    )
    return replace(failure, **other)


def ready(n: int = 1, uuid: str = "uuid-1", *, done_ms: int = 4_000, **other: Any) -> Recording:  # noqa: ANN401 fields of any type
    """A new recording that is ready; ``other``: fields of its facts."""
    known = facts(n, uuid, **other)
    return Recording(known, RecordingState.READY, processed(known.key), done_ms)

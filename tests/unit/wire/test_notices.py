from sfu_wrapper.model.identity import RoomId, RoomUuid, SegmentNo
from sfu_wrapper.model.segment import Failed, FileKind, FinishedFile, JobProgress, Processed
from sfu_wrapper.wire.answers import processing_json, result_json, result_note

ROOM, UUID, TWO = RoomId("r"), RoomUuid("u"), SegmentNo(2)
DONE = Processed(
    room=RoomId("conference"),
    uuid=UUID,
    segment=TWO,
    output="merged",
    started_ms=0,
    completed_ms=0,
    encrypted=False,
    files=(FinishedFile("/out/of sight/rec.webm", FileKind.MERGED, 42, "sha"),),
    processing_started_ms=0,
    processing_completed_ms=0,
    attempts=1,
)
LOST = Failed(RoomId("conference"), UUID, TWO, "deliver", "NO_SPACE", "no room", "/a/b", 3)


def test_work_under_way_says_how_far_it_is() -> None:
    begun = JobProgress(UUID, TWO, "compose", 0, None)
    further = JobProgress(UUID, TWO, "compose", 50, 2.5)
    shown = {"state": "processing", "stage": "compose"}

    assert processing_json(begun) == shown | {"percent": 0}
    assert processing_json(further) == shown | {"percent": 50, "etaSeconds": 2.5}
    assert result_json(further) == {}


def test_a_file_is_told_by_its_name_alone() -> None:
    files = [{"name": "rec.webm", "kind": "merged", "bytes": 42}]

    assert processing_json(DONE) == {"state": "processed"}
    assert result_note(ROOM, DONE) == (
        "roomRecordingProcessed",
        {"room": "r", "segment": 2, "files": files},
    )


def test_a_failure_says_where_and_why() -> None:
    error = {"stage": "deliver", "code": "NO_SPACE", "message": "no room"}

    assert processing_json(LOST) == {"state": "failed"}
    assert result_note(ROOM, LOST) == (
        "roomRecordingProcessingFailed",
        {"room": "r", "segment": 2, "error": error},
    )

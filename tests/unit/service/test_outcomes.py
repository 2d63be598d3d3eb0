from dataclasses import replace

import pytest

from sfu_wrapper.model.identity import RoomId, RoomUuid, SegmentNo
from sfu_wrapper.model.segment import (
    Failed,
    FileKind,
    FinishedFile,
    JobProgress,
    News,
    Processed,
)
from sfu_wrapper.service.rooms.job_results import JobResults

UUID, ONE = RoomUuid("u"), SegmentNo(1)
UNDER_WAY = JobProgress(UUID, ONE, "compose", 10, None)
FURTHER = JobProgress(UUID, ONE, "compose", 20, None)
FAILED = Failed(RoomId("r"), UUID, ONE, "compose", "MUX_FAILED", "it broke", None, 3, ("a",))
DONE = Processed(
    room=RoomId("r"),
    uuid=UUID,
    segment=ONE,
    output="none",
    started_ms=0,
    completed_ms=0,
    encrypted=False,
    files=(),
    processing_started_ms=0,
    processing_completed_ms=0,
    attempts=1,
    warnings=("long",),
)


@pytest.mark.parametrize(
    ("heard", "news"),
    [
        ((UNDER_WAY, FURTHER, DONE), (True, True, True)),
        ((DONE, DONE, FURTHER, FAILED), (True, False, False, False)),
        ((FAILED, FAILED, DONE), (True, False, True)),
        ((FAILED, UNDER_WAY, FAILED), (True, True, True)),
    ],
)
def test_only_what_is_new_counts(heard: tuple[News, ...], news: tuple[bool, ...]) -> None:
    outcomes = JobResults()

    assert tuple(outcomes.note(each) for each in heard) == news


def test_what_clients_are_never_told_is_not_kept() -> None:
    outcomes = JobResults()
    outcomes.note(FAILED)
    failed = outcomes.of(UUID, ONE)
    outcomes.note(DONE)

    assert failed == replace(FAILED, kept=())
    assert outcomes.of(UUID, ONE) == replace(DONE, warnings=())


def test_what_was_heard_of_least_lately_is_forgotten() -> None:
    outcomes = JobResults(limit=3)
    rooms = [RoomUuid(name) for name in "abcd"]
    for uuid in (*rooms[:3], rooms[0], rooms[3]):
        outcomes.note(replace(UNDER_WAY, uuid=uuid))

    kept = [uuid for uuid in rooms if outcomes.of(uuid, ONE) is not None]
    assert kept == ["a", "c", "d"]


def test_of_one_room_with_very_many_segments_the_oldest_are_forgotten() -> None:
    outcomes = JobResults(limit=3)
    for number in range(1, 6):
        outcomes.note(replace(UNDER_WAY, segment=SegmentNo(number)))

    kept = [n for n in range(1, 6) if outcomes.of(UUID, SegmentNo(n)) is not None]
    assert kept == [3, 4, 5]


def test_many_files_of_many_segments_do_not_pile_up() -> None:
    outcomes = JobResults(files_limit=10)
    file = FinishedFile("f", FileKind.MERGED, 1, "00")
    rooms = [RoomUuid(f"room-{number}") for number in range(8)]
    for uuid in rooms:
        outcomes.note(replace(DONE, uuid=uuid, files=(file,) * 4))
    outcomes.note(replace(FAILED, uuid=rooms[-1], segment=SegmentNo(2)))

    kept = [uuid for uuid in rooms if outcomes.of(uuid, ONE) is not None]
    assert kept == rooms[-2:]


def test_the_news_heard_last_are_kept_however_many_files_they_name() -> None:
    outcomes = JobResults(files_limit=10)
    outcomes.note(replace(DONE, segment=SegmentNo(2)))
    huge = replace(DONE, files=(FinishedFile("f", FileKind.MERGED, 1, "00"),) * 50)
    outcomes.note(huge)

    assert outcomes.of(UUID, ONE) == replace(huge, warnings=())
    assert outcomes.of(UUID, SegmentNo(2)) is None

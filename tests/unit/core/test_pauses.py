"""Pauses: a stop after which recording goes on by itself (policy.md, "Limits and pauses")."""

import pytest

from sfu_wrapper.core.effects import (
    PauseChanged,
    RecordingStarted,
    RecordingStopped,
    Stopped,
)
from sfu_wrapper.core.lifecycle import Phase
from sfu_wrapper.core.media_plane import StartCapture, StopCapture
from sfu_wrapper.model.identity import StopReason
from tests.helpers.rooms import (
    ALICE,
    MANUAL,
    automatic,
    established,
    recording,
    refusal,
    restarted,
)


def test_a_pause_stops_the_segment_and_the_next_one_starts_by_itself() -> None:
    call = recording()
    call.wait(20_000)
    asked_ms = call.wall_ms
    ref = call.stop(resume_after_s=60)
    call.clock(300)
    call.close()
    (note,) = call.notes(RecordingStopped)
    answer = call.answer(ref)

    assert note.segment.resumes_at_ms == asked_ms + 60_000
    assert isinstance(answer, Stopped)
    assert answer.segment.resumes_at_ms == asked_ms + 60_000
    assert call.room.paused
    call.wait(59_699)
    assert len(call.room.segments) == 1
    call.wait(1)
    call.confirm()
    second = call.notes(RecordingStarted)[1].segment
    assert (second.by, second.begun_by) == (None, ALICE.user)


def test_a_start_by_hand_ends_the_pause() -> None:
    call = recording()
    call.stop(resume_after_s=60)
    call.close()
    call.start()
    call.confirm()
    call.wait(120_000)

    assert len(call.room.segments) == 2
    assert call.room.capture is Phase.RECORDING
    assert not call.room.paused


def test_a_start_by_hand_that_fails_leaves_the_pause_as_it_was() -> None:
    call = recording()
    call.stop(resume_after_s=60)
    call.close()
    call.wait(10_000)
    call.start()
    call.refuse()
    assert call.room.paused
    call.wait(49_999)
    assert len(call.room.segments) == 2
    call.wait(1)

    assert len(call.room.segments) == 3


def test_another_stop_in_the_pause_ends_the_recording() -> None:
    call = recording()
    call.stop(resume_after_s=60)
    call.close()
    ref = call.stop()
    call.wait(120_000)

    answer = call.answer(ref)
    assert isinstance(answer, Stopped)
    assert (answer.segment.number, answer.segment.resumes_at_ms) == (1, None)
    assert [note.resumes_at_ms for note in call.notes(PauseChanged)] == [None]
    assert len(call.room.segments) == 1
    assert refusal(call, "stop") == "NOT_RECORDING"


def test_another_pause_in_the_pause_takes_the_place_of_the_first() -> None:
    call = recording()
    call.stop(resume_after_s=60)
    call.close()
    call.wait(30_000)
    call.stop(resume_after_s=120)
    call.wait(119_999)
    assert len(call.room.segments) == 1
    call.wait(1)

    assert len(call.room.segments) == 2


def test_the_end_of_the_room_ends_the_pause() -> None:
    call = recording()
    call.stop(resume_after_s=60)
    call.close()
    call.end()
    call.wait(120_000)

    assert len(call.room.segments) == 1
    assert call.room.wanted is None


def test_of_several_stops_the_last_one_says_whether_it_is_a_pause() -> None:
    pause, stop = recording(), recording()
    pause.stop()
    pause.stop(resume_after_s=60)
    stop.stop(resume_after_s=60)
    stop.stop()
    for call in (pause, stop):
        call.close()

    assert pause.room.paused
    assert not stop.room.paused
    assert [note.segment.resumes_at_ms is None for note in stop.notes(RecordingStopped)] == [True]


def test_a_pause_asked_for_while_starting_begins_once_it_runs() -> None:
    call = established()
    call.start()
    call.stop(resume_after_s=60)
    call.confirm()
    call.close()
    assert call.room.paused
    call.wait(60_000)

    assert len(call.room.segments) == 2


def test_a_pause_of_a_start_that_fails_promises_nothing() -> None:
    for call in (established(), automatic()):
        if call.room.capture is Phase.IDLE:
            call.start()
        ref = call.stop(resume_after_s=60)
        call.refuse()
        call.wait(120_000)

        assert call.code(ref) == "NOT_RECORDING"
        assert len(call.room.segments) == 1


def test_a_pause_before_a_start_that_waits_is_none() -> None:
    call = recording()
    ref = call.stop(resume_after_s=60)
    call.start()
    call.close()

    answer = call.answer(ref)
    assert isinstance(answer, Stopped)
    assert answer.segment.resumes_at_ms is None
    assert call.room.capture is Phase.STARTING


def test_a_media_plane_that_is_back_does_not_shorten_a_pause() -> None:
    call = recording()
    call.stop(resume_after_s=60)
    call.close()
    call.plane_back()
    call.wait(59_999)

    assert len(call.asked(StartCapture)) == 2, "video and audio of segment 1"


@pytest.mark.parametrize(("away_ms", "left_ms"), [(20_000, 40_000), (300_000, 0)])
def test_a_pause_counts_on_over_a_restart(away_ms: int, left_ms: int) -> None:
    call = recording()
    call.stop(resume_after_s=60)
    call.close()
    restarted(call, after_ms=away_ms)
    call.wait(max(0, left_ms - 1))
    assert len(call.room.segments) == (1 if left_ms else 2)
    call.wait(1)

    assert len(call.room.segments) == 2


def test_a_pause_that_is_over_before_the_stop_is_confirmed_goes_on_at_once() -> None:
    call = recording()
    call.stop(resume_after_s=1)
    call.clock(4_000)
    call.close()
    call.wait(0)

    assert call.room.capture is Phase.STARTING


def test_a_start_in_an_overdue_pause_that_fails_is_tried_again_by_itself() -> None:
    call = recording()
    call.stop(resume_after_s=1)
    call.close()
    call.start()
    call.clock(4_000)
    call.refuse()
    call.wait(1_000)

    assert len(call.room.segments) == 3
    assert len(call.asked(StopCapture)) == 2


def test_a_stop_in_the_back_off_is_answered_with_what_ran() -> None:
    call = recording(policy=MANUAL)
    call.lose()
    ref = call.stop()
    call.wait(60_000)

    answer = call.answer(ref)
    assert isinstance(answer, Stopped)
    assert answer.segment.reason is StopReason.FAILED
    assert len(call.room.segments) == 1


def test_after_a_restart_the_next_segment_says_who_began_the_recording() -> None:
    call = recording()
    call.terminate()
    call.close()
    restarted(call, after_ms=5_000)
    call.wait(0)
    call.confirm()

    segment = call.notes(RecordingStarted)[-1].segment
    assert (segment.number, segment.by, segment.begun_by) == (2, None, ALICE.user)

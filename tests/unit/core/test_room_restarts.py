"""Rooms over a restart of the controller: told to stop, or killed."""

from collections.abc import Callable

import pytest

from sfu_wrapper.core.effects import (
    RecordingFailed,
    RecordingStarted,
    RecordingStopped,
    Started,
    Stopped,
)
from sfu_wrapper.core.lifecycle import Phase
from sfu_wrapper.core.media_plane import CaptureStarted, ResumeCapture, StopCapture
from sfu_wrapper.core.room import Outcome
from sfu_wrapper.model.identity import StopReason
from sfu_wrapper.model.media import Medium
from sfu_wrapper.wire.room_state import decode_room, encode_room
from tests.helpers.rooms import (
    ALICE,
    AUDIO,
    BOB,
    VIDEO,
    Call,
    automatic,
    established,
    recording,
    video_file,
)

# controller stopped by SIGTERM


def test_sigterm_stops_the_segment_with_the_reason_restart() -> None:
    call = recording()
    call.terminate()
    call.close()

    assert [note.segment.reason for note in call.notes(RecordingStopped)] == ["restart"]
    assert len(call.infos) == 1
    assert not call.infos[0].incomplete


def test_nothing_is_started_while_the_controller_shuts_down() -> None:
    call = recording()
    call.terminate()
    call.close()
    call.wait(60_000)

    assert len(call.room.segments) == 1


@pytest.mark.parametrize("begun", [recording, automatic])
def test_after_the_restart_the_next_number_follows(begun: Callable[[], Call]) -> None:
    call = begun()
    if begun is automatic:
        call.confirm()
    call.terminate()
    call.close()
    call.restart()
    call.wait(0)

    assert (call.room.capture, call.segment.number, call.segment.by) == (Phase.STARTING, 2, None)


def test_what_was_stopped_by_hand_does_not_come_back_after_the_restart() -> None:
    call = recording()
    call.stop()
    call.close()
    call.terminate()
    call.restart()
    call.wait(60_000)

    assert len(call.room.segments) == 1


def test_a_call_established_during_the_shutdown_is_recorded_after_it() -> None:
    call = Call()
    call.join(ALICE)
    call.terminate()
    call.join(BOB)
    assert call.room.wanted is not None
    assert call.room.capture is Phase.IDLE
    call.restart()
    call.wait(0)

    assert [segment.number for segment in call.room.segments] == [1]


def test_starts_that_wait_are_told_to_ask_again_and_stops_are_carried_out() -> None:
    call = established()
    start = call.start()
    stop = call.stop()
    call.confirm(VIDEO)
    call.terminate()
    assert call.code(start) == "OVERLOADED"
    call.close()

    answer = call.answer(stop)
    assert isinstance(answer, Stopped)
    assert answer.segment.reason is StopReason.RESTART


def test_an_unconfirmed_start_that_sigterm_cut_off_failed() -> None:
    call = automatic()
    call.terminate()
    call.close()

    assert call.segment.outcome is Outcome.FAILED
    assert [note.code for note in call.notes(RecordingFailed)] == ["OVERLOADED"]
    assert call.infos == []


# controller killed


def killed(call: Call, *, down_ms: int = 3_000, mono_ms: int = 7) -> Call:
    """The controller dies and another takes up what was stored."""
    call.room = decode_room(encode_room(call.room))
    call.forget()
    call.restart(after_ms=down_ms, mono_ms=mono_ms)
    return call


def test_after_a_kill_the_plane_is_asked_what_still_runs() -> None:
    call = killed(recording())

    asked = call.asked(ResumeCapture)
    assert {request.capture.medium for request in asked} == {VIDEO, AUDIO}
    assert all(len(request.files) == 1 for request in asked)


def test_after_a_kill_what_still_runs_goes_on_in_the_same_segment() -> None:
    call = recording()
    call.clock(10_000)
    killed(call, down_ms=2_000, mono_ms=99_000_000)
    call.confirm()
    call.wait(20_000)
    call.stop()
    call.close()

    (note,) = call.notes(RecordingStopped)
    assert (note.segment.number, note.segment.duration_ms) == (1, 32_000)
    assert note.segment.reason is StopReason.REQUESTED
    assert [info.segment for info in call.infos] == [1]
    assert call.notes(RecordingStarted) == []


@pytest.mark.parametrize(
    ("written_ms", "began_ms"), [(200, 200), (-50, 0), (9_000, 5_300)], ids=str
)
def test_after_a_kill_in_mid_start_what_runs_counts_since_it_was_written(
    written_ms: int, began_ms: int
) -> None:
    """Times from the asking for it on: not before that, and not after it is known."""
    call = automatic()
    asked_ms = call.wall_ms
    call.clock(300)
    killed(call, down_ms=5_000)
    files = (video_file("alice", asked_ms + 200),)
    call.fact(CaptureStarted(call.capture_ref(VIDEO), asked_ms + written_ms, files))
    call.confirm(AUDIO)
    call.wait(10_000)
    call.stop()
    call.close()

    (note,) = call.notes(RecordingStarted)
    assert note.segment.started is not None
    assert note.segment.started.wall_ms == asked_ms + began_ms
    assert call.infos[0].started_ms == asked_ms + began_ms
    assert call.notes(RecordingStopped)[0].segment.duration_ms == 15_300 - began_ms


def test_after_a_kill_what_runs_no_more_is_stopped_at_its_last_known_written_time() -> None:
    call = recording()
    begun_ms = call.wall_ms
    call.clock(10_000)
    killed(call, down_ms=600_000)
    call.lose(at_ms=begun_ms + 9_000)
    call.wait(0)

    (note,) = call.notes(RecordingStopped)
    assert note.segment.reason is StopReason.RESTART
    assert (note.segment.duration_ms, call.infos[0].completed_ms) == (9_000, begun_ms + 9_000)
    assert (call.segment.number, call.segment.by) == (2, None)


@pytest.mark.parametrize(("lost", "running"), [(VIDEO, AUDIO), (AUDIO, VIDEO)])
def test_after_a_kill_one_lost_capture_does_not_end_what_the_other_still_writes(
    lost: Medium, running: Medium
) -> None:
    call = killed(recording())
    call.lose(lost)
    call.wait(0)
    call.confirm(running)

    assert call.room.capture is Phase.RECORDING
    assert call.segment.not_running == (lost,)


def test_a_loss_long_after_a_kill_is_a_failure_of_its_own() -> None:
    call = killed(recording())
    call.confirm()
    call.wait(60_000)
    call.lose()

    assert [note.segment.reason for note in call.notes(RecordingStopped)] == ["failed"]
    call.wait(999)
    assert call.segment.number == 1


def test_after_a_kill_a_plane_that_says_nothing_is_told_to_stop() -> None:
    call = killed(recording())
    call.wait(5_000)
    assert call.room.capture is Phase.STOPPING
    assert {request.capture.medium for request in call.asked(StopCapture)} == {VIDEO, AUDIO}
    call.wait(30_000)

    (info,) = call.infos
    assert info.incomplete
    assert call.notes(RecordingStopped)[0].segment.reason is StopReason.RESTART


def test_a_stop_right_after_a_kill_names_nothing_missing_that_ran() -> None:
    call = killed(recording())
    ref = call.stop()
    call.close()

    assert isinstance(call.answer(ref), Stopped)
    assert call.infos[0].missing == ()


def test_a_start_under_way_when_killed_is_still_answered() -> None:
    call = established()
    ref = call.start()
    killed(call)
    call.confirm()

    assert isinstance(call.answer(ref), Started)


def test_a_start_that_never_reached_the_plane_before_the_kill_fails() -> None:
    call = established()
    ref = call.start()
    killed(call)
    call.lose()

    assert call.code(ref) == "MEDIA_FAILED"
    assert call.infos == []


def test_a_stop_under_way_when_killed_is_asked_again_and_answered() -> None:
    call = recording()
    ref = call.stop()
    killed(call)
    call.wait(0)
    assert {request.capture.medium for request in call.asked(StopCapture)} == {VIDEO, AUDIO}
    call.close()

    assert isinstance(call.answer(ref), Stopped)


def test_what_failed_and_held_files_when_killed_is_still_reported() -> None:
    call = established()
    call.start()
    call.wait(5_000)
    call.confirm(AUDIO)
    killed(call)
    call.wait(30_000)

    assert [info.segment for info in call.infos] == [1]


def test_taking_a_room_up_twice_is_as_once() -> None:
    once = killed(recording())
    twice = killed(recording())
    twice.restart()

    assert twice.room == once.room

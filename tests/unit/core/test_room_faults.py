"""The rows of policy.md, "What happens when things go wrong", that concern the machine."""

from collections.abc import Callable

import pytest

from sfu_wrapper.core.effects import (
    RecordingFailed,
    RecordingStarted,
    RecordingStopped,
    RoomEnded,
    Started,
    Stopped,
)
from sfu_wrapper.core.facts import CaptureStarted
from sfu_wrapper.core.lifecycle import Life, Phase
from sfu_wrapper.core.requests import CloseMediaRoom, ResumeCapture, StartCapture, StopCapture
from sfu_wrapper.core.room import CaptureState, Outcome
from sfu_wrapper.model.media import Medium
from sfu_wrapper.model.permission import RecordingType
from sfu_wrapper.model.room import StopReason
from sfu_wrapper.wire.room_state import decode_room, encode_room
from tests.helpers.rooms import (
    ALICE,
    AUDIO,
    BOB,
    VIDEO,
    Call,
    automatic,
    established,
    film,
    permitted,
    recording,
)


def refused_by_the_plane(call: Call) -> None:
    call.refuse()


def left_unanswered(call: Call) -> None:
    call.wait(5_000)


FAILING = pytest.mark.parametrize("fails", [refused_by_the_plane, left_unanswered])
Fails = Callable[[Call], None]


# start by hand refused by the plane, or no answer in media.timeoutSeconds


@FAILING
def test_a_start_by_hand_that_fails_is_answered_and_not_wanted(fails: Fails) -> None:
    call = established()
    ref = call.start()
    fails(call)

    assert call.code(ref) == "MEDIA_FAILED"
    assert call.segment.outcome is Outcome.FAILED
    assert call.room.wanted is None
    assert [note.final for note in call.notes(RecordingFailed)] == [True]
    assert call.infos == []


@FAILING
def test_the_number_of_a_failed_start_is_spent(fails: Fails) -> None:
    call = established()
    call.start()
    fails(call)
    ref = call.start()
    call.confirm()

    answer = call.answer(ref)
    assert isinstance(answer, Started)
    assert answer.segment.number == 2


def test_a_start_is_given_up_after_the_media_timeout_not_before() -> None:
    call = established()
    ref = call.start()
    call.wait(4_999)
    assert call.answer(ref) is None
    call.wait(1)

    assert call.code(ref) == "MEDIA_FAILED"


def test_a_refusal_says_what_the_plane_said() -> None:
    call = established()
    call.start()
    call.refuse(VIDEO, message="no disk")
    call.refuse(AUDIO, message="no bridge")

    (note,) = call.notes(RecordingFailed)
    assert "video: no disk" in note.message
    assert "audio: no bridge" in note.message


# the same at an automatic start


def test_an_automatic_start_is_tried_again_after_1_2_5_15_30_and_30_seconds() -> None:
    call = automatic()
    waits = []
    for _ in range(6):
        call.refuse()
        begun_ms, number = call.mono_ms, call.segment.number
        while call.segment.number == number:
            call.wait(100)
        waits.append(call.mono_ms - begun_ms)

    assert waits == [1_000, 2_000, 5_000, 15_000, 30_000, 30_000]
    assert [each.by for each in call.room.segments] == [None] * 7


@FAILING
def test_an_automatic_start_that_fails_stays_wanted_and_is_not_final(fails: Fails) -> None:
    call = automatic()
    fails(call)

    assert call.room.wanted is not None
    assert [note.final for note in call.notes(RecordingFailed)] == [False]
    assert call.infos == []


def test_after_three_failures_of_an_automatic_start_there_is_one_alarm() -> None:
    call = automatic()
    alarms = []
    for back_off_ms in (1_000, 2_000, 5_000, 15_000, 30_000):
        call.refuse()
        alarms.append(call.warnings.count(("recording.missed", True)))
        call.wait(back_off_ms)

    assert alarms == [0, 0, 1, 1, 1]


def test_a_confirmed_start_begins_the_count_of_failures_anew() -> None:
    call = automatic()
    call.refuse()
    call.wait(1_000)
    call.confirm()

    assert call.room.wanted is not None
    assert call.room.wanted.failures == 0


def test_a_plane_that_is_back_is_tried_without_waiting_out_the_back_off() -> None:
    call = automatic()
    for _ in range(4):
        call.refuse()
        call.wait(16_000)
    call.refuse()
    call.plane_back(VIDEO)
    call.wait(0)

    assert call.room.capture is Phase.STARTING


# late confirmation of a start already given up


def test_a_late_confirmation_is_stopped_at_once_and_reported_once_as_incomplete() -> None:
    call = established()
    call.start()
    call.wait(5_000)
    call.forget()
    call.confirm()
    stops = call.asked(StopCapture)
    call.clock(300)
    call.close()
    call.close()

    assert {stop.capture.medium for stop in stops} == {VIDEO, AUDIO}
    (info,) = call.infos
    assert info.incomplete
    assert (len(info.video), len(info.audio)) == (1, 1)
    assert call.segment.outcome is Outcome.FAILED
    assert call.notes(RecordingStopped) == []


def test_a_late_confirmation_without_a_file_is_stopped_and_not_reported() -> None:
    call = established()
    call.start()
    call.wait(5_000)
    call.confirm_empty()
    call.close()

    assert call.infos == []
    assert call.states() == [CaptureState.CLOSED, CaptureState.CLOSED]


def test_what_turned_up_late_and_is_never_closed_is_reported_after_30_seconds() -> None:
    call = established()
    call.start()
    call.wait(5_000)
    call.confirm(AUDIO)
    call.wait(29_999)
    assert call.infos == []
    call.wait(1)

    (info,) = call.infos
    assert info.incomplete
    assert info.missing == (VIDEO,)


def test_a_late_confirmation_does_not_disturb_the_next_segment() -> None:
    call = automatic()
    call.wait(6_000)
    call.confirm(segment=2)
    call.confirm(segment=1)
    call.close(segment=1)

    assert call.room.capture is Phase.RECORDING
    assert call.states() == [CaptureState.RUNNING, CaptureState.RUNNING]
    assert [info.segment for info in call.infos] == [1]


def test_news_of_a_file_in_a_capture_taken_for_closed_has_it_stopped_and_reported() -> None:
    call = established()
    call.start()
    call.refuse()
    call.forget()
    call.change(VIDEO, film("bob", call.wall_ms))
    stops = call.asked(StopCapture)
    call.close(VIDEO)

    assert [stop.capture.medium for stop in stops] == [VIDEO]
    assert [file.user for file in call.infos[0].video] == ["bob"]


# audio or video alone fails


@pytest.mark.parametrize(("runs", "fails"), [(VIDEO, AUDIO), (AUDIO, VIDEO)])
def test_one_medium_alone_is_enough_and_the_other_is_named(runs: Medium, fails: Medium) -> None:
    call = established()
    ref = call.start()
    call.refuse(fails)
    call.confirm(runs)

    answer = call.answer(ref)
    assert isinstance(answer, Started)
    assert answer.segment.not_running == (fails,)
    assert call.room.capture is Phase.RECORDING


def test_a_start_waits_for_the_second_medium_until_its_time_is_up() -> None:
    call = established()
    ref = call.start()
    call.confirm(VIDEO)
    assert call.answer(ref) is None
    call.wait(5_000)

    assert isinstance(call.answer(ref), Started)
    assert call.segment.not_running == (AUDIO,)


def test_what_failed_is_tried_again_while_the_segment_runs() -> None:
    call = established()
    call.start()
    call.refuse(AUDIO)
    call.confirm(VIDEO)
    call.forget()
    call.wait(1_000)
    again = call.asked(StartCapture)
    call.confirm(AUDIO)

    assert [request.capture.medium for request in again] == [AUDIO]
    assert call.segment.not_running == ()
    assert call.notes(RecordingStarted) == []


def test_what_still_fails_at_the_end_is_missing_in_the_event_with_what_there_is() -> None:
    call = established()
    call.start()
    call.refuse(AUDIO)
    call.confirm(VIDEO)
    call.stop()
    call.close(VIDEO)

    (info,) = call.infos
    assert (info.missing, len(info.video), info.audio) == ((AUDIO,), 1, ())


def test_two_media_that_fail_in_turns_do_not_keep_a_room_starting() -> None:
    call = established()
    ref = call.start()
    call.refuse(VIDEO)
    call.wait(5_000)

    assert call.code(ref) == "MEDIA_FAILED"
    assert call.room.capture is Phase.IDLE


def test_a_medium_lost_in_mid_segment_leaves_the_other_running_and_a_gap() -> None:
    call = recording()
    call.lose(AUDIO)
    assert call.room.capture is Phase.RECORDING
    call.stop()
    call.close(VIDEO)

    (info,) = call.infos
    assert info.incomplete
    assert info.missing == (AUDIO,)
    assert (len(info.video), len(info.audio)) == (1, 1)


# stop not confirmed in time


def test_an_unconfirmed_stop_is_media_failed_for_the_client_and_asked_again() -> None:
    call = recording()
    ref = call.stop()
    call.forget()
    call.wait(5_000)

    assert call.code(ref) == "MEDIA_FAILED"
    assert call.room.capture is Phase.STOPPING
    assert {request.capture.medium for request in call.asked(StopCapture)} == {VIDEO, AUDIO}
    assert call.infos == []


def test_the_event_of_an_unconfirmed_stop_comes_when_it_is_confirmed_after_all() -> None:
    call = recording()
    call.stop()
    call.wait(12_000)
    call.close()

    (info,) = call.infos
    assert not info.incomplete
    assert info.completed_ms == call.wall_ms


def test_the_event_of_an_unconfirmed_stop_comes_after_30_seconds_with_the_known_files() -> None:
    call = recording()
    call.stop()
    call.wait(29_999)
    assert call.infos == []
    call.wait(1)

    (info,) = call.infos
    assert info.incomplete
    assert (len(info.video), len(info.audio)) == (1, 1)
    assert call.room.capture is Phase.IDLE
    assert [note.segment.reason for note in call.notes(RecordingStopped)] == ["requested"]


def test_a_stop_is_asked_again_until_it_is_confirmed() -> None:
    call = recording()
    call.stop()
    call.wait(3_600_000)
    call.forget()
    call.wait(30_000)
    assert len(call.asked(StopCapture)) == 2
    call.close()
    call.forget()
    call.wait(60_000)

    assert call.asked(StopCapture) == []
    assert call.infos == []


def test_a_plane_that_is_back_is_asked_to_stop_at_once() -> None:
    call = recording()
    call.stop()
    call.wait(3_600_000)
    call.forget()
    call.plane_back(AUDIO)
    call.wait(0)

    assert [request.capture.medium for request in call.asked(StopCapture)] == [AUDIO]


def test_a_start_waits_for_an_unconfirmed_stop() -> None:
    call = recording()
    call.stop()
    ref = call.start()
    call.wait(29_999)
    assert call.answer(ref) is None
    call.wait(1)
    call.confirm()

    answer = call.answer(ref)
    assert isinstance(answer, Started)
    assert answer.segment.number == 2


# media plane dies in mid-segment


def test_a_dying_plane_ends_the_segment_where_its_writing_ended() -> None:
    call = recording()
    begun_ms = call.wall_ms
    call.clock(60_000)
    call.lose(VIDEO, at_ms=call.wall_ms - 2_000)
    call.lose(AUDIO, at_ms=call.wall_ms - 1_500)

    (note,) = call.notes(RecordingStopped)
    (info,) = call.infos
    assert note.segment.reason is StopReason.FAILED
    assert note.segment.stopped_by is None
    assert info.incomplete
    assert info.completed_ms == begun_ms + 58_500
    assert note.segment.duration_ms == 58_500
    assert info.missing == ()


def test_a_plane_that_dies_in_a_stop_ends_the_segment_where_its_writing_ended() -> None:
    call = recording()
    begun_ms = call.wall_ms
    call.clock(60_000)
    ref = call.stop()
    call.wait(20_000)
    call.lose(VIDEO, at_ms=begun_ms + 59_000)
    call.lose(AUDIO, at_ms=begun_ms + 58_000)

    assert call.code(ref) == "MEDIA_FAILED"
    (note,) = call.notes(RecordingStopped)
    (info,) = call.infos
    assert note.segment.reason is StopReason.REQUESTED
    assert note.segment.duration_ms == 59_000
    assert info.incomplete
    assert info.completed_ms == begun_ms + 59_000


def test_of_a_plane_that_dies_in_a_stop_by_half_the_other_half_counts() -> None:
    call = recording()
    begun_ms = call.wall_ms
    call.clock(60_000)
    call.stop()
    call.lose(VIDEO, at_ms=begun_ms + 50_000)
    call.close(AUDIO)

    (info,) = call.infos
    assert info.incomplete
    assert info.completed_ms == begun_ms + 60_000


def test_what_was_lost_and_went_on_ends_when_it_was_closed() -> None:
    call = recording()
    begun_ms = call.wall_ms
    call.clock(10_000)
    call.lose(VIDEO)
    call.wait(5_000)
    call.confirm(VIDEO)
    call.clock(45_000)
    call.stop()
    call.close()

    assert call.infos[0].completed_ms == begun_ms + 60_000


def test_after_a_dying_plane_the_next_number_comes_when_it_is_back() -> None:
    call = recording()
    call.lose()
    assert call.room.capture is Phase.IDLE
    call.plane_back()
    call.wait(0)

    assert (call.room.capture, call.segment.number, call.segment.by) == (Phase.STARTING, 2, None)


def test_after_a_dying_plane_the_next_number_is_tried_after_a_second_at_the_latest() -> None:
    call = recording()
    call.lose()
    call.wait(999)
    assert call.segment.number == 1
    call.wait(1)

    assert call.segment.number == 2


def test_a_plane_that_dies_without_a_file_leaves_an_incomplete_event_too() -> None:
    call = established()
    call.start()
    call.confirm_empty()
    call.clock(9_000)
    call.lose(at_ms=call.wall_ms - 4_000)

    (info,) = call.infos
    assert info.incomplete
    assert info.completed_ms - info.started_ms == 5_000


def test_a_loss_of_which_nothing_is_known_ends_the_segment_now() -> None:
    call = recording()
    call.clock(9_000)
    call.lose(at_ms=0)

    assert call.infos[0].completed_ms == call.wall_ms


def test_a_capture_that_stops_by_itself_is_as_good_as_lost() -> None:
    call = recording()
    call.close()

    (note,) = call.notes(RecordingStopped)
    assert note.segment.reason is StopReason.FAILED
    assert call.infos[0].incomplete
    assert call.room.wanted is not None


def test_an_attempt_under_way_is_stopped_and_waited_for_before_the_event() -> None:
    call = established()
    call.start()
    call.refuse(AUDIO)
    call.confirm(VIDEO)
    call.wait(1_000)
    call.lose(VIDEO)
    assert (call.room.capture, call.infos) == (Phase.STOPPING, [])
    call.confirm(AUDIO)
    call.close(AUDIO)

    (info,) = call.infos
    assert (len(info.video), len(info.audio)) == (1, 1)


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
    files = (film("alice", asked_ms + 200),)
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


# room ends, or its last participant leaves, while starting


def test_a_room_that_ends_while_starting_fails_where_nothing_was_written() -> None:
    call = established()
    ref = call.start()
    call.leave(BOB)
    assert call.code(ref) == "ROOM_ENDED"
    call.close()

    assert call.segment.outcome is Outcome.FAILED
    assert [note.code for note in call.notes(RecordingFailed)] == ["ROOM_ENDED"]
    assert call.infos == []


def test_a_room_that_ends_while_starting_is_reported_where_something_was_written() -> None:
    call = established()
    ref = call.start()
    call.clock(200)
    call.confirm(AUDIO)
    begun_ms = call.wall_ms
    call.end()
    call.clock(300)
    call.close()

    (info,) = call.infos
    assert call.code(ref) == "ROOM_ENDED"
    assert (call.segment.outcome, call.segment.reason) == (Outcome.STOPPED, "callEnded")
    assert (info.started_ms, info.completed_ms, info.missing) == (begun_ms, call.wall_ms, (VIDEO,))


def test_a_confirmation_after_the_end_counts_from_the_first_file() -> None:
    call = established()
    call.start()
    call.end()
    call.clock(150)
    call.confirm(VIDEO)
    call.clock(50)
    call.close()

    (info,) = call.infos
    assert info.completed_ms - info.started_ms == 50
    assert call.segment.duration_ms == 50


def test_a_capture_confirmed_without_a_file_before_the_end_leaves_no_event() -> None:
    call = established()
    call.start()
    call.confirm_empty(VIDEO)
    call.end()
    call.close()

    assert call.segment.outcome is Outcome.FAILED
    assert call.infos == []


# room ends while the plane hangs


def test_a_hanging_plane_does_not_keep_a_room_from_ending() -> None:
    call = recording()
    call.leave(BOB)

    assert call.room.life is Life.ENDED
    assert len(call.notes(RoomEnded)) == 1
    assert call.infos == []


def test_the_event_of_a_room_that_ended_before_a_hanging_plane_comes_after_30_seconds() -> None:
    call = recording()
    call.end()
    call.wait(30_000)

    (info,) = call.infos
    assert info.incomplete
    assert len(call.asked(CloseMediaRoom)) == 1
    assert not call.room.settled
    call.close()
    assert call.room.settled


def test_a_room_that_ended_while_a_stop_hangs_answers_that_stop() -> None:
    call = recording()
    ref = call.stop()
    call.end()
    call.close()

    assert isinstance(call.answer(ref), Stopped)
    assert call.segment.reason is StopReason.REQUESTED


def test_the_recording_of_one_medium_asks_for_that_medium_only() -> None:
    call = established(permissions=permitted(RecordingType.AUDIO))
    call.start()

    assert [request.capture.medium for request in call.asked(StartCapture)] == [AUDIO]

"""Starts of a room that fail, are confirmed late, or for one medium alone."""

from collections.abc import Callable

import pytest

from sfu_wrapper.core.effects import (
    RecordingFailed,
    RecordingStarted,
    RecordingStopped,
    Started,
)
from sfu_wrapper.core.lifecycle import CaptureState, Phase
from sfu_wrapper.core.media_plane import StartCapture, StopCapture
from sfu_wrapper.core.room import Outcome
from sfu_wrapper.model.media import Medium
from tests.helpers.rooms import (
    AUDIO,
    VIDEO,
    Call,
    automatic,
    established,
    recording,
    video_file,
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
    call.change(VIDEO, video_file("bob", call.wall_ms))
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

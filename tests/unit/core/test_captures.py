"""Facts of the media plane: late, repeated, surprising, for what does not exist."""

import pytest

from sfu_wrapper.core.captures import LOST, MAX_FILES, TOO_MANY_FILES
from sfu_wrapper.core.effects import RecordingChanged
from sfu_wrapper.core.lifecycle import CaptureState
from sfu_wrapper.core.media_plane import (
    CaptureFailed,
    CaptureRef,
    CaptureStarted,
    CaptureStopped,
    StartCapture,
    StopCapture,
)
from sfu_wrapper.model.identity import RecordingType, SegmentNo
from sfu_wrapper.model.media import RawFile
from tests.helpers.rooms import (
    AUDIO,
    VIDEO,
    Call,
    established,
    mix,
    permitted,
    recording,
    video_file,
)


@pytest.mark.parametrize("number", [0, 2, 99])
def test_a_fact_about_a_segment_that_does_not_exist_is_ignored(number: int) -> None:
    call = recording()
    before = call.room
    call.confirm(segment=number)
    call.close(segment=number)

    assert call.room == before


def test_a_fact_about_a_medium_that_was_not_asked_for_is_ignored() -> None:
    call = established(permissions=permitted(RecordingType.AUDIO))
    call.start()
    before = call.room
    call.confirm(VIDEO)

    assert call.room == before


def test_a_repeated_confirmation_changes_nothing() -> None:
    call = recording()
    before = call.room
    call.confirm()

    assert call.room == before


def test_a_late_refusal_of_what_runs_is_ignored() -> None:
    call = recording()
    call.refuse()

    assert call.states() == [CaptureState.RUNNING, CaptureState.RUNNING]


def test_a_late_refusal_of_what_is_closed_is_ignored() -> None:
    call = recording()
    call.stop()
    call.close()
    before = call.room.capture
    call.refuse()

    assert call.room.capture is before
    assert len(call.infos) == 1


def test_a_refusal_that_crosses_a_stop_closes_the_capture() -> None:
    call = established()
    call.start()
    call.end()
    call.refuse()

    assert call.states() == [CaptureState.CLOSED, CaptureState.CLOSED]


def test_a_refusal_after_the_time_was_up_counts_as_another_failure() -> None:
    call = established()
    call.start()
    call.confirm(VIDEO)
    call.wait(5_000)
    call.refuse(AUDIO)
    call.forget()
    call.wait(1_999)
    assert call.asked(StartCapture) == []
    call.wait(1)

    assert len(call.asked(StartCapture)) == 1


def test_what_was_refused_needs_no_stop() -> None:
    call = established()
    call.start()
    call.refuse(AUDIO)
    call.confirm(VIDEO)
    call.stop()

    assert [request.capture.medium for request in call.asked(StopCapture)] == [VIDEO]


def test_what_was_never_answered_is_stopped_too() -> None:
    call = established()
    call.start()
    call.confirm(VIDEO)
    call.wait(5_000)
    call.stop()

    assert {request.capture.medium for request in call.asked(StopCapture)} == {VIDEO, AUDIO}


def test_a_late_confirmation_within_the_running_segment_is_welcome() -> None:
    call = established()
    call.start()
    call.confirm(VIDEO)
    call.wait(5_500)
    call.confirm(AUDIO)

    assert call.segment.not_running == ()
    assert call.asked(StopCapture) == []


def test_later_news_of_a_file_replaces_earlier_and_files_of_an_earlier_attempt_stay() -> None:
    call = recording()
    begun_ms = call.wall_ms
    call.clock(1_000)
    call.lose(AUDIO)
    call.wait(1_000)
    call.confirm(AUDIO)
    call.change(AUDIO, mix(call.wall_ms))
    call.stop()
    call.close()

    (info,) = call.infos
    assert [(file.started_ms, file.stopped_ms) for file in info.audio] == [
        (begun_ms, begun_ms + 1_000),
        (begun_ms + 2_000, begun_ms + 2_000),
    ]


def test_a_file_opened_in_mid_segment_is_reported() -> None:
    call = recording()
    call.clock(4_000)
    call.change(VIDEO, video_file("bob", call.wall_ms))
    call.clock(4_000)
    call.stop()
    call.close()

    assert [file.user for file in call.infos[0].video] == ["alice", "bob"]


def test_what_is_published_at_the_stop_of_its_capture_ends_with_the_segment() -> None:
    call = recording()
    began_ms = call.wall_ms
    at_ms, call.mono_ms = began_ms + 9_000, call.mono_ms + 9_000
    call.wall_ms = at_ms
    call.stop()
    files = video_file("alice", began_ms, at_ms), video_file("bob", began_ms, at_ms - 2_000)
    call.fact(CaptureStopped(call.capture_ref(VIDEO), at_ms, files))
    call.wall_ms, call.mono_ms = at_ms + 700, call.mono_ms + 700  # the mixer takes its time
    call.close(AUDIO)

    (info,) = call.infos
    assert info.completed_ms == at_ms + 700
    ends = {file.user: file.stopped_ms for file in info.video}
    assert ends == {"alice": info.completed_ms, "bob": at_ms - 2_000}


def test_files_that_surely_hold_nothing_are_not_reported() -> None:
    call = recording()
    call.change(VIDEO, video_file("bob", call.wall_ms, holds_media=False))
    call.stop()
    call.close()

    assert [file.user for file in call.infos[0].video] == ["alice"]


def test_a_lost_capture_whose_stop_is_under_way_is_closed() -> None:
    call = recording()
    call.stop()
    call.clock(500)
    call.lose()

    (info,) = call.infos
    assert info.incomplete
    assert info.completed_ms == call.wall_ms


def test_a_confirmation_that_crosses_a_stop_is_stopped_again() -> None:
    call = recording()
    call.stop()
    call.forget()
    call.confirm(VIDEO)

    assert [request.capture.medium for request in call.asked(StopCapture)] == [VIDEO]


def test_news_of_a_file_while_stopping_is_kept() -> None:
    call = recording()
    call.stop()
    call.change(VIDEO, video_file("bob", call.wall_ms))
    call.close()

    assert [file.user for file in call.infos[0].video] == ["alice", "bob"]


def test_a_plane_that_is_back_changes_nothing_where_all_is_well() -> None:
    call = recording()
    before = call.room
    call.plane_back()

    assert call.room == before


def test_a_plane_that_is_back_has_its_medium_tried_at_once() -> None:
    call = recording()
    call.lose(AUDIO)
    call.forget()
    call.plane_back(VIDEO)
    call.wait(0)
    assert call.asked(StartCapture) == []
    call.plane_back(AUDIO)
    call.wait(0)

    assert [request.capture.medium for request in call.asked(StartCapture)] == [AUDIO]


def test_facts_of_an_earlier_segment_leave_the_present_one_alone() -> None:
    call = recording()
    call.stop()
    call.close()
    call.start()
    call.confirm()
    before = call.room.segments[1]
    first = CaptureRef(call.room.uuid, SegmentNo(1), VIDEO)
    for fact in (
        CaptureStarted(first, call.wall_ms),
        CaptureFailed(first, "late"),
        CaptureStopped(first, call.wall_ms, ()),
    ):
        call.fact(fact)

    assert call.room.segments[1] == before
    assert len(call.infos) == 1


def test_a_room_without_segments_ignores_the_plane() -> None:
    call = Call()
    before = call.room
    call.confirm(segment=1)
    call.plane_back()

    assert call.room == before


def test_what_is_lost_of_a_segment_that_failed_is_reported() -> None:
    call = established()
    call.start()
    call.wait(5_000)
    call.confirm(AUDIO)
    call.lose(AUDIO)
    call.close(VIDEO)

    (info,) = call.infos
    assert (info.incomplete, len(info.audio), info.missing) == (True, 1, (VIDEO,))


def loops(begun_ms: int, count: int) -> tuple[RawFile, ...]:
    """Files of a user who publishes again and again, each a second long."""
    return tuple(
        video_file("mallory", begun_ms + 2_000 * n, begun_ms + 2_000 * n + 1_000)
        for n in range(count)
    )


def test_of_more_files_than_one_event_carries_the_longest_are_reported() -> None:
    call = recording()
    begun_ms = call.wall_ms
    long = video_file("bob", begun_ms, begun_ms + 3_600_000)
    call.change(VIDEO, *loops(begun_ms, 6_000), long)
    call.clock(13_000_000)
    call.change(VIDEO, *loops(begun_ms, 6_500), long, video_file("carol", call.wall_ms))
    assert len(call.segment.captures[0].files) == MAX_FILES
    call.clock(1_000)
    call.stop()
    call.close()

    (info,) = call.infos
    assert len(info.video) == MAX_FILES
    assert {"alice", "bob", "carol"} <= {file.user for file in info.video}
    assert (info.incomplete, info.reason) == (True, TOO_MANY_FILES)
    assert call.warnings.count(("recording.filesLeftOut", False)) == 1


def test_as_many_files_as_an_event_carries_are_all_reported() -> None:
    call = recording()
    call.change(VIDEO, *loops(call.wall_ms, MAX_FILES - 1))
    call.clock(10_000_000)
    call.stop()
    call.close()

    (info,) = call.infos
    assert len(info.video) == MAX_FILES
    assert (info.incomplete, info.reason) == (False, None)


def test_files_that_surely_hold_nothing_are_left_out_first() -> None:
    call = recording()
    begun_ms = call.wall_ms
    empty = [video_file(f"u{n}", begun_ms, begun_ms + 9_000, holds_media=False) for n in range(500)]
    call.change(VIDEO, *empty, *loops(begun_ms, MAX_FILES - 1))

    files = call.segment.captures[0].files
    assert len(files) == MAX_FILES
    assert all(file.holds_media for file in files)


def test_a_segment_with_many_files_that_is_lost_keeps_its_first_reason() -> None:
    call = recording()
    call.clock(1_000)
    call.lose(AUDIO)
    call.change(VIDEO, *loops(call.wall_ms, MAX_FILES + 10))

    assert call.segment.incomplete == LOST


def test_everybody_hears_of_a_capture_that_a_running_segment_loses_and_of_its_return() -> None:
    call = recording()
    call.lose(AUDIO)
    call.wait(1_000)  # tried again
    call.refuse(AUDIO)
    call.wait(2_000)
    call.confirm(AUDIO)

    assert [(each.segment, each.missing) for each in call.notes(RecordingChanged)] == [
        (1, (AUDIO,)),
        (1, ()),
    ]


def test_a_segment_that_ends_with_its_last_capture_is_told_as_ended_alone() -> None:
    call = recording()
    call.lose(VIDEO, AUDIO)

    assert [each.missing for each in call.notes(RecordingChanged)] == [(VIDEO,)]


def test_a_start_of_which_a_part_fails_says_so_itself() -> None:
    call = established()
    call.start()
    call.confirm(VIDEO)
    call.refuse(AUDIO)

    assert call.notes(RecordingChanged) == []

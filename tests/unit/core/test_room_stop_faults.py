"""Stops that are not confirmed, and media planes that die in mid-segment."""

from sfu_wrapper.core.effects import (
    RecordingStopped,
    Started,
)
from sfu_wrapper.core.lifecycle import Phase
from sfu_wrapper.core.media_plane import StopCapture
from sfu_wrapper.model.identity import StopReason
from tests.helpers.rooms import (
    AUDIO,
    VIDEO,
    established,
    recording,
)

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

"""Rooms that end while a start or a stop is under way."""

from sfu_wrapper.core.effects import (
    RecordingFailed,
    RoomEnded,
    Stopped,
)
from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.media_plane import CloseMediaRoom, StartCapture
from sfu_wrapper.core.room import Outcome
from sfu_wrapper.model.identity import RecordingType, StopReason
from tests.helpers.rooms import (
    AUDIO,
    BOB,
    VIDEO,
    established,
    permitted,
    recording,
)

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
    assert not call.room.fully_closed
    call.close()
    assert call.room.fully_closed


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

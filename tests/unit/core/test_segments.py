"""How a segment begins, is confirmed, stops, and what waits for it (policy.md, "Segments")."""

import pytest

from sfu_wrapper.core.effects import (
    Notify,
    RecordingStarted,
    RecordingStopped,
    Reply,
    Started,
    Stopped,
)
from sfu_wrapper.core.lifecycle import CaptureState
from sfu_wrapper.core.media_plane import StartCapture
from sfu_wrapper.core.room import Outcome
from sfu_wrapper.core.segments import BACK_OFF_MS, MEDIA_OF, back_off_ms
from sfu_wrapper.model.identity import RecordingType, StopReason
from sfu_wrapper.model.media import Media, Stream, Track
from tests.helpers.rooms import (
    ALICE,
    AUDIO,
    BOB,
    CAROL,
    SERVICE,
    VIDEO,
    automatic,
    established,
    permitted,
    recording,
    refusal,
    video_file,
)

HOUR_MS, YEAR_MS = 3_600_000, 365 * 86_400_000
LEAPS = [10 * HOUR_MS, -10 * HOUR_MS, 10 * YEAR_MS, -10 * YEAR_MS]


@pytest.mark.parametrize(
    ("recorded", "media"),
    [
        (RecordingType.ALL, {VIDEO, AUDIO}),
        (RecordingType.VIDEO, {VIDEO}),
        (RecordingType.AUDIO, {AUDIO}),
    ],
)
def test_the_type_of_the_grant_says_which_media_are_captured(
    recorded: RecordingType, media: set[str]
) -> None:
    call = established(permissions=permitted(recorded))
    call.start()

    assert {request.capture.medium for request in call.asked(StartCapture)} == media
    assert call.segment.type is recorded


def test_every_type_has_its_media() -> None:
    assert set(MEDIA_OF) == set(RecordingType)


def test_a_capture_is_asked_for_with_what_is_published_now() -> None:
    call = established()
    call.publish(BOB, Media(audio=True, screen=True))
    call.start()

    bob = BOB.user
    for request in call.asked(StartCapture):
        assert request.tracks == (Track(bob, Stream.AUDIO), Track(bob, Stream.SCREEN))
        assert request.confbridge_id == "bridge-1"


def test_the_back_off_grows_and_then_stays() -> None:
    assert [back_off_ms(failures) for failures in range(1, 8)] == [*BACK_OFF_MS, 30_000, 30_000]


def test_a_start_is_answered_when_it_is_confirmed_and_before_it_is_announced() -> None:
    call = established()
    ref = call.start()
    assert call.answer(ref) is None
    call.clock(700)
    call.forget()
    call.confirm()

    reply = next(index for index, each in enumerate(call.effects) if isinstance(each, Reply))
    told = next(index for index, each in enumerate(call.effects) if isinstance(each, Notify))
    answer = call.answer(ref)
    assert reply < told
    assert isinstance(answer, Started)
    assert answer.segment.started is not None
    assert answer.segment.started.wall_ms == call.wall_ms


def test_the_segment_starts_when_its_first_capture_is_confirmed() -> None:
    call = established()
    call.start()
    call.clock(100)
    call.confirm(AUDIO)
    first_ms = call.wall_ms
    call.clock(900)
    call.confirm(VIDEO)

    assert call.segment.started is not None
    assert call.segment.started.wall_ms == first_ms


def test_everybody_who_takes_part_the_owner_and_the_creator_hear_of_a_start() -> None:
    call = established()
    call.join(CAROL)
    call.start()
    call.confirm()

    assert call.audience(RecordingStarted) == [{ALICE, BOB, CAROL, SERVICE.key}]


def test_a_start_by_hand_names_who_asked_and_an_automatic_one_the_system() -> None:
    assert recording().segment.by == ALICE.user
    assert automatic().segment.by is None


def test_the_room_service_starts_in_its_own_name() -> None:
    call = established()
    call.start(SERVICE)
    call.confirm()

    assert call.segment.by == SERVICE.key.user


def test_a_stop_is_answered_once_the_files_are_closed_and_the_event_is_there() -> None:
    call = recording()
    call.clock(15_193)
    ref = call.stop()
    assert (call.answer(ref), call.infos) == (None, [])
    call.clock(80)
    call.close()

    answer = call.answer(ref)
    assert isinstance(answer, Stopped)
    assert answer.segment.duration_ms == 15_273
    assert answer.segment.stopped_ms == call.wall_ms
    assert answer.segment.stopped_by == ALICE.user
    assert [info.segment for info in call.infos] == [1]


def test_a_stop_waits_for_the_last_file() -> None:
    call = recording()
    ref = call.stop()
    call.close(VIDEO)
    assert call.answer(ref) is None
    call.close(AUDIO)

    assert isinstance(call.answer(ref), Stopped)


def test_segments_are_numbered_in_the_order_in_which_they_start() -> None:
    call = recording()
    for _ in range(2):
        call.stop()
        call.close()
        call.start()
        call.confirm()

    assert [segment.number for segment in call.room.segments] == [1, 2, 3]
    assert [info.segment for info in call.infos] == [1, 2]


def test_a_running_segment_is_wanted_and_a_stopped_one_not() -> None:
    call = recording()
    assert call.room.wanted is not None
    call.stop()
    call.close()

    assert call.room.wanted is None


def test_a_change_of_permissions_cuts_no_running_segment_and_its_owner_can_stop_it() -> None:
    call = recording()
    call.permissions = permitted(RecordingType.NONE)
    call.wait(60_000)
    stop = call.stop()
    call.close()

    assert isinstance(call.answer(stop), Stopped)


def test_a_call_that_ends_stops_its_segment_in_the_name_of_the_system() -> None:
    call = recording()
    call.leave(BOB)
    call.close()

    (note,) = call.notes(RecordingStopped)
    assert (note.segment.reason, note.segment.stopped_by) == (StopReason.CALL_ENDED, None)


def test_once_told_a_segment_keeps_only_what_is_still_needed() -> None:
    call = recording()
    call.stop()
    call.close()

    assert call.segment.announced
    assert call.segment.presences == ()
    assert [capture.files for capture in call.segment.captures] == [(), ()]


@pytest.mark.parametrize("leap_ms", LEAPS)
def test_a_wall_clock_that_is_set_changes_neither_length_nor_place(leap_ms: int) -> None:
    call = recording()
    begun_ms = call.wall_ms
    call.clock(10_000)
    call.wall_ms += leap_ms
    call.stop()
    call.close()

    assert call.segment.stopped_ms == begun_ms + 10_000
    assert call.segment.duration_ms == 10_000


@pytest.mark.parametrize("drift_ms", [-999, 0, 1_000])
def test_a_wall_clock_that_is_corrected_a_little_is_right(drift_ms: int) -> None:
    call = recording()
    begun_ms = call.wall_ms
    call.clock(10_000)
    call.wall_ms += drift_ms
    call.stop()
    call.close()

    assert call.segment.stopped_ms == begun_ms + 10_000 + drift_ms
    assert call.segment.duration_ms == 10_000


@pytest.mark.parametrize("leap_ms", LEAPS)
def test_what_began_and_ended_after_the_clock_was_set_is_where_it_was(leap_ms: int) -> None:
    call = recording()
    begun_ms = call.wall_ms
    call.clock(10_000)
    call.wall_ms += leap_ms
    call.change(VIDEO, video_file("bob", call.wall_ms))
    call.join(CAROL)
    call.clock(4_000)
    call.leave(CAROL)
    call.change(VIDEO, video_file("bob", call.wall_ms - 4_000, call.wall_ms))
    call.clock(1_000)
    call.stop()
    call.close()

    (info,) = call.infos
    assert (info.started_ms, info.completed_ms) == (begun_ms, begun_ms + 15_000)
    (bob,) = [file for file in info.video if file.user == "bob"]
    assert (bob.started_ms, bob.stopped_ms) == (begun_ms + 10_000, begun_ms + 14_000)
    (carol,) = [stay for stay in info.presences if stay.user == "carol"]
    assert (carol.joined_ms, carol.left_ms) == (begun_ms + 10_000, begun_ms + 14_000)
    assert {file.stopped_ms for file in info.audio} == {begun_ms + 15_000}


@pytest.mark.parametrize("leap_ms", LEAPS)
def test_a_segment_that_is_lost_after_the_clock_was_set_ends_where_its_writing_did(
    leap_ms: int,
) -> None:
    call = recording()
    begun_ms = call.wall_ms
    call.clock(10_000)
    call.wall_ms += leap_ms
    call.lose(VIDEO, AUDIO, at_ms=call.wall_ms - 2_000)
    call.wait(60_000)

    info = call.infos[0]
    assert (info.started_ms, info.completed_ms) == (begun_ms, begun_ms + 8_000)


def test_a_segment_whose_writing_ended_before_it_began_by_another_clock_has_no_length() -> None:
    call = recording()
    begun_ms = call.wall_ms
    call.clock(10_000)
    call.lose(VIDEO, AUDIO, at_ms=begun_ms - 5_000)
    call.wait(60_000)

    info = call.infos[0]
    assert (info.started_ms, info.completed_ms) == (begun_ms, begun_ms)


@pytest.mark.parametrize("leap_ms", [leap for leap in LEAPS if leap > 0])
def test_a_failed_start_that_wrote_while_the_clock_was_set_is_no_longer_than_it_was(
    leap_ms: int,
) -> None:
    call = established()
    call.start()
    asked_ms = call.wall_ms
    call.wall_ms += leap_ms
    call.clock(500)
    call.refuse(VIDEO, AUDIO)
    call.change(VIDEO, video_file("alice", call.wall_ms))
    call.clock(2_000)
    call.close()

    (info,) = call.infos
    assert info.started_ms == asked_ms + 500
    assert info.completed_ms - info.started_ms <= 2_000


def test_a_wall_clock_set_back_before_the_start_gives_no_stop_before_the_start() -> None:
    call = recording()
    begun_ms = call.wall_ms
    call.clock(10_000)
    call.wall_ms -= 3_600_000
    call.stop()
    call.close()

    (info,) = call.infos
    assert (info.started_ms, info.completed_ms) == (begun_ms, begun_ms + 10_000)


def test_a_plane_that_stops_twice_is_reported_once() -> None:
    call = recording()
    call.stop()
    call.close()
    call.change(VIDEO, video_file("bob", call.wall_ms))
    call.close()
    call.confirm()
    call.close()

    assert len(call.infos) == 1
    assert call.states() == [CaptureState.CLOSED, CaptureState.CLOSED]
    assert [capture.files for capture in call.segment.captures] == [(), ()]


def test_a_room_lets_only_so_many_requests_wait() -> None:
    call = recording()
    for _ in range(16):
        call.stop()

    assert refusal(call, "stop") == "OVERLOADED"
    assert refusal(call, "start") == "OVERLOADED"


def test_a_shutdown_takes_no_start() -> None:
    call = established()
    call.terminate()

    assert refusal(call, "start") == "OVERLOADED"


def test_an_automatic_start_that_was_stopped_meanwhile_runs_only_to_be_stopped() -> None:
    call = automatic()
    stop = call.stop()
    call.confirm()
    call.close()
    call.wait(60_000)

    assert isinstance(call.answer(stop), Stopped)
    assert [segment.outcome for segment in call.room.segments] == [Outcome.STOPPED]


def test_a_room_that_a_user_created_has_no_service_to_tell() -> None:
    call = established(creator=None)
    call.start()
    call.confirm()

    assert call.audience(RecordingStarted) == [{ALICE, BOB}]

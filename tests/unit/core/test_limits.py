"""Ends that nobody asks for: the longest segment, the longest recording, an owner who is away."""

from dataclasses import replace

from sfu_wrapper.core.effects import (
    RecordingStarted,
    RecordingStopped,
    RecordingUnattended,
    Stopped,
)
from sfu_wrapper.core.lifecycle import Phase
from sfu_wrapper.core.media_plane import StopCapture, UnpublishTrack
from sfu_wrapper.core.policy import PolicySettings, RecordingLimits
from sfu_wrapper.core.quotas import Quotas
from sfu_wrapper.core.room import Rules
from sfu_wrapper.core.timers import next_due_ms
from sfu_wrapper.model.identity import Kind, Origin, StopReason
from tests.helpers.rooms import (
    ALICE,
    BOB,
    CAROL,
    ROOM_SERVICE,
    SERVICE,
    TALKING,
    Call,
    established,
    recording,
    refusal,
    restarted,
)

FOUR_HOURS_MS = 14_400_000


def limited(**limits: int) -> Rules:
    """The rules of a controller with these limits."""
    return Rules(limits=RecordingLimits(**limits))


# the longest segment


def test_a_segment_ends_at_its_longest_length_and_the_next_one_starts_at_once() -> None:
    call = recording(rules=limited(max_segment_ms=FOUR_HOURS_MS))
    call.join(CAROL, TALKING)
    call.wait(FOUR_HOURS_MS - 1)
    assert call.asked(StopCapture) == []
    call.wait(1)
    assert len(call.asked(StopCapture)) == 2
    call.close()

    (note,) = call.notes(RecordingStopped)
    assert (note.segment.reason, note.segment.stopped_by) == (StopReason.MAX_LENGTH, None)
    assert note.segment.duration_ms == FOUR_HOURS_MS
    assert call.room.capture is Phase.STARTING, "the next one is asked for in the same step"
    call.confirm()
    assert [each.segment.by for each in call.notes(RecordingStarted)] == [ALICE.user, None]
    assert call.asked(UnpublishTrack) == [], "tracks go on"


def test_each_further_segment_has_its_own_length() -> None:
    call = recording(rules=limited(max_segment_ms=60_000))
    for _ in range(3):
        call.wait(60_000)
        call.close()
        call.wait(1_500)
        call.confirm()

    assert [info.completed_ms - info.started_ms for info in call.infos] == [60_000] * 3
    assert call.room.segments[-1].number == 4


def test_a_change_to_the_next_segment_keeps_to_the_quota() -> None:
    rules = replace(limited(max_segment_ms=1_000), quotas=Quotas(segments_per_minute=1))
    call = recording(rules=rules)
    call.wait(1_000)
    call.close()
    assert len(call.room.segments) == 1
    call.wait(60_000)

    assert call.room.capture is Phase.STARTING


def test_a_stop_by_hand_during_the_change_ends_the_recording() -> None:
    call = recording(rules=limited(max_segment_ms=60_000))
    call.wait(60_000)
    ref = call.stop()
    call.close()
    call.wait(60_000)

    assert isinstance(call.answer(ref), Stopped)
    assert len(call.room.segments) == 1


def test_without_a_limit_a_segment_goes_on() -> None:
    call = recording()
    call.wait(30 * FOUR_HOURS_MS)

    assert call.room.capture is Phase.RECORDING
    assert next_due_ms(call.room) is None


def test_the_length_counts_on_over_a_restart() -> None:
    call = recording(rules=limited(max_segment_ms=60_000))
    call.wait(40_000)
    restarted(call, after_ms=5_000)
    call.confirm()
    call.wait(14_999)
    assert call.room.capture is Phase.RECORDING
    call.wait(1)

    assert call.room.segments[0].reason is StopReason.MAX_LENGTH


def test_a_room_of_an_earlier_version_gets_the_limits_at_the_restart() -> None:
    call = recording()
    call.wait(40_000)
    call.rules = limited(max_segment_ms=60_000)
    restarted(call, after_ms=0)
    call.confirm()
    call.wait(20_000)

    assert call.room.segments[0].reason is StopReason.MAX_LENGTH


# the longest recording of a room


def test_a_room_is_recorded_for_its_longest_time_and_no_longer() -> None:
    call = recording(rules=limited(max_room_ms=100_000))
    call.wait(60_000)
    call.stop()
    call.close()
    call.wait(10_000)
    call.start()
    call.confirm()
    call.wait(40_000)
    assert call.segment.reason is StopReason.MAX_ROOM
    call.close()
    call.wait(60_000)

    assert [info.completed_ms - info.started_ms for info in call.infos] == [60_000, 40_000]
    assert call.room.capture is Phase.IDLE
    assert refusal(call, "start") == "RECORDING_LIMIT"
    assert refusal(call, "start", SERVICE) == "RECORDING_LIMIT"


def test_the_shorter_limit_ends_a_segment_and_at_a_tie_that_of_the_room() -> None:
    call = recording(rules=limited(max_segment_ms=30_000, max_room_ms=60_000))
    call.wait(30_000)
    call.close()
    call.confirm()
    call.wait(30_000)

    reasons = [each.reason for each in call.room.segments]
    assert reasons == [StopReason.MAX_LENGTH, StopReason.MAX_ROOM]


def test_a_start_that_waits_for_the_last_stop_is_refused_with_the_limit() -> None:
    call = recording(rules=limited(max_room_ms=30_000))
    call.wait(30_000)
    start, stop = call.start(), call.stop()
    call.close()

    assert (call.code(start), call.code(stop)) == ("RECORDING_LIMIT", "NOT_RECORDING")
    assert call.room.waiting == ()


def test_the_recorded_time_survives_a_restart() -> None:
    call = recording(rules=limited(max_room_ms=60_000))
    call.wait(50_000)
    call.terminate()
    call.close()
    restarted(call, after_ms=3_600_000)
    call.wait(0)
    call.confirm()
    call.wait(10_000)

    assert [each.reason for each in call.room.segments] == [
        StopReason.RESTART,
        StopReason.MAX_ROOM,
    ]


def test_after_a_failure_at_the_limit_nothing_starts_by_itself() -> None:
    call = recording(rules=limited(max_room_ms=60_000))
    call.wait(59_999)
    call.clock(10)
    call.lose()
    call.wait(60_000)

    assert [each.reason for each in call.room.segments] == [StopReason.FAILED]
    assert call.room.wanted is None


def test_nothing_starts_by_itself_once_the_limit_was_lowered() -> None:
    call = recording(rules=limited(max_room_ms=60_000))
    call.wait(30_000)
    call.stop(resume_after_s=60)
    call.close()
    call.rules = limited(max_room_ms=20_000)
    call.wait(60_000)

    assert len(call.room.segments) == 1
    assert call.room.wanted is None


def test_a_pause_at_the_limit_promises_nothing() -> None:
    call = recording(rules=limited(max_room_ms=60_000))
    call.wait(59_000)
    ref = call.stop(resume_after_s=60)
    call.clock(2_000)
    call.close()

    answer = call.answer(ref)
    assert isinstance(answer, Stopped)
    assert answer.segment.resumes_at_ms is None
    assert call.room.wanted is None


# without its owner


def test_an_unattended_recording_is_reported_once_to_owner_and_service() -> None:
    call = recording()
    call.join(CAROL)
    call.forget()
    call.leave(ALICE)

    assert call.room.unattended
    assert call.audience(RecordingUnattended) == [{ALICE}, {ROOM_SERVICE}]
    assert {(note.segment, note.since_ms) for note in call.notes(RecordingUnattended)} == {
        (1, call.wall_ms)
    }
    call.wait(FOUR_HOURS_MS)
    assert len(call.notes(RecordingUnattended)) == 2
    assert call.room.capture is Phase.RECORDING, "by default it goes on"


def test_an_owner_who_comes_back_attends_and_may_be_away_a_second_time() -> None:
    call = recording(rules=limited(unattended_ms=60_000))
    call.join(CAROL)
    call.leave(ALICE)
    call.wait(40_000)
    call.join(ALICE)
    assert call.room.absence is None
    call.wait(60_000)
    call.leave(ALICE)
    call.wait(59_999)

    assert len(call.notes(RecordingUnattended)) == 4
    call.wait(1)
    assert call.segment.reason is StopReason.UNATTENDED


def test_an_unattended_recording_ends_and_is_not_wanted_any_more() -> None:
    call = recording(rules=limited(unattended_ms=60_000))
    call.join(CAROL)
    call.leave(ALICE)
    call.wait(60_000)
    call.close()
    call.wait(60_000)

    (note,) = call.notes(RecordingStopped)
    assert (note.segment.reason, note.segment.stopped_by) == (StopReason.UNATTENDED, None)
    assert call.room.capture is Phase.IDLE
    assert (call.room.wanted, call.room.absence) == (None, None)


def test_an_owner_who_never_joined_is_absent_from_the_begin_of_the_segment() -> None:
    call = Call(Kind.MEETING, flag=True, rules=limited(unattended_ms=60_000))
    call.join(BOB)
    call.wait(2_000)
    assert call.notes(RecordingUnattended) == [], "nothing is confirmed yet"
    call.confirm()

    assert call.room.unattended
    call.wait(60_000)
    assert call.segment.reason is StopReason.UNATTENDED


def test_a_phone_call_that_goes_on_without_the_phone_ends_its_recording() -> None:
    policy = PolicySettings(record_incoming_pstn=True)
    call = Call(origin=Origin.PSTN, policy=policy, rules=limited(unattended_ms=60_000))
    call.join(ALICE, by=SERVICE)
    call.join(BOB)
    call.join(CAROL)
    call.confirm()
    call.leave(ALICE, by=SERVICE)
    call.wait(60_000)

    assert call.segment.reason is StopReason.UNATTENDED


def test_an_absence_lasts_over_the_change_to_the_next_segment() -> None:
    call = recording(rules=limited(max_segment_ms=40_000, unattended_ms=60_000))
    call.join(CAROL)
    call.leave(ALICE)
    call.wait(40_000)
    call.close()
    call.confirm()
    call.wait(19_999)
    assert call.room.capture is Phase.RECORDING
    call.wait(1)

    assert call.segment.reason is StopReason.UNATTENDED
    assert len(call.notes(RecordingUnattended)) == 2, "owner and service, each once"


def test_an_absence_that_is_over_in_the_back_off_starts_nothing_more() -> None:
    call = recording(rules=limited(unattended_ms=6_000))
    call.join(CAROL)
    call.leave(ALICE)
    call.lose()
    for _ in range(2):
        call.wait(1_000)
        call.refuse()
    call.wait(60_000)

    assert call.room.capture is Phase.IDLE
    assert call.room.wanted is None


def test_a_start_under_way_is_not_cut_but_ends_once_it_runs() -> None:
    call = recording(rules=limited(unattended_ms=1_500))
    call.join(CAROL)
    call.leave(ALICE)
    call.lose()
    call.wait(1_000)
    assert call.room.capture is Phase.STARTING
    call.wait(1_000)
    assert call.room.capture is Phase.STARTING
    call.confirm()
    call.wait(0)

    assert call.segment.reason is StopReason.UNATTENDED


def test_an_absence_counts_on_over_a_restart() -> None:
    call = recording(rules=limited(unattended_ms=60_000))
    call.join(CAROL)
    call.leave(ALICE)
    call.wait(30_000)
    restarted(call, after_ms=10_000)
    call.confirm()
    call.wait(19_999)
    assert call.room.unattended
    call.wait(1)

    assert call.room.segments[0].reason is StopReason.UNATTENDED
    assert len(call.notes(RecordingUnattended)) == 2


def test_a_room_of_an_earlier_version_is_noticed_at_the_restart() -> None:
    call = recording(rules=limited(unattended_ms=60_000))
    call.join(CAROL)
    call.leave(ALICE)
    call.room = replace(call.room, absence=None)
    call.forget()
    restarted(call, after_ms=0)
    call.confirm()

    assert call.room.unattended
    assert len(call.notes(RecordingUnattended)) == 2


def test_a_pause_ends_the_absence_and_the_next_segment_begins_another() -> None:
    call = recording(rules=limited(unattended_ms=60_000))
    call.join(CAROL)
    call.leave(ALICE)
    call.stop(SERVICE, resume_after_s=100)
    call.close()
    assert call.room.absence is None
    call.wait(100_000)
    call.confirm()

    assert call.room.unattended
    call.wait(59_999)
    assert call.room.capture is Phase.RECORDING
    call.wait(1)
    assert call.segment.reason is StopReason.UNATTENDED


def test_a_room_without_a_service_tells_the_owner_alone() -> None:
    call = recording(creator=None)
    call.join(CAROL)
    call.leave(ALICE)

    assert call.audience(RecordingUnattended) == [{ALICE}]


def test_a_room_that_is_not_recorded_has_no_absence() -> None:
    call = established()
    call.join(CAROL)
    call.leave(ALICE)

    assert call.room.absence is None
    assert call.notes(RecordingUnattended) == []

"""Which calls were not recorded as was decided, and why."""

from dataclasses import replace
from typing import Any

import pytest

from sfu_wrapper.core.missed import MissCode, MissedCall, missed
from sfu_wrapper.core.policy import RecordingLimits
from sfu_wrapper.core.room import Rules
from sfu_wrapper.model.media import Stream
from sfu_wrapper.model.recording import Recording, RecordingState
from sfu_wrapper.model.segment import MissingMedia, TrackSync
from tests.helpers import rooms
from tests.helpers.recordings import facts, failure, finished, result
from tests.helpers.rooms import ALICE, BOB, VIDEO, Call

SYNC = TrackSync("a.mjr", Stream.CAMERA, ALICE.user, 0, 60_000, packets_received=1_000)
UNUSABLE = MissingMedia("b.mjr", Stream.CAMERA, BOB.user, 0, 1_000, "UNREADABLE_MJR", "damaged")


def over(call: Call) -> Call:
    """The call ends now, and its segment is closed."""
    call.end()
    if call.room.open_segment is not None:
        call.close()
    return call


def judged(call: Call, *recordings: Recording) -> MissedCall | None:
    """The outcome of the call, now."""
    return missed(call.room, recordings, call.wall_ms)


def codes(call: Call, *recordings: Recording) -> list[MissCode]:
    """Only the codes."""
    found = judged(call, *recordings)
    return [] if found is None else [each.code for each in found.misses]


def test_a_call_that_nothing_wanted_and_nothing_recorded_is_no_miss() -> None:
    call = rooms.established()
    call.clock(60_000)

    assert codes(over(call)) == []


def test_a_call_that_was_recorded_from_begin_to_end_is_no_miss() -> None:
    call = rooms.automatic()
    call.confirm()
    call.clock(60_000)

    assert codes(call) == []
    assert codes(over(call)) == []


def test_a_call_that_was_never_answered_is_no_call() -> None:
    call = Call()
    call.join(ALICE)
    call.clock(60_000)

    assert codes(over(call)) == []


def test_a_wanted_call_without_a_segment_was_not_recorded() -> None:
    call = rooms.automatic()
    call.refuse()
    call.wait(60_000)
    call.refuse()
    found = judged(over(call))

    assert found is not None
    (miss,) = found.misses
    assert (miss.code, miss.recordings) == (MissCode.NOT_RECORDED, ())
    assert "60.0 s" in miss.message
    assert (found.wanted_ms, found.recorded_ms) == (60_000, 0)


@pytest.mark.parametrize(("late_ms", "seen"), [(5_000, []), (5_001, [MissCode.TOO_SHORT])])
def test_less_than_95_percent_of_the_wanted_time_is_too_short(
    late_ms: int, seen: list[MissCode]
) -> None:
    call = rooms.automatic()
    call.clock(late_ms)
    call.confirm()
    call.clock(100_000 - late_ms)

    assert codes(over(call)) == seen


def test_a_gap_after_a_lost_media_plane_counts_and_names_both_recordings() -> None:
    call = rooms.automatic()
    call.confirm()
    call.clock(40_000)
    call.lose()
    call.wait(1_000)
    call.clock(20_000)
    call.confirm()
    call.clock(40_000)
    found = judged(over(call))

    assert found is not None
    (miss,) = found.misses
    assert miss.code is MissCode.TOO_SHORT
    assert list(map(str, miss.recordings)) == ["uuid-1/1", "uuid-1/2"]
    assert (found.wanted_ms, found.recorded_ms) == (101_000, 80_000)
    assert "79 %" in miss.message


def test_a_call_that_was_stopped_by_hand_is_no_miss() -> None:
    call = rooms.automatic()
    call.confirm()
    call.clock(10_000)
    call.stop()
    call.close()
    call.clock(600_000)

    assert codes(over(call)) == []


def test_a_stop_that_is_still_to_be_confirmed_is_no_miss() -> None:
    call = rooms.automatic()
    call.confirm()
    call.clock(10_000)
    call.stop()

    assert codes(call) == []


def test_a_pause_is_no_miss_and_a_late_resume_is_one() -> None:
    call = rooms.automatic()
    call.confirm()
    call.clock(50_000)
    call.stop(resume_after_s=300)
    call.close()
    call.wait(300_000)
    call.clock(20_000)
    call.confirm()
    call.clock(30_000)
    found = judged(over(call))

    assert found is not None
    assert (found.wanted_ms, found.recorded_ms) == (100_000, 80_000)


def test_a_recording_that_the_operator_has_limited_is_no_miss() -> None:
    rules = Rules(limits=RecordingLimits(max_room_ms=10_000))
    call = rooms.automatic(rules=rules)
    call.confirm()
    call.wait(10_000)
    call.close()
    call.clock(600_000)

    assert codes(over(call)) == []


def test_wanted_time_begins_with_a_start_by_hand() -> None:
    call = rooms.established()
    call.clock(600_000)
    call.start()
    call.confirm()
    call.clock(10_000)
    call.lose()
    call.clock(90_000)
    found = judged(over(call))

    assert found is not None
    assert [each.code for each in found.misses] == [MissCode.TOO_SHORT]
    assert (found.wanted_ms, found.recorded_ms) == (100_000, 10_000)


def test_a_start_by_hand_that_was_answered_with_an_error_wants_nothing() -> None:
    call = rooms.established()
    call.start()
    call.refuse()
    call.clock(60_000)

    assert codes(over(call)) == []


@pytest.mark.parametrize(("after_ms", "seen"), [(10_000, []), (10_001, [MissCode.NOT_RECORDED])])
def test_a_call_that_goes_on_has_10_s_to_start(after_ms: int, seen: list[MissCode]) -> None:
    call = rooms.automatic()
    call.clock(after_ms)

    assert codes(call) == seen


MINUTE = facts()


@pytest.mark.parametrize(
    ("recording", "code"),
    [
        (finished(MINUTE, failure(MINUTE)), MissCode.PROCESSING_FAILED),
        (Recording(facts(missing=("audio",)), RecordingState.QUEUED), MissCode.MEDIA_MISSING),
        (Recording(facts(incomplete="lost"), RecordingState.QUEUED), MissCode.MEDIA_MISSING),
        (finished(MINUTE, result(MINUTE, {}, missing=(UNUSABLE,))), MissCode.MEDIA_MISSING),
        (
            finished(MINUTE, result(MINUTE, {}, sync=(SYNC, replace(SYNC, gaps=1)))),
            MissCode.MEDIA_LOST,
        ),
        (
            finished(MINUTE, result(MINUTE, {}, sync=(replace(SYNC, packets_lost=100),))),
            MissCode.MEDIA_LOST,
        ),
    ],
)
def test_what_the_index_says_about_a_recording_is_a_reason(
    recording: Recording, code: MissCode
) -> None:
    call = rooms.automatic()
    call.confirm()
    call.clock(60_000)
    found = judged(over(call), recording)

    assert found is not None
    (miss,) = found.misses
    assert (miss.code, miss.recordings) == (code, (recording.key,))


def test_a_whole_result_is_no_reason() -> None:
    call = rooms.automatic()
    call.confirm()
    call.clock(60_000)

    assert codes(over(call), finished(MINUTE, result(MINUTE, {}, sync=(SYNC,)))) == []


def with_decision(call: Call, **changed: Any) -> Call:  # noqa: ANN401  # fields of Decision
    """The call as it would be if another decision had been made at establishment."""
    assert call.room.decision is not None
    call.room = replace(call.room, decision=replace(call.room.decision, **changed))
    return call


def test_a_recording_that_started_by_itself_against_the_decision_was_not_wanted() -> None:
    call = rooms.automatic()
    call.confirm()
    call.clock(60_000)
    found = judged(with_decision(over(call), automatic=False))

    assert found is not None
    (miss,) = found.misses
    assert (miss.code, list(map(str, miss.recordings))) == (MissCode.NOT_WANTED, ["uuid-1/1"])


def test_a_start_by_hand_that_was_allowed_was_wanted() -> None:
    call = rooms.recording()
    call.clock(60_000)
    call.lose(VIDEO)

    assert MissCode.NOT_WANTED not in codes(over(call))


def test_a_start_by_hand_that_nobody_allowed_was_not_wanted() -> None:
    call = rooms.recording()
    call.clock(60_000)
    over(call)
    number = call.segment.number
    segment = call.room.segments.get(number)
    assert segment is not None
    bare = replace(segment, decision=None)
    call.room = replace(call.room, segments=call.room.segments.put(bare))

    assert codes(with_decision(call, allowed=False)) == [MissCode.NOT_WANTED]


def test_a_room_without_a_known_decision_is_not_judged_by_it() -> None:
    call = rooms.recording()
    call.clock(60_000)
    over(call)
    bare = replace(call.segment, decision=None)
    call.room = replace(call.room, segments=call.room.segments.put(bare), decision=None)

    assert codes(call) == []

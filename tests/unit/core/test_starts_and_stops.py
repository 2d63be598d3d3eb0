"""Starts and stops that meet: every one is answered, in order, and the last one counts."""

import pytest

from sfu_wrapper.core.effects import (
    RecordingFailed,
    Reply,
    Started,
    Stopped,
)
from sfu_wrapper.core.lifecycle import Phase
from sfu_wrapper.core.media_plane import StopCapture
from sfu_wrapper.core.room import Outcome
from sfu_wrapper.model.identity import StopReason
from tests.helpers.rooms import (
    ALICE,
    SERVICE,
    automatic,
    established,
    recording,
    refusal,
)


def test_a_second_start_is_refused_with_the_running_segment() -> None:
    starting = established()
    starting.start()

    assert refusal(starting, "start") == "ALREADY_RECORDING"
    assert refusal(recording(), "start") == "ALREADY_RECORDING"


def test_a_stop_while_starting_is_carried_out_once_the_start_is_decided() -> None:
    call = established()
    start, stop = call.start(), call.stop()
    assert call.asked(StopCapture) == []
    call.confirm()
    assert isinstance(call.answer(start), Started)
    assert call.answer(stop) is None
    call.close()

    replies = [each.ref for each in call.effects if isinstance(each, Reply)]
    assert replies[-2:] == [start, stop]
    assert isinstance(call.answer(stop), Stopped)
    assert call.segment.reason is StopReason.REQUESTED
    assert call.room.wanted is None


def test_a_stop_of_a_start_that_fails_has_nothing_to_stop() -> None:
    call = established()
    start, stop = call.start(), call.stop()
    call.refuse()

    assert (call.code(start), call.code(stop)) == ("MEDIA_FAILED", "NOT_RECORDING")


def test_a_stop_while_an_automatic_start_is_under_way_ends_the_wish_too() -> None:
    call = automatic()
    stop = call.stop()
    call.refuse()
    call.wait(60_000)

    assert call.code(stop) == "NOT_RECORDING"
    assert [note.final for note in call.notes(RecordingFailed)] == [True]
    assert len(call.room.segments) == 1


def test_several_stops_are_answered_alike() -> None:
    call = recording()
    first, second = call.stop(), call.stop(SERVICE)
    call.close()

    assert call.answer(first) == call.answer(second)
    assert call.segment.stopped_by == ALICE.user


def test_a_start_while_stopping_waits_and_gets_the_next_segment() -> None:
    call = recording()
    call.stop()
    start = call.start()
    assert len(call.room.segments) == 1
    call.close()
    call.confirm()

    answer = call.answer(start)
    assert isinstance(answer, Started)
    assert answer.segment.number == 2


def test_of_several_starts_that_wait_the_first_is_taken() -> None:
    call = recording()
    call.stop()
    first, second = call.start(), call.start(SERVICE)
    call.close()
    call.confirm()

    assert isinstance(call.answer(first), Started)
    assert call.code(second) == "ALREADY_RECORDING"


def test_a_stop_after_a_start_that_waits_stops_that_start() -> None:
    call = recording()
    early = call.stop()
    start, late = call.start(), call.stop()
    call.close()
    assert isinstance(call.answer(early), Stopped)
    assert call.answer(late) is None
    call.confirm()
    call.close()

    answer = call.answer(late)
    assert isinstance(call.answer(start), Started)
    assert isinstance(answer, Stopped)
    assert answer.segment.number == 2
    assert call.room.capture is Phase.IDLE
    call.wait(60_000)
    assert len(call.room.segments) == 2


def test_a_start_after_a_stop_is_carried_out_though_the_first_one_is_not_confirmed_yet() -> None:
    call = established()
    first, stop, last = call.start(), call.stop(), call.start()
    assert len(call.room.segments) == 1
    call.confirm()
    call.close()
    call.confirm()

    replies = [each.ref for each in call.effects if isinstance(each, Reply)]
    answers = [call.answer(ref) for ref in (first, stop, last)]
    assert replies[-3:] == [first, stop, last]
    assert [type(each) for each in answers] == [Started, Stopped, Started]
    assert [each.segment.number for each in answers] == [1, 1, 2]  # type: ignore[union-attr]
    assert call.room.capture is Phase.RECORDING
    assert call.room.wanted is not None


@pytest.mark.parametrize("deeds", ["spspsp", "spsps", "spssp", "sppsps"])
def test_of_any_row_of_starts_and_stops_the_last_one_counts(deeds: str) -> None:
    call = established()
    refs = [call.start() if deed == "s" else call.stop() for deed in deeds]
    for _ in deeds:
        if call.room.capture is Phase.STARTING:
            call.confirm()
        if call.room.capture is Phase.STOPPING:
            call.close()
    call.wait(60_000)

    assert all(call.answer(ref) is not None for ref in refs)
    runs = call.room.capture is Phase.RECORDING
    assert runs is (deeds[-1] == "s")
    assert len(call.room.segments) == sum(1 for part in deeds.split("p") if part)


def test_a_start_after_a_stop_outlives_a_first_start_that_fails() -> None:
    call = established()
    first, stop, last = call.start(), call.stop(), call.start()
    call.refuse()
    call.confirm()

    assert (call.code(first), call.code(stop)) == ("MEDIA_FAILED", "NOT_RECORDING")
    answer = call.answer(last)
    assert isinstance(answer, Started)
    assert answer.segment.number == 2


def test_a_start_after_a_stop_of_an_automatic_start_is_the_next_segment() -> None:
    call = automatic()
    stop, start = call.stop(), call.start()
    call.confirm()
    call.close()
    call.confirm()

    assert isinstance(call.answer(stop), Stopped)
    assert isinstance(call.answer(start), Started)
    assert call.segment.by == ALICE.user


def test_a_stop_behind_a_start_that_waits_has_the_deadline_of_its_own_segment() -> None:
    call = established()
    call.start()
    early = call.stop()
    call.start()
    late = call.stop()
    call.confirm()
    call.wait(6_000)

    assert call.code(early) == "MEDIA_FAILED"
    assert call.answer(late) is None


def test_a_start_that_waits_is_told_when_the_room_ends() -> None:
    call = recording()
    call.stop()
    start = call.start()
    call.end()

    assert call.code(start) == "ROOM_ENDED"


def test_a_start_outlives_a_segment_that_wrote_nothing() -> None:
    call = automatic()
    call.terminate()
    call.restart()
    start = call.start()
    call.close()
    call.confirm()

    answer = call.answer(start)
    assert call.room.segments[0].outcome is Outcome.FAILED
    assert isinstance(answer, Started)
    assert answer.segment.number == 2


def test_a_stop_by_hand_in_the_back_off_ends_the_wish_and_says_that_nothing_runs() -> None:
    call = automatic()
    call.refuse()
    stop = call.stop()
    call.wait(60_000)

    assert call.code(stop) == "NOT_RECORDING"
    assert len(call.room.segments) == 1


def test_a_start_by_hand_in_the_back_off_is_the_next_attempt() -> None:
    call = automatic()
    call.refuse()
    start = call.start()
    call.confirm()
    call.wait(60_000)

    assert isinstance(call.answer(start), Started)
    assert len(call.room.segments) == 2

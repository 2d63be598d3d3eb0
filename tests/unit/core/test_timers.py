"""Deadlines: how long a room waits for people, connections and the media plane."""

import pytest

from sfu_wrapper.core.effects import Hangup, RoomEnded
from sfu_wrapper.core.events import TimePassed
from sfu_wrapper.core.lifecycle import Life, Phase
from sfu_wrapper.core.media_plane import OpenMediaRoom, StartCapture
from sfu_wrapper.core.room import Rules
from sfu_wrapper.core.timers import next_due_ms
from sfu_wrapper.model.identity import EndReason, Kind
from tests.helpers.rooms import (
    ALICE,
    AUDIO,
    BOB,
    CAROL,
    MANUAL,
    SERVICE,
    VIDEO,
    Call,
    automatic,
    established,
    recording,
)

ANSWER_MS, UNUSED_MS, GRACE_MS = 120_000, 604_800_000, 10_000


# a room that nobody uses


@pytest.mark.parametrize(
    ("kind", "limit_ms", "reason"),
    [
        (Kind.DIRECT, ANSWER_MS, EndReason.NO_ANSWER),
        (Kind.MEETING, UNUSED_MS, EndReason.IDLE),
        (Kind.PUBLIC, UNUSED_MS, EndReason.IDLE),
    ],
)
def test_a_room_that_is_not_established_in_time_ends(
    kind: Kind, limit_ms: int, reason: EndReason
) -> None:
    call = Call(kind)
    call.wait(limit_ms - 1)
    assert call.notes(RoomEnded) == []
    call.wait(1)

    assert [note.reason for note in call.notes(RoomEnded)] == [reason]


def test_a_caller_whom_nobody_answers_is_told() -> None:
    call = Call()
    call.join(ALICE)
    call.wait(ANSWER_MS)

    assert call.room.end_reason is EndReason.NO_ANSWER
    assert ALICE in call.audience(RoomEnded)[0]


def test_an_established_room_may_last() -> None:
    call = established()
    call.wait(10 * UNUSED_MS)

    assert call.room.life is Life.ESTABLISHED


def test_after_a_restart_the_time_to_answer_counts_from_the_creation() -> None:
    call = Call()
    call.wait(100_000)
    call.restart(after_ms=15_000)
    call.wait(4_999)
    assert call.notes(RoomEnded) == []
    call.wait(1)

    assert call.room.end_reason is EndReason.NO_ANSWER


def test_a_room_whose_time_ran_out_meanwhile_ends_after_the_restart() -> None:
    call = Call()
    call.restart(after_ms=600_000)
    call.wait(0)

    assert call.room.end_reason is EndReason.NO_ANSWER


# connections


def test_a_participation_outlives_its_last_connection_by_the_grace() -> None:
    call = established()
    call.gone(BOB)
    call.wait(GRACE_MS - 1)
    assert call.room.participants.get(BOB) is not None
    call.wait(1)

    assert call.room.end_reason is EndReason.HANGUP


def test_who_is_back_in_time_stays() -> None:
    call = established()
    call.gone(BOB)
    call.wait(9_000)
    call.back(BOB)
    call.wait(60_000)

    assert call.room.life is Life.ESTABLISHED


def test_who_joins_again_in_time_stays() -> None:
    call = established()
    call.gone(BOB)
    call.join(BOB)
    call.wait(60_000)

    assert call.room.life is Life.ESTABLISHED


def test_a_join_by_the_service_is_no_connection() -> None:
    call = established()
    call.gone(BOB)
    call.join(BOB, by=SERVICE)
    call.wait(GRACE_MS)

    assert call.room.life is Life.ENDED


def test_two_who_are_lost_together_end_the_call_once() -> None:
    call = established()
    call.gone(ALICE)
    call.gone(BOB)
    call.wait(GRACE_MS)

    assert len(call.notes(RoomEnded)) == 1
    assert len(call.notes(Hangup)) == 1


def test_a_connection_of_somebody_else_changes_nothing() -> None:
    call = established()
    before = call.room
    call.gone(CAROL)
    call.back(CAROL)

    assert call.room == before


def test_participation_made_by_the_service_is_bound_to_no_connection() -> None:
    call = Call(Kind.MEETING, policy=MANUAL)
    call.join(BOB, by=SERVICE)
    call.gone(BOB)
    call.wait(60_000)
    call.restart(reconnected=False)
    call.wait(60_000)

    assert call.room.participants.get(BOB) is not None


def test_after_a_restart_the_grace_counts_from_then() -> None:
    call = established()
    call.restart(after_ms=3_600_000, reconnected=False)
    call.wait(GRACE_MS - 1)
    assert len(call.room.participants) == 2
    call.wait(1)

    assert call.room.life is Life.ENDED


# the media plane


def test_after_a_restart_the_plane_is_asked_for_the_room_again() -> None:
    call = established()
    call.forget()
    call.restart()

    assert call.asked(OpenMediaRoom) == [OpenMediaRoom(call.room.uuid, call.room.confbridge_id)]


def test_after_a_restart_no_room_is_made_for_a_call_that_is_over() -> None:
    call = recording()
    call.end()
    call.wait(31_000)  # the stops were never confirmed
    call.forget()
    call.restart()

    assert call.asked(OpenMediaRoom) == []


def test_the_time_that_the_plane_has_is_configured() -> None:
    call = established(rules=Rules(media_timeout_ms=700))
    ref = call.start()
    call.wait(699)
    assert call.answer(ref) is None
    call.wait(1)

    assert call.code(ref) == "MEDIA_FAILED"


def test_the_time_for_a_stop_counts_from_when_it_is_carried_out() -> None:
    call = established()
    call.start()
    stop = call.stop()
    call.wait(4_000)
    call.confirm()
    call.wait(4_999)
    assert call.answer(stop) is None
    call.wait(1)

    assert call.code(stop) == "MEDIA_FAILED"


def test_a_second_stop_has_its_own_time() -> None:
    call = recording()
    first = call.stop()
    call.wait(3_000)
    second = call.stop()
    call.wait(2_000)
    assert (call.code(first), call.code(second)) == ("MEDIA_FAILED", None)
    call.wait(3_000)

    assert call.code(second) == "MEDIA_FAILED"


def test_a_medium_that_is_never_answered_is_asked_again_while_the_other_runs() -> None:
    call = established()
    call.start()
    call.confirm(VIDEO)
    call.wait(5_000)
    call.forget()
    call.wait(1_000)
    assert [request.capture.medium for request in call.asked(StartCapture)] == [AUDIO]
    call.wait(5_000)
    call.wait(1_999)
    assert len(call.asked(StartCapture)) == 1
    call.wait(1)

    assert len(call.asked(StartCapture)) == 2


def test_what_failed_first_is_tried_again_as_soon_as_the_other_runs() -> None:
    call = established()
    call.start()
    call.refuse(AUDIO)
    call.wait(4_000)
    call.forget()
    call.confirm(VIDEO)
    call.wait(0)

    assert [request.capture.medium for request in call.asked(StartCapture)] == [AUDIO]


def test_time_that_reaches_no_deadline_changes_nothing() -> None:
    call = automatic()
    before = call.room
    call.clock(100)
    effects = call.happens(TimePassed(call.at))

    assert (call.room, effects) == (before, ())


def test_an_idle_room_has_no_deadline() -> None:
    call = established()

    assert next_due_ms(call.room) is None


def test_a_wish_has_no_deadline_while_the_controller_shuts_down() -> None:
    call = recording()
    call.terminate()
    call.close()

    assert call.room.wanted is not None
    assert next_due_ms(call.room) is None


def test_no_phase_outlasts_30_seconds() -> None:
    call = recording()
    call.stop()
    call.start()
    call.stop()
    call.wait(30_000)
    assert (call.room.capture, call.segment.number) == (Phase.STARTING, 2)
    call.wait(5_000)

    assert call.room.capture is Phase.IDLE
    assert call.room.waiting == ()

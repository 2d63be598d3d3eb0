"""What the index of recordings learns from a room: each segment, its people, its decision."""

from dataclasses import replace

from sfu_wrapper.core.effects import Announce
from sfu_wrapper.core.policy import RecordingLimits
from sfu_wrapper.core.room import Rules
from sfu_wrapper.core.segment_report import facts_of
from sfu_wrapper.model.identity import (
    DomainId,
    Kind,
    Origin,
    RecordingType,
    StopReason,
    UserId,
    UserKey,
    shown_user,
    user_shown_as,
)
from sfu_wrapper.model.recording import DecisionAtStart, RecordingFacts, Stay
from tests.helpers import rooms
from tests.helpers.rooms import ALICE, BOB, CAROL, HOME, STRANGER, Call

AUTOMATIC = DecisionAtStart(True, True, RecordingType.ALL, "user", None)
BY_HAND = DecisionAtStart(True, False, RecordingType.ALL, "user", "AT_START_OFF")


def learned(call: Call) -> list[RecordingFacts]:
    """The facts of all announcements so far."""
    announcements = [each.announcement for each in call.effects if isinstance(each, Announce)]
    found = [facts_of(call.room, announcement) for announcement in announcements]
    return [facts for facts in found if facts is not None]


def test_a_confirmed_start_says_who_is_recorded_and_why() -> None:
    call = rooms.established()
    call.clock(1_000)
    call.start()
    assert learned(call) == []  # nothing is recorded yet
    call.clock(50)
    call.confirm()
    (facts,) = learned(call)

    assert str(facts.key) == "uuid-1/1"
    assert (facts.room, facts.owner_key, facts.by) == ("room-1", ALICE, "alice")
    assert (facts.kind, facts.origin, facts.type) == (
        Kind.DIRECT,
        Origin.INTERNAL,
        RecordingType.ALL,
    )
    assert facts.started_ms == call.wall_ms
    assert (facts.stopped_ms, facts.duration_ms, facts.reason) == (None, None, None)
    assert facts.decision == BY_HAND
    assert facts.stays == tuple(Stay(user, call.wall_ms, None) for user in (ALICE, BOB))


def test_a_stop_says_how_long_everybody_stayed() -> None:
    call = rooms.recording(kind=Kind.MEETING)
    started_ms = call.wall_ms
    call.clock(1_000)
    call.join(CAROL)
    call.clock(1_000)
    call.leave(BOB)
    call.clock(1_000)
    call.stop()
    call.close()
    facts = learned(call)[-1]

    assert (facts.started_ms, facts.stopped_ms) == (started_ms, started_ms + 3_000)
    assert (facts.duration_ms, facts.reason) == (3_000, StopReason.REQUESTED)
    assert facts.stays == (
        Stay(ALICE, started_ms, started_ms + 3_000),
        Stay(BOB, started_ms, started_ms + 2_000),
        Stay(CAROL, started_ms + 1_000, started_ms + 3_000),
    )
    assert (facts.incomplete, facts.missing) == (None, ())


def test_a_participant_of_another_domain_stays_one() -> None:
    call = Call(kind=Kind.MEETING, policy=rooms.EVERY_START, flag=True)
    call.join(ALICE)
    call.join(STRANGER, by=rooms.SERVICE)
    call.confirm()

    assert STRANGER in {stay.user for stay in learned(call)[0].stays}
    call.end()
    call.close()
    assert STRANGER in {stay.user for stay in learned(call)[-1].stays}


def test_an_automatic_segment_has_the_decision_of_its_room() -> None:
    call = rooms.automatic()
    call.permissions = rooms.FORBIDDEN  # too late
    call.confirm()

    assert (learned(call)[0].by, learned(call)[0].decision) == (None, AUTOMATIC)


def test_a_segment_by_hand_has_the_decision_of_its_start() -> None:
    call = rooms.established(permissions=rooms.FORBIDDEN)
    call.permissions = rooms.permitted(RecordingType.AUDIO)
    call.start()
    call.confirm(rooms.AUDIO)

    assert call.room.decision is not None
    assert not call.room.decision.allowed
    assert learned(call)[0].decision == replace(BY_HAND, type=RecordingType.AUDIO)


def test_a_segment_that_goes_on_keeps_the_decision_of_the_first_one() -> None:
    limits = RecordingLimits(max_segment_ms=60_000)
    call = rooms.established(permissions=rooms.FORBIDDEN, rules=Rules(limits=limits))
    call.permissions = rooms.permitted()
    call.start()
    call.confirm()
    call.wait(60_000)
    call.close()
    call.confirm()
    first, _, second = learned(call)

    assert (first.decision, second.decision) == (BY_HAND, BY_HAND)
    assert (first.by, second.by, second.key.segment) == ("alice", None, 2)


def test_a_pending_start_keeps_its_decision_over_a_restart() -> None:
    call = rooms.recording(permissions=rooms.permitted(RecordingType.VIDEO))
    call.stop()
    call.permissions = rooms.permitted()
    call.start()
    rooms.restarted(call, after_ms=10)
    call.close()
    call.confirm()
    facts = learned(call)[-1]

    assert (facts.key.segment, facts.decision) == (2, BY_HAND)


def test_a_segment_that_never_ran_is_no_recording() -> None:
    call = rooms.automatic()
    call.refuse()

    assert learned(call) == []


def test_a_failed_segment_with_files_after_all_is_one() -> None:
    call = rooms.automatic()
    call.confirm(rooms.VIDEO)
    call.refuse(rooms.AUDIO)
    call.clock(500)
    call.lose(rooms.VIDEO)
    facts = learned(call)[-1]

    assert facts.stopped_ms is not None
    assert facts.missing == ("audio",)


def test_names_of_users_can_be_read_back() -> None:
    for user in (ALICE, STRANGER, UserKey(DomainId("other"), UserId("alice"))):
        assert user_shown_as(shown_user(user, HOME), HOME) == user

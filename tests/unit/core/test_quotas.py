"""How much one user, domain or room may occupy, and what is said beyond it."""

from dataclasses import replace
from itertools import pairwise

import pytest

from sfu_wrapper.core.effects import Started
from sfu_wrapper.core.lifecycle import Phase
from sfu_wrapper.core.quotas import (
    MINUTE_MS,
    Quotas,
    RecentRooms,
    require_invited,
    require_rooms,
    segment_spacing_ms,
    segment_wait_ms,
)
from sfu_wrapper.core.room import Rules
from sfu_wrapper.core.segments import quota_wait_ms
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import Kind, UserId
from tests.helpers.rooms import (
    ALICE,
    BOB,
    CAROL,
    SERVICE,
    Call,
    automatic,
    established,
    refusal,
)


def limited(**limits: int) -> Rules:
    return Rules(quotas=Quotas(**limits))


def refused(error: pytest.ExceptionInfo[Refused]) -> tuple[str, object, object]:
    context = error.value.context
    return str(error.value.code), context["quota"], context["limit"]


# people


def test_more_people_than_the_room_may_hold_cannot_come_in() -> None:
    call = Call(Kind.MEETING, rules=limited(max_participants=2))
    call.join(ALICE)
    call.join(BOB)

    with pytest.raises(Refused, match="wait until a participant leaves") as error:
        call.join(CAROL, by=SERVICE)
    assert refused(error) == (Code.QUOTA_EXCEEDED, "rooms.maxParticipants", 2)
    assert call.room.participants.get(CAROL) is None


def test_who_is_in_a_full_room_may_come_back_and_who_leaves_makes_room() -> None:
    call = Call(Kind.MEETING, rules=limited(max_participants=2))
    call.join(ALICE)
    call.join(BOB)
    call.join(BOB)
    call.leave(BOB)
    call.join(CAROL)

    assert [each.key for each in call.room.participants] == [ALICE, CAROL]


def test_more_people_than_a_list_may_hold_cannot_be_invited() -> None:
    call = Call(invited=(UserId("bob"),), rules=limited(max_invited=3))
    call.invite("carol", "dave")
    call.invite("bob", "carol", "dave")  # all of them stand on the list already

    with pytest.raises(Refused, match="leave `invited` out") as error:
        call.invite("erin", by=SERVICE)
    assert refused(error) == (Code.QUOTA_EXCEEDED, "rooms.maxInvited", 3)
    assert call.room.invited == ("bob", "carol", "dave")


def test_a_limit_of_nothing_is_no_limit() -> None:
    require_invited(Quotas(), 10**9)
    require_rooms(Quotas(), of_owner=10**9, of_domain=10**9)
    recent = RecentRooms(0)
    for _ in range(1000):
        recent.note(ALICE, 0)

    assert len(recent) == 0
    room = automatic().room
    assert quota_wait_ms(room, Quotas(), room.segments[-1].requested_at) == 0


# rooms


@pytest.mark.parametrize(
    ("of_owner", "of_domain", "quota", "limit"),
    [(2, 0, "quotas.roomsPerUser", 2), (0, 5, "quotas.roomsPerDomain", 5)],
)
def test_the_room_after_the_last_allowed_one_is_refused(
    of_owner: int, of_domain: int, quota: str, limit: int
) -> None:
    quotas = Quotas(rooms_per_user=2, rooms_per_domain=5)
    require_rooms(quotas, of_owner=1, of_domain=4)

    with pytest.raises(Refused) as error:
        require_rooms(quotas, of_owner=of_owner, of_domain=of_domain)
    assert refused(error) == (Code.QUOTA_EXCEEDED, quota, limit)


def test_rooms_of_the_last_minute_are_counted_and_no_others() -> None:
    recent = RecentRooms(2)
    recent.note(ALICE, 0)
    recent.note(ALICE, 20_000)
    recent.note(BOB, 20_000)

    with pytest.raises(Refused, match=r"try again in 30.0 s") as error:
        recent.note(ALICE, 30_000)
    assert error.value.context["retryAfter"] == 30.0
    recent.note(ALICE, MINUTE_MS)
    with pytest.raises(Refused):
        recent.note(ALICE, MINUTE_MS)


def test_a_room_that_came_to_nothing_is_not_counted() -> None:
    recent = RecentRooms(1)
    recent.note(ALICE, 0)
    recent.take_back(ALICE)
    recent.note(ALICE, 1)
    recent.take_back(BOB)  # nobody has counted any of his

    with pytest.raises(Refused):
        recent.note(ALICE, 2)


def test_owners_who_create_nothing_are_forgotten_after_a_minute() -> None:
    recent = RecentRooms(5)
    for number in range(100):
        recent.note(replace(ALICE, user=UserId(f"user-{number}")), number)
    recent.note(BOB, 2 * MINUTE_MS)

    assert len(recent) == 1


# segments


def toggled(call: Call, times: int) -> None:
    for _ in range(times):
        call.start()
        call.confirm()
        call.stop()
        call.close()


def test_a_room_begins_so_many_segments_a_minute_by_hand() -> None:
    call = established(rules=limited(segments_per_minute=3))
    toggled(call, 3)
    call.clock(20_000)

    with pytest.raises(Refused) as error:
        call.start()
    assert refused(error) == (Code.QUOTA_EXCEEDED, "quotas.segmentsPerMinute", 3)
    assert error.value.context["retryAfter"] == 40.0
    assert refusal(call, "start", SERVICE) == Code.QUOTA_EXCEEDED
    assert len(call.room.segments) == 3
    call.clock(40_000)
    ref = call.start()
    call.confirm()
    assert isinstance(call.answer(ref), Started)


def test_what_runs_is_said_before_any_quota() -> None:
    call = established(rules=limited(segments_per_minute=1))
    call.start()
    call.confirm()

    assert refusal(call, "start", ALICE) == Code.ALREADY_RECORDING
    assert refusal(call, "start", BOB) == Code.NOT_ROOM_OWNER


def test_a_start_that_would_wait_for_a_stop_is_counted_too() -> None:
    call = established(rules=limited(segments_per_minute=1))
    call.start()
    call.confirm()
    call.stop()

    assert refusal(call, "start", ALICE) == Code.QUOTA_EXCEEDED


def test_the_first_segment_is_never_put_off() -> None:
    assert automatic(rules=limited(segments_per_minute=1)).room.capture is Phase.STARTING


def test_a_recording_that_is_lost_again_and_again_is_begun_again_no_faster_than_the_quota() -> None:
    call = automatic(rules=limited(segments_per_minute=6))
    call.confirm()
    began_ms: list[int] = [call.segment.requested_at.mono_ms]
    for _ in range(240):
        if call.room.capture is Phase.RECORDING:
            call.lose()
        elif call.room.capture is Phase.STOPPING:
            call.close()
        elif call.room.capture is Phase.STARTING:
            began_ms.append(call.segment.requested_at.mono_ms)
            call.confirm()
        call.wait(500)
    fast = [each for each in began_ms if each < began_ms[0] + MINUTE_MS]
    gaps = [later - earlier for earlier, later in pairwise(began_ms[7:])]

    assert len(began_ms) >= 12, "it is begun again all the same"
    assert len(fast) <= 6 + 6
    assert gaps, "the quota was reached"
    assert all(gap >= MINUTE_MS // 6 for gap in gaps)


def test_starts_by_hand_put_off_what_the_controller_begins_by_a_moment_alone() -> None:
    call = established(rules=limited(segments_per_minute=6))
    toggled(call, 5)
    call.start()
    call.confirm()
    call.lose()
    call.close()
    call.wait(MINUTE_MS // 6)

    assert len(call.room.segments) == 7
    assert call.segment.by is None


@pytest.mark.parametrize(
    ("earlier_ms", "now_ms", "wait_ms"),
    [(0, 59_999, 1), (0, 60_000, 0), (10, 5, 0)],
)
def test_the_wait_ends_a_minute_after_the_earlier_start(
    earlier_ms: int, now_ms: int, wait_ms: int
) -> None:
    assert segment_wait_ms(earlier_ms, now_ms) == wait_ms


@pytest.mark.parametrize(
    ("wait_ms", "last_ms", "now_ms", "spacing_ms"),
    [(0, 0, 1, 0), (9, 0, 0, 2000), (9, 0, 1500, 500), (9, 0, 2000, 0), (9, 50, 10, 2000)],
)
def test_starts_of_the_controller_are_spaced_while_the_quota_is_used_up(
    wait_ms: int, last_ms: int, now_ms: int, spacing_ms: int
) -> None:
    assert segment_spacing_ms(30, wait_ms, last_ms, now_ms) == spacing_ms

"""Who may do what, and in which order it is checked (policy.md, protocol.md)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from sfu_wrapper.core.access import require_visible, sees
from sfu_wrapper.core.effects import Stopped
from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.policy import PolicySettings, StopBy
from sfu_wrapper.model.errors import Refused
from sfu_wrapper.model.identity import DomainId, Kind, Origin, StopReason, UserId, UserKey
from tests.helpers.rooms import (
    ADMIN,
    ALICE,
    BOB,
    CAROL,
    FORBIDDEN,
    HOME,
    MANUAL,
    SERVICE,
    STRANGER,
    TALKING,
    Call,
    established,
    permitted,
    recording,
    refusal,
    who,
)

FOREIGN_ADMIN = Requester(UserKey(DomainId("elsewhere"), UserId("admin")), admin=True)
OWNER_ELSEWHERE = UserKey(DomainId("elsewhere"), ALICE.user)


# for whom a room exists


@pytest.mark.parametrize("by", [ALICE, BOB, SERVICE, ADMIN])
def test_a_room_exists_for_owner_participants_service_and_admin(by: object) -> None:
    assert sees(established().room, who(by))  # type: ignore[arg-type]  # a user or a requester


@pytest.mark.parametrize("by", [CAROL, STRANGER, FOREIGN_ADMIN, OWNER_ELSEWHERE])
def test_a_room_does_not_exist_for_anybody_else(by: object) -> None:
    call = established()
    by = who(by)  # type: ignore[arg-type]  # a user or a requester

    assert not sees(call.room, by)
    with pytest.raises(Refused) as caught:
        require_visible(call.room, by)
    assert caught.value.code == "ROOM_NOT_FOUND"
    for ask in ("start", "stop", "end"):
        assert refusal(call, ask, by) == "ROOM_NOT_FOUND"


def test_who_has_left_sees_the_room_again_only_once_it_has_ended() -> None:
    call = established()
    call.join(CAROL)
    call.leave(CAROL)
    assert refusal(call, "stop", CAROL) == "ROOM_NOT_FOUND"
    call.end()

    assert refusal(call, "stop", CAROL) == "ROOM_ENDED"
    assert refusal(call, "stop", STRANGER) == "ROOM_NOT_FOUND"


def test_joining_somebody_else_tells_nobody_whether_a_room_is_there() -> None:
    secret = Call(invited=(BOB.user,))

    for by in (STRANGER, FOREIGN_ADMIN, CAROL):
        assert refusal(secret, "join", BOB, by=by) == "ROOM_NOT_FOUND"
    for knows in (ALICE, BOB, ADMIN):
        assert refusal(secret, "join", CAROL, by=knows) == "FORBIDDEN"
    assert refusal(Call(), "join", BOB, by=CAROL) == "FORBIDDEN"  # open to her whole domain


# start: exists, takes part, public, pstn, owner, grant, established, already recording


def public() -> Call:
    call = Call(Kind.PUBLIC, origin=Origin.INTERNAL, permissions=FORBIDDEN)
    call.join(BOB)
    return call


def incoming() -> Call:
    call = Call(origin=Origin.PSTN, policy=MANUAL, permissions=FORBIDDEN)
    call.join(BOB)
    return call


def not_answered(**given: object) -> Call:
    call = Call(policy=MANUAL, **given)  # type: ignore[arg-type]  # passed on as they are
    call.join(ALICE)
    return call


@pytest.mark.parametrize("make", [public, incoming])
def test_taking_part_is_checked_before_the_kind_of_room(make: Callable[[], Call]) -> None:
    assert refusal(make(), "start", ALICE) == "NOT_IN_ROOM"


@pytest.mark.parametrize(("make", "code"), [(public, "PUBLIC_ROOM"), (incoming, "PSTN_ROOM")])
def test_an_owner_who_takes_no_part_may_stop_where_anybody_may(
    make: Callable[[], Call], code: str
) -> None:
    assert refusal(make(), "stop", ALICE) == code


def test_a_domain_admin_who_takes_no_part_is_told_so() -> None:
    assert refusal(established(), "start", ADMIN) == "NOT_IN_ROOM"


@pytest.mark.parametrize(("make", "code"), [(public, "PUBLIC_ROOM"), (incoming, "PSTN_ROOM")])
def test_the_kind_of_room_is_checked_before_the_owner(make: Callable[[], Call], code: str) -> None:
    assert refusal(make(), "start", BOB) == code
    assert refusal(make(), "start", SERVICE) == code
    assert refusal(make(), "stop", BOB) == code


def test_the_owner_is_checked_before_the_grant() -> None:
    call = established(permissions=FORBIDDEN)

    assert refusal(call, "start", BOB) == "NOT_ROOM_OWNER"
    assert refusal(call, "start", ALICE) == "NOT_PERMITTED"


def test_the_grant_is_checked_before_the_establishment() -> None:
    assert refusal(not_answered(permissions=FORBIDDEN), "start", ALICE) == "NOT_PERMITTED"
    assert refusal(not_answered(), "start", ALICE) == "NOT_ESTABLISHED"


def test_the_grant_is_checked_before_what_runs() -> None:
    call = recording()
    call.permissions = FORBIDDEN

    assert refusal(call, "start", ALICE) == "NOT_PERMITTED"
    assert refusal(call, "start", BOB) == "NOT_ROOM_OWNER"


def test_in_an_ended_room_nothing_else_is_said() -> None:
    call = established(permissions=FORBIDDEN)
    call.end()

    assert refusal(call, "start", ALICE) == "ROOM_ENDED"
    assert refusal(call, "stop", SERVICE) == "ROOM_ENDED"


def test_each_start_goes_by_the_permissions_of_its_moment() -> None:
    call = established(permissions=FORBIDDEN)
    assert refusal(call, "start") == "NOT_PERMITTED"
    call.permissions = permitted()
    call.start()

    assert call.segment.number == 1


def test_the_service_starts_only_where_the_owner_could() -> None:
    assert refusal(established(permissions=FORBIDDEN), "start", SERVICE) == "NOT_PERMITTED"
    assert refusal(not_answered(), "start", SERVICE) == "NOT_ESTABLISHED"


# stop: exists, public, pstn, may stop, something runs or waits to run

BY_ALL = PolicySettings(record_at_start=False, stop_by=StopBy.PARTICIPANTS)
MAY_STOP = [
    # who, what it is of the call, with stopBy owner, with stopBy participants
    (ALICE, "takes part", "ok", "ok"),
    (ALICE, "left", "ok", "ok"),
    (ALICE, "never joined", "ok", "ok"),
    (BOB, "takes part", "NOT_ROOM_OWNER", "ok"),
    (CAROL, "left", "ROOM_NOT_FOUND", "ROOM_NOT_FOUND"),
    (CAROL, "never joined", "ROOM_NOT_FOUND", "ROOM_NOT_FOUND"),
    (STRANGER, "never joined", "ROOM_NOT_FOUND", "ROOM_NOT_FOUND"),
    (SERVICE, "never joined", "ok", "ok"),
    (ADMIN, "never joined", "ok", "ok"),
    (FOREIGN_ADMIN, "never joined", "ROOM_NOT_FOUND", "ROOM_NOT_FOUND"),
]


def meeting_without(user: UserKey, presence: str, policy: PolicySettings) -> Call:
    """A recorded meeting of Alice, in which the user takes part, or not any more, or never did."""
    call = Call(Kind.MEETING, policy=policy)
    call.join(BOB)
    if presence != "never joined":
        call.join(user)
    call.start(SERVICE)
    call.confirm()
    if presence == "left":
        call.leave(user)
    return call


@pytest.mark.parametrize(("by", "presence", "owner", "participants"), MAY_STOP)
def test_who_may_stop(by: object, presence: str, owner: str, participants: str) -> None:
    asker = who(by)  # type: ignore[arg-type]  # a user or a requester
    for policy, expected in ((MANUAL, owner), (BY_ALL, participants)):
        call = meeting_without(asker.key, presence, policy)
        if expected != "ok":
            assert refusal(call, "stop", asker) == expected
            continue
        ref = call.stop(asker)
        call.close()

        assert isinstance(call.answer(ref), Stopped)
        assert call.segment.stopped_by == asker.key.user


@pytest.mark.parametrize("policy", [MANUAL, BY_ALL])
def test_an_incoming_call_is_stopped_by_service_and_administrator_alone(
    policy: PolicySettings,
) -> None:
    for by, expected in (
        (ALICE, "PSTN_ROOM"),
        (BOB, "PSTN_ROOM"),
        (FOREIGN_ADMIN, "ROOM_NOT_FOUND"),
        (ADMIN, "ok"),
        (SERVICE, "ok"),
    ):
        recorded = replace(policy, record_at_start=True, record_incoming_pstn=True)
        call = Call(origin=Origin.PSTN, policy=recorded)
        call.join(ALICE, by=SERVICE)
        call.join(BOB)
        call.confirm()
        if expected != "ok":
            assert refusal(call, "stop", by) == expected
            continue
        ref = call.stop(by)
        call.close()
        assert isinstance(call.answer(ref), Stopped)


@pytest.mark.parametrize("by", [ALICE, BOB, SERVICE, ADMIN])
def test_a_public_room_says_so_to_everybody_who_would_stop_it(by: object) -> None:
    assert refusal(public(), "stop", by) == "PUBLIC_ROOM"


@pytest.mark.parametrize("presence", ["takes part", "left", "never joined"])
def test_an_owner_ends_its_room_from_wherever_it_is(presence: str) -> None:
    call = meeting_without(ALICE, presence, MANUAL)
    call.end()

    assert call.room.life is Life.ENDED
    assert call.segment.reason is StopReason.CALL_ENDED


def test_the_owner_is_checked_before_what_runs_in_a_stop() -> None:
    assert refusal(established(), "stop", BOB) == "NOT_ROOM_OWNER"
    assert refusal(established(), "stop", ALICE) == "NOT_RECORDING"


def test_a_room_that_waits_has_nothing_to_stop() -> None:
    assert refusal(not_answered(), "stop", ALICE) == "NOT_RECORDING"


def test_the_service_stops_any_segment_also_of_an_incoming_call() -> None:
    call = Call(origin=Origin.PSTN, policy=PolicySettings(record_incoming_pstn=True))
    call.join(ALICE, by=SERVICE)
    call.join(BOB)
    call.confirm()
    assert refusal(call, "stop", BOB) == "PSTN_ROOM"
    ref = call.stop(SERVICE)
    call.close()

    assert isinstance(call.answer(ref), Stopped)
    call.wait(60_000)
    assert refusal(call, "stop", SERVICE) == "NOT_RECORDING"


# joining


def test_without_a_list_every_user_of_the_domain_who_knows_the_id_may_join() -> None:
    call = Call()
    call.join(CAROL)

    assert refusal(call, "join", STRANGER) == "ROOM_NOT_FOUND"


def test_with_a_list_those_on_it_the_owner_and_whom_the_service_joins() -> None:
    call = Call(invited=(BOB.user,))
    call.join(ALICE)
    call.join(BOB)
    call.join(CAROL, by=SERVICE)

    assert refusal(call, "join", UserKey(HOME, UserId("dave"))) == "ROOM_NOT_FOUND"


def test_who_was_joined_by_the_service_may_reconnect_uninvited() -> None:
    call = Call(invited=(BOB.user,))
    call.join(CAROL, by=SERVICE)
    call.join(CAROL)

    assert len(call.room.participants) == 1


def test_an_administrator_who_is_not_invited_sees_the_room_and_may_not_join() -> None:
    call = Call(invited=(BOB.user,))

    assert refusal(call, "join", ADMIN.key, by=ADMIN) == "FORBIDDEN"


def test_a_public_room_lets_in_anybody() -> None:
    call = Call(Kind.PUBLIC)
    call.join(STRANGER)

    assert call.room.participants.get(STRANGER) is not None


def test_nobody_but_the_service_joins_somebody_else() -> None:
    assert refusal(established(), "join", CAROL, by=ALICE) == "FORBIDDEN"


def test_an_ended_room_is_joined_by_nobody() -> None:
    call = established()
    call.end()

    assert refusal(call, "join", BOB) == "ROOM_ENDED"
    assert refusal(call, "join", STRANGER) == "ROOM_NOT_FOUND"


# what participants and owners do


def test_nobody_but_the_service_acts_for_somebody_else() -> None:
    call = established()

    assert refusal(call, "leave", BOB, by=ALICE) == "FORBIDDEN"
    assert refusal(call, "publish", BOB, TALKING, by=ALICE) == "FORBIDDEN"
    call.publish(BOB, TALKING, by=SERVICE)
    call.leave(BOB, by=SERVICE)


def test_who_takes_no_part_can_neither_leave_nor_publish() -> None:
    call = Call()

    assert refusal(call, "leave", ALICE) == "NOT_IN_ROOM"
    assert refusal(call, "publish", ALICE, TALKING) == "NOT_IN_ROOM"
    assert refusal(call, "leave", CAROL, by=SERVICE) == "NOT_IN_ROOM"


def test_only_the_owner_and_the_service_end_a_room_or_invite() -> None:
    call = established()

    assert refusal(call, "end", BOB) == "NOT_ROOM_OWNER"
    assert refusal(call, "invite", "carol", by=BOB) == "NOT_ROOM_OWNER"
    assert refusal(call, "invite", "carol", by=ADMIN) == "NOT_ROOM_OWNER"
    call.invite("carol", by=SERVICE)
    call.end(SERVICE)
    assert refusal(call, "end", ALICE) == "ROOM_ENDED"

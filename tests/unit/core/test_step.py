"""What a new room is and what operators are warned of."""

from dataclasses import replace

import pytest

from sfu_wrapper.core.effects import Created, Reply
from sfu_wrapper.core.lifecycle import Life, Phase
from sfu_wrapper.core.policy import PolicySettings, PstnConflict
from sfu_wrapper.core.requests import OpenMediaRoom
from sfu_wrapper.model.room import Origin
from tests.helpers.rooms import BOB, Call, established

CONFLICT = PolicySettings(record_at_start=False, record_incoming_pstn=True)


def test_a_new_room_waits_with_nobody_in_it_and_is_answered_with_its_forecast() -> None:
    call = Call()

    assert (call.room.life, call.room.capture) == (Life.WAITING, Phase.IDLE)
    assert call.answer("create") == Created(call.room, call.permissions)
    assert isinstance(call.effects[0], Reply)
    assert call.asked(OpenMediaRoom) == [OpenMediaRoom(call.room.uuid, call.room.confbridge_id)]


@pytest.mark.parametrize("flag", [True, False, None])
def test_a_pstn_conflict_is_warned_of_once_a_room(flag: bool | None) -> None:
    call = Call(origin=Origin.PSTN, flag=flag, policy=CONFLICT)
    call.join(BOB)

    assert call.warnings == [("room.pstnConflict", False)]


def test_a_conflict_that_records_all_the_same_is_no_cause_for_a_warning() -> None:
    policy = replace(CONFLICT, pstn_conflict=PstnConflict.RECORD)

    assert Call(origin=Origin.PSTN, policy=policy).warnings == []


@pytest.mark.parametrize(
    ("flag", "warnings"), [(True, [("room.pstnOff", False)]), (False, []), (None, [])]
)
def test_an_incoming_call_that_asks_in_vain_is_warned_of(
    flag: bool | None, warnings: list[tuple[str, bool]]
) -> None:
    assert Call(origin=Origin.PSTN, flag=flag).warnings == warnings


def test_other_rooms_are_warned_of_in_no_case() -> None:
    assert established(PolicySettings(record_at_start=False)).warnings == []

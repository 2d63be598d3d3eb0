"""What a new room is and what operators are warned of."""

from dataclasses import replace

import pytest

from sfu_wrapper.core.effects import Created, Reply, Request
from sfu_wrapper.core.lifecycle import Life, Phase
from sfu_wrapper.core.media_plane import (
    CloseMediaRoom,
    OpenMediaRoom,
    PlaneRequest,
    PublishTrack,
    StartCapture,
)
from sfu_wrapper.core.policy import PolicySettings, PstnConflict
from sfu_wrapper.core.room import Rules
from sfu_wrapper.model.identity import Kind, Origin
from sfu_wrapper.model.media import Media, Stream, Track
from tests.helpers.rooms import ALICE, BOB, Call, established

CONFLICT = PolicySettings(record_at_start=False, record_incoming_pstn=True)


def test_a_new_room_waits_with_nobody_in_it_and_is_answered_with_its_forecast() -> None:
    call = Call()

    assert (call.room.life, call.room.capture) == (Life.WAITING, Phase.IDLE)
    assert call.answer("create") == Created(call.room, call.permissions)
    assert isinstance(call.effects[0], Reply)
    assert asked(call) == []


def asked(call: Call) -> list[PlaneRequest]:
    """What the media plane was asked so far."""
    return [each.request for each in call.effects if isinstance(each, Request)]


def test_a_room_that_nobody_ever_joins_asks_the_media_plane_for_nothing() -> None:
    call = Call(kind=Kind.MEETING)
    call.restart()
    call.wait(Rules().unused_timeout_ms)

    assert call.room.life is Life.ENDED
    assert asked(call) == []


def test_a_room_is_opened_at_the_media_plane_with_the_first_who_joins() -> None:
    call = Call(flag=False)
    call.join(ALICE, Media(audio=True))
    call.join(BOB)
    call.leave(BOB)

    room, track = call.room.uuid, Track(ALICE.user, Stream.AUDIO)
    assert asked(call) == [
        OpenMediaRoom(room, call.room.confbridge_id),
        PublishTrack(room, track),
        CloseMediaRoom(room),
    ]


def test_a_start_right_at_the_establishment_follows_the_opening_of_the_room() -> None:
    call = Call()
    call.join(ALICE)
    call.join(BOB)

    assert [type(each) for each in asked(call)] == [OpenMediaRoom, StartCapture, StartCapture]


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

"""Rooms as they are stored. Random rooms go there and back in test_room_histories."""

import json
from collections.abc import Callable

import pytest

from sfu_wrapper.core.lifecycle import CaptureState
from sfu_wrapper.model.errors import Broken
from sfu_wrapper.model.media import Stream, Track
from sfu_wrapper.wire.room_state import StoredRoom, decode_room, encode_room
from tests.helpers.rooms import (
    ALICE,
    BOB,
    CAROL,
    TALKING,
    Call,
    established,
    recording,
)
from tests.unit.core.test_membership import carried, real_sfu

ALONE = encode_room(Call().room)


def test_a_room_in_full_swing_comes_back_as_it_was() -> None:
    call = recording()
    call.stop()
    call.start()

    assert decode_room(encode_room(call.room)) == call.room


def test_an_ended_room_remembers_its_guests_and_whom_it_tells() -> None:
    call = recording(invited=(BOB.user, CAROL.user))
    call.end()
    again = decode_room(encode_room(call.room))

    assert again == call.room
    assert again.final_audience == (ALICE, BOB)
    assert again.invited == (BOB.user, CAROL.user)


def test_fields_of_a_segment_keep_the_keys_under_which_they_were_stored() -> None:
    call = recording()
    call.end()
    call.close()
    (segment,) = call.room.segments
    stored = json.loads(encode_room(call.room).parts["segment/1"] or b"")

    assert stored["told"] is True
    assert stored["asked"]["wall_ms"] == segment.requested_at.wall_ms
    assert not stored.keys() & {"announced", "requested_at", "presences"}


def test_a_capture_keeps_the_state_under_which_it_was_stored() -> None:
    call = Call()
    call.join(ALICE)
    call.join(BOB)
    stored = json.loads(encode_room(call.room).parts["segment/1"] or b"")

    assert {each["state"] for each in stored["captures"]} == {"asked"}
    assert set(call.states()) == {CaptureState.REQUESTED}


def test_a_room_for_which_nobody_is_invited_is_not_open_to_all() -> None:
    call = Call(invited=())

    assert decode_room(encode_room(call.room)).invited == ()
    assert decode_room(ALONE).invited is None


def test_what_stands_at_its_default_is_not_stored() -> None:
    assert ALONE.head.startswith(b"2 {")
    assert b"halted" not in ALONE.head
    assert ALONE.parts == {}


def happens(call: Call, *deeds: Callable[[], object]) -> StoredRoom:
    """Return what is written when this happens, all in one commit."""
    before = call.room
    for deed in deeds:
        deed()
    stored = encode_room(call.room, before)
    known = {**encode_room(before).parts, **stored.parts}
    kept = {name: state for name, state in known.items() if state is not None}
    assert decode_room(StoredRoom(stored.head, kept)) == call.room
    return stored


def test_a_join_writes_who_came() -> None:
    call = recording()

    written = happens(call, lambda: call.join(CAROL, TALKING))
    assert set(written.parts) == {"person/example/carol", "member/example/carol"}


def test_a_second_join_writes_no_second_member() -> None:
    call = established()
    call.join(CAROL)
    call.leave(CAROL)

    assert set(happens(call, lambda: call.join(CAROL)).parts) == {"person/example/carol"}


def test_a_leave_removes_who_went_and_keeps_the_stay() -> None:
    call = recording()
    call.join(CAROL)

    written = happens(call, lambda: call.leave(CAROL))
    assert written.parts["person/example/carol"] is None
    assert set(written.parts) == {"person/example/carol", "stay/1/3"}


def test_a_stop_writes_its_segment_and_removes_the_stays() -> None:
    call = recording()
    call.join(CAROL)
    call.leave(CAROL)

    written = happens(call, call.stop, call.close)
    assert set(written.parts) == {"segment/1", "stay/1/3"}
    assert written.parts["stay/1/3"] is None


def test_what_the_media_plane_carries_is_stored_by_user() -> None:
    call = real_sfu()
    carried(call, Track(ALICE.user, Stream.CAMERA), Track(BOB.user, Stream.CAMERA))

    written = happens(call, lambda: carried(call, Track(BOB.user, Stream.CAMERA)))
    assert written.parts["carried/alice"] is None
    assert "carried/bob" not in written.parts


def test_an_invitation_writes_the_list() -> None:
    call = Call(invited=(BOB.user,))

    written = happens(call, lambda: call.invite("carol"))
    assert json.loads(written.parts["invited"] or b"") == ["bob", "carol"]
    assert set(written.parts) == {"invited"}


@pytest.mark.parametrize("state", [b"", b"3 {}", b"{}", b"11 {}"])
def test_another_format_is_not_guessed_at(state: bytes) -> None:
    with pytest.raises(Broken, match="this version reads b'2'"):
        decode_room(StoredRoom(state))


@pytest.mark.parametrize(
    "state",
    [b"2", b"2 ", b"2 nonsense", b"2 {}", b"2 []", b"1", b"1 nonsense", b"1 {}", b"1 []"],
)
def test_a_damaged_room_is_not_guessed_at(state: bytes) -> None:
    with pytest.raises(Broken, match="damaged"):
        decode_room(StoredRoom(state))


def test_the_place_of_the_damage_is_named_and_its_content_is_not() -> None:
    head = ALONE.head.replace(b'"direct"', b'"secret-kind"')

    with pytest.raises(Broken) as caught:
        decode_room(StoredRoom(head))
    assert "kind" in caught.value.detail
    assert "secret-kind" not in caught.value.detail


def test_a_part_that_was_removed_is_none() -> None:
    stored = StoredRoom(ALONE.head, {"segment/1": None, "invited": None})

    assert decode_room(stored) == Call().room


def test_a_part_that_is_of_no_known_kind_is_not_guessed_at() -> None:
    with pytest.raises(Broken, match="a stored room has a part 'pet/1'"):
        decode_room(StoredRoom(ALONE.head, {"pet/1": b"{}"}))

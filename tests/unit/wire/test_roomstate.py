"""A room as it is stored. Random rooms go there and back in test_room_histories."""

import pytest

from sfu_wrapper.model.errors import Broken
from sfu_wrapper.wire.roomstate import decode_room, encode_room
from tests.helpers.rooms import Call, recording


def test_a_room_in_full_swing_comes_back_as_it_was() -> None:
    call = recording()
    call.stop()
    call.start()

    assert decode_room(encode_room(call.room)) == call.room


def test_what_stands_at_its_default_is_not_stored() -> None:
    stored = encode_room(Call().room)

    assert stored.startswith(b"1 {")
    assert b"halted" not in stored


@pytest.mark.parametrize("state", [b"", b"2 {}", b"{}", b"11 {}"])
def test_another_format_is_not_guessed_at(state: bytes) -> None:
    with pytest.raises(Broken, match="this version reads b'1'"):
        decode_room(state)


@pytest.mark.parametrize("state", [b"1", b"1 ", b"1 nonsense", b"1 {}", b"1 []"])
def test_a_damaged_room_is_not_guessed_at(state: bytes) -> None:
    with pytest.raises(Broken, match="damaged"):
        decode_room(state)


def test_the_place_of_the_damage_is_named_and_its_content_is_not() -> None:
    state = encode_room(Call().room).replace(b'"direct"', b'"secret-kind"')

    with pytest.raises(Broken) as caught:
        decode_room(state)
    assert "kind" in caught.value.detail
    assert "secret-kind" not in caught.value.detail

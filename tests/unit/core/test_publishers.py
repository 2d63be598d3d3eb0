"""Ids at a real SFU: told to participants, read back from what the SFU says and writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.core.publisher_ids import MediaPlace, media_place, publisher_id, track_of
from sfu_wrapper.core.room import Rules
from sfu_wrapper.model.identity import UserId
from sfu_wrapper.model.media import Medium, Stream, Track
from tests.helpers.rooms import ALICE, Call

USERS = st.from_regex(r"[A-Za-z0-9._@+:-]{1,128}", fullmatch=True).map(UserId)


@given(USERS, st.sampled_from(Stream), st.sampled_from(["", "~1", "~tab0Xyz9"]))
def test_an_id_says_whose_track_it_is(user: UserId, stream: Stream, device: str) -> None:
    track = Track(user, stream)

    assert track_of(publisher_id(track) + device, stream.medium) == track


@given(USERS)
def test_camera_and_screen_of_a_user_have_two_ids(user: UserId) -> None:
    assert publisher_id(Track(user, Stream.CAMERA)) != publisher_id(Track(user, Stream.SCREEN))


@given(USERS)
def test_the_longest_name_that_an_sfu_makes_of_an_id_fits_into_a_folder(user: UserId) -> None:
    publisher = publisher_id(Track(user, Stream.SCREEN)) + "~12345678"
    name = f"videoroom-{'r' * 64}-user-{publisher}-1795484368561726-video-10.mjr"

    assert len(name) <= 255


@pytest.mark.parametrize(
    "publisher",
    ["", "alice", "p-", "x-alice", "p-al ice", "p-a/b", "p-alice~", "p-alice~123456789", "p-é"],
)
def test_an_id_of_another_kind_is_nobodys(publisher: str) -> None:
    assert track_of(publisher, Medium.VIDEO) is None
    assert track_of(publisher, Medium.AUDIO) is None


def test_a_screen_has_no_audio() -> None:
    assert track_of("s-alice", Medium.AUDIO) is None


def test_a_participant_is_told_where_to_publish() -> None:
    room = Call().room
    both = Rules(authoritative_media=frozenset(Medium))

    assert media_place(room, ALICE.user, both) == MediaPlace(
        "p-alice", "s-alice", room.uuid, room.uuid
    )


def test_a_participant_is_told_of_what_is_real_alone() -> None:
    room = Call().room
    video = media_place(room, ALICE.user, Rules(authoritative_media=frozenset({Medium.VIDEO})))
    audio = media_place(room, ALICE.user, Rules(authoritative_media=frozenset({Medium.AUDIO})))

    assert video is not None
    assert audio is not None
    assert (video.video_room, video.audio_room) == (room.uuid, None)
    assert (audio.video_room, audio.audio_room) == (None, room.uuid)
    assert media_place(room, ALICE.user, Rules()) is None

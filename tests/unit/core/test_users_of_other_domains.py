"""Users of other domains in a public room: nobody is mistaken for anybody else."""

import pytest

from sfu_wrapper.core.effects import (
    Joined,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantMedia,
    RecordingStarted,
    RecordingStopped,
)
from sfu_wrapper.core.events import Requester
from sfu_wrapper.core.media_plane import PublishTrack, TracksCarried, UnpublishTrack
from sfu_wrapper.core.publisher_ids import publisher_id, track_of
from sfu_wrapper.core.room import Rules
from sfu_wrapper.model.identity import DomainId, Kind, UserId, UserKey, shown_user
from sfu_wrapper.model.media import Media, Medium, Stream, Track
from tests.helpers.rooms import BOB, HOME, Call, established

FAR_BOB = UserKey(DomainId("elsewhere"), BOB.user)
# A user at home may well have an id that looks like an address elsewhere.
LOOKALIKE = UserKey(HOME, UserId("bob@elsewhere"))
SHOWN = {BOB: "bob", FAR_BOB: "elsewhere/bob", LOOKALIKE: "bob@elsewhere"}
REAL = Rules(authoritative_media=frozenset(Medium))


def test_only_a_user_of_another_domain_is_shown_with_it() -> None:
    assert {user: shown_user(user, HOME) for user in SHOWN} == SHOWN
    assert shown_user(BOB, FAR_BOB.domain) == "example/bob"


def test_people_of_one_name_are_told_apart_in_what_everybody_hears() -> None:
    call = Call(Kind.PUBLIC)
    for user in SHOWN:
        call.join(user)
        call.publish(user, Media(audio=True))
    for user in SHOWN:
        call.leave(user)

    told = (
        call.notes(ParticipantJoined),
        call.notes(ParticipantMedia),
        call.notes(ParticipantLeft),
    )
    for notes in told:
        assert [note.user for note in notes] == list(SHOWN.values())


def test_their_tracks_are_those_of_two_people() -> None:
    call = Call(Kind.PUBLIC)
    for user in (BOB, FAR_BOB):
        call.join(user, Media(video=True))
    assert [track.user for track in call.room.tracks] == ["bob", "elsewhere/bob"]

    call.leave(FAR_BOB)
    published = [request.track.user for request in call.asked(PublishTrack)]
    assert published == ["bob", "elsewhere/bob"]
    assert [request.track.user for request in call.asked(UnpublishTrack)] == ["elsewhere/bob"]


def test_what_a_real_plane_says_of_one_counts_for_no_other() -> None:
    call = Call(Kind.PUBLIC, rules=REAL)
    for user in (BOB, FAR_BOB):
        call.join(user)
    camera = Track(UserId("elsewhere/bob"), Stream.CAMERA)
    call.fact(TracksCarried(call.room.uuid, Medium.VIDEO, (camera,)))

    shown = {each.key: each.media for each in call.room.participants}
    assert shown == {BOB: Media(), FAR_BOB: Media(video=True)}


def test_they_publish_under_two_ids_that_can_be_read_back() -> None:
    call = Call(Kind.PUBLIC, rules=REAL)
    places = []
    for user in SHOWN:
        answer = call.answer(call.join(user))
        assert isinstance(answer, Joined)
        assert answer.place is not None
        places.append(answer.place)

    ids = [place.publisher_id for place in places]
    assert ids == ["p-bob", "p-elsewhere=bob", "p-bob@elsewhere"]
    read = [track_of(f"{each}~1a2b3c4d", Medium.AUDIO) for each in ids]
    assert [track.user for track in read if track] == list(SHOWN.values())
    assert "/" not in publisher_id(Track(UserId("elsewhere/bob"), Stream.SCREEN))


@pytest.mark.parametrize("publisher", ["p-=bob", "p-a=", "p-a=b=c", "p-a/b", "p-a=b~", "p-a=b~é"])
def test_an_id_of_another_kind_is_nobodys(publisher: str) -> None:
    assert track_of(publisher, Medium.VIDEO) is None


def test_a_room_service_of_another_domain_is_shown_with_it() -> None:
    far_service = Requester(UserKey(DomainId("elsewhere"), BOB.user), service=True)
    call = established()
    call.start(by=far_service)
    call.confirm()
    call.stop(by=far_service)
    call.close()

    (started,), (stopped,) = call.notes(RecordingStarted), call.notes(RecordingStopped)
    assert started.segment.by == "elsewhere/bob"
    assert stopped.segment.stopped_by == "elsewhere/bob"

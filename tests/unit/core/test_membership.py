"""The life of a room (policy.md): who joins, what it publishes, when it begins and ends."""

import pytest

from sfu_wrapper.core.effects import (
    Announce,
    Ended,
    Hangup,
    Invited,
    Joined,
    Left,
    MediaUpdated,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantMedia,
    RecordingStopped,
    RoomEnded,
    RoomEstablished,
)
from sfu_wrapper.core.lifecycle import Life
from sfu_wrapper.core.media_plane import (
    CloseMediaRoom,
    PublishTrack,
    StartCapture,
    TracksCarried,
    UnpublishTrack,
)
from sfu_wrapper.core.room import Rules
from sfu_wrapper.model.identity import EndReason, Kind, Origin, UserId, UserKey
from sfu_wrapper.model.media import Media, Medium, Stream, Track
from tests.helpers.rooms import (
    ALICE,
    BOB,
    CAROL,
    MANUAL,
    SERVICE,
    TALKING,
    Call,
    established,
    recording,
)


def meeting() -> Call:
    return Call(Kind.MEETING, policy=MANUAL)


# established


def test_nobody_is_in_a_room_that_was_just_created() -> None:
    assert Call().room.participants == ()
    assert Call().room.life is Life.WAITING


def test_a_direct_call_is_established_when_the_callee_answers() -> None:
    call = Call()
    call.join(ALICE)
    assert call.notes(RoomEstablished) == []
    call.join(BOB)

    assert call.room.life is Life.ESTABLISHED
    assert [note.at_ms for note in call.notes(RoomEstablished)] == [call.wall_ms]


def test_a_direct_call_without_its_owner_waits_for_it() -> None:
    call = Call()
    call.join(BOB)
    call.join(CAROL)
    assert call.notes(RoomEstablished) == []
    call.join(ALICE)

    assert call.room.life is Life.ESTABLISHED


@pytest.mark.parametrize("kind", [Kind.MEETING, Kind.PUBLIC])
def test_a_meeting_and_a_public_room_are_established_by_the_first(kind: Kind) -> None:
    call = Call(kind)
    call.join(BOB)

    assert call.room.life is Life.ESTABLISHED


def test_it_is_established_once() -> None:
    call = established()
    call.join(CAROL)

    assert len(call.notes(RoomEstablished)) == 1


def test_a_late_joiner_is_shown_the_recording() -> None:
    call = recording()
    answer = call.answer(call.join(CAROL))

    assert isinstance(answer, Joined)
    assert answer.room.segments[0].number == 1


# participation


def test_a_user_counts_once_however_many_devices() -> None:
    call = established()
    call.forget()
    ref = call.join(ALICE)

    assert isinstance(call.answer(ref), Joined)
    assert [each.key for each in call.room.participants] == [ALICE, BOB]
    assert call.notes(ParticipantJoined) == []


def test_who_joins_again_publishes_what_it_says_or_what_it_did() -> None:
    call = established()
    call.publish(ALICE, TALKING)
    call.join(ALICE)
    kept = call.room.participants[0].media
    call.join(ALICE, Media(video=True))

    assert (kept, call.room.participants[0].media) == (TALKING, Media(video=True))


def test_joining_tells_the_plane_and_the_others() -> None:
    call = established()
    call.forget()
    call.join(CAROL, Media(audio=True, video=True))

    carol = CAROL.user
    assert [request.track for request in call.asked(PublishTrack)] == [
        Track(carol, Stream.AUDIO),
        Track(carol, Stream.CAMERA),
    ]
    assert [note.user for note in call.notes(ParticipantJoined)] == [carol]


def test_a_change_of_media_tells_the_plane_only_what_changed() -> None:
    call = established()
    call.publish(BOB, Media(audio=True, video=True))
    call.forget()
    ref = call.publish(BOB, Media(audio=True, screen=True))

    bob = BOB.user
    assert [each.track for each in call.asked(UnpublishTrack)] == [Track(bob, Stream.CAMERA)]
    assert [each.track for each in call.asked(PublishTrack)] == [Track(bob, Stream.SCREEN)]
    assert [note.media for note in call.notes(ParticipantMedia)] == [Media(audio=True, screen=True)]
    assert call.answer(ref) == MediaUpdated(call.room.id, Media(audio=True, screen=True))


def test_the_same_media_again_is_answered_and_told_to_nobody() -> None:
    call = established()
    call.publish(BOB, TALKING)
    call.forget()
    ref = call.publish(BOB, TALKING)

    assert isinstance(call.answer(ref), MediaUpdated)
    assert call.notes(ParticipantMedia) == []


def test_who_leaves_is_published_no_more_and_the_others_hear_of_it() -> None:
    call = established()
    call.join(CAROL, TALKING)
    call.forget()
    ref = call.leave(CAROL)

    assert call.answer(ref) == Left(call.room.id)
    assert [each.track.user for each in call.asked(UnpublishTrack)] == [CAROL.user]
    assert [note.user for note in call.notes(ParticipantLeft)] == [CAROL.user]
    assert call.room.life is Life.ESTABLISHED


def test_stays_of_a_segment_are_those_of_its_participants() -> None:
    call = recording()
    begun_ms = call.wall_ms
    call.clock(2_000)
    call.join(CAROL)
    call.clock(3_000)
    call.leave(CAROL)
    call.clock(1_000)
    call.join(CAROL)
    call.clock(1_000)
    call.stop()
    call.close()

    stays = [
        (stay.user, stay.joined_ms - begun_ms, stay.left_ms - begun_ms)
        for stay in call.infos[0].presences
    ]
    assert stays == [
        ("alice", 0, 7_000),
        ("bob", 0, 7_000),
        ("carol", 2_000, 5_000),
        ("carol", 6_000, 7_000),
    ]


# the end


def test_who_was_there_at_the_end_hears_of_the_end_of_the_recording_too() -> None:
    call = recording()
    call.join(CAROL)
    call.forget()
    call.end()
    call.close()

    assert call.audience(RecordingStopped) == [{ALICE, BOB, CAROL, SERVICE.key}]


def test_the_last_but_one_to_leave_a_direct_call_hangs_up_the_last() -> None:
    call = established()
    call.forget()
    call.leave(ALICE)

    assert call.room.end_reason is EndReason.HANGUP
    assert [note.user for note in call.notes(Hangup)] == [BOB.user]
    assert call.audience(Hangup) == [{BOB}]
    assert call.audience(RoomEnded) == [{ALICE, BOB, SERVICE.key}]
    assert call.room.participants == ()


def test_a_call_of_three_goes_on_without_its_owner() -> None:
    call = established()
    call.join(CAROL)
    call.leave(ALICE)

    assert call.room.life is Life.ESTABLISHED


def test_a_caller_who_leaves_before_the_answer_cancels() -> None:
    call = Call()
    call.join(ALICE)
    call.leave(ALICE)

    assert call.room.end_reason is EndReason.CANCELLED


def test_a_callee_who_leaves_before_the_owner_came_does_not_end_the_call() -> None:
    call = Call()
    call.join(BOB)
    call.leave(BOB)

    assert call.room.life is Life.WAITING


def test_a_meeting_ends_with_the_last_to_leave() -> None:
    call = meeting()
    call.join(BOB)
    call.join(CAROL)
    call.leave(BOB)
    assert call.notes(RoomEnded) == []
    call.leave(CAROL)

    assert call.room.end_reason is EndReason.LAST_LEFT


@pytest.mark.parametrize("by", [ALICE, SERVICE])
def test_the_owner_and_the_service_end_a_room(by: object) -> None:
    call = established()
    ref = call.end(by)  # type: ignore[arg-type]  # a user or a requester

    answer = call.answer(ref)
    assert isinstance(answer, Ended)
    assert answer.room.life is Life.ENDED
    assert call.room.end_reason is EndReason.ENDED
    assert len(call.asked(CloseMediaRoom)) == 1


def test_a_room_that_nobody_answered_can_be_ended_too() -> None:
    call = Call()
    call.end(SERVICE)

    assert call.room.end_reason is EndReason.ENDED


def test_an_end_is_told_to_clients_and_to_the_broker() -> None:
    call = established()
    call.end()

    announced = [each.announcement for each in call.effects if isinstance(each, Announce)]
    assert announced == call.notes(RoomEnded)
    assert call.room.ended_ms == call.wall_ms


def test_the_media_room_is_closed_only_after_the_segment() -> None:
    call = recording()
    call.end()
    assert call.asked(CloseMediaRoom) == []
    call.close()

    assert len(call.asked(CloseMediaRoom)) == 1
    assert call.room.fully_closed


# who is invited


def test_more_users_are_invited() -> None:
    call = Call(invited=(BOB.user,))
    ref = call.invite("carol", "bob")

    assert call.answer(ref) == Invited(call.room.id, (BOB.user, CAROL.user))
    assert call.room.invited == (BOB.user, CAROL.user)


def test_an_invitation_does_not_close_a_room_that_is_open_to_its_domain() -> None:
    call = Call()
    ref = call.invite("carol")

    assert call.answer(ref) == Invited(call.room.id, (UserId("carol"),))
    assert call.room.invited is None


# pstn


def incoming() -> Call:
    """The phone leg is the owner, joined by the service."""
    call = Call(origin=Origin.PSTN, policy=MANUAL)
    call.join(ALICE, by=SERVICE)
    call.join(BOB)
    return call


def test_an_incoming_call_stays_one_when_the_phone_leg_leaves_first() -> None:
    call = incoming()
    call.join(CAROL)
    call.leave(ALICE, by=SERVICE)

    assert call.room.life is Life.ESTABLISHED
    assert call.room.origin is Origin.PSTN


# a real SFU or mixer knows by itself who publishes what


def real_sfu() -> Call:
    return established(rules=Rules(authoritative_media=frozenset({Medium.VIDEO})))


def carried(call: Call, *tracks: Track, medium: Medium = Medium.VIDEO) -> None:
    call.fact(TracksCarried(call.room.uuid, medium, tracks))


def camera(user: UserId) -> Track:
    return Track(user, Stream.CAMERA)


def media_of(call: Call, user: UserKey) -> Media:
    participant = call.room.participants.get(user)
    assert participant is not None
    return participant.media


def test_what_the_sfu_carries_is_what_is_shown() -> None:
    call = real_sfu()
    call.forget()
    carried(call, camera(ALICE.user), Track(ALICE.user, Stream.SCREEN), camera(BOB.user))

    assert media_of(call, ALICE) == Media(video=True, screen=True)
    assert call.notes(ParticipantMedia) == [
        ParticipantMedia(call.room.id, ALICE.user, Media(video=True, screen=True)),
        ParticipantMedia(call.room.id, BOB.user, Media(video=True)),
    ]


def test_the_sfu_wins_over_what_a_client_says() -> None:
    call = real_sfu()
    carried(call, camera(ALICE.user))
    ref = call.publish(ALICE, Media(audio=True, screen=True))

    assert call.answer(ref) == MediaUpdated(call.room.id, Media(audio=True, video=True))
    assert media_of(call, ALICE) == Media(audio=True, video=True)


def test_a_client_says_what_the_sfu_does_not_know() -> None:
    call = real_sfu()
    call.publish(ALICE, Media(audio=True))
    carried(call)

    assert media_of(call, ALICE) == Media(audio=True)


def test_what_is_published_before_its_user_joins_counts_from_the_join_on() -> None:
    call = real_sfu()
    carried(call, camera(CAROL.user))
    call.join(CAROL, Media(screen=True))

    assert media_of(call, CAROL) == Media(video=True)


def test_what_the_sfu_says_again_is_told_to_nobody() -> None:
    call = real_sfu()
    carried(call, camera(ALICE.user))
    call.forget()
    carried(call, camera(ALICE.user))

    assert call.effects == []


def test_each_medium_has_a_word_of_its_own() -> None:
    call = established(rules=Rules(authoritative_media=frozenset(Medium)))
    carried(call, Track(ALICE.user, Stream.AUDIO), medium=Medium.AUDIO)
    carried(call, camera(ALICE.user))
    carried(call, medium=Medium.AUDIO)

    assert media_of(call, ALICE) == Media(video=True)


def test_a_plane_that_knows_by_itself_is_not_told_of_tracks() -> None:
    call = real_sfu()
    call.forget()
    carried(call, camera(ALICE.user))
    call.publish(BOB, Media(audio=True, video=True))
    call.leave(ALICE)

    told = call.asked(PublishTrack) + call.asked(UnpublishTrack)
    assert [each.track.stream for each in told] == [Stream.AUDIO]


def test_a_capture_is_asked_with_what_the_sfu_carries() -> None:
    call = real_sfu()
    carried(call, camera(BOB.user))
    call.start()

    assert {request.tracks for request in call.asked(StartCapture)} == {(camera(BOB.user),)}


def test_a_participant_who_joins_is_notified_where_to_publish() -> None:
    call = real_sfu()
    answer = call.answer(call.join(CAROL))

    assert isinstance(answer, Joined)
    assert answer.place is not None
    assert answer.place.publisher_id == "p-carol"

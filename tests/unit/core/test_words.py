"""What people and peers are told, word for word: refusals with their facts, notes, requests."""

from collections.abc import Callable

import pytest

from sfu_wrapper.core.access import (
    Subject,
    permission_not_found,
    require_may_read_effective,
    require_may_write,
    require_may_write_own,
)
from sfu_wrapper.core.effects import (
    Hangup,
    ParticipantLeft,
    ParticipantMedia,
    RecordingFailed,
    Refusal,
    RoomEnded,
    Stopped,
)
from sfu_wrapper.core.job import as_failure, no_result
from sfu_wrapper.core.media_plane import CloseMediaRoom, PublishTrack, UnpublishTrack
from sfu_wrapper.model.errors import JobFailed, Refused, Unavailable
from sfu_wrapper.model.identity import EndReason, Identity, Kind, Origin, Role, UserKey
from sfu_wrapper.model.media import Media, Stream, Track
from tests.helpers.rooms import (
    ADMIN,
    ALICE,
    AUDIO,
    BOB,
    CAROL,
    FORBIDDEN,
    HOME,
    SERVICE,
    STRANGER,
    TALKING,
    VIDEO,
    Call,
    automatic,
    established,
    recording,
)

Asking = Callable[[], object]
ROOM = (("room", "room-1"),)


def ended() -> Call:
    call = established()
    call.end()
    return call


def incoming() -> Call:
    call = Call(origin=Origin.PSTN)
    call.join(BOB)
    return call


def waiting() -> Call:
    call = Call()
    call.join(ALICE)
    return call


def meeting(**given: object) -> Call:
    call = Call(Kind.MEETING, **given)  # type: ignore[arg-type]  # passed on as they are
    call.join(ALICE)
    call.join(BOB)
    return call


def public() -> Call:
    call = Call(Kind.PUBLIC)
    call.join(ALICE)
    return call


@pytest.mark.parametrize(
    ("ask", "detail", "context"),
    [
        (lambda: established().start(STRANGER), "room not found", ROOM),
        (lambda: established().join(STRANGER), "room not found", ROOM),
        (lambda: established().join(BOB, by=STRANGER), "room not found", ROOM),
        (lambda: ended().start(), "the room has ended", ROOM),
        (lambda: ended().join(BOB), "the room has ended", ROOM),
        (lambda: established().end(BOB), "only the owner may end this room", ROOM),
        (lambda: established().invite("x", by=BOB), "only the owner may invite others", ROOM),
        (
            lambda: established().join(CAROL, by=BOB),
            "only the room service may join another user",
            (),
        ),
        (
            lambda: Call(invited=(BOB.user,)).join(ADMIN.key, by=ADMIN),
            "you are not invited to this room",
            ROOM,
        ),
        (
            lambda: established().leave(BOB, by=ALICE),
            "only the room service may act for another user",
            (),
        ),
        (
            lambda: established().leave(CAROL, by=SERVICE),
            "that user does not take part in this room",
            ROOM,
        ),
        (lambda: established().start(ADMIN), "join the room first", ROOM),
        (lambda: public().start(), "public rooms are never recorded", ROOM),
        (
            lambda: incoming().start(BOB),
            "recording of calls from the telephone network is up to the system",
            ROOM,
        ),
        (lambda: established().start(BOB), "only the caller may record this call", ROOM),
        (lambda: meeting().start(BOB), "only the creator may record", ROOM),
        (
            lambda: established(permissions=FORBIDDEN).start(),
            "the owner's permissions do not allow recording",
            (*ROOM, ("reason", "PROFILE")),
        ),
        (lambda: waiting().start(), "the call is not established yet", ROOM),
        (
            lambda: recording().start(),
            "segment 1 of this room is being recorded",
            (*ROOM, ("segment", 1)),
        ),
        (lambda: recording().stop(BOB), "only the owner may stop a recording", ROOM),
        (lambda: established().stop(), "nothing is being recorded", ROOM),
    ],
)
def test_a_refusal_says_what_is_wrong_and_where(
    ask: Asking, detail: str, context: tuple[tuple[str, object], ...]
) -> None:
    with pytest.raises(Refused) as refused:
        ask()

    assert refused.value.detail == detail
    assert tuple(refused.value.context.items()) == context


def last_refusal(call: Call, ref: str) -> tuple[str, str, object]:
    """Code, detail and context of a request that was refused after it had waited."""
    answer = call.answer(ref)
    assert isinstance(answer, Refusal)
    return answer.code, answer.detail, answer.context


def test_a_start_that_the_plane_refuses_is_told_what_the_plane_said() -> None:
    call = established()
    ref = call.start()
    call.refuse(VIDEO, message="no disk")
    call.refuse(AUDIO, message="no bridge")
    said = "the media plane could not start the recording (video: no disk; audio: no bridge)"

    assert last_refusal(call, ref) == ("MEDIA_FAILED", said, (*ROOM, ("segment", 1)))
    (note,) = call.notes(RecordingFailed)
    assert (note.room, note.uuid, note.code, note.message) == (
        "room-1", "uuid-1", "MEDIA_FAILED", said,
    )  # fmt: skip


def test_a_start_that_is_not_answered_is_told_so() -> None:
    call = established()
    ref = call.start()
    call.wait(5_000)

    code, detail, _ = last_refusal(call, ref)
    assert code == "MEDIA_FAILED"
    assert detail == (
        "the media plane could not start the recording "
        "(video: no answer in time; audio: no answer in time)"
    )


def test_a_stop_of_what_never_ran_is_told_so() -> None:
    call = automatic()
    ref = call.stop()
    call.refuse()

    assert last_refusal(call, ref) == (
        "NOT_RECORDING", "the recording could not be started", (),
    )  # fmt: skip


def test_a_stop_of_what_is_only_wanted_says_that_it_will_not_start_again() -> None:
    call = automatic()
    call.refuse()
    ref = call.stop()

    assert last_refusal(call, ref) == (
        "NOT_RECORDING",
        "nothing is being recorded; it will not start again by itself",
        ROOM,
    )


def test_starts_that_wait_are_told_why_nothing_will_come_of_them() -> None:
    for happens, code, detail in (
        (Call.end, "ROOM_ENDED", "the room has ended"),
        (Call.terminate, "OVERLOADED", "the controller restarts; try again"),
    ):
        call = recording()
        call.stop()
        ref = call.start()  # after the stop
        happens(call)

        assert last_refusal(call, ref) == (code, detail, ROOM)


def test_a_stop_names_its_room() -> None:
    call = recording()
    ref = call.stop()
    call.close()
    answer = call.answer(ref)

    assert isinstance(answer, Stopped)
    assert answer.room == "room-1"


def test_notes_about_people_name_room_and_user() -> None:
    call = established()
    call.publish(BOB, TALKING)
    call.leave(BOB)

    assert call.notes(ParticipantMedia) == [ParticipantMedia(call.room.id, BOB.user, TALKING)]
    assert call.notes(ParticipantLeft) == [ParticipantLeft(call.room.id, BOB.user)]
    assert call.notes(Hangup) == [Hangup(call.room.id, ALICE.user)]
    over = RoomEnded(call.room.id, call.room.uuid, call.wall_ms, EndReason.HANGUP)
    assert call.notes(RoomEnded) == [over]


def test_nobody_is_hung_up_where_the_room_was_ended() -> None:
    assert ended().notes(Hangup) == []


def test_the_plane_is_told_of_which_room_whose_track() -> None:
    call = established()
    call.publish(BOB, Media(audio=True, video=True))
    call.publish(BOB, Media(audio=True))
    call.leave(BOB)
    video_file, voice = Track(BOB.user, Stream.CAMERA), Track(BOB.user, Stream.AUDIO)

    uuid = call.room.uuid
    assert set(call.asked(PublishTrack)) == {
        PublishTrack(uuid, video_file),
        PublishTrack(uuid, voice),
    }
    assert call.asked(UnpublishTrack) == [
        UnpublishTrack(uuid, video_file),
        UnpublishTrack(uuid, voice),
    ]
    assert call.asked(CloseMediaRoom) == [CloseMediaRoom(uuid)]


def person(*roles: Role) -> Identity:
    return Identity(HOME, ALICE.user, frozenset(roles))


@pytest.mark.parametrize(
    ("ask", "code", "detail"),
    [
        (
            lambda: require_may_write_own(person(Role.SERVICE), user_may_write=True),
            "FORBIDDEN",
            "only users have permissions of their own",
        ),
        (
            lambda: require_may_write_own(person(Role.USER), user_may_write=False),
            "FORBIDDEN",
            "users may not change permissions here; ask an administrator",
        ),
        (
            lambda: require_may_write(person(Role.USER), Subject(HOME)),
            "FORBIDDEN",
            'the token lacks the role "domain-admin"',
        ),
        (
            lambda: require_may_write(person(Role.DOMAIN_ADMIN), Subject(STRANGER.domain)),
            "NOT_FOUND",
            "permission not found",
        ),
        (
            lambda: require_may_read_effective(person(Role.DOMAIN_ADMIN), STRANGER),
            "NOT_FOUND",
            "permission not found",
        ),
    ],
)
def test_a_refused_permission_says_why(ask: Asking, code: str, detail: str) -> None:
    with pytest.raises(Refused) as refused:
        ask()

    assert (refused.value.code, refused.value.detail) == (code, detail)


def test_an_administrator_may_ask_about_everybody_of_its_domain() -> None:
    require_may_read_effective(person(Role.DOMAIN_ADMIN), UserKey(HOME, BOB.user))
    assert permission_not_found().detail == "permission not found"


def everything(failure: JobFailed) -> tuple[str, str, str, bool]:
    return failure.stage, failure.code, failure.detail, failure.permanent


def test_failures_of_a_job_name_stage_and_code() -> None:
    away = as_failure(Unavailable("the folder is away"))
    bug = as_failure(KeyError("x"))

    assert everything(away) == ("preprocess", "UNAVAILABLE", "the folder is away", False)
    assert everything(bug)[:2] == ("preprocess", "INTERNAL")
    assert everything(no_result(3))[:2] == ("event", "NO_RESULT")

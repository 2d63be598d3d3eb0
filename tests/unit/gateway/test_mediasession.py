"""Who is let in at ``/media``, what it may ask, and when it is cut off."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sfu_wrapper.adapters.memory.webrtc import SDP, MemoryBrowserMedia, MemoryLine
from sfu_wrapper.core.access import not_found
from sfu_wrapper.core.room import Room
from sfu_wrapper.gateway.client_link import ClientLink
from sfu_wrapper.gateway.send_queue import Close, Outgoing
from sfu_wrapper.gateway.session import MediaContext
from sfu_wrapper.gateway.webrtc_session import MediaSession
from sfu_wrapper.model.errors import Broken
from sfu_wrapper.model.identity import DomainId, Identity, Kind, Role, RoomId, UserId, UserKey
from sfu_wrapper.model.media import Stream, Track
from sfu_wrapper.model.webrtc import (
    FeedPublished,
    LineLost,
    LineRequest,
    MediaNews,
    MediaPlace,
    Mix,
    Outcome,
    Publish,
)
from sfu_wrapper.service.rooms.media_sessions import LEFT, REPLACED, MediaSessions
from tests.helpers.clocks import NOW_S, StandingClock
from tests.helpers.gatewayfakes import FakeRooms, gate, request, token
from tests.helpers.rooms import ALICE, BOB, FORBIDDEN, Call
from tests.helpers.sdp import AUDIO_SDP, VIDEO_SDP

ROOM = "room-1"


class World:
    """A call of alice and bob, and the connections for its media."""

    def __init__(self) -> None:
        self.call = Call(permissions=FORBIDDEN)
        self.call.join(ALICE)
        self.call.join(BOB)
        self.media = MemoryBrowserMedia()
        self.slots = MediaSessions(self.find)
        self.clock = StandingClock()
        door = MediaContext(self.media, self.slots)
        self.gate = replace(gate(FakeRooms(), self.clock), media=door)

    def find(self, _: UserKey, domain: DomainId, room_id: RoomId) -> Room:
        if (domain, room_id) != (self.call.room.domain, self.call.room.id):
            raise not_found(room_id)
        return self.call.room

    def changed(self) -> None:
        """The room has changed, and that is stored."""
        self.slots.room_changed(self.call.room)

    def browser(self, user: str | None = None, **claims: object) -> "Browser":
        """One that has connected and, where ``user`` is given, said who it is."""
        found = Browser(self)
        if user is not None:
            assert found.say("authenticate", token=token(sub=user, **claims)) == {}
        return found

    def inside(self, user: str) -> "Browser":
        """One that is in the room."""
        found = self.browser(user)
        assert found.say("enter", room=ROOM) == {"room": ROOM, "user": user}
        return found


class Browser:
    """One connection."""

    def __init__(self, world: World, identity: Identity | None = None) -> None:
        self.sent: list[Outgoing] = []
        self.link = ClientLink(world.gate, identity, self.flush, MediaSession)
        self.sent += self.link.open()

    def flush(self) -> None:
        self.sent += self.link.take()

    def say(self, endpoint: str, **payload: object) -> object:
        """Ask; the answer that came at once, or the code of a refusal."""
        before = len(self.sent)
        self.sent += self.link.feed((request(endpoint, "r1", **payload),))
        return answer_in(self.sent[before:])

    async def request(self, endpoint: str, **payload: object) -> object:
        """Ask; the answer, which may come later."""
        before = len(self.sent)
        self.say(endpoint, **payload)
        await asyncio.sleep(0)
        return answer_in(self.sent[before:])

    @property
    def closed(self) -> Close | None:
        """How the connection was ended, if it was."""
        return next((each for each in self.sent if isinstance(each, Close)), None)

    def events(self) -> list[tuple[str, Any]]:
        """What was told."""
        frames = [json.loads(each) for each in self.sent if not isinstance(each, Close)]
        bodies = [frame["payload"] for frame in frames if frame["type"] == "event"]
        return [(body["event"], body["payload"]) for body in bodies]


def answer_in(frames: list[Outgoing]) -> object:
    bodies = [json.loads(frame)["payload"] for frame in frames if not isinstance(frame, Close)]
    for body in bodies:
        if "status" in body:
            return body["payload"] if body["status"] == "ok" else body["error"]["code"]
    return None


@pytest.fixture
def world() -> World:
    return World()


async def test_a_participant_is_admitted_and_answered(world: World) -> None:
    alice = world.inside("alice")

    assert await alice.request("publish", stream="camera", sdp=VIDEO_SDP) == {"sdp": SDP}
    assert await alice.request("mix", sdp=AUDIO_SDP) == {"sdp": SDP}
    assert await alice.request("candidate", stream="audio") == {}
    assert world.media.lines[0].place.user == ALICE
    assert world.media.lines[0].place.room == world.call.room.uuid
    assert world.media.lines[0].requests[:2] == [Publish(Stream.CAMERA, VIDEO_SDP), Mix(AUDIO_SDP)]


async def test_a_token_in_the_handshake_counts_as_well(world: World) -> None:
    browser = Browser(world, Identity(ALICE.domain, ALICE.user, frozenset({Role.USER})))

    assert browser.say("enter", room=ROOM) == {"room": ROOM, "user": "alice"}


@pytest.mark.parametrize("room", [ROOM, "nowhere"])
async def test_a_user_who_is_no_participant_learns_of_no_room(world: World, room: str) -> None:
    carol = world.browser("carol")

    assert carol.say("enter", room=room) == "ROOM_NOT_FOUND"
    assert world.media.lines == []


async def test_a_namesake_of_another_domain_is_somebody_else(world: World) -> None:
    assert world.browser("alice", domain="elsewhere").say("enter", room=ROOM) == "ROOM_NOT_FOUND"


async def test_the_room_service_has_no_media_unless_it_takes_part(world: World) -> None:
    service = world.browser("room-service", roles=["service"])

    assert service.say("enter", room=ROOM) == "ROOM_NOT_FOUND"
    assert not service.link.trusted


async def test_nothing_is_done_before_it_is_known_who_asks_and_where(world: World) -> None:
    assert world.browser().say("enter", room=ROOM) == "UNAUTHENTICATED"
    assert world.browser().say("mix", sdp=AUDIO_SDP) == "NOT_IN_ROOM"
    assert world.browser("alice").say("mix", sdp=AUDIO_SDP) == "NOT_IN_ROOM"
    assert world.browser().say("authenticate", token="x") == "UNAUTHENTICATED"


async def test_a_token_that_has_expired_opens_nothing_and_ends_nothing(world: World) -> None:
    soon = {"exp": NOW_S + 60}
    early, late = world.browser("alice", **soon), world.browser("bob", **soon)
    early.say("enter", room=ROOM)

    world.clock.pass_s(61)

    assert late.say("enter", room=ROOM) == "UNAUTHENTICATED"
    assert await early.request("mix", sdp=AUDIO_SDP) == {"sdp": SDP}


async def test_a_minute_after_its_token_the_media_connection_ends(world: World) -> None:
    alice = world.browser("alice", exp=NOW_S + 60)
    alice.say("enter", room=ROOM)
    world.clock.pass_s(119)
    assert alice.link.tick() == []
    assert alice.link.due_ms == 120_000
    world.clock.pass_s(1)

    assert alice.link.tick() == [Close(1008, "token expired")]


async def test_a_new_token_keeps_the_media_connection(world: World) -> None:
    alice = world.browser("alice", exp=NOW_S + 60)
    alice.say("enter", room=ROOM)
    world.clock.pass_s(100)

    assert alice.say("authenticate", token=token(exp=NOW_S + 3600)) == {}
    world.clock.pass_s(100)
    assert alice.link.tick() == []
    assert await alice.request("mix", sdp=AUDIO_SDP) == {"sdp": SDP}


async def test_a_connection_stays_who_it_is_and_where_it_is(world: World) -> None:
    alice = world.inside("alice")

    assert alice.say("authenticate", token=token(sub="bob")) == "BAD_REQUEST"
    assert alice.say("authenticate", token=token(sub="alice")) == {}
    assert alice.say("enter", room=ROOM) == "BAD_REQUEST"


async def test_a_participant_who_leaves_the_room_is_disconnected(world: World) -> None:
    alice, bob = world.inside("alice"), world.inside("bob")
    world.call.leave(BOB)
    world.changed()

    assert bob.closed == Close(1008, LEFT)
    assert alice.closed == Close(1008, LEFT)  # a direct call ends with it
    assert world.media.lines == []


async def test_a_change_that_concerns_nobody_cuts_nobody_off(world: World) -> None:
    alice = world.inside("alice")
    world.changed()

    assert alice.closed is None


async def test_a_second_window_takes_over(world: World) -> None:
    first, second = world.inside("alice"), world.inside("alice")

    assert first.closed == Close(1008, REPLACED)
    assert await second.request("mix", sdp=AUDIO_SDP) == {"sdp": SDP}
    first.link.close()
    world.call.leave(ALICE)
    world.changed()
    assert second.closed == Close(1008, LEFT)


async def test_a_lost_connection_frees_everything(world: World) -> None:
    alice = world.inside("alice")
    alice.link.close()
    alice.link.close()
    assert world.media.lines == []

    again = world.inside("alice")
    assert alice.closed is None  # nothing was left that the second window could replace
    world.call.leave(ALICE)
    world.changed()
    assert (alice.closed, again.closed) == (None, Close(1008, LEFT))


async def test_where_the_media_server_is_away_one_may_try_again(world: World) -> None:
    world.media.available = False
    alice = world.browser("alice")

    assert alice.say("enter", room=ROOM) == "OVERLOADED"
    world.media.available = True
    assert alice.say("enter", room=ROOM) == {"room": ROOM, "user": "alice"}


async def test_a_media_server_that_is_lost_asks_to_come_back(world: World) -> None:
    alice = world.inside("alice")
    world.media.lose()

    assert alice.closed == Close(1012, "the media server is unavailable")


async def test_others_are_told_of_and_an_own_connection_that_is_lost(world: World) -> None:
    alice, bob = world.inside("alice"), world.inside("bob")
    await alice.request("publish", stream="camera", sdp=VIDEO_SDP)
    await alice.request("unpublish", stream="camera")
    world.media.lines[1].report(LineLost(Track(UserId("bob"), Stream.AUDIO)))
    await asyncio.sleep(0)

    feed = {"user": "alice", "stream": "camera"}
    assert sorted(bob.events()) == [
        ("feedPublished", feed),
        ("feedUnpublished", feed),
        ("lineLost", {"stream": "audio"}),
    ]


async def test_what_cannot_be_had_is_refused(world: World) -> None:
    alice = world.inside("alice")

    assert await alice.request("subscribe", user="bob", stream="camera") == "NOT_FOUND"


async def test_unreadable_requests_are_answered_and_count(world: World) -> None:
    alice = world.inside("alice")

    assert alice.say("enable_recording", record=True) == "UNKNOWN_ENDPOINT"
    codes = [alice.say("startRoomRecording") for _ in range(250)]
    assert set(codes) == {"UNKNOWN_ENDPOINT", "RATE_LIMITED"}
    assert alice.say("mix", sdp=AUDIO_SDP) == "RATE_LIMITED"
    world.clock.pass_s(1)
    assert await alice.request("mix", sdp=AUDIO_SDP) == {"sdp": SDP}


async def test_a_connection_that_does_not_authenticate_in_time_is_closed(world: World) -> None:
    browser = world.browser("alice")
    assert browser.link.due_ms == 5000
    world.clock.pass_s(5)

    assert browser.link.tick() == [Close(1008, "authentication timeout")]


async def test_a_bug_costs_one_answer(world: World, caplog: pytest.LogCaptureFixture) -> None:
    alice = world.inside("alice")

    def broken(request: LineRequest, done: Callable[[Outcome], None]) -> None:
        raise ZeroDivisionError

    line = world.media.lines[0]
    assert isinstance(line, MemoryLine)
    line.request = broken  # type: ignore[method-assign]

    assert alice.say("mix", sdp=AUDIO_SDP) == "INTERNAL"
    assert "gateway.requestFailed" in caplog.messages


def test_without_media_there_is_no_session() -> None:
    with pytest.raises(Broken):
        MediaSession(gate(FakeRooms(), StandingClock()), lambda _: None)


def test_a_seat_that_was_left_is_free_again(world: World) -> None:
    cut: list[str] = []
    slot = world.slots.take(ALICE, ALICE.domain, RoomId(ROOM), cut.append)
    world.slots.leave(slot)
    world.slots.leave(slot)
    newer: list[str] = []
    world.slots.take(ALICE, ALICE.domain, RoomId(ROOM), newer.append)
    world.slots.leave(slot)  # frees no seat that another window has taken since

    world.call.leave(ALICE)
    world.changed()
    assert (cut, newer) == ([], [LEFT])


def test_a_seat_that_is_given_up_takes_no_other_one_of_its_room_along(world: World) -> None:
    cut: list[str] = []
    alice = world.slots.take(ALICE, ALICE.domain, RoomId(ROOM), lambda _: None)
    world.slots.take(BOB, BOB.domain, RoomId(ROOM), cut.append)
    world.slots.leave(alice)

    world.call.leave(BOB)
    world.changed()
    assert cut == [LEFT]


def test_a_seat_is_lost_once_and_nothing_of_it_is_kept(world: World) -> None:
    cut: list[str] = []
    for user in (ALICE, BOB):
        world.slots.take(user, user.domain, RoomId(ROOM), cut.append)
    world.call.leave(ALICE)  # which ends the direct call
    world.changed()
    world.changed()

    assert cut == [LEFT, LEFT]
    assert world.slots._taken == {}


async def test_before_it_is_known_who_asks_a_message_is_small_and_simple(world: World) -> None:
    stranger, alice = world.browser(), world.browser("alice")

    assert stranger.link.max_bytes < alice.link.max_bytes
    assert stranger.say("enter", room=ROOM, more=[[[]] * 20] * 20) == "UNAUTHENTICATED"
    assert alice.say("enter", room=ROOM, more=[[[]] * 20] * 20) != "UNAUTHENTICATED"


async def test_an_unknown_endpoint_is_named_before_anything_else_is_checked(world: World) -> None:
    assert world.browser().say("enable_recording", record=True) == "UNKNOWN_ENDPOINT"


async def test_nothing_is_sent_to_and_kept_of_a_connection_that_is_lost(world: World) -> None:
    frames: list[Outgoing] = []
    session = MediaSession(world.gate, frames.append)
    session.receive(request("authenticate", "r1", token=token(sub="alice")))
    session.receive(request("enter", "r2", room=ROOM))
    session.receive(request("mix", "r3", sdp=AUDIO_SDP))
    answered = len(frames)
    session.close()
    await asyncio.sleep(0)

    assert len(frames) == answered  # the outcome of the mix came too late
    assert world.media.lines == []
    assert world.slots._taken == {}
    assert not session.admitted


async def test_news_that_come_before_the_room_is_entered_are_not_sent(world: World) -> None:
    class Hasty(MemoryBrowserMedia):
        """A media plane that reports before it has returned the line."""

        def open(self, place: MediaPlace, report: Callable[[MediaNews], None]) -> MemoryLine:
            report(FeedPublished(Track(UserId("bob"), Stream.CAMERA)))
            return super().open(place, report)

    world.gate = replace(world.gate, media=MediaContext(Hasty(), world.slots))

    assert world.inside("alice").events() == []


async def test_a_user_of_another_domain_names_the_domain_of_the_room(world: World) -> None:
    eve = UserKey(DomainId("elsewhere"), UserId("eve"))
    world.call = Call(permissions=FORBIDDEN, kind=Kind.PUBLIC)
    world.call.join(eve)
    browser = world.browser("eve", domain="elsewhere")

    assert browser.say("enter", room=ROOM) == "ROOM_NOT_FOUND"
    answer = browser.say("enter", room=ROOM, domain=str(world.call.room.domain))
    assert answer == {"room": ROOM, "user": "elsewhere/eve"}

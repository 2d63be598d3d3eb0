"""Who is told what in which order (protocol.md, "Events"), over WebSockets."""

import pytest

from sfu_wrapper.adapters.memory.plane import Behaviour, MemoryPlane
from sfu_wrapper.model.media import Medium
from tests.helpers.calls import ALWAYS, Call, call, events_of
from tests.helpers.live import DOMAIN, Json, Live, Peer, live
from tests.helpers.wait import until

ROOM = {"room": "call"}
WHOLE_CALL = [
    "participantJoined alice",
    "participantJoined bob",
    "roomEstablished",
    "roomRecordingStarted 1",
    "participantMedia bob",
    "roomRecordingStopped 1",
    "roomRecordingStarted 2",
    "participantJoined carol",
    "participantLeft carol",
    "participantLeft bob",
    "roomEnded",
    "roomRecordingStopped 2",
]
"""The events of ``whole_call``, in the order in which everybody who hears all of them does."""


def heard(peer: Peer) -> list[str]:
    """The events so far, each with whom or which segment it is about."""
    found = []
    for frame in peer.received:
        if frame["type"] == "event":
            payload: Json = frame["payload"]["payload"]
            about = payload.get("user", payload.get("segment", ""))
            found.append(f"{frame['payload']['event']} {about}".strip())
    return found


def sequence(peer: Peer) -> list[str]:
    """Responses (by endpoint) and events (by name) in the order in which they came."""
    return [
        frame["payload"].get("endpoint") or frame["payload"]["event"] for frame in peer.received
    ]


async def whole_call(controller: Live, service: Peer, alice: Peer, bob: Peer) -> None:
    """A call that is recorded by itself, stopped and started by hand, and hung up."""
    await controller.permit("alice", ALWAYS)
    await service.ok("createRoom", {"id": "call", "owner": "alice", "domain": DOMAIN})
    await alice.ok("joinRoom", ROOM)
    await bob.ok("joinRoom", ROOM)
    await alice.event("roomRecordingStarted")
    await bob.ok("updateMedia", ROOM | {"media": {"screen": True}})
    await alice.ok("stopRoomRecording", ROOM)
    await alice.ok("startRoomRecording", ROOM)
    carol = await controller.client("carol")
    await carol.ok("joinRoom", ROOM)
    await carol.ok("leaveRoom", ROOM)
    await bob.ok("leaveRoom", ROOM)


async def test_everybody_hears_the_events_of_a_room_in_one_order() -> None:
    async with live() as controller:
        service, second_service = await controller.service(), await controller.service()
        alice, device = await controller.client("alice"), await controller.client("alice")
        bob = await controller.client("bob")
        await whole_call(controller, service, alice, bob)
        for peer in (service, second_service):
            await until_heard(peer, WHOLE_CALL[-1])
            assert heard(peer) == WHOLE_CALL
        for peer in (alice, device):
            await until_heard(peer, WHOLE_CALL[-1])
            assert [each for each in heard(peer) if each != "hangup alice"] == WHOLE_CALL
            assert heard(peer).count("hangup alice") == 1
        assert heard(bob) == WHOLE_CALL[1:10], "from its coming to its going"


async def test_those_behind_one_gateway_hear_what_others_hear() -> None:
    async with live() as controller:
        gateway = await controller.gateway()
        alice, device = [await gateway.client("alice") for _ in range(2)]
        bob = await gateway.client("bob")
        await bob.ok("ping")
        await whole_call(controller, await controller.service(), alice, bob)
        for peer in (alice, device):
            await until_heard(peer, WHOLE_CALL[-1])
            assert [each for each in heard(peer) if each != "hangup alice"] == WHOLE_CALL
        assert heard(bob) == WHOLE_CALL[1:10]


async def test_a_response_precedes_the_events_that_it_causes() -> None:
    async with live() as controller:
        await controller.permit("alice", ALWAYS)
        alice, bob = await controller.client("alice"), await controller.client("bob")
        await alice.ok("createRoom", {"id": "call"})
        await alice.ok("joinRoom", ROOM)
        await bob.ok("joinRoom", ROOM)
        await bob.event("roomRecordingStarted")
        await alice.ok("updateMedia", ROOM | {"media": {"audio": True}})
        await alice.ok("stopRoomRecording", ROOM)
        await alice.ok("startRoomRecording", ROOM)
        await alice.ok("endRoom", ROOM)
        await until_heard(alice, "roomRecordingStopped 2")
        assert sequence(alice) == [
            "createRoom",
            "joinRoom",
            "participantJoined",
            "participantJoined",
            "roomEstablished",
            "roomRecordingStarted",
            "updateMedia",
            "participantMedia",
            "stopRoomRecording",
            "roomRecordingStopped",
            "startRoomRecording",
            "roomRecordingStarted",
            "endRoom",
            "roomEnded",
            "roomRecordingStopped",
        ]
        assert sequence(bob)[:4] == [
            "joinRoom",
            "participantJoined",
            "roomEstablished",
            "roomRecordingStarted",
        ]


async def test_a_refused_start_is_answered_before_everybody_is_told() -> None:
    plane = MemoryPlane()
    async with live(plane=plane) as controller:
        talk = await call(controller)
        for medium in Medium:
            plane.behave(medium, "start", Behaviour.REFUSE)
        assert (await talk.start())["error"]["code"] == "MEDIA_FAILED"
        failed = await talk.owner.event("roomRecordingFailed")
        assert sequence(talk.owner)[-2:] == ["startRoomRecording", "roomRecordingFailed"]
        assert failed == await talk.other.event("roomRecordingFailed")
        assert (failed["code"], failed["final"]) == ("MEDIA_FAILED", True)


async def test_a_late_joiner_is_told_that_it_is_being_recorded() -> None:
    async with live() as controller:
        talk = await call(controller)
        started = await talk.started()
        carol = await controller.client("carol")
        recording = (await carol.ok("joinRoom", ROOM))["recording"]
        assert recording["active"] is True
        assert recording["segment"] == started["segment"]
        assert recording["startedAt"] == started["startedAt"]

        await talk.stopped()
        dave = await controller.client("dave")
        recording = (await dave.ok("joinRoom", ROOM))["recording"]
        assert recording["active"] is False
        assert "segment" not in recording


async def test_the_owner_hears_of_a_call_that_it_has_not_joined() -> None:
    async with live() as controller:
        service = await controller.service()
        alice, bob = await controller.client("alice"), await controller.client("bob")
        asked = {"id": "call", "kind": "meeting", "owner": "alice", "domain": DOMAIN}
        await service.ok("createRoom", asked)
        await bob.ok("joinRoom", ROOM)
        await service.ok("endRoom", ROOM)
        await alice.event("roomEnded")
        assert heard(alice) == ["participantJoined bob", "roomEstablished", "roomEnded"]


async def test_who_stayed_until_the_end_hears_what_becomes_of_the_segment() -> None:
    async with live() as controller:
        talk = await call(controller)
        carol = await controller.client("carol")
        await carol.ok("joinRoom", ROOM)
        await talk.started()
        await carol.ok("leaveRoom", ROOM)
        await talk.service.ok("endRoom", ROOM)
        for peer in (talk.owner, talk.other, talk.service):
            stopped = await peer.event("roomRecordingStopped")
            assert (stopped["segment"], stopped["reason"]) == (1, "callEnded")
        await carol.ok("ping")
        assert heard(carol)[-1] == "participantLeft carol"


@pytest.mark.parametrize(
    ("user", "roles", "domain"),
    [
        ("dave", ("user",), DOMAIN),
        ("root", ("domain-admin",), DOMAIN),
        ("another-service", ("service",), DOMAIN),
        ("room-service", ("service",), "elsewhere"),
        ("alice", ("user",), "elsewhere"),
        ("bob", ("user",), "elsewhere"),
    ],
)
async def test_nobody_else_hears_anything(user: str, roles: tuple[str, ...], domain: str) -> None:
    async with live() as controller:
        stranger = await controller.client(user, *roles, domain=domain)
        service = await controller.service()
        alice, bob = await controller.client("alice"), await controller.client("bob")
        await whole_call(controller, service, alice, bob)
        await alice.event("roomEnded")
        await stranger.ok("ping")  # what was sent before has come before
        assert heard(stranger) == []


async def test_a_room_that_a_user_made_tells_no_service() -> None:
    async with live() as controller:
        service, alice = await controller.service(), await controller.client("alice")
        await alice.ok("createRoom", {"id": "call", "kind": "meeting"})
        await alice.ok("joinRoom", ROOM)
        await alice.ok("leaveRoom", ROOM)
        await alice.event("roomEnded")
        await service.ok("ping")
        assert heard(service) == []


async def test_two_rooms_of_one_user_are_told_apart() -> None:
    async with live() as controller:
        one = await call(controller, kind="meeting")
        other = await call(controller, "other", kind="meeting")
        await one.started()
        await one.stopped()
        await other.started()
        for peer in (one.owner, other.owner):
            await until_heard(peer, "roomRecordingStarted 1", times=2)
            assert len(events_of(peer, "roomRecordingStopped", "call")) == 1
            assert events_of(peer, "roomRecordingStopped", "other") == []


async def test_the_payloads_of_a_recording() -> None:
    async with live() as controller:
        talk: Call = await call(controller)
        answer = await talk.started()
        stopped_answer = await talk.stopped()
        started = await talk.other.event("roomRecordingStarted")
        stopped = await talk.other.event("roomRecordingStopped")
        assert started == answer | {"by": "alice", "type": "all"}
        assert stopped == stopped_answer | {"by": "alice", "reason": "requested"}
        assert set(stopped) == {
            "room",
            "segment",
            "startedAt",
            "stoppedAt",
            "duration",
            "by",
            "reason",
        }


async def until_heard(peer: Peer, event: str, *, times: int = 1) -> None:
    """Wait until it has heard that event so often."""

    async def look() -> bool:
        return heard(peer).count(event) >= times

    await until(look)

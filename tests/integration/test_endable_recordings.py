"""Recordings that somebody can end, as people see it: frames over real WebSockets."""

import asyncio

import pytest

from sfu_wrapper.adapters.memory.plane import MemoryPlane
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.core.media_plane import PlaneRequest, StartCapture
from tests.helpers.calls import Call, call
from tests.helpers.clocks import noticing
from tests.helpers.live import DOMAIN, Json, Live, Peer, live
from tests.helpers.wait import until


class Slow(MemoryPlane):
    """A media plane that starts nothing until it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[PlaneRequest] = []
        self.holding = True

    def send(self, request: PlaneRequest) -> None:
        if self.holding and isinstance(request, StartCapture):
            self.held.append(request)
        else:
            super().send(request)

    def release(self) -> None:
        """Start all that was asked for."""
        self.holding = False
        for request in self.held:
            super().send(request)


async def meeting(controller: Live) -> Call:
    """A meeting of alice, in which bob takes part too; it goes on without either."""
    return await call(controller, kind="meeting")


async def told(peer: Peer, name: str, count: int) -> list[Json]:
    """The payloads of so many events of one name."""

    def heard() -> list[Json]:
        frames = [each["payload"] for each in peer.received if each["type"] == "event"]
        return [each["payload"] for each in frames if each["event"] == name]

    await until(lambda: len(heard()) >= count)
    return heard()


# start, stop, start


async def test_the_last_of_start_stop_start_counts_though_the_first_is_not_confirmed() -> None:
    plane = Slow()
    async with live(plane=plane) as controller:
        talk = await call(controller)
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(talk.owner.ask(endpoint, {"room": talk.room}))
                for endpoint in ("startRoomRecording", "stopRoomRecording", "startRoomRecording")
            ]
            await until(lambda: len(plane.held) == 2)
            await talk.shown()  # whatever was sent before is in the room now
            plane.release()
        answers = [task.result() for task in asked]

        assert [each["status"] for each in answers] == ["ok", "ok", "ok"]
        assert [each["payload"]["segment"] for each in answers] == [1, 1, 2]
        assert await talk.segments() == ["stopped", "recording"]


# who may stop


async def test_an_owner_who_left_stops_the_recording_and_those_present_are_told() -> None:
    async with live() as controller:
        talk = await meeting(controller)
        await talk.started()
        await talk.owner.ok("leaveRoom", {"room": talk.room})
        answer = await talk.stopped()
        (heard,) = await told(talk.other, "roomRecordingStopped", 1)

        assert answer["segment"] == 1
        assert (heard["by"], heard["reason"]) == ("alice", "requested")


async def test_an_administrator_stops_the_recording_of_an_incoming_call() -> None:
    async with live("trunk.recordIncomingPSTN=true") as controller:
        service = await controller.service()
        wish = {"id": "call", "owner": "phone", "domain": DOMAIN, "origin": "pstn"}
        await service.ok("createRoom", wish)
        for user in ("phone", "bob"):
            await service.ok("joinRoom", {"room": "call", "user": user})
        await service.event("roomRecordingStarted")
        admin = await controller.client("admin", "domain-admin")
        stranger = await controller.client("admin", "domain-admin", domain="elsewhere")

        asked = {"room": "call", "domain": DOMAIN}
        assert await stranger.refused("stopRoomRecording", asked) == "ROOM_NOT_FOUND"
        assert (await admin.ok("stopRoomRecording", {"room": "call"}))["segment"] == 1
        assert (await told(service, "roomRecordingStopped", 1))[0]["by"] == "admin"


async def test_what_is_recorded_without_its_owner_is_told_to_owner_service_and_watchers() -> None:
    async with live() as controller:
        talk = await meeting(controller)
        admin = await controller.client("admin", "domain-admin")
        await admin.ok("watch", {"topics": ["rooms"]})
        other_admin = await controller.client("admin", "domain-admin", domain="elsewhere")
        await other_admin.ok("watch", {"topics": ["rooms", "recordings"]})
        await talk.owner.ok("watch", {"topics": ["recordings"]})
        await talk.started()
        assert "unattended" not in (await talk.shown())["recording"]
        await talk.owner.ok("leaveRoom", {"room": talk.room})
        peers = (talk.owner, talk.service, admin)
        for peer in peers:
            heard = await told(peer, "roomRecordingUnattended", 1)
            assert (heard[0]["room"], heard[0]["segment"]) == (talk.room, 1)
        shown = await talk.shown()
        await talk.owner.ok("joinRoom", {"room": talk.room})
        await admin.ok("ping")

        assert shown["recording"]["unattended"] is True
        assert "unattended" not in (await talk.shown())["recording"]
        counts = [peer.events().count("roomRecordingUnattended") for peer in peers]
        assert counts == [1, 1, 1]
        assert "roomRecordingUnattended" not in talk.other.events() + other_admin.events()


async def test_a_recording_without_its_owner_ends_after_the_configured_time() -> None:
    with noticing() as clock:
        async with live("policy.unattendedStopSeconds=60", clock=clock) as controller:
            talk = await meeting(controller)
            await talk.started()
            await talk.owner.ok("leaveRoom", {"room": talk.room})
            clock.forward(61)
            (heard,) = await told(talk.other, "roomRecordingStopped", 1)

            assert (heard["by"], heard["reason"]) == ("system", "unattended")
            clock.forward(600)
            assert await talk.segments() == ["stopped"]


# limits


async def test_a_long_recording_is_cut_into_segments_that_follow_each_other() -> None:
    with noticing() as clock:
        async with live("recordings.maxSegmentSeconds=900", clock=clock) as controller:
            talk = await meeting(controller)
            await talk.started()
            clock.forward(900)  # not so far that tokens expire
            started = await told(talk.other, "roomRecordingStarted", 2)
            (stopped,) = await told(talk.other, "roomRecordingStopped", 1)

            assert (stopped["reason"], stopped["by"]) == ("maxLength", "system")
            assert stopped["duration"] == pytest.approx(900, abs=60)
            assert [each["by"] for each in started] == ["alice", "system"]
            assert [each.get("begunBy") for each in started] == [None, "alice"]
            assert await talk.segments() == ["stopped", "recording"]


async def test_a_room_is_not_recorded_for_longer_than_the_operator_allows() -> None:
    with noticing() as clock:
        async with live("recordings.maxRoomSeconds=600", clock=clock) as controller:
            talk = await meeting(controller)
            await talk.started()
            clock.forward(601)
            (stopped,) = await told(talk.owner, "roomRecordingStopped", 1)
            answer = await talk.start()

            assert stopped["reason"] == "maxRoom"
            assert answer["error"]["code"] == "RECORDING_LIMIT"
            assert answer["error"]["details"]["limit"] == 600


# pauses


async def test_a_pause_is_told_to_everybody_and_recording_goes_on_by_itself() -> None:
    with noticing() as clock:
        async with live(clock=clock) as controller:
            talk = await meeting(controller)
            await talk.started()
            wish = {"room": talk.room, "resumeAfterSeconds": 60}
            answer = await talk.owner.ok("stopRoomRecording", wish)
            (stopped,) = await told(talk.other, "roomRecordingStopped", 1)
            shown = (await talk.shown())["recording"]

            assert answer["resumesAt"] == stopped["resumesAt"] == shown["resumesAt"]
            assert shown["active"] is False
            clock.forward(60)
            started = await told(talk.other, "roomRecordingStarted", 2)
            assert (started[1]["by"], started[1]["begunBy"]) == ("system", "alice")
            assert "resumesAt" not in (await talk.shown())["recording"]


async def test_a_stop_in_the_pause_ends_it_for_everybody() -> None:
    async with live() as controller:
        talk = await meeting(controller)
        await talk.started()
        await talk.owner.ok("stopRoomRecording", {"room": talk.room, "resumeAfterSeconds": 3600})
        answer = await talk.stopped()
        (changed,) = await told(talk.other, "roomRecordingChanged", 1)

        assert (answer["segment"], "resumesAt" in answer) == (1, False)
        assert changed["resumesAt"] is None
        assert "resumesAt" not in (await talk.shown())["recording"]
        assert (await talk.stop())["error"]["code"] == "NOT_RECORDING"


@pytest.mark.parametrize("wrong", [0, -1, 3_601, 1.5, "60", True, None])
async def test_the_length_of_a_pause_is_checked(wrong: object) -> None:
    async with live() as controller:
        talk = await call(controller)
        answer = await talk.owner.ask(
            "stopRoomRecording", {"room": talk.room, "resumeAfterSeconds": wrong}
        )

        assert answer["error"]["code"] == "BAD_REQUEST"
        assert answer["error"]["details"]["path"] == "payload.resumeAfterSeconds"


async def test_a_pause_outlives_the_controller() -> None:
    with noticing() as clock:
        store = MemoryStore()
        async with live(store=store, clock=clock) as controller:
            talk = await meeting(controller)
            await talk.started()
            await talk.owner.ok("stopRoomRecording", {"room": talk.room, "resumeAfterSeconds": 900})
        clock.forward(300)
        async with live(store=store, clock=clock) as controller:
            bob = await controller.client("bob")
            shown = await bob.ok("getRoom", {"room": "call"})
            assert "resumesAt" in shown["recording"]
            clock.forward(600)
            started = await bob.event("roomRecordingStarted")

            assert (started["segment"], started["begunBy"]) == (2, "alice")

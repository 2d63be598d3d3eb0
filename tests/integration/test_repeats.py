"""A request that is sent again is answered as the first was and done once, wherever from."""

import asyncio
from pathlib import Path

import pytest

from sfu_wrapper.adapters.memory.plane import Behaviour, MemoryPlane
from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.model.media import Medium
from tests.helpers.calls import ALWAYS, call, events_of
from tests.helpers.clocks import Ahead
from tests.helpers.live import Json, Peer, connected, live, token
from tests.helpers.wait import until

ROOM = {"room": "call"}
CHANGES: dict[str, Json] = {
    "createRoom": {"id": "mine"},
    "inviteToRoom": ROOM | {"users": ["carol"]},
    "joinRoom": ROOM | {"media": {"audio": True}},
    "updateMedia": ROOM | {"media": {"screen": True}},
    "startRoomRecording": ROOM,
    "stopRoomRecording": ROOM,
    "leaveRoom": ROOM,
    "endRoom": ROOM,
}
"""In an order in which each is done."""


async def test_every_change_is_answered_again_over_a_new_connection_and_after_a_restart(
    tmp_path: Path,
) -> None:
    first: dict[str, Json] = {}
    file = tmp_path / "store.db"
    store = SqliteStore(file)
    async with live(store=store) as controller:
        talk = await call(controller, kind="meeting")
        for endpoint, payload in CHANGES.items():
            first[endpoint] = await talk.owner.ask(endpoint, payload, request_id=f"id-{endpoint}")
            assert first[endpoint]["status"] == "ok", first[endpoint]
        before = await talk.shown()
        events = len(events_of(talk.service, "roomRecordingStarted"))
        again = await controller.client("alice")
        for endpoint, payload in CHANGES.items():
            assert (
                await again.ask(endpoint, payload, request_id=f"id-{endpoint}") == first[endpoint]
            )
        assert await talk.shown() == before
        assert len(events_of(talk.service, "roomRecordingStarted")) == events == 1
    store.close()

    store = SqliteStore(file)
    async with live(store=store) as controller:
        after = await controller.client("alice")
        for endpoint, payload in CHANGES.items():
            assert (
                await after.ask(endpoint, payload, request_id=f"id-{endpoint}") == first[endpoint]
            )
    store.close()


async def test_a_refusal_is_repeated_too_though_it_would_be_granted_by_now() -> None:
    async with live() as controller:
        alice = await controller.client("alice")
        asked: dict[str, Json] = {
            "joinRoom": {"room": "later"},
            "startRoomRecording": {},
            "endRoom": {"room": "later"},
        }
        codes = ["ROOM_NOT_FOUND", "NOT_IN_ROOM", "ROOM_NOT_FOUND"]
        first = [await alice.ask(name, body, request_id="once") for name, body in asked.items()]
        assert [each["error"]["code"] for each in first] == codes
        await controller.permit("alice", ALWAYS)
        await alice.ok("createRoom", {"id": "later"})
        await alice.ok("joinRoom", {"room": "later"})
        again = [await alice.ask(name, body, request_id="once") for name, body in asked.items()]
        assert again == first
        assert (await alice.ok("getRoom", {"room": "later"}))["state"] == "waiting"


async def test_a_repeat_of_a_request_under_way_waits_for_the_first() -> None:
    plane = MemoryPlane()
    async with live(plane=plane) as controller:
        talk = await call(controller)
        for medium in Medium:
            plane.behave(medium, "start", Behaviour.HOLD)
        second = await controller.client("alice")
        first = asyncio.create_task(talk.owner.ask("startRoomRecording", ROOM, request_id="one"))
        await until(lambda: is_starting(talk.service))
        repeat = asyncio.create_task(second.ask("startRoomRecording", ROOM, request_id="one"))
        await asyncio.sleep(0)  # the repeat is sent
        await second.ok("ping")  # and has been read
        plane.release()
        assert await first == await repeat
        assert (await first)["payload"]["segment"] == 1
        assert len((await talk.shown())["segments"]) == 1


async def test_a_repeat_reaches_a_start_whose_requester_has_gone() -> None:
    plane = MemoryPlane()
    async with live(plane=plane) as controller:
        talk = await call(controller)
        for medium in Medium:
            plane.behave(medium, "start", Behaviour.HOLD)
        async with connected(controller.url, "alice") as gone:
            asking = asyncio.create_task(gone.ask("startRoomRecording", ROOM, request_id="one"))
            await until(lambda: is_starting(talk.service))
            asking.cancel()
        plane.release()
        answer = await talk.owner.ask("startRoomRecording", ROOM, request_id="one")
        assert answer["payload"]["segment"] == 1


async def test_the_same_id_with_another_payload_is_a_bad_request() -> None:
    plane = MemoryPlane()
    async with live(plane=plane) as controller:
        talk = await call(controller, kind="meeting")
        used = {"room": "call", "media": {"audio": True}}
        first = await talk.owner.ask("updateMedia", used, request_id="one")
        other = {"room": "call", "media": {"audio": False}}
        assert await code(talk.owner, "updateMedia", other, "one") == "BAD_REQUEST"
        assert await talk.owner.ask("updateMedia", used, request_id="one") == first
        shown = (await talk.shown())["participants"][0]["media"]
        assert shown["audio"] is True, "the other one was not done"

        for medium in Medium:
            plane.behave(medium, "start", Behaviour.HOLD)
        asking = asyncio.create_task(
            talk.owner.ask("startRoomRecording", ROOM | {"note": 1}, request_id="two")
        )
        await until(lambda: is_starting(talk.service))
        assert await code(talk.owner, "startRoomRecording", ROOM, "two") == "BAD_REQUEST"
        plane.release()
        assert (await receive(talk.owner, "two"))["payload"]["segment"] == 1
        asking.cancel()


async def test_an_id_means_something_else_for_another_user_and_another_endpoint() -> None:
    async with live() as controller:
        talk = await call(controller, kind="meeting")
        carol = await controller.client("carol")
        for peer in (talk.owner, talk.other, carol):
            joined = await peer.ask("joinRoom", ROOM, request_id="one")
            assert joined["status"] == "ok"
        assert (await talk.owner.ask("leaveRoom", ROOM, request_id="one"))["status"] == "ok"
        assert len((await talk.shown())["participants"]) == 2


async def test_an_answer_is_forgotten_after_its_time() -> None:
    async with live("websocket.idempotencySeconds=0.2") as controller:
        talk = await call(controller, kind="meeting")
        await talk.owner.ask("leaveRoom", ROOM, request_id="one")
        await talk.owner.ok("joinRoom", ROOM)

        async def done_again() -> bool:
            await talk.owner.ask("leaveRoom", ROOM, request_id="one")
            return len((await talk.shown())["participants"]) == 1

        await until(done_again)


async def test_overloaded_is_not_kept() -> None:
    store = MemoryStore()
    async with live(store=store) as controller:
        talk = await call(controller)
        store.failing = True
        for endpoint in ("startRoomRecording", "stopRoomRecording", "endRoom"):
            assert await code(talk.owner, endpoint, ROOM, "one") == "OVERLOADED"
        store.failing = False
        for endpoint in ("startRoomRecording", "stopRoomRecording", "endRoom"):
            answer = await talk.owner.ask(endpoint, ROOM, request_id="one")
            assert answer["status"] == "ok", answer


async def test_unauthenticated_is_not_kept() -> None:
    clock = Ahead()
    async with live(clock=clock) as controller:
        talk = await call(controller, kind="meeting")
        clock.by_ms += 3_600_000
        assert await code(talk.owner, "leaveRoom", ROOM, "one") == "UNAUTHENTICATED"
        await talk.owner.ok("authenticate", {"token": token("alice", ttl_s=7_200)})
        left = await talk.owner.ask("leaveRoom", ROOM, request_id="one")
        assert left["payload"] == ROOM


async def test_rate_limited_is_not_kept() -> None:
    async with live("websocket.requestsPerSecond=5", "websocket.requestsBurst=5") as controller:
        talk = await call(controller, kind="meeting")
        refused = 0

        async def limited() -> bool:
            nonlocal refused
            answer = await talk.owner.ask("leaveRoom", ROOM, request_id="one")
            if answer["status"] == "ok":
                return True
            assert answer["error"]["code"] == "RATE_LIMITED"
            refused += 1
            return False

        while (await talk.owner.ask("ping"))["status"] == "ok":
            pass
        await until(limited)
        assert refused > 0
        assert len((await talk.shown())["participants"]) == 1


async def test_internal_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    async with live(store=store) as controller:
        talk = await call(controller)
        with monkeypatch.context() as broken:
            broken.setattr(store, "permissions", None)
            answer = await talk.owner.ask("startRoomRecording", ROOM, request_id="one")
        assert answer["error"]["code"] == "INTERNAL"
        assert len(answer["error"]["details"]["incident"]) == 32
        assert (await talk.owner.ask("startRoomRecording", ROOM, request_id="one"))["payload"][
            "segment"
        ] == 1


async def is_starting(peer: Peer) -> bool:
    """Whether the first segment of the call is starting."""
    shown = await peer.ok("getRoom", ROOM)
    return [each["state"] for each in shown["segments"]] == ["starting"]


async def code(peer: Peer, endpoint: str, payload: Json, request_id: str) -> str:
    """What such a request is refused with."""
    answer = await peer.ask(endpoint, payload, request_id=request_id)
    return str(answer["error"]["code"])


async def receive(peer: Peer, request_id: str) -> Json:
    """The last response to that id, once it is ok."""
    frame = await peer.receive(
        lambda frame: (
            frame["type"] == "response"
            and frame["payload"]["id"] == request_id
            and frame["payload"]["status"] == "ok"
        )
    )
    body: Json = frame["payload"]
    return body

"""Quotas, and the ids that a new room may have, over real WebSockets (protocol.md)."""

from collections.abc import AsyncIterator

import pytest

from sfu_wrapper.adapters.memory.store import MemoryStore
from tests.helpers.live import DOMAIN, Json, Live, Peer, live

OF_ALICE: Json = {"owner": "alice", "domain": DOMAIN}


async def created(peer: Peer, count: int, **wish: object) -> list[str]:
    """So many rooms; their ids."""
    return [str((await peer.ok("createRoom", wish))["room"]) for _ in range(count)]


async def exceeded(peer: Peer, endpoint: str, payload: Json) -> tuple[str, int]:
    """The quota that a request is refused for, and its limit."""
    answer = await peer.ask(endpoint, payload)
    error = answer["error"]
    assert error["code"] == "QUOTA_EXCEEDED", answer
    assert error["message"].startswith(f"quota {error['details']['quota']} exceeded")
    return error["details"]["quota"], error["details"]["limit"]


async def test_a_user_owns_so_many_rooms_no_matter_who_creates_them() -> None:
    async with live("quotas.roomsPerUser=3", "websocket.requestsBurst=100") as controller:
        alice, service = await controller.client("alice"), await controller.service()
        first, *_ = await created(alice, 2)
        await created(service, 1, **OF_ALICE)
        for peer, wish in ((alice, {}), (service, OF_ALICE)):
            assert await exceeded(peer, "createRoom", wish) == ("quotas.roomsPerUser", 3)
        await created(service, 1, owner="bob", domain=DOMAIN)
        await created(service, 2, **OF_ALICE, origin="pstn")  # a number owns no rooms

        await alice.ok("endRoom", {"room": first})
        await created(alice, 1)


async def test_the_rooms_that_a_user_owns_are_counted_on_after_a_restart() -> None:
    store = MemoryStore()
    async with live("quotas.roomsPerUser=2", store=store) as controller:
        rooms = await created(await controller.client("alice"), 2)
    async with live("quotas.roomsPerUser=2", store=store) as controller:
        alice = await controller.client("alice")
        assert await exceeded(alice, "createRoom", {}) == ("quotas.roomsPerUser", 2)
        await alice.ok("endRoom", {"room": rooms[0]})
        await created(alice, 1)


async def test_a_domain_has_so_many_rooms_pstn_rooms_among_them() -> None:
    async with live("quotas.roomsPerDomain=2") as controller:
        service = await controller.service()
        await created(service, 1, **OF_ALICE)
        await created(service, 1, **OF_ALICE, origin="pstn")
        bob = {"owner": "bob", "domain": DOMAIN}
        assert await exceeded(service, "createRoom", bob) == ("quotas.roomsPerDomain", 2)
        await created(service, 1, owner="bob", domain="elsewhere")


async def test_a_user_creates_so_many_rooms_a_minute_ended_ones_among_them() -> None:
    async with live("quotas.roomsPerMinute=2") as controller:
        alice = await controller.client("alice")
        for room in await created(alice, 2):
            await alice.ok("endRoom", {"room": room})
        assert await exceeded(alice, "createRoom", {}) == ("quotas.roomsPerMinute", 2)
        await created(await controller.client("bob"), 1)


async def test_a_room_that_was_not_stored_is_counted_for_nothing() -> None:
    store = MemoryStore()
    limits = ("quotas.roomsPerMinute=1", "quotas.roomsPerUser=1")
    async with live(*limits, store=store) as controller:
        alice = await controller.client("alice")
        store.failing = True
        for _ in range(3):
            assert await alice.refused("createRoom") == "OVERLOADED"
        store.failing = False
        await created(alice, 1)


async def test_a_room_holds_so_many_people_and_so_many_invitations() -> None:
    async with live("rooms.maxParticipants=2", "rooms.maxInvited=2") as controller:
        service, alice = await controller.service(), await controller.client("alice")
        wish = {"id": "call", "kind": "meeting", "invited": ["bob", "carol", "bob"]}
        await alice.ok("createRoom", wish)
        more = {"kind": "meeting", "invited": ["bob", "carol", "dave"]}
        assert await exceeded(alice, "createRoom", more) == ("rooms.maxInvited", 2)
        dave = {"room": "call", "users": ["dave"]}
        assert await exceeded(alice, "inviteToRoom", dave) == ("rooms.maxInvited", 2)
        for user in ("bob", "carol"):
            await service.ok("joinRoom", {"room": "call", "user": user})
        join = {"room": "call", "user": "dave"}
        assert await exceeded(service, "joinRoom", join) == ("rooms.maxParticipants", 2)
        assert await exceeded(alice, "joinRoom", {"room": "call"}) == ("rooms.maxParticipants", 2)


async def test_a_room_is_recorded_so_many_times_a_minute_by_hand() -> None:
    async with live("quotas.segmentsPerMinute=2", "rooms.record=all") as controller:
        alice = await controller.client("alice")
        await alice.ok("createRoom", {"id": "call", "kind": "meeting"})
        await alice.ok("joinRoom", {"room": "call"})
        for _ in range(2):
            await alice.ok("startRoomRecording")
            await alice.ok("stopRoomRecording")
        assert await exceeded(alice, "startRoomRecording", {}) == ("quotas.segmentsPerMinute", 2)


async def test_quotas_of_nothing_limit_nothing() -> None:
    none = [f"quotas.{key}=0" for key in ("roomsPerUser", "roomsPerDomain", "roomsPerMinute")]
    async with live(*none, "websocket.requestsBurst=1000") as controller:
        await created(await controller.client("alice"), 120)


# the ids of a room


@pytest.fixture
async def controller() -> AsyncIterator[Live]:
    async with live() as running:
        yield running


async def test_only_the_room_service_names_the_bridge_of_a_room(controller: Live) -> None:
    alice = await controller.client("alice")
    assert await alice.refused("createRoom", {"confbridgeId": "bridge"}) == "FORBIDDEN"
    admin = await controller.client("alice", "user", "domain-admin")
    assert await admin.refused("createRoom", {"confbridgeId": "bridge"}) == "FORBIDDEN"

    service = await controller.service()
    made = await service.ok("createRoom", OF_ALICE | {"confbridgeId": "bridge"})
    assert made["confbridgeId"] == "bridge"


@pytest.mark.parametrize("name", ["bridge", "BRIDGE", "Call-Of-Alice"])
@pytest.mark.parametrize("how", ["living", "after a restart"])
async def test_a_bridge_that_a_room_has_is_given_to_no_other(name: str, how: str) -> None:
    store = MemoryStore()
    wish = OF_ALICE | {"uuid": "call-of-alice", "confbridgeId": "bridge"}
    async with live(store=store) as running:
        service = await running.service()
        await service.ok("createRoom", wish)
        if how == "living":
            await taken(service, name)
    async with live(store=store) as running:
        if how == "after a restart":
            await taken(await running.service(), name)


async def taken(service: Peer, name: str) -> None:
    """The name can be used neither as it is nor for another room's uuid."""
    for wish in ({"confbridgeId": name}, {"uuid": name}):
        other = {"owner": "bob", "domain": "elsewhere"}
        assert await service.refused("createRoom", other | wish) == "ROOM_EXISTS"


async def test_a_bridge_is_free_again_once_its_room_is_over_and_settled(controller: Live) -> None:
    service = await controller.service()
    wish = OF_ALICE | {"id": "call", "confbridgeId": "bridge"}
    for _ in range(3):
        await service.ok("createRoom", wish)
        await service.ok("endRoom", {"room": "call"})


async def test_a_user_takes_no_bridge_by_a_uuid_of_that_name(controller: Live) -> None:
    service, mallory = await controller.service(), await controller.client("mallory")
    await service.ok("createRoom", OF_ALICE | {"uuid": "Call", "confbridgeId": "bridge"})
    for uuid in ("bridge", "Bridge", "call", "Call"):
        assert await mallory.refused("createRoom", {"uuid": uuid}) == "BAD_REQUEST"

"""Users of other domains, and room services, over real WebSockets."""

from collections.abc import AsyncIterator

import pytest

from tests.helpers.live import DOMAIN, Json, Live, Peer, live

HERE = {"room": "lounge"}
THERE: Json = HERE | {"domain": DOMAIN}


@pytest.fixture
async def controller() -> AsyncIterator[Live]:
    async with live() as running:
        yield running


async def lounge(controller: Live) -> tuple[Peer, Peer, Peer]:
    """A public room of alice's with two bobs in it."""
    alice, bob = await controller.client("alice"), await controller.client("bob")
    far_bob = await controller.client("bob", domain="elsewhere")
    await alice.ok("createRoom", {"id": "lounge", "kind": "public"})
    await alice.ok("joinRoom", HERE)
    await bob.ok("joinRoom", HERE)
    await far_bob.ok("joinRoom", THERE | {"media": {"audio": True}})
    return alice, bob, far_bob


async def test_two_people_of_one_name_are_told_apart(controller: Live) -> None:
    alice, _, far_bob = await lounge(controller)
    shown = await alice.ok("getRoom", HERE)
    assert [each["user"] for each in shown["participants"]] == ["alice", "bob", "elsewhere/bob"]
    assert (await far_bob.ok("getRoom", THERE))["participants"] == shown["participants"]

    await far_bob.ok("leaveRoom", THERE)
    assert (await alice.event("participantLeft"))["user"] == "elsewhere/bob"


async def test_who_is_of_another_domain_is_told_the_rooms_domain(controller: Live) -> None:
    alice, bob, far_bob = await lounge(controller)
    since = [len(peer.received) for peer in (alice, bob, far_bob)]
    await far_bob.ok("updateMedia", THERE | {"media": {"screen": True}})
    told = [
        await peer.event("participantMedia", since=start)
        for peer, start in zip((alice, bob, far_bob), since, strict=True)
    ]

    assert [each.get("domain") for each in told] == [None, None, DOMAIN]
    assert {each["user"] for each in told} == {"elsewhere/bob"}


async def test_a_service_of_another_domain_hears_of_which_domain_its_rooms_are(
    controller: Live,
) -> None:
    service = await controller.client("rooms", "service", domain="platform")
    for domain in ("elsewhere", DOMAIN):
        await service.ok("createRoom", {"id": "call", "owner": "alice", "domain": domain})
        since = len(service.received)
        await service.ok("joinRoom", {"room": "call", "domain": domain, "user": "alice"})
        assert (await service.event("participantJoined", since=since))["domain"] == domain

    assert await service.refused("getRoom", {"room": "call"}) == "ROOM_NOT_FOUND"


async def test_the_room_may_be_left_out_by_who_is_in_one_of_another_domain(
    controller: Live,
) -> None:
    _, _, far_bob = await lounge(controller)

    assert (await far_bob.ok("getRoom"))["room"] == "lounge"
    assert await far_bob.refused("getRoom", HERE) == "ROOM_NOT_FOUND"

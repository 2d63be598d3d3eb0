"""The life of a room, as policy.md has it, over real WebSockets."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from sfu_wrapper.adapters.memory.store import MemoryStore
from tests.helpers.calls import ALWAYS, metric
from tests.helpers.clocks import Ahead, noticing
from tests.helpers.held_store import HeldStore
from tests.helpers.live import DOMAIN, Json, Live, Peer, connected, live
from tests.helpers.wait import until

ROOM = {"room": "call"}
KINDS = ["direct", "meeting", "public"]
GRACE_S = 60
GRACE = f"rooms.reconnectGraceSeconds={GRACE_S}"
ANSWER_S = 60
ANSWER = f"rooms.answerTimeoutSeconds={ANSWER_S}"


@pytest.fixture
def clock() -> Iterator[Ahead]:
    with noticing() as clock:
        yield clock


async def create(controller: Live, kind: str = "direct", **wish: object) -> Peer:
    """A room of alice's, made by the service; returns the service."""
    service = await controller.service()
    asked: Json = {"id": "call", "kind": kind, "owner": "alice", "domain": DOMAIN}
    await service.ok("createRoom", asked | wish)
    return service


async def join(controller: Live, *users: str) -> list[Peer]:
    """These users, each on a connection of its own, come in."""
    peers = [await controller.client(user) for user in users]
    for peer in peers:
        await peer.ok("joinRoom", ROOM)
    return peers


async def state(peer: Peer) -> str:
    """The state of the room."""
    return str((await peer.ok("getRoom", ROOM))["state"])


async def inside(peer: Peer) -> list[str]:
    """Who takes part."""
    shown = await peer.ok("getRoom", ROOM)
    return [str(each["user"]) for each in shown["participants"]]


async def ended(peer: Peer) -> str:
    """Why the room has ended, once it has."""
    return str((await peer.event("roomEnded"))["reason"])


async def graceless(peer: Peer, clock: Ahead, name: str) -> Json:
    """That event, once the grace of the participant who has gone is over."""

    async def is_told() -> bool:
        clock.forward(GRACE_S / 20)  # not so far that tokens expire
        return name in peer.events()

    await until(is_told)
    return await peer.event(name)


@pytest.mark.parametrize("kind", KINDS)
async def test_create_room_joins_nobody(kind: str) -> None:
    async with live() as controller:
        service = await create(controller, kind)
        assert await inside(service) == []
        assert await state(service) == "waiting"


@pytest.mark.parametrize("order", [("alice", "bob"), ("bob", "alice")])
async def test_a_direct_call_is_established_when_its_owner_and_another_have_joined(
    order: tuple[str, str],
) -> None:
    async with live() as controller:
        service = await create(controller)
        await join(controller, order[0], order[0])  # a user counts once, however many devices
        assert await state(service) == "waiting"
        assert "roomEstablished" not in service.events()
        await join(controller, order[1])
        await service.event("roomEstablished")
        assert await state(service) == "established"
        assert await inside(service) == list(order)


async def test_two_who_are_not_the_owner_establish_no_direct_call() -> None:
    async with live() as controller:
        service = await create(controller)
        await join(controller, "bob", "carol")
        assert await state(service) == "waiting"


@pytest.mark.parametrize("kind", ["meeting", "public"])
async def test_a_meeting_is_established_by_the_first_who_joins(kind: str) -> None:
    async with live() as controller:
        service = await create(controller, kind)
        await join(controller, "bob")
        assert await state(service) == "established"


@pytest.mark.parametrize("leaver", [0, 1])
async def test_when_one_of_the_last_two_of_a_direct_call_leaves_the_other_is_hung_up(
    leaver: int,
) -> None:
    async with live() as controller:
        service = await create(controller)
        people = await join(controller, "alice", "bob", "carol")
        await people.pop(2).ok("leaveRoom", ROOM)
        assert await state(service) == "established", "two are left"

        gone, left = people[leaver], people[1 - leaver]
        await gone.ok("leaveRoom", ROOM)
        assert (await left.event("hangup"))["user"] == left.user
        assert await ended(left) == await ended(service) == "hangup"
        assert await state(service) == "ended"
        assert await inside(service) == []
        assert "hangup" not in gone.events() + service.events()


async def test_a_direct_call_whose_owner_leaves_before_an_answer_is_cancelled() -> None:
    async with live() as controller:
        service = await create(controller)
        (alice,) = await join(controller, "alice")
        await alice.ok("leaveRoom", ROOM)
        assert await ended(service) == "cancelled"


async def test_a_direct_call_that_waits_for_its_owner_outlives_the_others() -> None:
    async with live() as controller:
        service = await create(controller)
        (bob,) = await join(controller, "bob")
        await bob.ok("leaveRoom", ROOM)
        assert await state(service) == "waiting"
        await join(controller, "alice", "bob")
        assert await state(service) == "established"


async def test_a_direct_call_that_nobody_answers_ends(clock: Ahead) -> None:
    async with live(ANSWER, clock=clock) as controller:
        service = await create(controller)
        (alice,) = await join(controller, "alice")
        clock.forward(ANSWER_S)
        assert await ended(service) == "noAnswer"
        assert await ended(alice) == "noAnswer"


async def test_an_answered_call_does_not_run_into_the_timeout_of_an_answer(clock: Ahead) -> None:
    async with live(ANSWER, clock=clock) as controller:
        service = await create(controller)
        await join(controller, "alice", "bob")
        await service.ok("createRoom", {"id": "unanswered", "owner": "zoe", "domain": DOMAIN})
        clock.forward(ANSWER_S)
        await service.receive(
            lambda frame: frame["payload"].get("payload", {}).get("reason") == "noAnswer"
        )
        assert await state(service) == "established"


@pytest.mark.parametrize("kind", ["meeting", "public"])
async def test_a_meeting_ends_when_the_last_one_leaves(kind: str) -> None:
    async with live() as controller:
        service = await create(controller, kind)
        alice, bob = await join(controller, "alice", "bob")
        await alice.ok("leaveRoom", ROOM)
        assert await state(service) == "established"
        await bob.ok("leaveRoom", ROOM)
        assert await ended(service) == "lastLeft"


@pytest.mark.parametrize("kind", ["meeting", "public"])
async def test_a_meeting_that_nobody_joins_ends(kind: str) -> None:
    async with live("rooms.unusedTimeoutSeconds=0.3") as controller:
        service = await create(controller, kind)
        assert await ended(service) == "idle"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", ["owner", "service"])
@pytest.mark.parametrize("joined", [(), ("alice",), ("alice", "bob")])
async def test_owner_and_service_may_end_any_room(
    kind: str, by: str, joined: tuple[str, ...]
) -> None:
    async with live() as controller:
        service = await create(controller, kind)
        await join(controller, *joined)
        peer = service if by == "service" else await controller.client("alice")
        assert (await peer.ok("endRoom", ROOM)) == ROOM | {"segments": []}
        assert await ended(peer) == "ended"
        assert await peer.refused("endRoom", ROOM) == "ROOM_ENDED"


async def test_nobody_else_may_end_a_room() -> None:
    async with live() as controller:
        await create(controller, "meeting")
        bob, carol = await join(controller, "bob"), await controller.client("carol")
        assert await bob[0].refused("endRoom", ROOM) == "NOT_ROOM_OWNER"
        assert await carol.refused("endRoom", ROOM) == "ROOM_NOT_FOUND"


async def test_participation_ends_some_time_after_the_last_connection_was_lost(
    clock: Ahead,
) -> None:
    async with live(GRACE, clock=clock) as controller:
        service = await create(controller, "meeting")
        await join(controller, "alice")
        async with connected(controller.url, "bob") as bob:
            await bob.ok("joinRoom", ROOM)
            async with connected(controller.url, "bob") as second:
                await second.ok("joinRoom", ROOM)
            assert await inside(service) == ["alice", "bob"]
        left = await graceless(service, clock, "participantLeft")
        assert left["user"] == "bob"
        assert await inside(service) == ["alice"]


async def test_one_device_is_enough_to_stay(clock: Ahead) -> None:
    async with live(GRACE, clock=clock) as controller:
        service = await create(controller, "meeting")
        async with (
            connected(controller.url, "bob") as first,
            connected(controller.url, "carol") as carol,
        ):
            await first.ok("joinRoom", ROOM)
            await carol.ok("joinRoom", ROOM)
            await join(controller, "bob")
        left = await graceless(service, clock, "participantLeft")
        assert left["user"] == "carol"
        assert await inside(service) == ["bob"]


async def test_a_connection_that_never_joined_keeps_nobody_in_the_room(clock: Ahead) -> None:
    async with live(GRACE, clock=clock) as controller:
        service = await create(controller, "meeting")
        bystander = await controller.client("bob")
        await bystander.ok("watch", {"topics": ["rooms"]})
        await join(controller, "alice")
        async with connected(controller.url, "bob") as bob:
            await bob.ok("joinRoom", ROOM)
        assert (await graceless(service, clock, "participantLeft"))["user"] == "bob"
        assert await inside(service) == ["alice"]


async def test_the_last_one_with_an_idle_connection_keeps_no_recording_running(
    clock: Ahead,
) -> None:
    async with live(GRACE, clock=clock) as controller:
        await controller.permit("alice", ALWAYS)
        service = await create(controller, "meeting", record=True)
        idle = await controller.client("alice")
        async with connected(controller.url, "alice") as alice:
            await alice.ok("joinRoom", ROOM)
            await alice.event("roomRecordingStarted")
        await graceless(idle, clock, "roomRecordingStopped")
        assert await ended(service) == "lastLeft"


async def test_a_join_that_is_repeated_is_bound_to_the_connection_that_repeats_it(
    clock: Ahead,
) -> None:
    async with live(GRACE, clock=clock) as controller:
        service = await create(controller, "meeting")
        idle = await controller.client("bob")
        async with (
            connected(controller.url, "bob") as bob,
            connected(controller.url, "carol") as carol,
        ):
            first = await bob.ask("joinRoom", ROOM, request_id="bob-joins")
            await carol.ok("joinRoom", ROOM)
        assert await idle.ask("joinRoom", ROOM, request_id="bob-joins") == first
        assert (await graceless(service, clock, "participantLeft"))["user"] == "carol"
        assert await inside(service) == ["bob"]


async def test_who_is_back_within_the_grace_has_never_left(clock: Ahead) -> None:
    async with live(GRACE, clock=clock) as controller:
        service = await create(controller, "meeting")
        async with (
            connected(controller.url, "bob") as bob,
            connected(controller.url, "carol") as carol,
        ):
            await bob.ok("joinRoom", ROOM)
            await carol.ok("joinRoom", ROOM)
        await controller.client("bob")
        left = await graceless(service, clock, "participantLeft")
        assert left["user"] == "carol"
        assert await inside(service) == ["bob"]


async def test_a_grace_of_nothing_ends_participation_at_once() -> None:
    async with live("rooms.reconnectGraceSeconds=0") as controller:
        service = await create(controller, "meeting")
        async with connected(controller.url, "bob") as bob:
            await bob.ok("joinRoom", ROOM)
        assert await ended(service) == "lastLeft"


async def test_the_loss_of_a_gateway_is_the_loss_of_each_of_its_clients(clock: Ahead) -> None:
    async with live(GRACE, clock=clock) as controller:
        service = await create(controller, "meeting")
        gateway = await controller.gateway()
        for user in ("bob", "carol"):
            peer = await gateway.client(user)
            await peer.ok("joinRoom", ROOM)
        await gateway.connection.close()
        assert (await graceless(service, clock, "roomEnded"))["reason"] == "lastLeft"


async def test_participation_made_by_the_service_is_bound_to_no_connection(clock: Ahead) -> None:
    async with live(GRACE, clock=clock) as controller:
        service = await create(controller, "meeting")
        await service.ok("joinRoom", ROOM | {"user": "phone"})
        async with connected(controller.url, "phone"), connected(controller.url, "bob") as bob:
            await bob.ok("joinRoom", ROOM)
        left = await graceless(service, clock, "participantLeft")
        assert left["user"] == "bob"
        assert await inside(service) == ["phone"]
        await service.ok("leaveRoom", ROOM | {"user": "phone"})
        assert await ended(service) == "lastLeft"


async def test_a_service_that_loses_its_own_connection_takes_nobody_along() -> None:
    async with live("rooms.reconnectGraceSeconds=0") as controller:
        alice = await controller.client("alice")
        async with connected(controller.url, "room-service", "service") as service:
            asked = {"id": "call", "kind": "meeting", "owner": "alice", "domain": DOMAIN}
            await service.ok("createRoom", asked)
            await service.ok("joinRoom", ROOM | {"user": "phone"})
        await alice.ok("joinRoom", ROOM)
        assert await inside(alice) == ["phone", "alice"]


@asynccontextmanager
async def again(store: MemoryStore, *overrides: str) -> AsyncIterator[Live]:
    """The next controller on the same store."""
    async with live(*overrides, store=store) as controller:
        yield controller


async def test_rooms_and_participation_survive_a_restart_and_the_grace_counts_from_then(
    clock: Ahead,
) -> None:
    store = MemoryStore()
    async with live(store=store) as controller:
        service = await create(controller, "meeting")
        await join(controller, "alice", "bob")
        await service.ok("joinRoom", ROOM | {"user": "phone"})
    async with live(GRACE, store=store, clock=clock) as controller:
        alice = await controller.client("alice")
        assert await inside(alice) == ["alice", "bob", "phone"]
        assert (await graceless(alice, clock, "participantLeft"))["user"] == "bob"
        assert await inside(alice) == ["alice", "phone"]
        assert await state(alice) == "established"


async def test_the_timeouts_of_a_room_that_waits_survive_a_restart(clock: Ahead) -> None:
    store = MemoryStore()
    async with live(store=store, clock=clock) as controller:
        await create(controller)
    clock.forward(119.9)
    async with live(store=store, clock=clock) as controller:
        service = await controller.service()
        await until(lambda: is_over(service))


@pytest.mark.parametrize("over", ["the same controller", "a restart"])
async def test_a_uuid_is_used_once_ever_and_a_room_id_again_once_its_room_has_ended(
    over: str,
) -> None:
    store = MemoryStore()
    async with live(store=store) as controller:
        service = await create(controller, uuid="u-1")
        assert await taken(service, {"id": "call", "uuid": "u-2"}) == "ROOM_EXISTS"
        assert await taken(service, {"id": "other", "uuid": "u-1"}) == "ROOM_EXISTS"
        await service.ok("endRoom", ROOM)
        if over == "the same controller":
            await used_again(service)
    if over == "a restart":
        async with again(store) as controller:
            await used_again(await controller.service())


async def used_again(service: Peer) -> None:
    """The uuid is not, the id is."""
    for uuid in ("u-1", "U-1"):
        assert await taken(service, {"id": "call", "uuid": uuid}) == "ROOM_EXISTS"
    made = await service.ok("createRoom", {"id": "call", "owner": "alice", "domain": DOMAIN})
    assert await state(service) == "waiting"
    assert made["uuid"] != "u-1"


async def taken(service: Peer, wish: Json) -> str:
    """What such a room is refused with."""
    return await service.refused("createRoom", wish | {"owner": "alice", "domain": DOMAIN})


async def test_a_user_is_not_told_that_an_id_is_taken() -> None:
    async with live() as controller:
        await create(controller, uuid="u-1")
        zoe = await controller.client("zoe")
        stranger = await controller.client("zoe", domain="elsewhere")
        for wish in ({"id": "call"}, {"uuid": "u-1"}):
            assert await zoe.refused("createRoom", wish) == "BAD_REQUEST"
        assert await stranger.refused("createRoom", {"uuid": "u-1"}) == "BAD_REQUEST"


async def test_two_domains_use_one_room_id_and_neither_notices() -> None:
    async with live() as controller:
        service = await create(controller, "meeting")
        zoe = await controller.client("zoe", domain="elsewhere")
        theirs = await zoe.ok("createRoom", {"id": "call", "kind": "meeting"})
        await zoe.ok("joinRoom", ROOM)
        await join(controller, "alice")
        elsewhere = ROOM | {"domain": "elsewhere"}

        assert await inside(service) == ["alice"]
        shown = await service.ok("getRoom", elsewhere)
        assert (shown["uuid"], shown["owner"]) == (theirs["uuid"], "zoe")
        assert await zoe.refused("getRoom", ROOM | {"domain": DOMAIN}) == "ROOM_NOT_FOUND"
        assert await zoe.ok("endRoom", elsewhere) == {"room": "call", "segments": []}
        assert await state(service) == "established"


async def test_with_invited_only_those_may_join_and_whom_the_service_joins() -> None:
    async with live() as controller:
        service = await create(controller, "meeting", invited=["bob"])
        (alice,) = await join(controller, "alice")
        await join(controller, "bob")
        carol, dave = await controller.client("carol"), await controller.client("dave")
        stranger = await controller.client("bob", domain="elsewhere")
        for peer in (carol, stranger):
            assert await peer.refused("joinRoom", ROOM) == "ROOM_NOT_FOUND"
        assert (await alice.ok("inviteToRoom", ROOM | {"users": ["carol"]}))["invited"] == [
            "bob",
            "carol",
        ]
        await carol.ok("joinRoom", ROOM)
        assert await dave.refused("joinRoom", ROOM) == "ROOM_NOT_FOUND"
        await service.ok("joinRoom", ROOM | {"user": "dave"})
        assert await inside(service) == ["alice", "bob", "carol", "dave"]


async def test_without_invited_every_user_of_the_domain_who_knows_the_id_may_join() -> None:
    async with live() as controller:
        await create(controller, "meeting")
        await join(controller, "bob")
        stranger = await controller.client("bob", domain="elsewhere")
        assert await stranger.refused("joinRoom", ROOM) == "ROOM_NOT_FOUND"


async def test_a_public_room_is_open_to_anybody_authenticated() -> None:
    async with live() as controller:
        service = await create(controller, "public")
        stranger = await controller.client("bob", domain="elsewhere")
        assert await stranger.refused("joinRoom", ROOM) == "ROOM_NOT_FOUND"
        await stranger.ok("joinRoom", ROOM | {"domain": DOMAIN})
        assert len(await inside(service)) == 1


async def test_a_join_whose_connection_is_lost_while_it_is_stored_leaves_nobody_behind() -> None:
    store = HeldStore()
    async with live("rooms.reconnectGraceSeconds=0", store=store) as controller:
        service = await create(controller, "meeting")
        await join(controller, "alice")  # keeps the room open
        before = await metric(controller, "connections")

        async def has_lost_it() -> bool:
            return await metric(controller, "connections") == before

        async with connected(controller.url, "bob") as bob:
            store.held = True
            joining = asyncio.create_task(bob.ask("joinRoom", ROOM))
            await store.arrived.wait()
            joining.cancel()
        await until(has_lost_it)
        store.release()
        left = await service.event("participantLeft")

        assert left["user"] == "bob"
        assert await inside(service) == ["alice"]


async def is_over(peer: Peer) -> bool:
    """Whether the room has ended."""
    return await state(peer) == "ended"

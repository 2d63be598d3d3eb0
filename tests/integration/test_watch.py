"""Watching rooms and recordings: who is told what, from when until when, and how much of it."""

from collections import Counter
from dataclasses import replace

import pytest

from sfu_wrapper.adapters.memory.store import MemoryStore
from sfu_wrapper.core.policy import PolicySettings
from sfu_wrapper.model.errors import Unavailable
from sfu_wrapper.model.identity import OwnerPermissions, RecordingType, Role, UserKey
from sfu_wrapper.service.rooms import subscriptions
from tests.helpers.calls import BOTH, call
from tests.helpers.http import Peer as Wired
from tests.helpers.http import World, world
from tests.helpers.live import Json, Live, Peer, live
from tests.helpers.results import DONE, ERROR, LOST, publish, recorded

RECORDED = PolicySettings(system=RecordingType.ALL)
EVERYTHING = {"topics": ["rooms", "recordings"]}


def changes(peer: Peer | Wired, name: str) -> list[Json]:
    """The payloads of these events, in order."""
    frames = (frame["payload"] for frame in peer.received if frame["type"] == "event")
    return [frame["payload"] for frame in frames if frame["event"] == name]


async def ended(peer: Peer, room: str) -> None:
    """Until the watcher has been told that the room is over."""
    await peer.receive(
        lambda frame: (
            frame["type"] == "event"
            and frame["payload"]["event"] == "roomChanged"
            and frame["payload"]["payload"]["room"] == room
            and frame["payload"]["payload"].get("state") == "ended"
        )
    )


async def watchers(controller: Live) -> dict[str, Peer]:
    """One of each kind, as they stand to a room of alice's in which bob takes part."""
    found = {
        "service": await controller.service(),
        "admin": await controller.client("boss", "domain-admin"),
        "foreign admin": await controller.client("boss", "domain-admin", domain="elsewhere"),
        "owner": await controller.client("alice"),
        "participant": await controller.client("bob"),
        "stranger": await controller.client("carol"),
        "namesake": await controller.client("alice", domain="elsewhere"),
    }
    for peer in found.values():
        await peer.ok("watch", EVERYTHING)
    return found


async def test_everybody_is_told_of_what_is_theirs_and_of_nothing_else() -> None:
    async with live() as controller:
        peers = await watchers(controller)
        made = await call(controller)
        await made.started()
        await made.stopped()
        await made.service.ok("endRoom", {"room": "call"})
        await ended(peers["service"], "call")
        for peer in peers.values():
            await peer.ok("ping")
        rooms = {name for name, peer in peers.items() if changes(peer, "roomChanged")}
        recordings = {name for name, peer in peers.items() if changes(peer, "recordingChanged")}

    assert rooms == {"service", "admin", "owner", "participant"}
    assert recordings == {"service", "admin", "owner"}


async def test_the_answer_is_the_present_state() -> None:
    async with live() as controller:
        made = await call(controller)
        await made.started()
        shown = await made.service.ok("getRoom", {"room": "call"})
        owner = await made.owner.ok("watch", EVERYTHING)
        other = await made.other.ok("watch", EVERYTHING)
        stranger = await (await controller.client("carol")).ok("watch", EVERYTHING)
        rooms = await made.service.ok("watch", {"topics": ["rooms"]})

    segment = {"room": "call", "uuid": "call", "owner": "alice", "domain": "example"}
    segment |= shown["segments"][0]
    room = shown | {"domain": "example"}
    topics = ["recordings", "rooms"]
    assert owner == {"topics": topics, "rooms": [room], "recordings": [segment], "more": False}
    assert other == {"topics": topics, "rooms": [room], "recordings": [], "more": False}
    assert stranger == {"topics": topics, "rooms": [], "recordings": [], "more": False}
    assert rooms == {"topics": ["rooms"], "rooms": [room]}


async def test_a_room_that_has_ended_is_in_no_answer_and_its_results_still_come() -> None:
    async with live() as controller:
        made = await recorded(controller)
        await made.service.ok("watch", {"topics": ["rooms"]})
        await made.service.ok("endRoom", {"room": "call"})
        await ended(made.service, "call")
        late = await controller.client("alice")
        answer = await late.ok("watch", EVERYTHING)
        await publish(controller.broker, "processed", DONE)
        change = await late.event("recordingChanged")

    assert (answer["rooms"], answer["recordings"]) == ([], [])
    assert (change["room"], change["processing"]) == ("call", {"state": "processed"})


async def test_a_recording_is_followed_until_its_files_are_there() -> None:
    async with live() as controller:
        made = await recorded(controller)
        await made.owner.ok("watch", {"topics": ["recordings"]})
        await publish(controller.broker, "processed", DONE)
        last = await made.owner.event("recordingChanged")

    assert last["state"] == "stopped"
    assert last["processing"] == {"state": "processed"}
    assert last["files"] == [{"name": "rec-1.webm", "kind": "merged", "bytes": 205221}]


async def test_a_recording_that_cannot_be_processed_says_why() -> None:
    async with live() as controller:
        made = await recorded(controller)
        await made.owner.ok("watch", {"topics": ["recordings"]})
        await publish(controller.broker, "failed", LOST)
        last = await made.owner.event("recordingChanged")

    assert last["processing"] == {"state": "failed"}
    assert last["error"] == ERROR


async def test_a_participant_who_leaves_is_notified_that_the_room_is_gone() -> None:
    async with live() as controller:
        made = await call(controller, kind="meeting")
        await made.other.ok("watch", {"topics": ["rooms"]})
        await made.other.ok("leaveRoom", {"room": "call"})

        assert await made.other.event("roomChanged") == {
            "room": "call",
            "uuid": "call",
            "gone": True,
        }


async def test_who_watches_no_more_is_told_nothing_more() -> None:
    async with live() as controller:
        boss = await controller.client("boss", "domain-admin")
        service = await controller.service()
        await boss.ok("watch", EVERYTHING)
        await service.ok("watch", {"topics": ["rooms"]})
        left = await boss.ok("unwatch", {"topics": ["rooms"]})
        none = await boss.ok("unwatch")
        again = await boss.ok("unwatch")
        made = await call(controller)
        await made.service.ok("endRoom", {"room": "call"})
        await ended(service, "call")
        await boss.ok("ping")

        assert (left, none, again) == ({"topics": ["recordings"]}, {"topics": []}, {"topics": []})
        assert not boss.events()


async def test_topics_are_added_and_must_be_known_ones() -> None:
    async with live() as controller:
        boss = await controller.client("boss", "domain-admin")
        await boss.ok("watch", {"topics": ["rooms"]})
        both = await boss.ok("watch", {"topics": ["recordings"]})

        assert both == {"topics": ["recordings", "rooms"], "recordings": [], "more": False}
        assert await boss.refused("watch", {"topics": []}) == "BAD_REQUEST"
        assert await boss.refused("watch", {"topics": ["users"]}) == "BAD_REQUEST"


async def test_a_client_of_a_gateway_watches_too() -> None:
    async with live() as controller:
        gateway = await controller.gateway()
        alice = await gateway.client("alice")
        await alice.ok("watch", {"topics": ["rooms"]})
        await call(controller)

        assert (await alice.event("roomChanged"))["room"] == "call"


async def until_told(here: World, *, domain: str = "example") -> None:
    """Until everything so far has been told: a room of its own, made last, has been."""
    beacon = here.peer("beacon", Role.SERVICE)
    await here.do(beacon, "watch", topics=["rooms"])
    made = await here.do(beacon, "createRoom", owner="nobody", domain=domain)
    room = made["payload"]["room"]
    for _ in range(10_000):
        if any(change["room"] == room for change in changes(beacon, "roomChanged")):
            break
        await here.ask("GET", "/health/live")
    here.rooms.disconnected(beacon)


async def test_what_changes_often_is_told_seldom_and_as_it_is_at_last() -> None:
    async with world(policy=RECORDED) as here:
        alice, boss = here.peer("alice"), here.peer("boss", Role.DOMAIN_ADMIN)
        await here.do(alice, "createRoom", id="call")
        await here.do(alice, "joinRoom", room="call")
        await here.do(boss, "watch", topics=["rooms"])
        for number in range(201):
            await here.do(alice, "updateMedia", room="call", media={"audio": number % 2 == 0})
        await until_told(here)
        told = [each for each in changes(boss, "roomChanged") if each["room"] == "call"]

    assert len(told) < 50
    assert told[-1]["participants"][0]["media"]["audio"] is True


async def test_what_looks_the_same_is_not_told_again() -> None:
    async with world(policy=RECORDED) as here:
        alice, boss = here.peer("alice"), here.peer("boss", Role.DOMAIN_ADMIN)
        await here.do(alice, "createRoom", id="call")
        await here.do(alice, "joinRoom", room="call")
        await here.do(boss, "watch", topics=["rooms"])
        await here.do(alice, "updateMedia", room="call", media={"audio": True})
        await here.do(alice, "updateMedia", room="call", media={})
        await until_told(here)

        assert Counter(each["room"] for each in changes(boss, "roomChanged"))["call"] == 0


async def test_only_segments_that_look_different_are_told() -> None:
    async with world(policy=RECORDED) as here:
        alice, bob = here.peer("alice"), here.peer("bob")
        await here.do(alice, "createRoom", id="call", record=False)
        for peer in (alice, bob):
            await here.do(peer, "joinRoom", room="call", media=BOTH)
        await here.do(alice, "startRoomRecording", room="call")
        await here.do(alice, "watch", topics=["recordings"])
        await here.do(bob, "updateMedia", room="call", media={"screen": True})
        await until_told(here)
        untouched = changes(alice, "recordingChanged")
        await here.do(alice, "stopRoomRecording", room="call")
        await until_told(here)
        stopped = changes(alice, "recordingChanged")
        await here.do(alice, "startRoomRecording", room="call")
        await until_told(here)
        second = changes(alice, "recordingChanged")[len(stopped) :]

    assert untouched == []
    assert [(each["segment"], each["state"]) for each in stopped] == [(1, "stopped")]
    assert [(each["segment"], each["state"]) for each in second] == [(2, "recording")]


async def test_more_rooms_than_a_page_are_told_of_when_they_change() -> None:
    async with world(policy=RECORDED) as here:
        alice, service = here.peer("alice"), here.peer("rooms", Role.SERVICE)
        for number in range(101):
            await here.do(alice, "createRoom", id=f"m{number}", kind="meeting")
        first = (await here.do(service, "watch", topics=["rooms", "recordings"]))["payload"]
        rest = (await here.do(service, "listRooms", after=first["next"]))["payload"]
        for number in range(101):
            await here.do(alice, "joinRoom", room=f"m{number}")
        await until_told(here)
        told = {each["room"] for each in changes(service, "roomChanged")}

    names = [each["room"] for each in first["rooms"] + rest["rooms"]]
    assert len(first["rooms"]) == 100
    assert first["more"] is True
    assert sorted(names) == sorted(f"m{number}" for number in range(101))
    assert told >= set(names)


async def test_of_many_recordings_the_youngest_are_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriptions, "SHOWN_RECORDINGS", 2)
    async with world(policy=RECORDED) as here:
        alice, bob = here.peer("alice"), here.peer("bob")
        await here.do(alice, "createRoom", id="call", record=False)
        for peer in (alice, bob):
            await here.do(peer, "joinRoom", room="call", media=BOTH)
        for _ in range(3):
            await here.do(alice, "startRoomRecording", room="call")
            await here.do(alice, "stopRoomRecording", room="call")
        state = (await here.do(alice, "watch", topics=["recordings"]))["payload"]

    assert [each["segment"] for each in state["recordings"]] == [3, 2]
    assert state["more"] is True


async def test_nobody_is_told_anything_while_its_token_has_expired() -> None:
    async with world(policy=RECORDED) as here:
        boss = here.peer("boss", Role.DOMAIN_ADMIN)
        await here.do(boss, "watch", topics=["rooms"])
        boss.identity = replace(boss.identity, expires_ms=1)
        await here.do(here.peer("alice"), "createRoom", id="m1", kind="meeting")
        await until_told(here)
        boss.identity = replace(boss.identity, expires_ms=None)
        await here.do(here.peer("alice"), "createRoom", id="m2", kind="meeting")
        await until_told(here)

        assert [each["room"] for each in changes(boss, "roomChanged")][:1] == ["m2"]


async def test_who_is_no_administrator_any_more_is_told_nothing() -> None:
    async with world(policy=RECORDED) as here:
        boss = here.peer("boss", Role.DOMAIN_ADMIN)
        await here.do(boss, "watch", topics=["rooms"])
        boss.identity = replace(boss.identity, roles=frozenset({Role.USER}))
        await here.do(here.peer("alice"), "createRoom", id="m1", kind="meeting")
        await until_told(here)

        assert not changes(boss, "roomChanged")


async def test_who_is_gone_is_told_nothing() -> None:
    async with world(policy=RECORDED) as here:
        boss = here.peer("boss", Role.DOMAIN_ADMIN)
        await here.do(boss, "watch", topics=["rooms"])
        here.rooms.disconnected(boss)
        await here.do(here.peer("alice"), "createRoom", id="m1", kind="meeting")
        await until_told(here)

        assert not changes(boss, "roomChanged")


class Forgetful(MemoryStore):
    """Cannot be asked for permissions as long as it fails in some way."""

    def __init__(self) -> None:
        super().__init__()
        self.failure: Exception | None = None
        self.failed = 0

    def permissions(self, owner: UserKey) -> OwnerPermissions:
        if self.failure is not None:
            self.failed += 1
            raise self.failure
        return super().permissions(owner)


async def failing(here: World, store: Forgetful, failure: Exception) -> None:
    """A room changes, and cannot be told of for a while."""
    alice = here.peer("alice")
    await here.do(alice, "createRoom", id="m1", kind="meeting")
    await until_told(here)
    await here.do(alice, "inviteToRoom", room="m1", users=["bob"])
    await here.do(alice, "endRoom", room="m1")
    store.failure = failure
    for _ in range(10_000):
        if store.failed:
            break
        await here.ask("GET", "/health/live")
    store.failure = None
    await until_told(here)


@pytest.mark.parametrize(
    ("failure", "logged", "told"),
    [(Unavailable("disk"), "watch.deferred", True), (ValueError("bug"), "watch.failed", False)],
)
async def test_a_store_that_cannot_be_read_delays_a_change_and_a_bug_costs_one(
    failure: Exception, logged: str, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    store = Forgetful()
    async with world(policy=RECORDED, store=store) as here:
        boss = here.peer("boss", Role.DOMAIN_ADMIN)
        await here.do(boss, "watch", topics=["rooms"])
        await failing(here, store, failure)
        states = [each["state"] for each in changes(boss, "roomChanged") if each["room"] == "m1"]

    assert logged in caplog.messages
    assert states == (["waiting", "ended"] if told else ["waiting"])


async def test_a_watch_that_cannot_be_answered_is_none() -> None:
    store = Forgetful()
    async with world(policy=RECORDED, store=store) as here:
        alice, boss = here.peer("alice"), here.peer("boss", Role.DOMAIN_ADMIN)
        await here.do(alice, "createRoom", id="m1", kind="meeting")
        store.failure = Unavailable("disk")
        answer = await here.do(boss, "watch", topics=["rooms"])
        store.failure = None
        await here.do(alice, "endRoom", room="m1")
        await until_told(here)

        assert answer["error"]["code"] == "OVERLOADED"
        assert not changes(boss, "roomChanged")

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu_wrapper.gateway.gateway_link import GatewayLink
from sfu_wrapper.gateway.send_queue import Close, Outgoing
from sfu_wrapper.gateway.settings import GatewaySettings
from sfu_wrapper.model.identity import Identity, Role
from sfu_wrapper.service.rooms.sessions import Client
from tests.helpers.clocks import StandingClock
from tests.helpers.gatewayfakes import (
    GATEWAY,
    PRODUCT_FRAME,
    PRODUCT_REQUEST,
    PRODUCT_SOCKET,
    FakeRooms,
    frame,
    gate,
    request,
    token,
    vouched,
)


class World:
    """A gateway's link, the rooms behind it, and what it sends."""

    def __init__(
        self,
        settings: GatewaySettings | None = None,
        rooms: FakeRooms | None = None,
        identity: Identity = GATEWAY,
    ) -> None:
        self.rooms = rooms or FakeRooms()
        self.clock = StandingClock()
        self.later: list[Outgoing] = []
        shared = gate(self.rooms, self.clock, settings)
        self.link = GatewayLink(shared, identity, lambda: self.later.extend(self.link.take()))
        assert self.link.open() == []

    def say(self, *frames: str | bytes) -> list[Any]:
        """What comes back at once: ``[socketId, payload]`` of messages, other frames whole."""
        return readable(self.link.feed(frames))

    def due_ms(self) -> int | None:
        """When the link wants to look at the clock."""
        return self.link.due_ms


def readable(frames: list[Outgoing]) -> list[Any]:
    found: list[Any] = []
    for one in frames:
        assert not isinstance(one, Close)
        outer = json.loads(one)
        is_message = outer["type"] == "message"
        payload = json.loads(outer["data"])["payload"] if is_message else None
        found.append([outer["socketId"], payload] if is_message else outer)
    return found


def message(socket_id: str, endpoint: str, request_id: str = "r1", **payload: object) -> str:
    return frame("message", socket_id, data=request(endpoint, request_id, **payload))


def connect(socket_id: str, user: str, **fields: object) -> str:
    return frame("connect", socket_id, user=vouched(user, **fields))


def codes(answers: list[Any]) -> list[tuple[str, str]]:
    return [
        (answer[0], answer[1].get("error", {}).get("code", "ok"))
        for answer in answers
        if isinstance(answer, list) and "id" in answer[1]
    ]


def test_the_products_own_frame_starts_a_recording() -> None:
    world = World()
    answers = world.say(connect(PRODUCT_SOCKET, "alice"), PRODUCT_FRAME)

    assert answers[0][0] == PRODUCT_SOCKET
    assert answers[0][1]["id"] == PRODUCT_REQUEST
    assert answers[0][1]["status"] == "ok"
    assert world.rooms.story[-1] == ("startRoomRecording", "client-1", "alice")


def test_clients_of_one_gateway_are_apart() -> None:
    world = World()
    world.say(connect("a", "alice"), connect("b", "bob"))
    answers = world.say(message("b", "getRoom"), message("a", "getRoom"))

    users = [(a[0], a[1]["payload"]["user"]) for a in answers if "id" in a[1]]
    assert users == [("b", "bob"), ("a", "alice")]


def test_who_one_is_comes_from_the_connect_frame_alone() -> None:
    world = World()
    inner = json.loads(request("getRoom"))
    inner["socketId"] = "a"
    inner["payload"]["user"] = inner["user"] = vouched("alice")
    data = json.dumps(inner)
    answers = world.say(
        connect("a", "alice"), connect("b", "bob"), frame("message", "b", data=data)
    )

    assert answers[0][0] == "b"
    assert answers[0][1]["payload"]["user"] == "bob"


def test_answers_that_come_later_find_their_client() -> None:
    world = World()
    world.say(connect("a", "alice"), connect("b", "bob"), message("a", "stopRoomRecording"))
    world.rooms.settle()

    assert [one[0] for one in readable(world.later)] == ["a", "a", "b"]


@pytest.mark.parametrize("data", ["", "{", "[]", "NaN", "[" * 5000, '{"a":1,"a":2}'])
def test_garbage_inside_is_answered_to_its_client_alone(data: str) -> None:
    world = World()
    world.say(connect("a", "alice"), connect("b", "bob"))
    answers = world.say(frame("message", "a", data=data), message("b", "ping"))

    assert codes(answers) == [("a", "BAD_REQUEST"), ("b", "ok")]


def test_a_message_that_is_too_big_is_answered_to_its_client_alone() -> None:
    world = World(GatewaySettings(max_message_bytes=1024))
    world.say(connect("a", "alice"))
    answers = world.say(frame("message", "a", data="é" * 513), message("a", "ping"))

    assert codes(answers) == [("a", "BAD_REQUEST"), ("a", "ok")]
    assert "too big" in answers[0][1]["error"]["message"]


@pytest.mark.parametrize("text", ["{", b"{}", "[]", '{"type":"message"}'])
def test_an_unreadable_frame_is_answered_with_an_error_frame(text: str | bytes) -> None:
    world = World()
    world.say(connect("a", "alice"))
    error, answer = world.say(text, message("a", "ping"))

    assert error["type"] == "error"
    assert error["code"] == "BAD_REQUEST"
    assert "socketId" not in error
    assert answer[1]["status"] == "ok"


@pytest.mark.parametrize("data", [5, None, "a NUL: \0", "half a pair: \ud83d"])
def test_an_unreadable_frame_of_a_known_socket_says_so(data: object) -> None:
    error = World().say(frame("message", "a", data=data))[0]

    assert (error["type"], error["socketId"]) == ("error", "a")


def test_a_client_without_a_user_has_to_authenticate() -> None:
    world = World()
    world.say(frame("connect", "a"))
    answers = world.say(
        message("a", "getRoom"),
        message("a", "authenticate", token=token()),
        message("a", "getRoom"),
    )

    assert codes(answers) == [("a", "UNAUTHENTICATED"), ("a", "ok"), ("a", "ok")]


def test_a_socket_that_was_never_connected_has_to_authenticate() -> None:
    world = World()
    answers = world.say(PRODUCT_FRAME, message(PRODUCT_SOCKET, "authenticate", token=token()))

    assert codes(answers) == [(PRODUCT_SOCKET, "UNAUTHENTICATED"), (PRODUCT_SOCKET, "ok")]
    assert world.rooms.users() == ["alice"]


def test_clients_that_do_not_authenticate_in_time_are_closed_one_by_one() -> None:
    world = World()
    world.say(frame("connect", "a"), connect("b", "bob"))
    world.clock.pass_s(2)
    world.say(frame("connect", "c"), frame("connect", "d"), frame("disconnect", "d"))
    world.say(message("c", "authenticate", token=token()), message("e", "ping"))
    assert world.due_ms() == 5000
    world.clock.pass_s(3)
    first = readable(world.link.tick())
    assert world.due_ms() == 7000
    world.clock.pass_s(2)
    second = readable(world.link.tick())

    assert [(one["type"], one["socketId"], one["code"]) for one in first] == [("close", "a", 1008)]
    assert [(one["type"], one["socketId"], one["code"]) for one in second] == [("close", "e", 1008)]
    assert world.due_ms() == (3600 + 60) * 1000  # alice's token
    assert world.rooms.users() == ["bob", "alice"]


def test_a_gateway_vouches_for_users_and_no_more() -> None:
    world = World()
    world.say(connect("a", "alice", roles=["service", "gateway", "domain-admin"]))

    assert world.rooms.present[0].identity.roles == {Role.USER}
    assert world.rooms.present[0].identity.expires_ms is None


def test_a_gateway_vouches_for_more_where_it_may() -> None:
    world = World(GatewaySettings(gateway_roles=frozenset({Role.DOMAIN_ADMIN})))
    world.say(connect("a", "alice", roles=["service", "domain-admin", "elf"]))
    world.say(connect("b", "bob"))

    assert world.rooms.present[0].identity.roles == {Role.USER, Role.DOMAIN_ADMIN}
    assert world.rooms.present[1].identity.roles == {Role.USER}


def test_connecting_a_known_socket_replaces_its_client() -> None:
    world = World()
    world.say(connect("a", "alice"), message("a", "stopRoomRecording"))
    world.say(connect("a", "bob"))
    world.rooms.settle()  # alice's answer, which must not reach bob
    answers = readable(world.later)

    assert world.rooms.users() == ["bob"]
    assert [one[1].get("event") for one in answers] == ["told"]
    assert [key for word, key, _ in world.rooms.story if word == "connected"] == [
        "client-1",
        "client-2",
    ]


def test_connecting_a_known_socket_without_a_user_takes_its_user_away() -> None:
    world = World()
    answers = world.say(connect("a", "alice"), frame("connect", "a"), message("a", "getRoom"))

    assert codes(answers) == [("a", "UNAUTHENTICATED")]
    assert world.rooms.users() == []


def test_a_client_that_disconnects_hears_no_more() -> None:
    world = World()
    world.say(connect("a", "alice"), connect("b", "bob"), message("a", "stopRoomRecording"))
    world.say(frame("disconnect", "a", reason="tab closed"), frame("disconnect", "a"))
    world.rooms.settle()

    assert world.rooms.users() == ["bob"]
    assert [one[0] for one in readable(world.later)] == ["b"]


def test_the_loss_of_the_gateway_is_the_loss_of_each_client() -> None:
    world = World()
    world.say(connect("a", "alice"), connect("b", "bob"), frame("connect", "c"))
    world.link.close()
    world.link.close()

    assert world.rooms.users() == []
    assert [word for word, *_ in world.rooms.story].count("disconnected") == 2
    assert world.due_ms() is None


def test_the_clients_of_a_lost_gateway_are_ended_a_few_at_a_time() -> None:
    world = World()
    world.say(*(connect(f"s{number}", f"user-{number}") for number in range(100)))
    left = []
    while world.link.close_some():
        left.append(len(world.rooms.users()))

    assert left[0] >= 90
    assert left == sorted(left, reverse=True)
    assert world.rooms.users() == []
    assert world.due_ms() is None


def test_each_socket_is_limited_and_each_user() -> None:
    world = World(GatewaySettings(requests_per_second=1, requests_burst=3))
    world.say(connect("a", "alice"), connect("a2", "alice"), connect("b", "bob"))
    flood = [message(socket_id, "ping") for socket_id in ["a"] * 2 + ["a2"] * 2 + ["b"] * 2]

    assert codes(world.say(*flood)) == [
        ("a", "ok"),
        ("a", "ok"),
        ("a2", "ok"),
        ("a2", "RATE_LIMITED"),
        ("b", "ok"),
        ("b", "ok"),
    ]


def test_a_socket_cannot_flood_by_changing_its_user_or_by_garbage() -> None:
    world = World(GatewaySettings(requests_per_second=1, requests_burst=3))
    world.say(connect("a", "alice"))
    answers = world.say(*[frame("message", "a", data="{")] * 4)

    assert codes(answers) == [("a", "BAD_REQUEST")] * 3 + [("a", "RATE_LIMITED")]


def test_a_gateway_carries_only_so_many_clients() -> None:
    world = World(GatewaySettings(max_clients=2))
    world.say(connect("a", "alice"), connect("b", "bob"))
    refused = world.say(connect("c", "carol"), message("d", "ping"), connect("a", "alice"))

    assert [(one["type"], one["socketId"], one["code"]) for one in refused] == [
        ("close", "c", 1013),
        ("close", "d", 1013),
    ]
    assert world.rooms.users() == ["bob", "alice"]


def test_a_bug_met_by_one_client_is_kept_from_the_others() -> None:
    class Buggy(FakeRooms):
        def disconnected(self, client: Client) -> None:
            super().disconnected(client)
            if client.identity.user == "alice":
                raise ZeroDivisionError("a bug")

    world = World(rooms=Buggy())
    world.say(connect("a", "alice"), connect("b", "bob"), connect("c", "alice"))
    error, answer = world.say(frame("disconnect", "a"), message("b", "ping"))
    world.link.close()

    assert (error["type"], error["code"], error["socketId"]) == ("error", "INTERNAL", "a")
    assert "ZeroDivision" not in json.dumps(error)
    assert answer[1]["status"] == "ok"
    assert world.rooms.users() == []


texts = st.text(max_size=10) | st.sampled_from(["a", "b", "connect", "message", "disconnect"])
junk = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "socketId", "data", "user", "id"]), inner)
    ),
    max_leaves=8,
)
frames = (
    st.binary(max_size=20)
    | st.text(max_size=20)
    | junk.map(json.dumps)
    | junk.map(lambda inner: frame("message", "b", data=json.dumps(inner)))
)


@given(st.lists(frames, max_size=10))
def test_nothing_that_is_sent_for_others_hurts_a_client(sent: list[str | bytes]) -> None:
    world = World(replace(GatewaySettings(), requests_burst=1000))
    world.say(connect("good", "alice"))
    world.say(*sent)

    assert codes(world.say(message("good", "ping"))) == [("good", "ok")]
    assert world.rooms.users() == ["alice"]

import json
from dataclasses import replace
from typing import Any

import pytest

from sfu_wrapper.gateway.client_link import ClientLink
from sfu_wrapper.gateway.limits import ANSWER_BYTES, NOTICES
from sfu_wrapper.gateway.send_queue import Close, Outgoing
from sfu_wrapper.gateway.settings import GatewaySettings
from sfu_wrapper.model.errors import Code, Refused
from sfu_wrapper.model.identity import DomainId, Identity, Role, UserId
from sfu_wrapper.service.rooms.sessions import Client
from sfu_wrapper.wire.signaling import Request, event
from tests.helpers.clocks import NOW_S, StandingClock
from tests.helpers.gatewayfakes import FakeRooms, gate, request, token

ALICE = Identity(DomainId("example"), UserId("alice"), frozenset({Role.USER}))


class World:
    """A link, the rooms behind it, and what it sends."""

    def __init__(
        self,
        identity: Identity | None = ALICE,
        settings: GatewaySettings | None = None,
        rooms: FakeRooms | None = None,
    ) -> None:
        self.rooms = rooms or FakeRooms()
        self.clock = StandingClock()
        self.later: list[Outgoing] = []
        shared = gate(self.rooms, self.clock, settings)
        self.link = ClientLink(shared, identity, lambda: self.later.extend(self.link.take()))
        self.link.open()

    def say(self, *messages: str | bytes) -> list[Any]:
        """What comes back at once: responses and events without their envelope, or a Close."""
        return readable(self.link.feed(messages))

    def due_ms(self) -> int | None:
        """When the link wants to look at the clock."""
        return self.link.due_ms


def readable(frames: list[Outgoing]) -> list[Any]:
    return [f if isinstance(f, Close) else json.loads(f)["payload"] for f in frames]


def codes(answers: list[Any]) -> list[str]:
    return [answer.get("error", {}).get("code", "ok") for answer in answers if "id" in answer]


def test_a_request_is_answered_before_the_event_that_it_causes() -> None:
    answer, event = World().say(request("getRoom"))

    assert (answer["id"], answer["status"], answer["payload"]["user"]) == ("r1", "ok", "alice")
    assert event["event"] == "told"


def test_answers_that_come_later_are_told_of() -> None:
    world = World()
    at_once = world.say(request("stopRoomRecording"), request("ping", "r2"))
    world.rooms.settle()

    assert [answer["id"] for answer in at_once] == ["r2"]
    assert readable(world.later)[0]["id"] == "r1"


def test_what_came_about_before_is_sent_before() -> None:
    world = World()
    world.rooms.present[0].deliver(b'{"payload":1}')
    frames = world.say(request("ping"))

    assert readable(world.later) == [1]
    assert frames[0]["id"] == "r1"


def test_ping_is_answered_here() -> None:
    world = World()

    assert world.say(request("ping"))[0]["payload"] == {}
    assert [word for word, *_ in world.rooms.story] == ["connected"]


@pytest.mark.parametrize(
    ("message", "code"),
    [(b"{}", 1003), ("{", 1007), ("NaN", 1007), ("\ud800", 1007), ("é" * 40_000, 1009)],
)
def test_what_is_no_message_ends_the_connection(message: str | bytes, code: int) -> None:
    world = World()
    answers = world.say(request("ping"), message, request("ping"))

    assert [getattr(answer, "code", None) for answer in answers] == [None, code]
    assert world.say(request("ping")) == []


@pytest.mark.parametrize(
    "message",
    ["[]", "1", '{"type":"request","type":"request"}', "[" * 5000 + "]" * 5000, '"\\ud800"'],
)
def test_json_that_is_no_request_is_answered_and_the_connection_stays(message: str) -> None:
    world = World()

    assert codes(world.say(message, request("ping"))) == ["BAD_REQUEST", "ok"]


def test_a_message_of_just_the_allowed_length_is_read() -> None:
    message = request("ping")
    settings = GatewaySettings(max_message_bytes=len(message))

    assert codes(World(settings=settings).say(message)) == ["ok"]
    assert World(settings=settings).say(message + " ")[0].code == 1009


def test_nobody_is_told_of_a_client_before_it_has_authenticated() -> None:
    world = World(identity=None)
    early = world.say(request("startRoomRecording"), request("ping"), request("nonsense"))

    assert codes(early) == ["UNAUTHENTICATED", "UNAUTHENTICATED", "UNKNOWN_ENDPOINT"]
    assert world.rooms.story == []


def test_authenticate_says_who_one_is() -> None:
    world = World(identity=None)
    answer = world.say(request("authenticate", token=token(roles=["user", "domain-admin"])))[0]

    assert answer["payload"] == {
        "user": "alice",
        "domain": "example",
        "roles": ["domain-admin", "user"],
        "expiresAt": "2020-05-25T08:42:28.000Z",
    }
    assert world.rooms.users() == ["alice"]


def test_a_wrong_token_is_refused_and_may_be_followed_by_a_good_one() -> None:
    world = World(identity=None)
    wrong = request("authenticate", token="nonsense")
    good = request("authenticate", token=token())

    assert codes(world.say(wrong, good)) == ["UNAUTHENTICATED", "ok"]


def test_a_client_that_does_not_authenticate_in_time_is_closed() -> None:
    world = World(identity=None)
    assert world.due_ms() == 5000
    world.clock.pass_s(4.999)
    assert world.link.tick() == []
    world.clock.pass_s(0.001)

    assert world.link.tick() == [Close(1008, "authentication timeout")]
    assert world.due_ms() is None
    assert world.link.tick() == []


def test_a_client_with_a_token_has_nothing_to_be_late_with() -> None:
    world = World()
    world.clock.pass_s(100)

    assert world.due_ms() is None
    assert world.link.tick() == []


def test_an_expired_token_needs_a_new_one_and_ends_nothing() -> None:
    world = World(identity=None)
    world.say(request("authenticate", token=token(exp=NOW_S + 10)))
    world.clock.pass_s(10)

    assert codes(world.say(request("getRoom"), request("ping"))) == ["UNAUTHENTICATED"] * 2
    assert world.rooms.users() == ["alice"]
    renewed = world.say(request("authenticate", token=token()), request("getRoom"))
    assert codes(renewed) == ["ok", "ok"]
    assert [word for word, *_ in world.rooms.story] == ["connected", "getRoom"]


def test_an_expired_token_hears_no_events_then_or_later_but_its_answers() -> None:
    world = World(identity=None)
    world.say(request("authenticate", token=token(exp=NOW_S + 10)))
    world.say(request("stopRoomRecording", "asked in time"))
    world.rooms.broadcast(event("early", {}))
    world.clock.pass_s(10)
    world.rooms.settle()
    world.rooms.broadcast(event("late", {}))
    renewed = world.say(request("authenticate", token=token()))
    world.rooms.broadcast(event("new", {}))
    heard = [one.get("event") or one["id"] for one in readable(world.later)]

    assert heard == ["early", "asked in time", "new"]
    assert codes(renewed) == ["ok"]


def test_a_minute_after_its_token_a_client_is_closed_though_it_says_nothing() -> None:
    world = World(identity=None)
    world.say(request("authenticate", token=token(exp=NOW_S + 10)))
    world.clock.pass_s(69)
    early = world.link.tick()
    assert world.due_ms() == 70_000
    world.clock.pass_s(1)
    late = world.link.tick()

    assert (early, late) == ([], [Close(1008, "token expired")])
    assert world.due_ms() is None


def test_a_client_that_renews_its_token_in_time_stays() -> None:
    world = World(identity=None)
    world.say(request("authenticate", token=token(exp=NOW_S + 10)))
    world.clock.pass_s(65)
    world.say(request("authenticate", token=token(exp=NOW_S + 100)))
    world.clock.pass_s(20)

    assert world.link.tick() == []
    assert world.due_ms() == 160_000


def test_a_token_of_the_handshake_ends_too() -> None:
    world = World(identity=replace(ALICE, expires_ms=(NOW_S + 10) * 1000))
    world.clock.pass_s(70)

    assert codes(world.say(request("getRoom"))) == ["UNAUTHENTICATED"]
    assert world.link.tick() == [Close(1008, "token expired")]


def test_authenticating_as_somebody_else_is_another_client() -> None:
    world = World()
    world.say(request("stopRoomRecording", "old"))
    world.say(request("authenticate", token=token(sub="bob")))
    world.rooms.settle()
    world.say(request("getRoom"))

    assert world.rooms.story == [
        ("connected", "client-1", "alice"),
        ("stopRoomRecording", "client-1", "alice"),
        ("disconnected", "client-1", "alice"),
        ("connected", "client-2", "bob"),
        ("getRoom", "client-2", "bob"),
    ]
    assert readable(world.later)[0]["id"] == "old"  # a request is answered whatever happens


def test_new_roles_count_from_the_next_request_on() -> None:
    world = World(settings=GatewaySettings(requests_per_second=1, requests_burst=2))
    world.say(request("authenticate", token=token(roles=["service"])))

    assert codes(world.say(*[request("ping")] * 50)) == ["ok"] * 50
    assert world.rooms.present[0].identity.is_service
    assert len(world.rooms.present) == 1


def test_a_token_without_a_role_for_clients_may_ask_for_nothing() -> None:
    world = World(identity=None)
    world.say(request("authenticate", token=token(roles=["gateway"])))

    assert codes(world.say(request("getRoom"))) == ["FORBIDDEN"]


def test_too_many_requests_are_told_when_to_come_back() -> None:
    world = World(settings=GatewaySettings(requests_per_second=20, requests_burst=2))
    answers = world.say(*[request("ping", str(number)) for number in range(3)], "[]")

    assert codes(answers) == ["ok", "ok", "RATE_LIMITED", "RATE_LIMITED"]
    assert answers[2]["error"]["details"] == {"retryAfter": 0.05}
    assert answers[2]["id"] == "2"
    world.clock.pass_s(0.05)
    assert codes(world.say(request("ping"))) == ["ok"]


def test_a_user_is_limited_over_all_of_its_connections() -> None:
    rooms, clock = FakeRooms(), StandingClock()
    shared = gate(rooms, clock, GatewaySettings(requests_per_second=1, requests_burst=3))
    links = [ClientLink(shared, ALICE, lambda: None) for _ in range(3)]
    answers = []
    for link in links:
        link.open()
        answers += readable(link.feed([request("ping"), request("ping")]))

    assert codes(answers) == ["ok"] * 3 + ["RATE_LIMITED"] * 3


def test_long_answers_count_as_several_requests() -> None:
    rooms = FakeRooms()
    settings = GatewaySettings(requests_per_second=20, requests_burst=40)
    world = World(settings=settings, rooms=rooms)
    asked = [request("getRoom", str(number)) for number in range(40)]

    assert codes(world.say(*asked)) == ["ok"] * 40
    world.clock.pass_s(2)
    rooms.size = 10 * ANSWER_BYTES
    assert codes(world.say(*asked)) == ["ok"] * 4 + ["RATE_LIMITED"] * 36
    world.clock.pass_s(2)
    rooms.size = 0
    assert codes(world.say(*asked[:35])) == ["ok"] * 35


def test_long_answers_to_the_room_service_count_as_one_request_each() -> None:
    rooms = FakeRooms()
    settings = GatewaySettings(
        requests_per_second=20, requests_burst=40, service_requests_per_second=20
    )
    world = World(replace(ALICE, roles=frozenset({Role.SERVICE})), settings, rooms)
    rooms.size = 10 * ANSWER_BYTES
    asked = [request("getRoom", str(number)) for number in range(40)]

    assert codes(world.say(*asked)) == ["ok"] * 40


def test_an_answer_of_any_length_leaves_something_of_a_burst_and_long_ones_are_owed_for() -> None:
    rooms = FakeRooms()
    rooms.size = 1000 * ANSWER_BYTES
    settings = GatewaySettings(requests_per_second=20, requests_burst=40)
    world = World(settings=settings, rooms=rooms)

    assert codes(world.say(request("getRoom", "1"))) == ["ok"]
    rooms.size = 0
    assert (
        codes(world.say(*[request("getRoom", f"a{number}") for number in range(10)])) == ["ok"] * 10
    )
    rooms.size = 1000 * ANSWER_BYTES
    answers = world.say(request("getRoom", "2"), request("getRoom", "3"))
    assert codes(answers) == ["ok", "RATE_LIMITED"]
    assert answers[-1]["error"]["details"]["retryAfter"] <= 41 / 20


def test_changes_that_many_are_told_of_count_as_several_requests() -> None:
    rooms = FakeRooms()
    settings = GatewaySettings(requests_per_second=20, requests_burst=40)
    world = World(settings=settings, rooms=rooms)
    asked = [request("updateMedia", str(number), media={}) for number in range(40)]

    rooms.notices = NOTICES - 1  # a room of a usual size
    assert codes(world.say(*asked)) == ["ok"] * 40
    world.clock.pass_s(2)
    rooms.notices = 9 * NOTICES
    assert codes(world.say(*asked)) == ["ok"] * 4 + ["RATE_LIMITED"] * 36


def test_a_user_that_left_many_people_to_be_told_is_limited_when_it_comes_again() -> None:
    rooms, clock = FakeRooms(), StandingClock()
    shared = gate(rooms, clock, GatewaySettings(requests_per_second=20, requests_burst=40))
    first, second = (ClientLink(shared, ALICE, lambda: None) for _ in range(2))
    first.open()
    (gone,) = rooms.present
    first.close()
    for _ in range(3):
        gone.charge(1000 * NOTICES)

    second.open()
    assert codes(readable(second.feed([request("ping")]))) == ["RATE_LIMITED"]


def test_events_count_as_nothing() -> None:
    world = World(settings=GatewaySettings(requests_per_second=20, requests_burst=2))
    world.rooms.broadcast(event("told", {"filling": "x" * 100 * ANSWER_BYTES}))

    assert codes(world.say(request("ping", "1"), request("ping", "2"))) == ["ok", "ok"]


def test_guessing_tokens_is_limited_too() -> None:
    world = World(identity=None)
    guesses = [request("authenticate", token="guess") for _ in range(100)]

    assert codes(world.say(*guesses)).count("UNAUTHENTICATED") == 40


def test_a_bug_behind_the_door_is_owned_up_to(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    answers = world.say(request("endRoom"), request("ping"))
    error = answers[0]["error"]

    assert codes(answers) == ["INTERNAL", "ok"]
    assert "ZeroDivision" not in json.dumps(error)
    assert error["details"].keys() == {"incident"}
    assert [vars(record)["incident"] for record in caplog.records] == [error["details"]["incident"]]


def test_a_refusal_of_the_rooms_is_passed_on() -> None:
    class Strict(FakeRooms):
        def handle(self, client: Client, request: Request) -> None:
            raise Refused(Code.ROOM_REQUIRED, "which room?", rooms=2)

    answer = World(rooms=Strict()).say(request("getRoom"))[0]

    assert answer["error"] == {
        "code": "ROOM_REQUIRED",
        "message": "which room?",
        "details": {"rooms": 2},
    }


def test_a_lost_connection_is_a_client_that_is_gone_once() -> None:
    world = World()
    client = world.rooms.present[0]
    world.link.close()
    world.link.close()
    client.deliver(b"late")

    assert [word for word, *_ in world.rooms.story] == ["connected", "disconnected"]
    assert world.later == []
    assert world.link.take() == []


def test_a_connection_lost_before_it_authenticated_is_nobodys() -> None:
    world = World(identity=None)
    world.link.close()

    assert world.rooms.story == []
    assert world.due_ms() is None

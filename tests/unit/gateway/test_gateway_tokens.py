"""Tokens of gateways: for which domains they vouch, and what happens when they end."""

from dataclasses import replace

import pytest

from sfu_wrapper.gateway.send_queue import Close
from sfu_wrapper.model.identity import DomainId
from sfu_wrapper.wire.signaling import event
from tests.helpers.clocks import NOW_S
from tests.helpers.gatewayfakes import GATEWAY, frame, token, vouched
from tests.unit.gateway.test_gatewaylink import World, codes, connect, message, readable

SHORT = replace(GATEWAY, expires_ms=(NOW_S + 10) * 1000)


def renew(**claims: object) -> str:
    """An ``authenticate`` frame of this gateway, unless claimed otherwise."""
    given = {"sub": "gw", "roles": ["gateway"], "exp": NOW_S + 3600} | claims
    return frame("authenticate", "ignored", token=token(**given))


def kinds(answers: list[object]) -> list[tuple[object, ...]]:
    """Type, code and socketId of frames that are no messages."""
    found = [one for one in answers if isinstance(one, dict)]
    return [(one["type"], one.get("code"), one.get("socketId")) for one in found]


def of_domain(socket_id: str, user: str, domain: str) -> str:
    return frame("connect", socket_id, user=vouched(user) | {"domain": domain})


@pytest.mark.parametrize(
    ("vouches", "domain", "let_in"),
    [
        (None, "example", True),
        (None, "elsewhere", False),
        (("elsewhere", "other"), "elsewhere", True),
        (("elsewhere",), "example", False),
        (("Elsewhere", "else", "*"), "elsewhere", False),
        ((), "example", False),
    ],
)
def test_a_gateway_vouches_for_the_domains_of_its_token_alone(
    vouches: tuple[str, ...] | None, domain: str, let_in: bool
) -> None:
    domains = None if vouches is None else frozenset(map(DomainId, vouches))
    world = World(identity=replace(GATEWAY, vouches=domains))
    answers = world.say(of_domain("a", "alice", domain), message("a", "getRoom"))

    if let_in:
        assert codes(answers)[0] == ("a", "ok")
    else:
        assert kinds(answers) == [("error", "FORBIDDEN", "a")]
        assert codes(answers[1:]) == [("a", "UNAUTHENTICATED")]
        assert world.rooms.story == []


def test_a_refused_connect_leaves_nobody_on_its_socket() -> None:
    world = World()
    answers = world.say(connect("a", "alice"), of_domain("a", "eve", "elsewhere"))

    assert kinds(answers) == [("error", "FORBIDDEN", "a")]
    assert world.rooms.users() == []


def test_a_client_of_another_domain_may_bring_a_token_of_its_own() -> None:
    world = World()
    own = message("a", "authenticate", token=token(domain="elsewhere"))

    assert codes(world.say(frame("connect", "a"), own)) == [("a", "ok")]


def test_a_gateway_whose_token_expires_is_asked_for_another_once() -> None:
    world = World(identity=SHORT)
    assert world.due_ms() == 10_000
    world.clock.pass_s(10)
    asked = [kinds(readable(world.link.tick())) for _ in range(2)]

    assert asked == [[("error", "UNAUTHENTICATED", None)], []]
    assert world.due_ms() == 70_000


def test_while_it_has_expired_its_clients_hear_nothing_and_ask_in_vain() -> None:
    world = World(identity=SHORT)
    world.say(connect("a", "alice"), frame("connect", "b"))
    world.say(message("a", "stopRoomRecording", "asked in time"))
    world.clock.pass_s(10)
    world.rooms.settle()
    world.rooms.broadcast(event("late", {}))
    answers = world.say(
        message("a", "getRoom"),
        message("b", "authenticate", token=token()),
        message("never connected", "ping"),
        connect("c", "carol"),
    )

    assert [one[1]["id"] for one in readable(world.later)] == ["asked in time"]
    refused = [(name, "UNAUTHENTICATED") for name in ("a", "b", "never connected")]
    assert codes(answers[:3]) == refused
    assert kinds(answers) == [("error", "UNAUTHENTICATED", "c")]
    assert world.rooms.users() == ["alice"]


def test_with_a_new_token_everything_goes_on_where_it_was() -> None:
    world = World(identity=SHORT)
    world.say(connect("a", "alice"))
    world.clock.pass_s(30)
    world.link.tick()
    [answer] = world.say(renew())

    assert answer == {
        "type": "authenticated",
        "user": "gw",
        "domain": "example",
        "expiresAt": "2020-05-25T08:42:28.000Z",
    }
    assert codes(world.say(message("a", "getRoom")))[0] == ("a", "ok")
    assert [word for word, *_ in world.rooms.story] == ["connected", "getRoom"]
    world.clock.pass_s(60)
    assert world.link.tick() == []
    assert world.due_ms() == 3600 * 1000


def test_a_minute_later_the_link_is_closed() -> None:
    world = World(identity=SHORT)
    world.say(connect("a", "alice"))
    world.clock.pass_s(70)
    asked, closed = world.link.tick()

    assert kinds(readable([asked])) == [("error", "UNAUTHENTICATED", None)]
    assert closed == Close(1008, "token expired")
    assert world.say(renew(), message("a", "ping")) == []
    assert world.due_ms() is None


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"sub": "another"}, "FORBIDDEN"),
        ({"domain": "elsewhere"}, "FORBIDDEN"),
        ({"roles": ["service"]}, "FORBIDDEN"),
        ({"exp": NOW_S - 1}, "UNAUTHENTICATED"),
    ],
)
def test_another_token_than_one_of_this_gateway_changes_nothing(
    claims: dict[str, object], code: str
) -> None:
    world = World(identity=SHORT)

    assert kinds(world.say(renew(**claims))) == [("error", code, None)]
    assert world.due_ms() == 10_000


def test_tokens_are_checked_at_a_bounded_pace() -> None:
    world = World()
    answers = world.say(*(frame("authenticate", "x", token="a.b.c") for _ in range(100)))
    found = [code for _, code, _ in kinds(answers)]

    assert (found.count("UNAUTHENTICATED"), found.count("RATE_LIMITED")) == (10, 90)


def test_an_authenticate_frame_without_a_token_is_unreadable() -> None:
    assert kinds(World().say(frame("authenticate", "a"))) == [("error", "BAD_REQUEST", "a")]
    assert kinds(World().say('{"type":"authenticate","token":7}')) == [
        ("error", "BAD_REQUEST", None)
    ]


def test_clients_of_a_domain_that_the_new_token_does_not_name_are_ended() -> None:
    both = frozenset({DomainId("example"), DomainId("elsewhere")})
    world = World(identity=replace(GATEWAY, vouches=both))
    own = message("c", "authenticate", token=token(sub="carol", domain="elsewhere"))
    world.say(connect("a", "alice"), of_domain("b", "bob", "elsewhere"), own)
    answers = world.say(renew(domains=["example"]))

    assert kinds(answers) == [("authenticated", None, None), ("close", 1008, "b")]
    assert world.rooms.users() == ["alice", "carol"]


def test_a_client_with_a_token_of_its_own_ends_with_it_and_no_other() -> None:
    world = World()
    own = message("b", "authenticate", token=token(sub="bob", exp=NOW_S + 10))
    world.say(connect("a", "alice"), own)
    world.clock.pass_s(10)
    world.rooms.broadcast(event("late", {}))
    answers = world.say(message("b", "getRoom"))
    heard = [one[0] for one in readable(world.later)]
    world.clock.pass_s(60)
    closed = readable(world.link.tick())

    assert (heard, codes(answers)) == (["a"], [("b", "UNAUTHENTICATED")])
    assert kinds(closed) == [("close", 1008, "b")]
    assert world.rooms.users() == ["alice"]


def test_thousands_of_tokens_that_end_at_once_are_ended_a_few_at_a_time() -> None:
    world = World()
    for number in range(300):
        own = token(sub=f"user-{number}", exp=NOW_S + 10)
        world.say(message(str(number), "authenticate", token=own))
    world.clock.pass_s(70)
    ended = [len(world.link.tick()) for _ in range(12)]

    assert max(ended) == 32
    assert sum(ended) == 300
    assert world.rooms.users() == []


def test_a_request_of_a_silenced_client_counts_against_its_limit() -> None:
    world = World(identity=SHORT)
    world.say(connect("a", "alice"))
    world.clock.pass_s(10)
    answers = world.say(*(message("a", "ping", str(number)) for number in range(100)))
    found = [code for _, code in codes(answers)]

    assert (found.count("UNAUTHENTICATED"), found.count("RATE_LIMITED")) == (40, 60)
    assert answers[7][1]["id"] == "7"  # though it was not parsed

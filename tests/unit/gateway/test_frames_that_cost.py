"""Size, limiter and identity come before a message is parsed (protocol.md, "Limits")."""

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest

from sfu_wrapper.adapters.memory.webrtc import MemoryBrowserMedia
from sfu_wrapper.gateway.client_link import ClientLink
from sfu_wrapper.gateway.gateway_link import GatewayLink
from sfu_wrapper.gateway.send_queue import Close, Outgoing
from sfu_wrapper.gateway.session import MediaContext
from sfu_wrapper.gateway.settings import GatewaySettings
from sfu_wrapper.gateway.webrtc_session import MediaSession
from sfu_wrapper.model.identity import DomainId, Identity, Role, UserId
from sfu_wrapper.service.rooms.media_sessions import MediaSessions
from tests.helpers.clocks import NOW_S, StandingClock
from tests.helpers.costlyframes import REFUSED
from tests.helpers.gatewayfakes import GATEWAY, FakeRooms, frame, gate, request, token, vouched

ALICE = Identity(DomainId("example"), UserId("alice"), frozenset({Role.USER}))
LIMIT = 9_216


class Client:
    """One connection to ``/client``, or to ``/media``."""

    def __init__(
        self,
        identity: Identity | None = None,
        *,
        media: bool = False,
        settings: GatewaySettings | None = None,
    ) -> None:
        self.clock = StandingClock()
        shared = gate(FakeRooms(), self.clock, settings)
        if media:
            nowhere = MediaSessions(lambda *room: pytest.fail(f"{room} was looked for"))
            shared = replace(shared, media=MediaContext(MemoryBrowserMedia(), nowhere))
            self.link = ClientLink(shared, identity, lambda: None, MediaSession)
        else:
            self.link = ClientLink(shared, identity, lambda: None)
        self.link.open()

    def say(self, message: str) -> object:
        """The code of the first answer, ``ok``, or that of a close."""
        return outcome(self.link.feed((message,))[0])

    def answer(self, message: str) -> dict[str, Any]:
        """The first answer."""
        sent = self.link.feed((message,))[0]
        assert isinstance(sent, bytes)
        return dict(json.loads(sent)["payload"])


def outcome(sent: Outgoing) -> object:
    if isinstance(sent, Close):
        return sent.code
    return json.loads(sent)["payload"].get("error", {}).get("code", "ok")


def padded(size: int, endpoint: str = "ping", **payload: object) -> str:
    """A request of just that many bytes."""
    bare = request(endpoint, "r1", x="", **payload)
    return request(endpoint, "r1", x="x" * (size - len(bare)), **payload)


@pytest.mark.parametrize("media", [False, True])
def test_before_authentication_a_message_may_have_9216_bytes(media: bool) -> None:
    fits, too_long = padded(LIMIT, "authenticate", token="?"), padded(LIMIT + 1)

    assert len(fits) == LIMIT
    assert Client(media=media).say(fits) in ("UNAUTHENTICATED", "BAD_REQUEST")
    assert Client(media=media).say(too_long) == 1009


def test_after_it_a_message_may_have_all_that_is_configured_for_good() -> None:
    client = Client()
    assert client.say(request("authenticate", token=token(exp=NOW_S + 10))) == "ok"
    assert client.say(padded(65_536)) == "ok"

    client.clock.pass_s(20)

    assert client.say(padded(65_536)) == "UNAUTHENTICATED"
    assert client.say(padded(65_537)) == 1009


def test_a_smaller_limit_in_the_configuration_counts_before_authentication_too() -> None:
    client = Client(settings=GatewaySettings(max_message_bytes=2048))

    assert client.say(padded(2049)) == 1009


@pytest.mark.parametrize(
    "payload", [{"invited": ["!"]}, {"invited": [1] * 50}, {"id": 5}, {"kind": None}]
)
def test_a_stranger_hears_that_it_is_one_and_not_what_is_wrong_inside(
    payload: dict[str, object],
) -> None:
    assert Client().say(request("createRoom", "r1", **payload)) == "UNAUTHENTICATED"
    assert Client(ALICE).say(request("createRoom", "r1", **payload)) == "BAD_REQUEST"


def test_whose_token_has_expired_hears_that_before_the_payload_is_looked_at() -> None:
    client = Client()
    client.say(request("authenticate", token=token(exp=NOW_S + 1)))
    client.clock.pass_s(2)

    assert client.say(request("createRoom", id=5)) == "UNAUTHENTICATED"


def test_on_media_identity_and_room_come_before_the_payload() -> None:
    assert Client(media=True).say(request("enter", room=5)) == "UNAUTHENTICATED"
    assert Client(ALICE, media=True).say(request("mix", sdp=5)) == "NOT_IN_ROOM"


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of all texts that are parsed from now on."""
    lengths: list[int] = []
    real = orjson.loads

    def loads(text: str) -> object:
        lengths.append(len(text))
        return real(text)

    monkeypatch.setattr(orjson, "loads", loads)
    return lengths


@pytest.mark.parametrize("name", REFUSED)
def test_a_stranger_has_little_parsed(name: str, parsed: list[int]) -> None:
    client = Client()
    client.say(REFUSED[name](LIMIT - 100))

    assert sum(parsed) <= LIMIT


def spent(client: Client) -> Client:
    while client.say(request("ping")) not in ("RATE_LIMITED", 1009):
        pass
    return client


@pytest.mark.parametrize("media", [False, True])
def test_who_asks_too_often_is_answered_without_being_read(media: bool, parsed: list[int]) -> None:
    client = spent(Client(ALICE, media=media))
    parsed.clear()
    users = ["carol"] * 2000
    answer = client.answer(request("inviteToRoom", "r99", users=users))

    assert parsed == []
    assert answer["error"]["code"] == "RATE_LIMITED"
    assert (answer["endpoint"], answer["id"]) == ("inviteToRoom", "r99")
    assert client.answer(request("ping", "r100"))["id"] == "r100"


@pytest.mark.parametrize("message", ["[]", "{", "[" * 5000, "x" * 5000])
def test_so_is_who_sends_garbage_too_often(message: str) -> None:
    assert spent(Client(ALICE)).say(message) == "RATE_LIMITED"


class Gateway:
    """A gateway's connection with alice on socket ``a``; ``s`` is a stranger."""

    def __init__(self) -> None:
        self.rooms = FakeRooms()
        self.link = GatewayLink(gate(self.rooms, StandingClock()), GATEWAY, lambda: None)
        self.link.feed((frame("connect", "a", user=vouched("alice")),))

    def say(self, socket_id: str, message: str) -> tuple[str, dict[str, Any]]:
        """To whom the first answer goes, and what it says."""
        sent = self.link.feed((frame("message", socket_id, data=message),))[0]
        assert isinstance(sent, bytes)
        outer = json.loads(sent)
        return outer["socketId"], json.loads(outer["data"])["payload"]


def test_a_stranger_behind_a_gateway_may_send_as_little() -> None:
    gateway = Gateway()
    _, fits = gateway.say("s", padded(LIMIT))
    socket_id, too_long = gateway.say("s", padded(LIMIT + 1))

    assert fits["error"]["code"] == "UNAUTHENTICATED"
    assert (socket_id, too_long["error"]["code"]) == ("s", "BAD_REQUEST")
    assert too_long["error"]["message"] == "the message is too big: at most 9216 bytes"
    assert (too_long["endpoint"], too_long["id"]) == ("ping", "r1")
    assert gateway.say("a", padded(65_536))[1]["status"] == "ok"


def test_messages_that_are_too_long_count(parsed: list[int]) -> None:
    gateway = Gateway()
    codes = [gateway.say("s", padded(LIMIT + 1))[1]["error"]["code"] for _ in range(50)]

    assert codes == ["BAD_REQUEST"] * 40 + ["RATE_LIMITED"] * 10
    assert gateway.say("a", request("ping"))[1]["status"] == "ok"


def test_behind_a_gateway_the_limiter_of_a_socket_decides_before_its_message_is_parsed(
    parsed: list[int],
) -> None:
    gateway = Gateway()
    for _ in range(40):
        gateway.say("a", request("ping"))
    parsed.clear()
    message = request("inviteToRoom", "r99", users=["carol"] * 2000)
    _, answer = gateway.say("a", message)

    assert answer["error"]["code"] == "RATE_LIMITED"
    assert (answer["endpoint"], answer["id"]) == ("inviteToRoom", "r99")
    assert parsed == [len(frame("message", "a", data=message))]  # the frame around it alone


@pytest.mark.parametrize(("socket_id", "limit"), [("s", LIMIT), ("new", LIMIT), ("a", 65_536)])
def test_a_gateway_frame_that_is_hopelessly_long_is_not_parsed(
    socket_id: str, limit: int, parsed: list[int]
) -> None:
    gateway = Gateway()
    parsed.clear()
    whom, answer = gateway.say(socket_id, "x" * (6 * limit + 1024))

    assert sum(parsed) == 0
    assert (whom, answer["error"]["code"]) == (socket_id, "BAD_REQUEST")
    assert answer["error"]["message"] == f"the message is too big: at most {limit} bytes"
    assert gateway.say("a", request("ping"))[1]["status"] == "ok"


def test_a_message_of_many_escapes_is_read_however_long_its_frame_is() -> None:
    gateway = Gateway()
    message = padded(LIMIT, "authenticate", token="?")
    escaped = "".join(f"\\u{ord(character):04x}" for character in message)
    text = f'{{"type":"message","socketId":"s","data":"{escaped}"}}'

    assert len(text) > 6 * LIMIT
    sent = gateway.link.feed((text,))[0]
    assert isinstance(sent, bytes)
    assert json.loads(json.loads(sent)["data"])["payload"]["error"]["code"] == "UNAUTHENTICATED"


def test_a_long_frame_of_another_order_is_answered_too(parsed: list[int]) -> None:
    gateway = Gateway()
    text = json.dumps({"data": "x" * 70_000, "socketId": "s", "type": "message"})
    parsed.clear()
    sent = gateway.link.feed((text,))[0]
    assert isinstance(sent, bytes)

    assert json.loads(sent)["socketId"] == "s"
    assert parsed == [len(text)]


def test_clients_of_hopelessly_long_frames_are_counted_as_others_are() -> None:
    shared = gate(FakeRooms(), StandingClock(), GatewaySettings(max_clients=1))
    link = GatewayLink(shared, GATEWAY, lambda: None)
    frames = [frame("message", name, data="x" * 60_000) for name in ("s", "t")]
    sent = [json.loads(each) for each in link.feed(frames) if isinstance(each, bytes)]

    assert [(each["type"], each["socketId"]) for each in sent] == [("message", "s"), ("close", "t")]
    assert link.due_ms == 5000

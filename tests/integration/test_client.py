"""The client of client.md against a real controller: answers, events, lost connections."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.server import ServerConnection, serve

from sfu_wrapper.client import (
    Client,
    ClientOptions,
    EventsLost,
    PlaceLost,
    RequestRefused,
    Resumed,
    connect,
    connect_gateway,
)
from sfu_wrapper.client.connection import Connection
from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.model.errors import Malformed, Unavailable
from sfu_wrapper.model.identity import RecordingPermissions, RecordingProfile, RecordingType
from sfu_wrapper.wire.client_models import (
    ParticipantJoined,
    RoomChanged,
    RoomEnded,
    RoomRecordingStarted,
    RoomRecordingStopped,
)
from tests.helpers.clocks import Ahead
from tests.helpers.live import Live, live, token
from tests.helpers.pages import block
from tests.helpers.wait import until
from tests.helpers.wire import Wire, wire

ALWAYS = RecordingPermissions(RecordingType.ALL, RecordingProfile.ALWAYS)
AT_ONCE = Backoff(0.01, 0.05)


@pytest_asyncio.fixture
async def here() -> AsyncIterator[Live]:
    """A controller that lets alice record."""
    async with live() as here:
        await here.permit("alice", ALWAYS)
        yield here


@pytest_asyncio.fixture
async def link(here: Live) -> AsyncIterator[Wire]:
    """A way to it that can be cut."""
    async with wire(int(here.url.rpartition(":")[2])) as link:
        yield link


async def test_the_example_of_the_page_runs(here: Live, capsys: pytest.CaptureFixture[str]) -> None:
    example = block("reference/client.md", "Client of the protocol", "python")
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "client.md", "exec"), names)  # noqa: S102 - our own page

    await names["main"](here.url, token("alice"))
    assert "segment 1" in capsys.readouterr().out


async def test_a_room_is_made_recorded_and_ended(here: Live) -> None:
    async with connect(here.url, token=token("alice")) as alice:
        room = await alice.create_room("standup", kind="meeting")
        await room.invite("bob")
        joined = await room.join(video=False)
        started = await room.start_recording()
        paused = await room.stop_recording(resume_after_s=600)
        await room.update_media(screen=True)
        state = await room.state()
        assert [each.room for each in (await alice.watch("rooms")).rooms] == ["standup"]
        await alice.unwatch("rooms")
        await room.end()
        ended = await alice.event(RoomEnded)

    assert joined.recording.allowed
    assert (started.segment, paused.segment) == (1, 1)
    assert paused.resumes_at == state.recording.resumes_at
    assert state.participants[0].media.screen
    assert ended.reason == "ended"


async def test_the_room_service_lists_rooms_and_joins_others(here: Live) -> None:
    async with connect(here.url, token=token("rooms", "service")) as service:
        room = await service.create_room("call", owner="alice", domain="example")
        await room.join_user("alice", audio=True)
        page = await service.list_rooms(limit=10)
        await room.end()

    assert [each.user for each in page.rooms[0].participants] == ["alice"]


async def test_a_refusal_has_its_code(here: Live) -> None:
    async with connect(here.url, token=token("bob")) as bob:
        with pytest.raises(RequestRefused) as refused:
            await bob.room("nowhere").start_recording()
    assert refused.value.code == "ROOM_NOT_FOUND"


async def test_a_refused_token_is_not_tried_again(here: Live) -> None:
    with pytest.raises(RequestRefused, match="401"):
        async with connect(here.url, token="no token"):
            pass
    with pytest.raises(RequestRefused, match="403"):
        async with connect_gateway(here.url, token=token("alice")):
            pass


async def test_a_request_of_a_cut_connection_is_answered_over_the_next(
    here: Live, link: Wire
) -> None:
    async with connect(link.url, token=token("alice"), pauses=AT_ONCE) as alice:
        room = await alice.create_room("standup", kind="meeting")
        await room.join()
        link.closed = True
        link.cut()
        starting = asyncio.create_task(room.start_recording())
        await asyncio.sleep(0.1)
        assert not starting.done()
        link.closed = False

        assert (await starting).segment == 1
        await alice.event(Resumed)
        assert [each.segment for each in (await room.state()).segments] == [1]


async def test_a_watch_goes_on_after_a_cut(here: Live, link: Wire) -> None:
    async with connect(link.url, token=token("alice"), pauses=AT_ONCE) as alice:
        room = await alice.create_room("standup", kind="meeting")
        await alice.watch("rooms")
        alice.drop()
        resumed = await alice.event(Resumed)
        await room.join()
        changed = await alice.event(RoomChanged)

    assert resumed.watching is not None
    assert [each.room for each in resumed.watching.rooms] == ["standup"]
    assert changed.state is not None
    assert [each.user for each in changed.state.participants] == ["alice"]


async def test_a_place_that_is_taken_by_the_grace_is_joined_again() -> None:
    async with live("rooms.reconnectGraceSeconds=0") as here, wire(_port(here)) as link:
        service = await here.service()
        wish = {"id": "standup", "kind": "meeting", "owner": "carol", "domain": "example"}
        await service.ok("createRoom", wish)
        await (await here.client("bob")).ok("joinRoom", {"room": "standup"})
        async with connect(link.url, token=token("alice"), pauses=AT_ONCE) as alice:
            room = alice.room("standup")
            await room.join(screen=True)
            link.closed = True
            link.cut()
            await service.event("participantLeft")
            link.closed = False
            await alice.event(Resumed)
            people = {each.user: each.media for each in (await room.state()).participants}

    assert people["alice"].screen


async def test_a_place_in_a_room_that_has_ended_is_lost(here: Live, link: Wire) -> None:
    service = await here.service()
    async with connect(link.url, token=token("alice"), pauses=AT_ONCE) as alice:
        room = await alice.create_room("standup", kind="meeting")
        await room.join()
        link.closed = True
        link.cut()
        await service.ok("endRoom", {"room": "standup"})
        link.closed = False
        lost = await alice.event(PlaceLost)

    assert (lost.room, lost.error.code) == ("standup", "ROOM_ENDED")


async def test_many_clients_share_the_connection_of_a_gateway(here: Live) -> None:
    async with (
        connect_gateway(here.url, token=token("gateway-1", "gateway")) as gateway,
        gateway.client("alice", "example") as alice,
        gateway.client("bob", "example") as bob,
    ):
        room = await alice.create_room("standup", kind="meeting", record=True)
        await room.join()
        await bob.room("standup").join()
        joined = await alice.event(ParticipantJoined)
        gateway.drop()
        for client in (alice, bob):
            await client.event(Resumed)
        people = [each.user for each in (await room.state()).participants]

    assert joined.user == "alice"
    assert people == ["alice", "bob"]


async def test_a_room_that_was_left_is_not_joined_again(here: Live, link: Wire) -> None:
    async with connect(link.url, token=token("alice"), pauses=AT_ONCE) as alice:
        room = await alice.create_room("standup", kind="meeting")
        await room.join()
        bob = await here.client("bob")
        await bob.ok("joinRoom", {"room": "standup"})
        await room.leave()
        alice.drop()
        await alice.event(Resumed)
        people = [each.user for each in (await room.state()).participants]

    assert people == ["bob"]


async def test_a_new_token_is_presented_before_the_first_one_expires(here: Live) -> None:
    async with connect(here.url, token=token("alice")) as alice:
        known = await alice.authenticate(token("alice"))

    assert (known.user, known.domain, known.roles) == ("alice", "example", ("user",))


async def test_a_gateway_gets_no_client_of_another_domain(here: Live) -> None:
    async with connect_gateway(here.url, token=token("gateway-1", "gateway")) as gateway:
        async with gateway.client("eve", "elsewhere") as eve:
            with pytest.raises(RequestRefused) as refused:
                await eve.request("ping")
        assert refused.value.code == "FORBIDDEN"


async def test_a_new_token_is_presented_when_the_first_one_has_expired() -> None:
    tokens = [token("alice", ttl_s=60), token("alice")]
    clock = Ahead()
    async with (
        live(clock=clock) as here,
        connect(here.url, token=lambda: tokens.pop(0)) as alice,
    ):
        clock.forward(61)

        assert await alice.request("ping") == {}
    assert tokens == []


async def test_a_new_token_that_is_refused_is_an_error() -> None:
    tokens = [token("alice", ttl_s=60), "no token"]
    clock = Ahead()
    async with (
        live(clock=clock) as here,
        connect(here.url, token=lambda: tokens.pop(0)) as alice,
    ):
        clock.forward(61)

        with pytest.raises(RequestRefused):
            await alice.request("ping")


async def test_a_gateway_presents_a_new_token_for_all_its_clients(here: Live) -> None:
    tokens = [token("gateway-1", "gateway", ttl_s=1), token("gateway-1", "gateway")]
    async with (
        connect_gateway(here.url, token=lambda: tokens.pop(0)) as gateway,
        gateway.client("alice", "example") as alice,
    ):
        await until(lambda: not tokens)

        assert await alice.request("ping") == {}


async def test_a_limited_request_is_sent_again_after_a_pause(here: Live) -> None:
    async with connect(here.url, token=token("alice")) as alice:
        answers = await asyncio.gather(*(alice.request("ping") for _ in range(60)))

    assert answers == [{}] * 60


async def test_a_program_that_repeats_by_itself_gets_the_refusal(here: Live) -> None:
    options = ClientOptions(repeats=False)
    async with connect(here.url, token=token("alice"), options=options) as alice:
        pings = (alice.request("ping") for _ in range(60))
        results = await asyncio.gather(*pings, return_exceptions=True)

    codes = {each.code for each in results if isinstance(each, RequestRefused)}
    assert codes == {"RATE_LIMITED"}


async def test_a_program_that_reads_no_events_learns_how_many_it_missed(here: Live) -> None:
    options = ClientOptions(max_events=2)
    async with connect(here.url, token=token("alice"), options=options) as alice:
        room = await alice.create_room("standup", kind="meeting")
        await room.join()
        await room.start_recording()
        await room.stop_recording()
        await alice.request("ping")
        lost = await alice.event(EventsLost)
        assert lost.count > 0
        await alice.event(RoomRecordingStopped)

        with pytest.raises(Unavailable, match="no RoomRecordingStarted"):
            await alice.event(RoomRecordingStarted, timeout_s=0.01)


async def test_a_closed_client_ends_its_events_and_refuses_requests(here: Live) -> None:
    async with connect(here.url, token=token("alice")) as alice:
        pass

    assert [event async for event in alice.events()] == []
    with pytest.raises(Unavailable, match="closed"):
        await alice.request("ping")


async def test_a_silent_controller_is_given_up() -> None:
    async def silent(connection: ServerConnection) -> None:
        async for _ in connection:
            pass

    async with serve(silent, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with connect(url, token="t", options=ClientOptions(answer_s=0.05)) as client:
            with pytest.raises(Unavailable, match="no response to ping"):
                await client.request("ping")


async def test_a_message_of_another_protocol_ends_the_client() -> None:
    async def greet(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send("hello")
        await connection.wait_closed()

    async with serve(greet, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with connect(url, token="t") as client:
            with pytest.raises(Malformed):
                await client.request("ping")
            with pytest.raises(Malformed):
                await client.event(Resumed)


async def test_a_close_that_is_the_clients_fault_is_final(here: Live) -> None:
    async with connect(here.url, token=token("alice")) as alice:
        with pytest.raises(Malformed, match="1009"):
            await alice.request("ping", {"long": "x" * 70_000})


async def test_connecting_to_no_one_is_given_up() -> None:
    client = Client("t", ClientOptions())
    connection = Connection("ws://127.0.0.1:9/client", "t", client, AT_ONCE, give_up_s=0.05)

    with pytest.raises(Unavailable, match=r"no connection to .* for 0\.05 s"):
        await connection.run()


def _port(here: Live) -> int:
    return int(here.url.rpartition(":")[2])

"""Calls of the trunk, as the plane reports them and hangs them up."""

import asyncio
from pathlib import Path

import pytest

from sfu_wrapper.adapters.asterisk import plane
from sfu_wrapper.core.backoff import Backoff
from sfu_wrapper.model.identity import ConfbridgeId
from sfu_wrapper.model.media import Medium
from sfu_wrapper.ports.media_plane import (
    CallArrived,
    CallEntered,
    CallLeft,
    CallsPresent,
    TrunkCall,
)
from tests.helpers import asterisk_world
from tests.helpers.ami import Leg, asterisk
from tests.helpers.asterisk_world import World, connected
from tests.helpers.wait import until

here = asterisk_world.here
in_a_hurry = asterisk_world.in_a_hurry


DEADLINE_S = 20.0
PHONE = Leg("PJSIP/trunk-00000000", "1795484911.95", "from-trunk", "34900123456", "34600111222")


async def test_a_trunk_call_is_reported_from_its_announcement_to_its_end(here: World) -> None:
    calls = here.plane.calls()
    assert await anext(calls) == CallsPresent(())
    here.server.announce("pstn-1", PHONE, CallerNum="+34 600", Did="34900", RoomId="sales")
    here.server.enter("pstn-1", PHONE)
    here.server.enter("pstn-1")
    here.server.leave("pstn-1", PHONE)

    call = TrunkCall(PHONE.unique_id, ConfbridgeId("pstn-1"), "+34 600", "34900", "sales")
    assert [await anext(calls) for _ in range(3)] == [
        CallArrived(call),
        CallEntered(call.id),
        CallLeft(call.id),
    ]


async def test_an_announcement_may_name_who_is_invited(here: World) -> None:
    calls = here.plane.calls()
    await anext(calls)
    here.server.announce("pstn-1", PHONE, Invite="alice, bob carol")
    arrived = await anext(calls)

    assert isinstance(arrived, CallArrived)
    assert arrived.call.invited == ("alice", "bob", "carol")
    assert arrived.call.caller == PHONE.number


async def test_a_call_with_an_invalid_conference_is_ignored(
    here: World, caplog: pytest.LogCaptureFixture
) -> None:
    here.server.announce("../x", PHONE)
    await until(lambda: any(r.message == "asterisk.callInvalid" for r in caplog.records))


async def test_calls_that_arrived_without_a_link_are_found(tmp_path: Path) -> None:
    async with asterisk(tmp_path) as server:
        server.enter("pstn-1", PHONE)
        server.enter("pstn-1")
        async with connected(server, tmp_path) as world:
            present = await anext(world.plane.calls())

    call = TrunkCall(PHONE.unique_id, ConfbridgeId("pstn-1"), PHONE.number, PHONE.exten)
    assert present == CallsPresent((call,))


async def test_calls_are_listed_again_until_it_succeeds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plane, "_LIST_BACKOFF", Backoff(0.05, 0.1))

    def failures() -> int:
        return sum(record.message == "asterisk.listFailed" for record in caplog.records)

    async with asterisk(tmp_path) as server:
        server.denied = {"ConfbridgeListRooms"}
        async with connected(server, tmp_path) as world:
            await until(lambda: failures() >= 3)
            server.drop()
            before = failures()
            await until(lambda: failures() >= before + 2)
            server.denied = set()

            assert await anext(world.plane.calls()) == CallsPresent(())


async def test_calls_that_ended_with_asterisk_are_known_although_its_modules_load_late(
    here: World, caplog: pytest.LogCaptureFixture
) -> None:
    calls = here.plane.calls()
    here.server.announce("pstn-1", PHONE)
    here.server.enter("pstn-1", PHONE)
    while not isinstance(await anext(calls), CallEntered):
        pass
    await here.server.kill()
    here.server.loading = True
    here.server.asked.clear()
    await here.server.start()
    await until(lambda: sum(a["Action"] == "ListCommands" for a in here.server.asked) >= 2)
    available = here.plane.is_available(Medium.AUDIO)
    here.server.loading = False

    assert not available, "a start now would be refused"
    assert await anext(calls) == CallsPresent(())
    assert not any(record.message == "asterisk.listFailed" for record in caplog.records)


async def test_a_call_that_is_announced_while_asterisk_loads_its_modules_is_reported(
    here: World,
) -> None:
    calls = here.plane.calls()
    assert await anext(calls) == CallsPresent(())
    await here.server.kill()
    here.server.loading = True
    here.server.asked.clear()
    await here.server.start()
    await until(lambda: here.server.was_asked("ListCommands"))
    here.server.announce("pstn-1", PHONE, CallerNum="+34 600", Did="34900", RoomId="sales")
    here.server.loading = False
    call = TrunkCall(PHONE.unique_id, ConfbridgeId("pstn-1"), "+34 600", "34900", "sales")
    async with asyncio.timeout(DEADLINE_S):
        assert await anext(calls) == CallArrived(call)
        assert await anext(calls) == CallsPresent(())
        here.server.enter("pstn-1", PHONE)
        assert await anext(calls) == CallEntered(call.id)


async def test_a_call_that_was_announced_without_a_link_is_reported_when_it_enters(
    here: World,
) -> None:
    calls = here.plane.calls()
    assert await anext(calls) == CallsPresent(())
    here.server.enter("pstn-1", PHONE)
    call = TrunkCall(PHONE.unique_id, ConfbridgeId("pstn-1"), PHONE.number, PHONE.exten)
    async with asyncio.timeout(DEADLINE_S):
        assert [await anext(calls), await anext(calls)] == [CallArrived(call), CallEntered(call.id)]


async def test_a_call_can_be_hung_up(here: World) -> None:
    calls = here.plane.calls()
    here.server.announce("pstn-1", PHONE)
    here.server.enter("pstn-1", PHONE)
    while not isinstance(await anext(calls), CallEntered):
        pass
    here.plane.hang_up("unheard.of")
    here.plane.hang_up(PHONE.unique_id)
    await until(lambda: here.server.hung_up == [PHONE.channel])


async def test_a_call_can_be_hung_up_before_it_has_entered_its_conference(here: World) -> None:
    calls = here.plane.calls()
    await anext(calls)
    here.server.announce("pstn-1", PHONE)
    assert isinstance(await anext(calls), CallArrived)
    here.plane.hang_up(PHONE.unique_id)
    await until(lambda: here.server.hung_up == [PHONE.channel])

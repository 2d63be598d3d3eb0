"""Real Asterisk that is killed in the middle of a recorded call from the trunk, and started again.

The controller reconnects as fast as it can, and so finds an Asterisk that takes logins before it
has loaded its modules.
"""

import asyncio
from collections.abc import Collection

import pytest

from sfu_wrapper.adapters.asterisk import ami
from sfu_wrapper.core.backoff import Backoff
from tests.helpers.asterisk import AsteriskServer
from tests.helpers.live import Peer
from tests.helpers.sip import calling
from tests.helpers.wait import until
from tests.integration import test_asterisk
from tests.integration.test_asterisk import DID, NUMBER, PHONE_HZ, Here, here

pytestmark = pytest.mark.system

server = test_asterisk.server


async def test_after_a_restart_no_phone_stays_and_no_recording_counts_as_active(
    server: AsteriskServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ami, "_BACKOFF", Backoff(0.01, 0.01))
    async with here(server, "trunk.recordIncomingPSTN=true") as world:
        alice = await world.controller.client("alice")
        room = await recorded_call_until_the_crash(world, alice)
        await asyncio.to_thread(server.start)  # the controller reconnects meanwhile
        await is_left(alice, room)
        (info,) = await world.reports(1)

    assert info["segment"] == 1
    assert not any(record.message == "asterisk.listFailed" for record in caplog.records)


async def is_left(alice: Peer, room: str) -> None:
    """Wait until no phone is in the room, and no recording is active."""

    async def is_empty() -> bool:
        shown = await alice.ok("getRoom", {"room": room})
        people = {each["user"] for each in shown["participants"]}
        return f"tel:{NUMBER}" not in people and not shown["recording"]["active"]

    await until(is_empty, within_s=15)


async def recorded_call_until_the_crash(
    world: Here, alice: Peer, earlier: Collection[str] = ()
) -> str:
    """Record a call from the trunk, kill Asterisk in the middle of it; return its room.

    Args:
        world: The controller and its Asterisk.
        alice: Somebody who answers the call.
        earlier: Rooms of earlier calls.
    """
    phone = calling(world.server.sip_port, number=NUMBER, called=DID, hz=PHONE_HZ)
    async with phone:
        while (room := (await world.service.event("participantJoined"))["room"]) in earlier:
            pass
        await alice.ok("joinRoom", {"room": room, "media": {"audio": True}})
        await alice.event("roomRecordingStarted")
        world.server.kill()
    return str(room)

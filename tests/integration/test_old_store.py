"""A store that 0.1.0 wrote is taken up by this version.

``tests/samples/store-0.1.0.db`` was written by a controller of 0.1.0 that was killed: a meeting in
its second segment, which carol has left and dave has joined; a call that is over; one that rings.
"""

import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sfu_wrapper.adapters.memory.broker import MemoryBroker
from sfu_wrapper.adapters.planes.composite_plane import NoPlane
from sfu_wrapper.adapters.sqlite.schema import MIGRATIONS
from sfu_wrapper.adapters.sqlite.store import SqliteStore
from sfu_wrapper.model.identity import RoomUuid
from tests.helpers.clocks import Ahead
from tests.helpers.live import Live, Peer, live
from tests.helpers.wait import until

SAMPLE = Path(__file__).parents[1] / "samples" / "store-0.1.0.db"
MEETING, OVER, RINGING = {"room": "meeting"}, {"room": "over"}, {"room": "ringing"}
SECOND_SEGMENT_MS, LAST_MS = 1_796_055_705_132, 1_796_055_706_445  # of the sample


@asynccontextmanager
async def upgraded(path: Path, broker: MemoryBroker | None = None) -> AsyncIterator[Live]:
    """A controller of this version on that file, a few seconds after the other one was killed."""
    clock = Ahead()
    clock.by_ms = LAST_MS + 3_000 - clock.now().wall_ms
    store = SqliteStore(path)
    options = ("recordRecordingAtStart=false", "rooms.reconnectGraceSeconds=60")
    plane = NoPlane(clock)
    try:
        async with live(*options, store=store, plane=plane, clock=clock, broker=broker) as c:
            yield c
    finally:
        store.close()


def copied(folder: Path) -> Path:
    return Path(shutil.copy(SAMPLE, folder / "store.db"))


async def shown(peer: Peer, room: dict[str, str]) -> dict[str, Any]:
    return await peer.ok("getRoom", room)


async def test_its_rooms_are_as_they_were(tmp_path: Path) -> None:
    async with upgraded(copied(tmp_path)) as controller:
        alice, erin = await controller.client("alice"), await controller.client("erin")
        meeting = await shown(alice, MEETING)
        over, ringing = await shown(erin, OVER), await shown(erin, RINGING)

    assert [each["user"] for each in meeting["participants"]] == ["alice", "bob", "dave"]
    assert [each["state"] for each in meeting["segments"]] == ["stopped", "recording"]
    assert meeting["participants"][0]["media"] == {"audio": True, "video": True, "screen": False}
    assert (over["state"], over["segments"][0]["duration"]) == ("ended", 0.032)
    assert (ringing["state"], ringing["participants"][0]["user"]) == ("waiting", "erin")


async def test_the_segment_that_ran_goes_on_and_knows_who_was_there(tmp_path: Path) -> None:
    broker = MemoryBroker()
    async with upgraded(copied(tmp_path), broker) as controller:
        alice = await controller.client("alice")
        dave = await controller.client("dave")
        await dave.ok("leaveRoom", MEETING)
        stopped = await alice.ok("stopRoomRecording", MEETING)

        async def reported() -> bool:
            return bool(infos(broker))

        await until(reported)
    (info,) = infos(broker)

    assert stopped["segment"] == info["segment"] == 2
    stays = {user: (each["joined"], each["left"]) for user, (each,) in info["participants"].items()}
    assert set(stays) == {"alice", "bob", "carol", "dave"}
    assert stays["alice"] == stays["bob"] == (info["started"], info["completed"])
    assert stays["carol"] == (info["started"], "2026-11-30T16:21:45.460Z")
    assert stays["dave"][0] == "2026-11-30T16:21:45.766Z"
    assert stays["dave"][1] <= info["completed"]


def infos(broker: MemoryBroker) -> list[dict[str, Any]]:
    return [
        json.loads(each.body)["recordingInfo"]
        for each in broker.published
        if each.routing_key == "recordingInfo"
    ]


async def test_what_it_knew_of_invitations_and_guests_holds(tmp_path: Path) -> None:
    async with upgraded(copied(tmp_path)) as controller:
        carol, erin = await controller.client("carol"), await controller.client("erin")
        await carol.ok("joinRoom", MEETING)
        assert await erin.refused("joinRoom", MEETING) == "ROOM_NOT_FOUND"
        assert (await shown(erin, OVER))["state"] == "ended"


async def test_the_first_change_writes_the_room_in_the_new_form(tmp_path: Path) -> None:
    path = copied(tmp_path)
    async with upgraded(path) as controller:
        alice = await controller.client("alice")
        await alice.ok("stopRoomRecording", MEETING)
        before = await shown(alice, MEETING)
    connection = sqlite3.connect(path)
    (head,) = connection.execute("SELECT state FROM rooms WHERE id = 'meeting'").fetchone()
    parts = connection.execute("SELECT name FROM parts WHERE room = 'meeting'").fetchall()
    names = {name for (name,) in parts}
    connection.close()

    assert head.startswith(b"2 ")
    assert b"segments" not in head
    assert {"segment/1", "segment/2", "person/example/dave", "invited"} <= names
    async with upgraded(path) as controller:
        again = await shown(await controller.client("alice"), MEETING)
    assert again["segments"] == before["segments"]


def test_a_damaged_room_does_not_keep_the_store_from_being_migrated(tmp_path: Path) -> None:
    path = copied(tmp_path)
    connection = sqlite3.connect(path)
    for room, state in (("ringing", b"1 {"), ("over", b'1 {"members":[1,"x",{"user":"y"},[]]}')):
        connection.execute("UPDATE rooms SET state = ? WHERE id = ?", (state, room))
    connection.commit()
    connection.close()
    store = SqliteStore(path)
    members = [part.name for part in store.parts(RoomUuid("meeting"))]
    others = store.parts(RoomUuid("ringing")), store.parts(RoomUuid("over"))
    store.close()

    assert len(members) == 4
    assert others == ((), ())


def test_the_file_itself_is_migrated_when_it_is_opened(tmp_path: Path) -> None:
    path = copied(tmp_path)
    store = SqliteStore(path)
    room = store.room(RoomUuid("over"))
    used = [store.has_used(RoomUuid(uuid)) for uuid in ("over", "OVER", "meeting", "other")]
    store.close()

    assert room is not None
    assert room.state.startswith(b"1 ")
    assert used == [True, True, True, False]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT version FROM schema").fetchall() == [(len(MIGRATIONS),)]
    connection.close()

"""The decision table of policy.md over a real WebSocket, one test a row and kind of link."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from sfu_wrapper.model.identity import RecordingPermissions, RecordingProfile, RecordingType
from tests.helpers.live import DOMAIN, Live, Peer, live

ALWAYS = RecordingPermissions(RecordingType.ALL, RecordingProfile.ALWAYS)
SKIP = RecordingPermissions(RecordingType.ALL, RecordingProfile.SKIP)
EITHER = (False, True)
ANY_FLAG = (None, True, False)


@dataclass(frozen=True)
class Row:
    """One row: every combination of its inputs must give the same three answers.

    starts: whether segment 1 starts at establishment. owner, other: what a start by hand comes to.
    """

    kind: str
    flags: tuple[bool | None, ...]
    at_start: tuple[bool, ...]
    pstn: tuple[bool, ...]
    grants: tuple[bool, ...]
    starts: bool
    owner: str
    other: str

    def __str__(self) -> str:
        flags = "/".join(
            {None: "absent", True: "true", False: "false"}[each] for each in self.flags
        )
        return f"{self.kind} flag={flags} atStart={self.at_start} pstn={self.pstn} G={self.grants}"


TABLE = (
    Row(
        "direct",
        (True, None),
        (True,),
        EITHER,
        (True,),
        True,
        "ALREADY_RECORDING",
        "NOT_ROOM_OWNER",
    ),
    Row(
        "direct", (True, None), (True,), EITHER, (False,), False, "NOT_PERMITTED", "NOT_ROOM_OWNER"
    ),
    Row("direct", (False,), (True,), EITHER, (True,), False, "segment 1", "NOT_ROOM_OWNER"),
    Row("direct", (False,), (True,), EITHER, (False,), False, "NOT_PERMITTED", "NOT_ROOM_OWNER"),
    Row("direct", ANY_FLAG, (False,), EITHER, (True,), False, "segment 1", "NOT_ROOM_OWNER"),
    Row("direct", ANY_FLAG, (False,), EITHER, (False,), False, "NOT_PERMITTED", "NOT_ROOM_OWNER"),
    Row("meeting", (True,), (True,), EITHER, (True,), True, "ALREADY_RECORDING", "NOT_ROOM_OWNER"),
    Row("meeting", (True,), (True,), EITHER, (False,), False, "NOT_PERMITTED", "NOT_ROOM_OWNER"),
    Row("meeting", (False, None), (True,), EITHER, (True,), False, "segment 1", "NOT_ROOM_OWNER"),
    Row(
        "meeting",
        (False, None),
        (True,),
        EITHER,
        (False,),
        False,
        "NOT_PERMITTED",
        "NOT_ROOM_OWNER",
    ),
    Row("meeting", ANY_FLAG, (False,), EITHER, (True,), False, "segment 1", "NOT_ROOM_OWNER"),
    Row("meeting", ANY_FLAG, (False,), EITHER, (False,), False, "NOT_PERMITTED", "NOT_ROOM_OWNER"),
    Row("public", ANY_FLAG, EITHER, EITHER, EITHER, False, "PUBLIC_ROOM", "PUBLIC_ROOM"),
    Row("pstn", ANY_FLAG, (True,), (True,), EITHER, True, "PSTN_ROOM", "PSTN_ROOM"),
    Row("pstn", ANY_FLAG, (True,), (False,), EITHER, False, "PSTN_ROOM", "PSTN_ROOM"),
    Row("pstn", ANY_FLAG, (False,), (True,), EITHER, False, "PSTN_ROOM", "PSTN_ROOM"),
    Row("pstn", ANY_FLAG, (False,), (False,), EITHER, False, "PSTN_ROOM", "PSTN_ROOM"),
)

Link = Callable[[str], Awaitable[Peer]]


@pytest.mark.parametrize("through", ["own connections", "one gateway"])
@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_the_decision_table_holds(row: Row, through: str) -> None:
    for at_start in row.at_start:
        for pstn in row.pstn:
            async with live(
                f"recordRecordingAtStart={str(at_start).lower()}",
                f"trunk.recordIncomingPSTN={str(pstn).lower()}",
            ) as controller:
                link: Link = controller.client
                if through == "one gateway":
                    link = (await controller.gateway()).client
                await check(controller, link, row)


async def check(controller: Live, link: Link, row: Row) -> None:
    """Every flag and grant of the row, each in a room of its own."""
    service = await controller.service()
    owner, other = await link("owner"), await link("other")
    for number, (flag, grants) in enumerate((f, g) for f in row.flags for g in row.grants):
        await controller.permit("owner", ALWAYS if grants else SKIP)
        room = f"room-{number}"
        created = await service.ok("createRoom", wish(row, room, flag))
        await other.ok("joinRoom", {"room": room, "media": {"audio": True}})
        before = len(owner.received)
        await owner.ok("joinRoom", {"room": room, "media": {"audio": True}})

        assert created["recording"]["automatic"] is row.starts
        if row.starts:
            started = await owner.event("roomRecordingStarted", since=before)
            assert (started["segment"], started["by"], started["type"]) == (1, "system", "all")
        assert await outcome(other, room) == row.other
        assert await outcome(owner, room) == row.owner
        shown = await owner.ok("getRoom", {"room": room})
        expected = 1 if row.starts or row.owner == "segment 1" else 0
        assert len(shown["segments"]) == expected
        await service.ok("endRoom", {"room": room})


def wish(row: Row, room: str, flag: bool | None) -> dict[str, object]:
    """What the room service asks for."""
    asked: dict[str, object] = {"id": room, "owner": "owner", "domain": DOMAIN}
    if row.kind == "pstn":
        asked["origin"] = "pstn"
    else:
        asked["kind"] = row.kind
    return asked if flag is None else asked | {"record": flag}


async def outcome(peer: Peer, room: str) -> str:
    """The code that a start is refused with, or the segment that it starts."""
    response = await peer.ask("startRoomRecording", {"room": room})
    if response["status"] == "ok":
        return f"segment {response['payload']['segment']}"
    return str(response["error"]["code"])

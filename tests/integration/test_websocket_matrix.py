"""Every role, every operation over the WebSocket, on what is its own, its domain's, another's.

The same over HTTP: test_http_matrix.
"""

from collections.abc import AsyncIterator
from typing import get_args

import pytest

from sfu_wrapper.model.identity import (
    DomainId,
    RecordingPermissions,
    RecordingProfile,
    RecordingType,
    UserId,
)
from sfu_wrapper.wire.signaling import Payload
from tests.helpers.live import DOMAIN, Json, Live, Peer, live

ALWAYS = RecordingPermissions(RecordingType.ALL, RecordingProfile.ALWAYS)
ROLES = ("user", "domain-admin", "service", "gateway", "nobody")

# Meetings by their owner and those who are in them. Alice, who asks, has been in ``left`` and, as
# its owner, in ``away``; carol is there for whatever alice may try to do to her.
ROOMS = {
    "owned": (("alice", DOMAIN), ("alice", "carol")),
    "joined": (("bob", DOMAIN), ("bob", "alice", "carol")),
    "away": (("alice", DOMAIN), ("bob", "carol")),
    "left": (("bob", DOMAIN), ("bob", "carol")),
    "bobs": (("bob", DOMAIN), ("bob", "carol")),
    "zoes": (("zoe", "other"), ("zoe",)),
    "none": None,
}
CODES = {
    "NF": "ROOM_NOT_FOUND", "NI": "NOT_IN_ROOM", "NO": "NOT_ROOM_OWNER", "FB": "FORBIDDEN",
    "BAD": "BAD_REQUEST", "EX": "ROOM_EXISTS",
}  # fmt: skip

# What alice of the domain example is answered, by her role.
# Columns: user, domain-admin, service, gateway, a token without a role we know.
MATRIX = """
getRoom              owned   ok  ok  ok  FB FB
getRoom              away    ok  ok  ok  FB FB
getRoom              joined  ok  ok  ok  FB FB
getRoom              left    NF  ok  ok  FB FB
getRoom              bobs    NF  ok  ok  FB FB
getRoom              zoes    NF  NF  ok  FB FB
getRoom              none    NF  NF  NF  FB FB

joinRoom             owned   ok  ok  ok  FB FB
joinRoom             joined  ok  ok  ok  FB FB
joinRoom             left    ok  ok  ok  FB FB
joinRoom             bobs    ok  ok  ok  FB FB
joinRoom             zoes    NF  NF  ok  FB FB
joinRoom             none    NF  NF  NF  FB FB
joinRoom:dave        owned   FB  FB  ok  FB FB
joinRoom:dave        joined  FB  FB  ok  FB FB
joinRoom:dave        left    FB  FB  ok  FB FB
joinRoom:dave        bobs    FB  FB  ok  FB FB
joinRoom:dave        zoes    NF  NF  ok  FB FB
joinRoom:dave        none    NF  NF  NF  FB FB

updateMedia          owned   ok  ok  ok  FB FB
updateMedia          joined  ok  ok  ok  FB FB
updateMedia          left    NF  NI  NI  FB FB
updateMedia          bobs    NF  NI  NI  FB FB
updateMedia          zoes    NF  NF  NI  FB FB
updateMedia          none    NF  NF  NF  FB FB
updateMedia:carol    owned   FB  FB  ok  FB FB
updateMedia:carol    joined  FB  FB  ok  FB FB
updateMedia:carol    left    NF  FB  ok  FB FB
updateMedia:carol    bobs    NF  FB  ok  FB FB
updateMedia:zoe      zoes    NF  NF  ok  FB FB
updateMedia:carol    none    NF  NF  NF  FB FB

leaveRoom            owned   ok  ok  ok  FB FB
leaveRoom            joined  ok  ok  ok  FB FB
leaveRoom            left    NF  NI  NI  FB FB
leaveRoom            bobs    NF  NI  NI  FB FB
leaveRoom            zoes    NF  NF  NI  FB FB
leaveRoom            none    NF  NF  NF  FB FB
leaveRoom:carol      owned   FB  FB  ok  FB FB
leaveRoom:carol      joined  FB  FB  ok  FB FB
leaveRoom:carol      left    NF  FB  ok  FB FB
leaveRoom:carol      bobs    NF  FB  ok  FB FB
leaveRoom:zoe        zoes    NF  NF  ok  FB FB
leaveRoom:carol      none    NF  NF  NF  FB FB

inviteToRoom         owned   ok  ok  ok  FB FB
inviteToRoom         joined  NO  NO  ok  FB FB
inviteToRoom         left    NF  NO  ok  FB FB
inviteToRoom         bobs    NF  NO  ok  FB FB
inviteToRoom         zoes    NF  NF  ok  FB FB
inviteToRoom         none    NF  NF  NF  FB FB

startRoomRecording   owned   ok  ok  ok  FB FB
startRoomRecording   joined  NO  NO  ok  FB FB
startRoomRecording   away    NI  NI  ok  FB FB
startRoomRecording   left    NF  NI  ok  FB FB
startRoomRecording   bobs    NF  NI  ok  FB FB
startRoomRecording   zoes    NF  NF  ok  FB FB
startRoomRecording   none    NF  NF  NF  FB FB

stopRoomRecording    owned   ok  ok  ok  FB FB
stopRoomRecording    away    ok  ok  ok  FB FB
stopRoomRecording    joined  NO  ok  ok  FB FB
stopRoomRecording    left    NF  ok  ok  FB FB
stopRoomRecording    bobs    NF  ok  ok  FB FB
stopRoomRecording    zoes    NF  NF  ok  FB FB
stopRoomRecording    none    NF  NF  NF  FB FB

endRoom              owned   ok  ok  ok  FB FB
endRoom              away    ok  ok  ok  FB FB
endRoom              joined  NO  NO  ok  FB FB
endRoom              left    NF  NO  ok  FB FB
endRoom              bobs    NF  NO  ok  FB FB
endRoom              zoes    NF  NF  ok  FB FB
endRoom              none    NF  NF  NF  FB FB

createRoom           -       ok  ok  BAD FB FB
createRoom:bob       -       FB  FB  ok  FB FB
createRoom:zoe       -       FB  FB  ok  FB FB
createRoom:pstn      -       FB  FB  ok  FB FB
createRoom:taken     bobs    BAD BAD EX  FB FB

listRooms            -       FB  ok  ok  FB FB
watch                -       ok  ok  ok  FB FB
unwatch              -       ok  ok  ok  FB FB
ping                 -       ok  ok  ok  FB FB
"""
ROWS = [line.split() for line in MATRIX.splitlines() if line]
BY_OPERATION: dict[str, list[list[str]]] = {}
for _row in ROWS:
    BY_OPERATION.setdefault(_row[0].partition(":")[0], []).append(_row)
# What a room service asks createRoom beside what anybody does, or a user who oversteps.
CREATE: dict[str, Json] = {
    "": {},
    "bob": {"owner": "bob", "domain": DOMAIN},
    "zoe": {"owner": "zoe", "domain": "other"},
    "pstn": {"owner": "phone", "domain": DOMAIN, "origin": "pstn"},
}


@pytest.fixture
async def controller() -> AsyncIterator[Live]:
    """One in which all owners may record."""
    async with live("websocket.requestsBurst=10000") as running:
        for owner, domain in (("alice", DOMAIN), ("bob", DOMAIN), ("zoe", "other")):
            await running.store.set_permission(DomainId(domain), UserId(owner), ALWAYS)
        yield running


# The same with ``policy.stopBy = "participants"``: each participant may stop, and no more.
STOP_BY_PARTICIPANTS = """
startRoomRecording   joined  NO  NO  ok  FB FB
stopRoomRecording    owned   ok  ok  ok  FB FB
stopRoomRecording    away    ok  ok  ok  FB FB
stopRoomRecording    joined  ok  ok  ok  FB FB
stopRoomRecording    left    NF  ok  ok  FB FB
stopRoomRecording    bobs    NF  ok  ok  FB FB
stopRoomRecording    zoes    NF  NF  ok  FB FB
endRoom              joined  NO  NO  ok  FB FB
"""


async def test_every_role_where_participants_may_stop() -> None:
    async with live("websocket.requestsBurst=10000", "policy.stopBy=participants") as running:
        for owner, domain in (("alice", DOMAIN), ("bob", DOMAIN), ("zoe", "other")):
            await running.store.set_permission(DomainId(domain), UserId(owner), ALWAYS)
        await check(running, [line.split() for line in STOP_BY_PARTICIPANTS.splitlines() if line])


@pytest.mark.parametrize("operation", BY_OPERATION)
async def test_every_role_is_answered_what_the_matrix_says(
    controller: Live, operation: str
) -> None:
    await check(controller, BY_OPERATION[operation])


async def check(controller: Live, rows: list[list[str]]) -> None:
    """Each role asks what the row says, and is answered so."""
    service = await controller.service()
    askers = {role: await controller.client("alice", role) for role in ROLES}
    for asked, kind, *expected in rows:
        operation = asked.partition(":")[0]
        for role, code in zip(ROLES, expected, strict=True):
            room = f"{kind}-{asked.replace(':', '-')}-{role}"
            await make(service, kind, room, recording=operation == "stopRoomRecording")
            before = await shown(service, kind, room)

            answer = await askers[role].ask(operation, payload(asked, kind, room, role))

            assert outcome(answer) == CODES.get(code, code), (asked, kind, role)
            if code != "ok":
                assert await shown(service, kind, room) == before, "a refusal changes nothing"
            await forget(service, kind, room)


async def make(service: Peer, kind: str, room: str, *, recording: bool) -> None:
    """A room of that kind, if it is one."""
    known = ROOMS.get(kind)
    if known is None:
        return
    (owner, domain), present = known
    wish = {"id": room, "kind": "meeting", "owner": owner, "domain": domain, "record": False}
    await service.ok("createRoom", wish)
    for user in present:
        await service.ok("joinRoom", {"room": room, "domain": domain, "user": user})
    if kind in ("left", "away"):
        await service.ok("joinRoom", {"room": room, "user": "alice"})
        await service.ok("leaveRoom", {"room": room, "user": "alice"})
    if recording:
        await service.ok("startRoomRecording", {"room": room, "domain": domain})


async def shown(service: Peer, kind: str, room: str) -> Json | None:
    """How the room is."""
    return await service.ok("getRoom", where(kind, room)) if ROOMS.get(kind) else None


async def forget(service: Peer, kind: str, room: str) -> None:
    """It is over, if it is not yet."""
    if ROOMS.get(kind):
        await service.ask("endRoom", where(kind, room))


def where(kind: str, room: str) -> Json:
    """How a room is named by somebody who is of the domain example."""
    known = ROOMS.get(kind)
    return {"room": room} if known is None else {"room": room, "domain": known[0][1]}


def payload(asked: str, kind: str, room: str, role: str) -> Json:
    """What alice asks for; ``operation:whom`` is for somebody else."""
    operation, _, whom = asked.partition(":")
    if operation == "createRoom":
        mine = {} if role != "service" else CREATE["bob"]
        return {"id": room} | mine if whom == "taken" else CREATE[whom]
    wish: Json = {} if kind == "-" else where(kind, room)
    if whom:
        wish["user"] = whom
    match operation:
        case "updateMedia":
            wish["media"] = {"audio": True}
        case "inviteToRoom":
            wish["users"] = ["dave"]
        case "watch" | "unwatch":
            wish["topics"] = ["rooms"]
    return wish


def outcome(answer: Json) -> str:
    """``ok``, or the code of the refusal."""
    return "ok" if answer["status"] == "ok" else str(answer["error"]["code"])


def test_the_matrix_leaves_no_operation_out() -> None:
    described = {row[0].partition(":")[0] for row in ROWS} | {"authenticate"}

    assert described == {
        payload.__name__[0].lower() + payload.__name__[1:] for payload in get_args(Payload)
    }
